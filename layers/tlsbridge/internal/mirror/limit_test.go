package mirror

import (
	"crypto/tls"
	"slices"
	"testing"
)

// What the server says in EncryptedExtensions is found under each cipher suite: crypto/tls has no limit of its own to
// say, but an application protocol.
func TestEncryptedExtensionsAreFound(t *testing.T) {
	theirs := parse(t, realHellos(t)["firefox.0"])
	for _, suite := range []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256} {
		for _, group := range []tls.CurveID{tls.X25519, tls.CurveP384} { // the latter after a retry
			hello := *theirs
			hello.CipherSuites = []uint16{suite}
			config := server()
			config.MinVersion, config.CurvePreferences = tls.VersionTLS13, []tls.CurveID{group}
			near, far := tcpPair(t)
			done := make(chan error, 1)
			go func() { done <- tls.Server(far, config).Handshake() }()
			spec, err := build(&hello, Config{})
			if err != nil {
				t.Fatal(err)
			}
			h := &handshake{spec: spec, tap: newTap(near, &hello)}
			if err := h.run(t.Context()); err != nil {
				t.Fatalf("%s: %v", tls.CipherSuiteName(suite), err)
			}
			extensions := serverExtensions(h.tap.kept, h.tap.server.Suite, h.secrets.server)
			want := []byte{0, extALPN, 0, 5, 0, 3, 2, 'h', '2'}
			if !contains(extensions, want) {
				t.Errorf("%s, %s: extensions %x, want %x in them", tls.CipherSuiteName(suite), group, extensions, want)
			}
			for n := range h.tap.kept { // pieces of it are no reason to fail otherwise
				serverExtensions(h.tap.kept[:n], h.tap.server.Suite, h.secrets.server)
			}
			if got := serverExtensions(h.tap.kept, h.tap.server.Suite, make([]byte, 32)); got != nil {
				t.Errorf("with another secret: %x", got)
			}
			<-done
			near.Close()
			far.Close()
		}
	}
}

func contains(all, part []byte) bool {
	for i := range all {
		if len(all)-i >= len(part) && slices.Equal(all[i:i+len(part)], part) {
			return true
		}
	}
	return false
}

func TestLimitsOf(t *testing.T) {
	for _, tt := range []struct {
		name       string
		extensions []byte
		fragment   byte
		record     uint16
	}{
		{"none", nil, 0, 0},
		{"a fragment", []byte{0, 16, 0, 1, 9, 0, 1, 0, 1, 3}, 3, 0},
		{"a record", []byte{0, 28, 0, 2, 4, 0}, 0, 1024},
		{"one of a wrong length", []byte{0, 28, 0, 1, 4}, 0, 0},
		{"one that ends early", []byte{0, 28, 0, 2, 4}, 0, 0},
	} {
		if fragment, record := limitsOf(tt.extensions); fragment != tt.fragment || record != tt.record {
			t.Errorf("%s: %d, %d; want %d, %d", tt.name, fragment, record, tt.fragment, tt.record)
		}
	}
}

func TestOnlyClientsThatAskForALimitAreReadTwice(t *testing.T) {
	for name, want := range map[string]bool{"firefox.0": true, "ossl_mfl": true, "gnutls": true, "curl": false, "chromium.0": false} {
		hello := parse(t, realHellos(t)[name])
		if got := offersLimit(hello); got != want {
			t.Errorf("%s offers a limit: %v, want %v", name, got, want)
		}
	}
}

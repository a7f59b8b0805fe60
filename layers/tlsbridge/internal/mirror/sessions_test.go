package mirror

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"slices"
	"testing"
	"weak"

	utls "github.com/refraction-networking/utls"

	"github.com/bridgeio/bridgeio/detect"
)

// drawer has the last ticket, and counts how often it was asked for.
type drawer struct {
	ticket *utls.ClientSessionState
	asked  int
}

func (d *drawer) Get(string) (*utls.ClientSessionState, bool) {
	d.asked++
	return d.ticket, d.ticket != nil
}

func (d *drawer) Put(_ string, ticket *utls.ClientSessionState) { d.ticket = ticket }

// resuming is a hello of a client that tries to resume a session of its own.
func resuming(t *testing.T, name string) *detect.ClientHello {
	t.Helper()
	hello := *parse(t, realHellos(t)[name])
	identity := append([]byte{0, 4, 't', 'i', 'c', 'k'}, 1, 2, 3, 4)
	psk := append(append([]byte{0, byte(len(identity))}, identity...), 0, 33, 32)
	psk = append(psk, bytes.Repeat([]byte{9}, 32)...)
	if _, there := hello.Extension(extPreSharedKey); !there {
		hello.Extensions = append(slices.Clone(hello.Extensions), detect.Extension{ID: extPreSharedKey, Data: psk})
	}
	return parse(t, encode(&hello))
}

func lacking(hello *detect.ClientHello, extension uint16) *detect.ClientHello {
	h := *hello
	h.Extensions = slices.DeleteFunc(slices.Clone(h.Extensions), func(e detect.Extension) bool { return e.ID == extension })
	return &h
}

func TestSessionsAreResumed(t *testing.T) {
	pinned := func(version uint16) *tls.Config {
		config := server()
		config.MinVersion, config.MaxVersion = version, version
		return config
	}
	none := *resuming(t, "ossl")
	none.SessionID = nil
	for _, tt := range []struct {
		name    string
		hello   *detect.ClientHello
		version uint16
		changes Changes
		want    bool
	}{
		{"in TLS 1.3", resuming(t, "ossl"), tls.VersionTLS13, 0, true},
		{"in TLS 1.3 by Chromium", resuming(t, "chromium.0"), tls.VersionTLS13, 0, true},
		{"in TLS 1.3 without an identifier", &none, tls.VersionTLS13, 0, true},
		{"in TLS 1.3 by a client that has no ticket", parse(t, realHellos(t)["ossl"]), tls.VersionTLS13, 0, false},
		{"in TLS 1.3, but that was no success", resuming(t, "ossl"), tls.VersionTLS13, WithoutResumption, false},
		{"in TLS 1.2", parse(t, realHellos(t)["ossl_tkt12"]), tls.VersionTLS12, 0, true},
		{"in TLS 1.2 by a client of TLS 1.3", resuming(t, "ossl"), tls.VersionTLS12, 0, true},
		{"in TLS 1.2, but that was no success", parse(t, realHellos(t)["ossl_tkt12"]), tls.VersionTLS12, WithoutResumption, false},
		{"in TLS 1.2 without an identifier", &none, tls.VersionTLS12, 0, false},
		{"in TLS 1.2 without a ticket", lacking(resuming(t, "ossl"), extSessionTicket), tls.VersionTLS12, 0, false},
		{"in TLS 1.1", resuming(t, "ossl_11"), tls.VersionTLS11, 0, false},
		{"in TLS 1.0", parse(t, realHellos(t)["ossl_10"]), tls.VersionTLS10, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cache, config := &drawer{}, pinned(tt.version)
			first := shake(t, tt.hello, config, Config{Sessions: cache})
			if first.err != nil || first.result.Resumed {
				t.Fatalf("the first: %v, %+v", first.err, first.result)
			}
			if _, offered := tt.hello.Extension(extSessionTicket); cache.ticket == nil && (offered || tt.version == tls.VersionTLS13) {
				t.Error("there is no ticket")
			}
			again := shake(t, tt.hello, config, Config{Sessions: cache, Changes: tt.changes})
			if again.err != nil || again.result.Resumed != tt.want || again.server.DidResume != tt.want {
				t.Fatalf("%v, %+v; the server resumed: %v; want %v", again.err, again.result, again.server.DidResume, tt.want)
			}
			if len(again.result.Chain) != 1 {
				t.Errorf("%d certificates", len(again.result.Chain))
			}
		})
	}
}

// A ticket of one version is not for the other.
func TestATicketOfAnotherVersionIsNotUsed(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cache, config := &drawer{}, server()
		config.MaxVersion = version
		hello := resuming(t, "ossl")
		if o := shake(t, hello, config, Config{Sessions: cache}); o.err != nil {
			t.Fatal(o.err)
		}
		less := lacking(hello, map[uint16]uint16{tls.VersionTLS12: extSessionTicket, tls.VersionTLS13: extPreSharedKey}[version])
		less.HasPreSharedKey = version == tls.VersionTLS12
		if o := shake(t, less, config, Config{Sessions: cache}); o.err != nil || o.result.Resumed {
			t.Errorf("%s: %v, %+v", tls.VersionName(version), o.err, o.result)
		}
	}
}

// A server may end the handshake because of a ticket; but one that is cut off says nothing about it.
func TestATicketThatIsNoSuccess(t *testing.T) {
	cache := &drawer{}
	hello := resuming(t, "ossl")
	if o := shake(t, hello, server(), Config{Sessions: cache}); o.err != nil {
		t.Fatal(o.err)
	}
	ticket := cache.ticket
	for _, tt := range []struct {
		name string
		says []byte
		want bool
	}{{"an alert", alert(51), true}, {"an end", nil, false}} {
		_, err := answered(t, hello, Config{Sessions: &drawer{ticket: ticket}}, saying(tt.says))
		retry := (*Retry)(nil)
		if got := errors.As(err, &retry) && retry.Changes == WithoutResumption; err == nil || got != tt.want {
			t.Errorf("%s: %v, want another try: %v", tt.name, err, tt.want)
		}
	}
}

// A session may last for days. All that it shares with its handshake is what TLS still needs.
func TestASessionKeepsNothingOfItsHandshake(t *testing.T) {
	for _, tt := range []struct {
		name, hello string
		version     uint16
	}{
		{"TLS 1.3", "chromium.0", tls.VersionTLS13}, {"TLS 1.2", "curl", tls.VersionTLS12}, {"a limit", "firefox.0", tls.VersionTLS13},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := server()
			config.MinVersion, config.MaxVersion, config.ClientAuth = tt.version, tt.version, tls.RequestClientCert
			cache := &drawer{}
			shake(t, resuming(t, tt.hello), config, Config{Sessions: cache, Certificate: func(*Request) (*tls.Certificate, error) { return nil, nil }})

			near, far := tcpPair(t)
			defer near.Close()
			done := make(chan struct{})
			go func() { defer close(done); defer far.Close(); io.Copy(io.Discard, tls.Server(far, config)) }()
			session, left := lastingly(t, near, resuming(t, tt.hello), cache)
			runtime.GC()
			for what, pointer := range left {
				if pointer() {
					t.Errorf("%s stays", what)
				}
			}
			if session.NetConn() != near {
				t.Errorf("below the session is %T", session.NetConn())
			}
			session.Close()
			<-done
		})
	}
}

// lastingly shakes hands, and returns what tells which parts of the handshake are still there.
func lastingly(t *testing.T, c net.Conn, hello *detect.ClientHello, cache utls.ClientSessionCache) (*Session, map[string]func() bool) {
	t.Helper()
	asked, log := new([64]byte), new(bytes.Buffer)
	session, result, err := Handshake(t.Context(), c, hello, Config{Sessions: cache, KeyLog: log, Certificate: func(*Request) (*tls.Certificate, error) {
		asked[0]++
		return nil, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	helloLeft, resultLeft, logLeft, askedLeft := weak.Make(hello), weak.Make(&result.Sent[0]), weak.Make(log), weak.Make(asked)
	return session, map[string]func() bool{
		"the hello":              func() bool { return helloLeft.Value() != nil },
		"the hello that we sent": func() bool { return resultLeft.Value() != nil },
		"the key log":            func() bool { return logLeft.Value() != nil },
		"whom to ask":            func() bool { return askedLeft.Value() != nil },
	}
}

package flight

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"

	"github.com/bridgeio/bridgeio/bridge/bridgetest"
)

// recorded is a conn that keeps what is read from it.
type recorded struct {
	net.Conn
	mu  sync.Mutex
	all []byte
}

func (r *recorded) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, p[:n]...)
	return n, err
}

// flights returns what a server and a client say in a handshake, and what they agree on.
func flights(t testing.TB, server, client *tls.Config) (fromServer, fromClient []byte, state tls.ConnectionState) {
	t.Helper()
	a, b := bridgetest.TCPPair(t)
	c, s := &recorded{Conn: a}, &recorded{Conn: b}
	done := make(chan struct{})
	go func() {
		defer close(done)
		session := tls.Server(s, server)
		io.Copy(io.Discard, session)
		session.Close()
	}()
	session := tls.Client(c, client)
	session.Handshake()
	session.CloseWrite()
	io.Copy(io.Discard, session)
	<-done
	return c.all, s.all, session.ConnectionState()
}

// fed feeds all in chunks of n bytes.
func fed(all []byte, n int) Flight {
	s := Flight{Server: true}
	for ; len(all) > 0; all = all[min(n, len(all)):] {
		s.Feed(all[:min(n, len(all))])
	}
	return s
}

func TestItFindsTheGroup(t *testing.T) {
	for name, c := range map[string]struct {
		server, client *tls.Config
		want           tls.CurveID
	}{
		"of a key_share":        {&tls.Config{CurvePreferences: []tls.CurveID{tls.CurveP256}}, direct(), tls.CurveP256},
		"of a hybrid key_share": {&tls.Config{}, direct(), tls.X25519MLKEM768},
		"after a retry":         {&tls.Config{CurvePreferences: []tls.CurveID{tls.CurveP521}}, direct(), tls.CurveP521},
		"of a ServerKeyExchange behind a long chain": {
			&tls.Config{MaxVersion: tls.VersionTLS12, CurvePreferences: []tls.CurveID{tls.CurveP384}, Certificates: long("ECDSA")}, direct(), tls.CurveP384,
		},
		"of TLS 1.0": {&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, old(), tls.X25519},
		"of none, with RSA key exchange": {
			&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}, Certificates: long("RSA")},
			old(), 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if c.server.Certificates == nil {
				c.server.Certificates = []tls.Certificate{*certificate("ECDSA")}
			}
			fromServer, fromClient, state := flights(t, c.server, c.client)
			if !state.HandshakeComplete || state.CurveID != c.want {
				t.Fatalf("the handshake came to %s", state.CurveID)
			}
			for _, n := range []int{1, 2, 5, 7, 1000, len(fromServer)} {
				if got := fed(fromServer, n); tls.CurveID(got.Group) != c.want || got.HasAlert {
					t.Errorf("in chunks of %d: group %s, fatal %t; want %s", n, tls.CurveID(got.Group), got.HasAlert, c.want)
				}
				if got := fed(fromClient, n); got.HasAlert {
					t.Errorf("in chunks of %d: an alert of the client, which has sent none in plaintext", n)
				}
			}
			for n := range fromServer {
				if got := fed(fromServer[:n], n); got.Group != 0 && got.Group != uint16(c.want) {
					t.Fatalf("of the first %d bytes: group %04x", n, got.Group)
				}
			}
		})
	}
}

// long returns a certificate with a chain of more bytes than a message may have to be kept.
func long(kind string) []tls.Certificate {
	leaf := *certificate(kind)
	for len(leaf.Certificate) < 40 {
		leaf.Certificate = append(leaf.Certificate, leaf.Certificate[0])
	}
	return []tls.Certificate{leaf}
}

// direct is a client that takes any certificate, and old one that takes any version too.
func direct() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

func old() *tls.Config {
	config := direct()
	config.MinVersion = tls.VersionTLS10
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		config.CipherSuites = append(config.CipherSuites, s.ID)
	}
	return config
}

// certificate is a server's own, with an ECDSA or an RSA key.
func certificate(kind string) *tls.Certificate {
	var key crypto.Signer
	var err error
	if kind == "RSA" {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestItFindsAFatalAlertInPlaintext(t *testing.T) {
	const (
		ccs       = "\x14\x03\x03\x00\x01\x01"
		warning   = "\x15\x03\x03\x00\x02\x01\x70"
		unknownCA = "\x15\x03\x03\x00\x02\x02\x30"
		encrypted = "\x15\x03\x03\x00\x1a\x02\x30345678901234567890123456"
	)
	for name, c := range map[string]struct {
		bytes string
		fatal byte
	}{
		"alone":                         {unknownCA, 48},
		"behind ChangeCipherSpec":       {ccs + unknownCA, 48},
		"behind a warning":              {warning + unknownCA, 48},
		"but not a warning":             {warning, 0},
		"but not one that is encrypted": {encrypted, 0},
		"but not half of one":           {unknownCA[:6], 0},
	} {
		t.Run(name, func(t *testing.T) {
			for n := 1; n <= len(c.bytes); n++ {
				if got := fed([]byte(c.bytes), n); got.Alert != c.fatal || got.HasAlert != (c.fatal != 0) {
					t.Errorf("in chunks of %d: %d %t, want %d", n, got.Alert, got.HasAlert, c.fatal)
				}
			}
		})
	}
}

// FuzzFeed holds that what is found depends on the bytes and not on their chunks, and
// that what is kept is bounded.
func FuzzFeed(f *testing.F) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		server, client, _ := flights(f, &tls.Config{MaxVersion: version, Certificates: []tls.Certificate{*certificate("ECDSA")}}, direct())
		f.Add(server, uint16(5))
		f.Add(client, uint16(1))
	}
	f.Add([]byte("\x15\x03\x03\x00\x02\x02\x30"), uint16(5))
	f.Fuzz(func(t *testing.T, all []byte, n uint16) {
		whole, cut := fed(all, max(len(all), 1)), fed(all, max(int(n), 1))
		if whole.Group != cut.Group || whole.Alert != cut.Alert || whole.HasAlert != cut.HasAlert {
			t.Errorf("whole: %+v, in chunks of %d: %+v", whole, n, cut)
		}
		if len(cut.message) > maxKept || len(cut.alert) > 2 {
			t.Errorf("%d bytes of a message and %d of an alert are kept", len(cut.message), len(cut.alert))
		}
	})
}

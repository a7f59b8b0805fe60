package tlsbridge

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serverName is the name of all servers here.
const serverName = "server.test"

// keys are made once: those of RSA are slow.
var keys = sync.OnceValue(func() map[string]crypto.Signer {
	p256, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, err2 := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	rsa2048, err3 := rsa.GenerateKey(rand.Reader, 2048)
	_, ed, err4 := ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		panic(err)
	}
	return map[string]crypto.Signer{"ECDSA": p256, "P-384": p384, "RSA": rsa2048, "Ed25519": ed}
})

// authority is a CA of the tests. serverCA signs servers' certificates, and mitmCA what
// clients are shown.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

func newAuthority(name string) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	return &authority{issue(template, template, key, key), key}
}

var (
	serverCA = sync.OnceValue(func() *authority { return newAuthority("server CA") })
	mitmCA   = sync.OnceValue(func() *authority { return newAuthority("mitm CA") })
	otherCA  = sync.OnceValue(func() *authority { return newAuthority("nobody's CA") })
)

func issue(template, parent *x509.Certificate, key, signer crypto.Signer) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return cert
}

func leafTemplate() *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "the server"}, DNSNames: []string{serverName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
}

// certificate returns a server's certificate with a key of the given kind.
func certificate(kind string) *tls.Certificate {
	return signed(leafTemplate(), kind, serverCA())
}

func signed(template *x509.Certificate, kind string, by *authority) *tls.Certificate {
	leaf := issue(template, by.cert, keys()[kind], by.key)
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: keys()[kind], Leaf: leaf}
}

// copying is a Minter that copies what the client looks at, and mirrors invalidity.
type copying struct{}

func (copying) Mint(_ context.Context, server *Snapshot, _ *detect.ClientHello) (*tls.Certificate, string, error) {
	leaf := server.Chain[0]
	template := &x509.Certificate{
		SerialNumber: leaf.SerialNumber, RawSubject: leaf.RawSubject, DNSNames: leaf.DNSNames, NotBefore: leaf.NotBefore,
		NotAfter: leaf.NotAfter, KeyUsage: leaf.KeyUsage, ExtKeyUsage: leaf.ExtKeyUsage,
	}
	kind := map[x509.PublicKeyAlgorithm]string{x509.RSA: "RSA", x509.Ed25519: "Ed25519", x509.ECDSA: "ECDSA"}[leaf.PublicKeyAlgorithm]
	if key, ok := leaf.PublicKey.(*ecdsa.PublicKey); ok && key.Curve == elliptic.P384() {
		kind = "P-384"
	}
	switch {
	case leaf.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature) == nil:
		return selfSigned(template, kind), "self-signed", nil
	case leaf.CheckSignatureFrom(serverCA().cert) != nil:
		return signed(template, kind, otherCA()), "unknown issuer", nil
	}
	return signed(template, kind, mitmCA()), "ok", nil
}

func selfSigned(template *x509.Certificate, kind string) *tls.Certificate {
	leaf := issue(template, template, keys()[kind], keys()[kind])
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: keys()[kind], Leaf: leaf}
}

// lab is a proxy between a client and a server that are the test's own.
type lab struct {
	addr    string
	outcome chan bridge.Outcome
	flow    chan *bridge.Flow
}

// newLab serves handler between whoever connects and the server at hop.
func newLab(t testing.TB, handler bridge.Handler, hop bridge.Addr, limits bridge.Limits) *lab {
	t.Helper()
	p := &bridge.Proxy{Handler: handler, Limits: limits}
	if !hop.IsZero() {
		p.Hop = bridge.FixedHop(hop)
	}
	return run(t, p)
}

// newLabDialing relays raw, to what dial connects.
func newLabDialing(t testing.TB, dial bridge.DialFunc, hop bridge.Addr) *lab {
	t.Helper()
	return run(t, &bridge.Proxy{Handler: bridge.Relay, Dial: dial, Hop: bridge.FixedHop(hop)})
}

func run(t testing.TB, p *bridge.Proxy) *lab {
	t.Helper()
	l := &lab{outcome: make(chan bridge.Outcome, 16), flow: make(chan *bridge.Flow, 16)}
	p.Observer = &bridge.Observer{Close: func(f *bridge.Flow, o bridge.Outcome) {
		l.flow <- f
		l.outcome <- o
	}}
	listener := listen(t)
	l.addr = listener.Addr().String()
	served := make(chan error, 1)
	go func() { served <- p.Serve(context.Background(), listener) }()
	t.Cleanup(func() {
		p.Shutdown(context.Background())
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l
}

func (l *lab) dial(t testing.TB) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", l.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

// patience bounds what must never last; it is no measure of anything.
const patience = 30 * time.Second

// ends returns how the next flow ended.
func (l *lab) ends(t testing.TB) (*bridge.Flow, bridge.Outcome) {
	t.Helper()
	select {
	case f := <-l.flow:
		return f, <-l.outcome
	case <-time.After(patience):
		t.Fatal("the flow does not end")
		return nil, bridge.Outcome{}
	}
}

func listen(t testing.TB) *net.TCPListener {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// serveTCP calls f with each conn that arrives, and waits for all of them at the end.
func serveTCP(t testing.TB, f func(*net.TCPConn)) bridge.Addr {
	t.Helper()
	l := listen(t)
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.AcceptTCP()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(patience))
				f(c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		conns.Wait()
	})
	return bridge.AddrOf(l.Addr())
}

// seen is what one peer says about its handshake.
type seen struct {
	state tls.ConnectionState
	err   error
}

// echoTLS is a TLS server that sends back what it gets, and says goodbye when the
// client did. What it saw of each handshake goes to the channel.
func echoTLS(t testing.TB, config *tls.Config) (bridge.Addr, <-chan seen) {
	t.Helper()
	saw := make(chan seen, 16)
	addr := serveTCP(t, func(c *net.TCPConn) {
		s := tls.Server(c, config)
		err := s.Handshake()
		saw <- seen{s.ConnectionState(), err}
		if err == nil {
			io.Copy(s, s)
			s.CloseWrite()
		}
	})
	return addr, saw
}

// relayed is a chain of one bridged TLS.
func relayed() bridge.Handler { return bridge.Chain(Relay(Config{Minter: copying{}})) }

func clientConfig() *tls.Config {
	return &tls.Config{ServerName: serverName, RootCAs: mitmCA().pool()}
}

// roundtrip sends a message, says goodbye, and expects the message and a goodbye back.
func roundtrip(t testing.TB, c Session) {
	t.Helper()
	const message = "from the client, and back"
	if _, err := io.WriteString(c, message); err != nil {
		t.Fatalf("write: %v", err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatalf("close: %v", err)
	}
	got, err := io.ReadAll(c)
	if err != nil || string(got) != message {
		t.Fatalf("got %q, %v; want %q", got, err, message)
	}
}

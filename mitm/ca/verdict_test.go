package ca

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net"
	"slices"
	"testing"
	"time"
)

// trouble is a server with a certificate that has something wrong, or nothing.
type trouble struct {
	name    string
	chain   []*x509.Certificate // as sent
	key     any
	root    *x509.Certificate // of the client that has no proxy, and of ours
	host    string
	verdict Verdict
	openssl string // the error that openssl verify reports first, without us and with us
}

const (
	opensslExpired      = "error 10: certificate has expired"
	opensslNotYet       = "error 9: certificate is not yet valid"
	opensslSelfSigned   = "error 18: self-signed certificate"
	opensslNoIssuer     = "error 20: unable to get local issuer certificate"
	opensslBadSignature = "error 7: certificate signature failure"
	opensslWrongHost    = "error 62: hostname mismatch"
)

func troubles(tb testing.TB) []trouble {
	tb.Helper()
	o, unknown := newOrigin(tb), newOrigin(tb)
	const host = "www.example.com"
	key := newKey(tb)
	by := func(o *origin, change func(*x509.Certificate)) []*x509.Certificate {
		template := plainServer()
		change(template)
		return []*x509.Certificate{o.leaf(tb, template, key.Public()), o.intermediate}
	}
	self := func(change func(*x509.Certificate)) []*x509.Certificate {
		template := plainServer()
		change(template)
		return []*x509.Certificate{issue(tb, template, template, key.Public(), key)}
	}
	none := func(*x509.Certificate) {}
	past := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = c.NotBefore.Add(-2*time.Hour), c.NotAfter.Add(-2*time.Hour)
	}
	future := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = c.NotBefore.Add(2*time.Hour), c.NotAfter.Add(2*time.Hour)
	}
	asCA := func(c *x509.Certificate) { c.IsCA = true; c.KeyUsage |= x509.KeyUsageCertSign }
	bad := func(chain []*x509.Certificate) []*x509.Certificate {
		return append([]*x509.Certificate{withBadSignature(tb, chain[0])}, chain[1:]...)
	}
	byRoot := []*x509.Certificate{issue(tb, plainServer(), o.root, key.Public(), o.rootKey)}
	trustedSelf := self(none)
	return []trouble{
		{"nothing", by(o, none), key, o.root, host, OK, ""},
		{"nothing, and no name is known", by(o, none), key, o.root, "", OK, ""},
		{"it is expired", by(o, past), key, o.root, host, Expired, opensslExpired},
		{"it is not yet valid", by(o, future), key, o.root, host, Expired, opensslNotYet},
		{"it is for another host", by(o, none), key, o.root, "other.example", WrongHost, opensslWrongHost},
		{"it is for no address", by(o, none), key, o.root, "192.0.2.1", WrongHost, ""},
		{"its issuer is unknown", by(unknown, none), key, o.root, host, UnknownIssuer, opensslNoIssuer},
		{"its issuer is unknown and it is expired", by(unknown, past), key, o.root, host, UnknownIssuer, opensslNoIssuer},
		{"the intermediate is not sent", by(o, none)[:1], key, o.root, host, UnknownIssuer, opensslNoIssuer},
		{"its signature is bad", bad(by(o, none)), key, o.root, host, BadSignature, opensslBadSignature},
		{"its signature is bad and it is expired", bad(by(o, past)), key, o.root, host, BadSignature, opensslBadSignature},
		{"its signature is bad, and by a root", bad(byRoot), key, o.root, host, BadSignature, opensslBadSignature},
		{"its signature is bad, and its issuer unknown", bad(by(unknown, none)), key, o.root, host, UnknownIssuer, opensslNoIssuer},
		{"its signature is bad, and by itself", bad(self(none)), key, o.root, host, SelfSigned, opensslSelfSigned},
		{"it is self-signed", self(none), key, o.root, host, SelfSigned, opensslSelfSigned},
		{"it is self-signed and a CA", self(asCA), key, o.root, host, SelfSigned, opensslSelfSigned},
		{"it is self-signed, and trusted", trustedSelf, key, trustedSelf[0], host, OK, ""},
	}
}

func TestClassify(t *testing.T) {
	for _, trouble := range troubles(t) {
		if got := Classify(trouble.chain, poolOf(trouble.root), trouble.host, time.Now()); got != trouble.verdict {
			t.Errorf("%s: Classify = %v, want %v", trouble.name, got, trouble.verdict)
		}
	}
}

func TestClassifyOfFaultsThatNoFieldRepeats(t *testing.T) {
	o, key, now := newOrigin(t), newKey(t), time.Now()
	leaf := o.leaf(t, plainServer(), key.Public())
	old := &x509.Certificate{
		SerialNumber: leaf.SerialNumber, Subject: o.intermediate.Subject, BasicConstraintsValid: true, IsCA: true,
		NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(-time.Minute),
	}
	expired := issue(t, old, o.root, o.intermediateKey.Public(), o.rootKey)
	unfit := plainServer()
	unfit.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	critical := plainServer()
	critical.ExtraExtensions = []pkix.Extension{{Id: oidStrangeCritical, Critical: true, Value: []byte{5, 0}}}
	tests := []struct {
		name  string
		chain []*x509.Certificate
	}{
		{"no chain at all", nil},
		{"a live leaf of an expired intermediate", []*x509.Certificate{leaf, expired}},
		{"a usage that is not a server's", []*x509.Certificate{o.leaf(t, unfit, key.Public()), o.intermediate}},
		{"a critical extension that nobody knows", []*x509.Certificate{o.leaf(t, critical, key.Public()), o.intermediate}},
	}
	for _, test := range tests {
		if got := Classify(test.chain, o.roots(), "www.example.com", now); got != UnknownIssuer {
			t.Errorf("%s: Classify = %v, want %v", test.name, got, UnknownIssuer)
		}
	}
}

// FuzzClassify holds that a certificate in which anything was changed has an authority sign its mirror that nobody
// trusts, or nobody but itself.
func FuzzClassify(f *testing.F) {
	o := newOrigin(f)
	good, roots := o.leaf(f, plainServer(), newKey(f).Public()), o.roots()
	chain := []*x509.Certificate{good, o.intermediate}
	if got := Classify(chain, roots, "www.example.com", time.Now()); got != OK {
		f.Fatalf("Classify = %v, want %v", got, OK)
	}
	for n, cert := range chain {
		for at := range cert.Raw {
			f.Add(uint8(n), cert.Raw, uint16(at), byte(1))
		}
	}
	f.Fuzz(func(t *testing.T, n uint8, der []byte, at uint16, flip byte) {
		if int(at) < len(der) {
			der = bytes.Clone(der)
			der[at] ^= flip
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil || slices.ContainsFunc(chain, cert.Equal) {
			return // nothing was changed
		}
		changed := slices.Clone(chain)
		changed[n%2] = cert
		switch got := Classify(changed, roots, "www.example.com", time.Now()); got {
		case UnknownIssuer, BadSignature, SelfSigned:
		default:
			t.Errorf("Classify = %v with %x in place %d", got, der, n%2)
		}
	})
}

func withBadSignature(tb testing.TB, cert *x509.Certificate) *x509.Certificate {
	tb.Helper()
	der := append([]byte(nil), cert.Raw...)
	der[len(der)-1] ^= 1
	bad, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return bad
}

// TestClientsFailTheSameWithUsAndWithoutUs connects Go's client to the server and to its mirror.
func TestClientsFailTheSameWithUsAndWithoutUs(t *testing.T) {
	a := open(t, rsaDir(t))
	for _, trouble := range troubles(t) {
		if trouble.host == "" {
			continue // crypto/tls wants a name
		}
		t.Run(trouble.name, func(t *testing.T) {
			direct := &tls.Certificate{PrivateKey: trouble.key}
			for _, cert := range trouble.chain {
				direct.Certificate = append(direct.Certificate, cert.Raw)
			}
			want := faultOf(handshake(t, direct, trouble.host, poolOf(trouble.root)))
			verdict := Classify(trouble.chain, poolOf(trouble.root), trouble.host, time.Now())
			mirrored, err := a.Mint(t.Context(), trouble.chain[0], Judgment{Verdict: verdict})
			noError(t, err)
			got := faultOf(handshake(t, mirrored, trouble.host, poolOf(a.Certificate())))
			if got != want {
				t.Errorf("through us the client says %q, without us %q", got, want)
			}
			if (want == "") != (trouble.verdict == OK) {
				t.Errorf("the client says %q of a server whose verdict is %v", want, trouble.verdict)
			}
		})
	}
}

// handshake returns what the client says to a server with the certificate.
func handshake(t *testing.T, cert *tls.Certificate, host string, roots *x509.CertPool) error {
	t.Helper()
	return shake(t, &tls.Config{Certificates: []tls.Certificate{*cert}}, &tls.Config{ServerName: host, RootCAs: roots})
}

// shake returns what a client of that configuration says to such a server.
func shake(t *testing.T, server, client *tls.Config) error {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	noError(t, err)
	defer listener.Close()
	served := make(chan struct{})
	go func() {
		defer close(served)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_ = tls.Server(conn, server).HandshakeContext(t.Context())
	}()
	conn, err := net.Dial("tcp", listener.Addr().String())
	noError(t, err)
	err = tls.Client(conn, client).HandshakeContext(t.Context())
	conn.Close()
	<-served
	return err
}

// faultOf names the class of an error, which is what users and programs see of it.
func faultOf(err error) string {
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "expired"
	case errors.As(err, new(x509.HostnameError)):
		return "wrong host"
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return "unknown authority"
	}
	return err.Error()
}

func TestMintedLeavesServeEveryKey(t *testing.T) {
	a, o := open(t, rsaDir(t)), newOrigin(t)
	for name, test := range serverKeys(t) {
		if name == "P-224" {
			continue // no TLS 1.3 signature scheme (RFC 8446 section 4.2.3)
		}
		cert, err := a.Mint(t.Context(), o.leaf(t, plainServer(), test.pub), Judgment{Verdict: OK})
		noError(t, err)
		if err := handshake(t, cert, "www.example.com", poolOf(a.Certificate())); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVerdictsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for v := Verdict(0); v <= OK+1; v++ {
		if name := v.String(); name == "" || seen[name] {
			t.Errorf("verdict %d is called %q", v, name)
		} else {
			seen[name] = true
		}
	}
}

package mitm

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
	"github.com/bridgeio/bridgeio/mitm/ca"
)

const mintedName = "www.example.com"

// world is a root of servers, and ours of the clients.
type world struct {
	root  *x509.Certificate
	key   *ecdsa.PrivateKey
	ours  *ca.Authority
	trust x509.VerifyOptions // of a client that has installed ours, and asks for mintedName
}

// authorityDir is a folder for an authority, with RSA keys for its leaves: generating them
// takes seconds.
func authorityDir(tb testing.TB) string {
	tb.Helper()
	dir := filepath.Join(tb.TempDir(), "ca")
	if err := os.Mkdir(dir, 0o700); err != nil {
		tb.Fatal(err)
	}
	for _, file := range []string{"leaf-rsa.key", "leaf-rsa-3072.key", "leaf-rsa-4096.key"} {
		key, err := os.ReadFile(filepath.Join("ca", "testdata", file))
		if err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), key, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}

func closing(tb testing.TB, a *ca.Authority, err error) *ca.Authority {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := a.Close(); err != nil {
			tb.Error(err)
		}
	})
	return a
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	authority, err := ca.Open(authorityDir(tb))
	ours := closing(tb, authority, err)
	w := &world{key: newKey(tb), ours: ours, trust: x509.VerifyOptions{Roots: x509.NewCertPool(), DNSName: mintedName}}
	w.trust.Roots.AddCert(ours.Certificate())
	w.root = issued(tb, func(c *x509.Certificate) { c.IsCA, c.KeyUsage, c.DNSNames = true, x509.KeyUsageCertSign, nil }, nil, w.key.Public(), w.key)
	return w
}

func (w *world) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(w.root)
	return pool
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// issued is a certificate by the parent, or by itself.
func issued(tb testing.TB, change func(*x509.Certificate), parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	tb.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "origin " + serial.String()}, DNSNames: []string{mintedName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	change(template)
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, key)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return cert
}

// server is what a server with a leaf of this world shows.
func (w *world) server(tb testing.TB, pub crypto.PublicKey, change func(*x509.Certificate)) *tlsbridge.Snapshot {
	tb.Helper()
	return &tlsbridge.Snapshot{Name: mintedName, Chain: []*x509.Certificate{issued(tb, change, w.root, pub, w.key)}}
}

// stapled adds a response with the status to what the server shows.
func (w *world) stapled(tb testing.TB, server *tlsbridge.Snapshot, status int) *tlsbridge.Snapshot {
	tb.Helper()
	der, err := ocsp.CreateResponse(w.root, w.root, ocsp.Response{
		Status: status, SerialNumber: server.Chain[0].SerialNumber, RevokedAt: time.Now().Add(-time.Minute),
		ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour),
	}, w.key)
	if err != nil {
		tb.Fatal(err)
	}
	server.OCSPStaple = der
	return server
}

func asItIs(*x509.Certificate) {}

// hellos that ask for a staple, and that do not.
func helloWith(extensions ...detect.Extension) *detect.ClientHello {
	return &detect.ClientHello{Extensions: extensions}
}

var (
	plainHello  = helloWith()
	askingHello = helloWith(detect.Extension{ID: statusRequest, Data: []byte{1, 0, 0, 0, 0}})
)

// servers have one fault each, by its word.
func (w *world) servers(tb testing.TB) map[string]*tlsbridge.Snapshot {
	tb.Helper()
	key := newKey(tb)
	damaged := w.server(tb, key.Public(), asItIs)
	der := bytes.Clone(damaged.Chain[0].Raw)
	der[len(der)-1] ^= 1
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	damaged.Chain[0] = cert
	return map[string]*tlsbridge.Snapshot{
		"ok":             w.server(tb, key.Public(), asItIs),
		"expired":        w.server(tb, key.Public(), func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }),
		"wrong host":     w.server(tb, key.Public(), func(c *x509.Certificate) { c.DNSNames = []string{"other.example"} }),
		"unknown issuer": newWorld(tb).server(tb, key.Public(), asItIs),
		"self-signed":    {Name: mintedName, Chain: []*x509.Certificate{issued(tb, asItIs, nil, key.Public(), key)}},
		"bad signature":  damaged,
		"revoked":        w.stapled(tb, w.server(tb, key.Public(), asItIs), ocsp.Revoked),
	}
}

// clientSays is the class of what the client thinks of its leaf.
func (w *world) clientSays(leaf *tls.Certificate) string {
	_, err := leaf.Leaf.Verify(w.trust)
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "expired"
	case errors.As(err, new(x509.HostnameError)):
		return "wrong host"
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return "untrusted"
	}
	return err.Error()
}

func TestWhatClientsAreShownOfFaults(t *testing.T) {
	w := newWorld(t)
	servers := w.servers(t)
	// What is signed by the authority that clients trust, and still has the dates and names of the server.
	signed := map[string]string{
		"ok": "ok", "expired": "expired", "wrong host": "wrong host",
		"unknown issuer": "ok", "self-signed": "ok", "bad signature": "ok", "revoked": "ok",
	}
	mirrored := map[string]string{
		"ok": "ok", "expired": "expired", "wrong host": "wrong host",
		"unknown issuer": "untrusted", "self-signed": "untrusted", "bad signature": "untrusted", "revoked": "untrusted",
	}
	// A leaf by name has neither dates nor names to show a fault with.
	named := map[string]string{
		"ok": "ok", "expired": "untrusted", "wrong host": "untrusted",
		"unknown issuer": "untrusted", "self-signed": "untrusted", "bad signature": "untrusted", "revoked": "untrusted",
	}
	namedSigned := map[string]string{
		"ok": "ok", "expired": "ok", "wrong host": "ok",
		"unknown issuer": "ok", "self-signed": "ok", "bad signature": "ok", "revoked": "ok",
	}
	tests := []struct {
		name   string
		minter Minter
		want   map[string]string
	}{
		{"mirror, clone", Minter{}, mirrored},
		{"mirror, sign", Minter{LeafCert: LeafSign}, signed},
		{"mirror, noclone", Minter{LeafCert: LeafNoClone}, named},
		{"ignore, clone", Minter{Verify: VerifyIgnore}, signed},
		{"ignore, sign", Minter{Verify: VerifyIgnore, LeafCert: LeafSign}, signed},
		{"ignore, noclone", Minter{Verify: VerifyIgnore, LeafCert: LeafNoClone}, namedSigned},
	}
	for i := range tests {
		test := &tests[i]
		test.minter.Authority, test.minter.Roots = w.ours, w.roots()
		for fault, server := range servers {
			leaf, word, err := test.minter.Mint(t.Context(), server, plainHello)
			if err != nil || word != fault {
				t.Errorf("%s: of a server that is %s: %q, %v", test.name, fault, word, err)
				continue
			}
			if got := w.clientSays(leaf); got != test.want[fault] {
				t.Errorf("%s: of a server that is %s the client says %s, want %s", test.name, fault, got, test.want[fault])
			}
		}
	}
}

// A client that can't check the signatures of the one authority is shown a leaf of the other,
// with the same faults.
func TestTheOtherAuthorityIsForThoseWhoNeedIt(t *testing.T) {
	w := newWorld(t)
	dir := authorityDir(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	root := issued(t, func(c *x509.Certificate) { c.IsCA, c.KeyUsage, c.DNSNames = true, x509.KeyUsageCertSign, nil }, nil, key.Public(), key)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
	if err := os.WriteFile(dir+"/rsa.pem", text, 0o600); err != nil {
		t.Fatal(err)
	}
	loaded, err := ca.Load(dir + "/rsa.pem")
	other := closing(t, loaded, err)
	rsaAlone := &detect.ClientHello{SignatureAlgorithms: []uint16{uint16(tls.PKCS1WithSHA256)}}
	ed25519Alone := &detect.ClientHello{SignatureAlgorithms: []uint16{uint16(tls.Ed25519)}}
	trust := x509.NewCertPool()
	trust.AddCert(root)
	old := &world{trust: x509.VerifyOptions{Roots: trust, DNSName: mintedName}}

	m := Minter{Authority: w.ours, Other: other, Roots: w.roots()}
	for fault, want := range map[string]string{"ok": "ok", "expired": "expired", "wrong host": "wrong host"} {
		server := w.servers(t)[fault]
		if leaf, _, err := m.Mint(t.Context(), server, plainHello); err != nil || w.clientSays(leaf) != want {
			t.Errorf("%s: a client of today: %v", fault, err)
		}
		if leaf, word, err := m.Mint(t.Context(), server, rsaAlone); err != nil || word != fault || old.clientSays(leaf) != want || w.clientSays(leaf) == "ok" {
			t.Errorf("%s: an old client: %q, %v", fault, word, err)
		}
	}
	for name, m := range map[string]*Minter{"neither": &m, "none": {Authority: w.ours, Roots: w.roots()}} {
		hello := map[string]*detect.ClientHello{"neither": ed25519Alone, "none": rsaAlone}[name]
		_, _, err := m.Mint(t.Context(), w.servers(t)["ok"], hello)
		if cannot := (*tlsbridge.Unbridgeable)(nil); !errors.As(err, &cannot) {
			t.Errorf("%s is for the client: %v, want Unbridgeable", name, err)
		}
	}
}

func TestARefusalTellsWhy(t *testing.T) {
	w := newWorld(t)
	alerts := map[string]tlsbridge.Alert{
		"expired": 45, "wrong host": 42, "unknown issuer": 48, "self-signed": 48, "bad signature": 42, "revoked": 44,
	}
	for fault, server := range w.servers(t) {
		for _, leafCert := range []LeafCert{LeafClone, LeafSign, LeafNoClone} {
			m := Minter{Authority: w.ours, Roots: w.roots(), Verify: VerifyRefuse, LeafCert: leafCert}
			leaf, word, err := m.Mint(t.Context(), server, plainHello)
			if word != fault {
				t.Errorf("%s: the word is %q", fault, word)
			}
			if fault == "ok" {
				if err != nil || w.clientSays(leaf) != "ok" {
					t.Errorf("ok: %v", err)
				}
				continue
			}
			var refused *tlsbridge.Refused
			if !errors.As(err, &refused) || refused.Alert != alerts[fault] || leaf != nil {
				t.Errorf("%s: %v, %+v, want alert %v", fault, leaf, err, alerts[fault])
			}
		}
	}
}

func TestAStapleIsForTheClientThatAsks(t *testing.T) {
	w := newWorld(t)
	key := newKey(t)
	silent, good, revoked := w.server(t, key.Public(), asItIs), w.stapled(t, w.server(t, key.Public(), asItIs), ocsp.Good), w.stapled(t, w.server(t, key.Public(), asItIs), ocsp.Revoked)
	tests := []struct {
		name   string
		server *tlsbridge.Snapshot
		hello  *detect.ClientHello
		verify Verify
		want   int // -1: no staple
	}{
		{"the client asks and the server staples", good, askingHello, VerifyMirror, ocsp.Good},
		{"the client asks and the server does not staple", silent, askingHello, VerifyMirror, -1},
		{"the client does not ask", good, plainHello, VerifyMirror, -1},
		{"the server is revoked", revoked, askingHello, VerifyMirror, ocsp.Revoked},
		{"the server is revoked, and nobody minds", revoked, askingHello, VerifyIgnore, ocsp.Good},
	}
	for _, leafCert := range []LeafCert{LeafClone, LeafNoClone} {
		for _, test := range tests {
			m := Minter{Authority: w.ours, Roots: w.roots(), Verify: test.verify, LeafCert: leafCert}
			leaf, _, err := m.Mint(t.Context(), test.server, test.hello)
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
				continue
			}
			if test.want < 0 {
				if leaf.OCSPStaple != nil {
					t.Errorf("%s: there is a staple", test.name)
				}
				continue
			}
			response, err := ocsp.ParseResponseForCert(leaf.OCSPStaple, leaf.Leaf, nil)
			if err != nil || response.Status != test.want {
				t.Errorf("%s: %+v, %v, want status %d", test.name, response, err, test.want)
			}
			trusted := response.CheckSignatureFrom(w.ours.Certificate()) == nil
			if want := test.want == ocsp.Good; trusted != want {
				t.Errorf("%s: signed by the authority that clients trust = %v, want %v", test.name, trusted, want)
			}
		}
	}
}

// TestANamedLeafFitsTheServersKey: what was negotiated with the server holds for the client.
func TestANamedLeafFitsTheServersKey(t *testing.T) {
	w := newWorld(t)
	rsaKey := new(rsa.PublicKey)
	rsaKey.N, rsaKey.E = new(big.Int).SetBit(big.NewInt(1), 2047, 1), 65537
	m := Minter{Authority: w.ours, Roots: w.roots(), LeafCert: LeafNoClone}
	for _, pub := range []crypto.PublicKey{newKey(t).Public(), rsaKey, ed25519.PublicKey(make([]byte, ed25519.PublicKeySize))} {
		leaf, word, err := m.Mint(t.Context(), w.server(t, pub, func(c *x509.Certificate) { c.Subject.CommonName = "not this" }), plainHello)
		if err != nil || word != "ok" {
			t.Errorf("%T: %s, %v", pub, word, err)
			continue
		}
		if got := fmt.Sprintf("%T", leaf.Leaf.PublicKey); got != fmt.Sprintf("%T", pub) || leaf.Leaf.Subject.CommonName != mintedName {
			t.Errorf("%T: the leaf of %q has a %s", pub, leaf.Leaf.Subject.CommonName, got)
		}
	}
}

// TestALeafForNobodyIsCloned: the client has named no server, or what is no name.
func TestALeafForNobodyIsCloned(t *testing.T) {
	w := newWorld(t)
	m := Minter{Authority: w.ours, Roots: w.roots(), LeafCert: LeafNoClone}
	server := w.server(t, newKey(t).Public(), asItIs)
	for _, name := range []string{"", "a b"} {
		server.Name = name
		leaf, _, err := m.Mint(t.Context(), server, plainHello)
		if err != nil || !slices.Equal(leaf.Leaf.DNSNames, []string{mintedName}) {
			t.Errorf("for %q: %+v, %v, want the server's names", name, leaf, err)
		}
	}
}

func TestAServerWithoutACertificateIsAnError(t *testing.T) {
	if leaf, _, err := new(Minter).Mint(t.Context(), &tlsbridge.Snapshot{}, plainHello); err == nil {
		t.Errorf("minted %v", leaf)
	}
}

func TestFirstMintsAtOnce(t *testing.T) {
	w := newWorld(t)
	m := Minter{Authority: w.ours, Roots: w.roots()}
	server := w.stapled(t, w.server(t, newKey(t).Public(), asItIs), ocsp.Good)
	leaves := make([]*tls.Certificate, 20)
	var running sync.WaitGroup
	for i := range leaves {
		running.Go(func() { leaves[i], _, _ = m.Mint(t.Context(), server, askingHello) })
	}
	running.Wait()
	for _, leaf := range leaves {
		if leaf == nil || leaf != leaves[0] {
			t.Fatal("concurrent flows are shown different leaves")
		}
	}
}

func BenchmarkMinter(b *testing.B) {
	w := newWorld(b)
	m := Minter{Authority: w.ours, Roots: w.roots()}
	server := w.stapled(b, w.server(b, newKey(b).Public(), asItIs), ocsp.Good)
	for name, hello := range map[string]*detect.ClientHello{"no": plainHello, "yes": askingHello} {
		b.Run("staple="+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := m.Mint(b.Context(), server, hello); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A key that clients refuse is not replaced by one that they accept under a trusted signature.
func TestAWeakKeyIsNotMadeStrong(t *testing.T) {
	w := newWorld(t)
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	leaf := issued(t, func(c *x509.Certificate) { c.DNSNames = []string{mintedName} }, w.root, key.Public(), w.key)
	m := &Minter{Authority: w.ours, Roots: w.roots()}
	shown, word, err := m.Mint(t.Context(), &tlsbridge.Snapshot{Name: mintedName, Chain: []*x509.Certificate{leaf}}, &detect.ClientHello{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := shown.Leaf.Verify(w.trust); err == nil || word != "weak key" {
		t.Errorf("verdict %q, and what the client is shown verifies: %v", word, err == nil)
	}
}

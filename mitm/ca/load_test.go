package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// bundle is a certificate and a key to load, made anew for each case.
type bundle struct {
	certs []*x509.Certificate
	key   crypto.Signer
}

func newBundle(tb testing.TB) bundle {
	tb.Helper()
	key := newKey(tb)
	return bundle{[]*x509.Certificate{testRoot(tb, key, func(*x509.Certificate) {})}, key}
}

func testRoot(tb testing.TB, key crypto.Signer, change func(*x509.Certificate)) *x509.Certificate {
	tb.Helper()
	template := &x509.Certificate{
		SerialNumber:          contentSerial([]byte("test root")),
		Subject:               pkix.Name{Organization: []string{"Company"}, CommonName: "Company Root"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	change(template)
	return issue(tb, template, template, key.Public(), key)
}

func (b bundle) text(tb testing.TB) []byte {
	tb.Helper()
	return append(b.certPEM(), pkcs8(tb, b.key)...)
}

func (b bundle) certPEM() []byte {
	var text []byte
	for _, cert := range b.certs {
		text = append(text, certificatePEM(cert.Raw)...)
	}
	return text
}

func pkcs8(tb testing.TB, key crypto.Signer) []byte {
	tb.Helper()
	text, err := keyPEM(key)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// load writes the text beside the RSA keys of testdata and loads it.
func load(tb testing.TB, text []byte) (*Authority, error) {
	tb.Helper()
	file := filepath.Join(rsaDir(tb), "company.pem")
	writeFile(tb, file, text)
	a, err := Load(file)
	if err == nil {
		closeAtEnd(tb, a)
	}
	return a, err
}

func TestLoadTakesEveryFormOfKeyInEveryOrder(t *testing.T) {
	rsaText, err := os.ReadFile("testdata/leaf-rsa.key")
	noError(t, err)
	rsaKey, err := parseKey(rsaText)
	noError(t, err)
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	noError(t, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	noError(t, err)
	sec1, err := x509.MarshalECPrivateKey(p384)
	noError(t, err)
	rsaBlock, _ := pem.Decode(rsaText)
	pkcs1 := x509.MarshalPKCS1PrivateKey(mustRSA(t, rsaBlock.Bytes))
	tests := []struct {
		name string
		key  crypto.Signer
		text []byte
	}{
		{"a P-384 key in PKCS #8", p384, pkcs8(t, p384)},
		{"a P-384 key in SEC 1 after its parameters", p384, append(block("EC PARAMETERS", []byte{5, 0}), block("EC PRIVATE KEY", sec1)...)},
		{"an RSA key in PKCS #8", rsaKey, rsaText},
		{"an RSA key in PKCS #1", rsaKey, block("RSA PRIVATE KEY", pkcs1)},
		{"an Ed25519 key in PKCS #8", edKey, pkcs8(t, edKey)},
	}
	server := newOrigin(t).leaf(t, plainServer(), newKey(t).Public())
	for _, test := range tests {
		root := testRoot(t, test.key, func(*x509.Certificate) {})
		orders := map[string][]byte{
			"certificate first":    append(certificatePEM(root.Raw), test.text...),
			"key first":            append(bytes.Clone(test.text), certificatePEM(root.Raw)...),
			"text between, no end": bytes.TrimSpace(fmt.Appendf(nil, "Bag\n%ssubject\n%s", test.text, certificatePEM(root.Raw))),
		}
		for order, text := range orders {
			t.Run(test.name+", "+order, func(t *testing.T) {
				a, err := load(t, text)
				if err != nil {
					t.Fatalf("Load: %v", err)
				}
				if !a.Certificate().Equal(root) {
					t.Errorf("Certificate = %q, want %q", a.Certificate().Subject, root.Subject)
				}
				leaf := mustMint(t, a, server, OK)
				if _, err := leaf.Verify(x509.VerifyOptions{Roots: poolOf(root)}); err != nil {
					t.Errorf("Verify: %v", err)
				}
			})
		}
	}
}

func TestLoadRefusesWithOneLine(t *testing.T) {
	day := 24 * time.Hour
	tests := []struct {
		name string
		text func(t *testing.T) []byte
		want string
	}{
		{"an empty file", func(*testing.T) []byte { return nil }, "holds no PEM private key"},
		{"a certificate alone", func(t *testing.T) []byte { return newBundle(t).certPEM() }, "holds no PEM private key"},
		{"a key alone", func(t *testing.T) []byte { return pkcs8(t, newKey(t)) }, "holds no PEM certificate"},
		{"two keys", func(t *testing.T) []byte {
			return append(newBundle(t).text(t), pkcs8(t, newKey(t))...)
		}, "holds more than one private key"},
		{"another's key", func(t *testing.T) []byte {
			return append(newBundle(t).certPEM(), pkcs8(t, newKey(t))...)
		}, "the key is not that of the certificate"},
		{"an encrypted PKCS #8 key", func(t *testing.T) []byte {
			return append(newBundle(t).certPEM(), block("ENCRYPTED PRIVATE KEY", []byte{1})...)
		}, "the key is encrypted"},
		{"an encrypted key of the old kind", func(t *testing.T) []byte {
			old := &pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}, Bytes: []byte{1}}
			return append(newBundle(t).certPEM(), pem.EncodeToMemory(old)...)
		}, "the key is encrypted"},
		{"a key of an unknown kind", func(t *testing.T) []byte {
			return append(newBundle(t).certPEM(), block("DSA PRIVATE KEY", []byte{1})...)
		}, `unknown type "DSA PRIVATE KEY"`},
		{"a broken key", func(t *testing.T) []byte {
			return append(newBundle(t).certPEM(), block("PRIVATE KEY", []byte{1})...)
		}, "parse private key: "},
		{"a broken certificate", func(t *testing.T) []byte {
			return append(block("CERTIFICATE", []byte{1}), pkcs8(t, newKey(t))...)
		}, "parse certificate: "},
		{"a leaf", changed(func(c *x509.Certificate) { c.IsCA = false }), `certificate "CN=Company Root,O=Company" is not a CA`},
		{"a CA that may not sign", changed(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }), "may not sign certificates"},
		{"an expired CA", changed(func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-2*day), time.Now().Add(-day)
		}), "expired on " + time.Now().Add(-day).UTC().Format(time.DateOnly)},
		{"a CA of tomorrow", changed(func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(day), time.Now().Add(2*day)
		}), "is not valid before "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			text := test.text(t)
			wantOneLine(t, test.want, func() (*Authority, error) { return load(t, text) })
			wantOneLine(t, test.want, func() (*Authority, error) { return Parse(text) })
		})
	}
}

func changed(change func(*x509.Certificate)) func(t *testing.T) []byte {
	return func(t *testing.T) []byte {
		key := newKey(t)
		return bundle{[]*x509.Certificate{testRoot(t, key, change)}, key}.text(t)
	}
}

func TestLoadRefusesAFileThatOthersMayRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "company.pem")
	writeFile(t, file, newBundle(t).text(t))
	noError(t, os.Chmod(file, 0o644))
	wantOneLine(t, file+": others may use this key (mode 0644): run chmod 600", func() (*Authority, error) { return Load(file) })
}

func TestLoadOfAMissingFileNamesIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "missing.pem")
	wantOneLine(t, file, func() (*Authority, error) { return Load(file) })
}

func TestLoadWritesNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "company.pem")
	writeFile(t, file, newBundle(t).text(t))
	a, err := Load(file)
	noError(t, err)
	if _, err := a.keys.rsa.get(t.Context(), minRSABits); err != nil {
		t.Errorf("RSA key: %v", err)
	}
	noError(t, a.Close())
	files, err := os.ReadDir(filepath.Dir(file))
	noError(t, err)
	if len(files) != 1 {
		t.Errorf("directory has %v, want the CA file alone", files)
	}
}

func TestAnIntermediateIsSentAndItsRootIsNot(t *testing.T) {
	company, key := newOrigin(t), newKey(t)
	template := testRoot(t, key, func(c *x509.Certificate) { c.Subject.CommonName = "Company Proxy" })
	proxy := issue(t, template, company.intermediate, key.Public(), company.intermediateKey)
	stranger := newOrigin(t).root
	// The order in the file says nothing.
	a, err := load(t, bundle{[]*x509.Certificate{company.root, stranger, proxy, company.intermediate}, key}.text(t))
	noError(t, err)
	if !a.Certificate().Equal(company.root) {
		t.Errorf("Certificate = %q, want the root, which clients trust", a.Certificate().Subject)
	}
	server := newOrigin(t).leaf(t, plainServer(), newKey(t).Public())
	leaf, err := a.Mint(t.Context(), server, Judgment{Verdict: OK})
	noError(t, err)
	want := [][]byte{leaf.Leaf.Raw, proxy.Raw, company.intermediate.Raw}
	if len(leaf.Certificate) != len(want) {
		t.Fatalf("%d certificates are sent, want %d", len(leaf.Certificate), len(want))
	}
	for i := range want {
		if !bytes.Equal(leaf.Certificate[i], want[i]) {
			t.Errorf("certificate %d sent is not the one wanted", i)
		}
	}
	untrusted, err := a.Mint(t.Context(), server, Judgment{})
	noError(t, err)
	if len(untrusted.Certificate) != 1 {
		t.Errorf("%d certificates are sent of an untrusted chain, want the leaf", len(untrusted.Certificate))
	}
}

func TestCrossSignedAuthoritiesMakeNoCircle(t *testing.T) {
	a, b := newKey(t), newKey(t)
	rootA := testRoot(t, a, func(c *x509.Certificate) { c.Subject.CommonName = "A" })
	rootB := testRoot(t, b, func(c *x509.Certificate) { c.Subject.CommonName = "B" })
	aByB := issue(t, rootA, rootB, a.Public(), b)
	bByA := issue(t, rootB, rootA, b.Public(), a)
	if got := len(chainFrom(aByB, []*x509.Certificate{aByB, bByA})); got != 2 {
		t.Errorf("chain has %d certificates, want 2", got)
	}
}

func TestTheUntrustedNameFits(t *testing.T) {
	key := newKey(t)
	long := strings.Repeat("x", maxCommonName-len(" untrusted")-1) + "é and more"
	root := testRoot(t, key, func(c *x509.Certificate) { c.Subject.CommonName = long })
	a, err := load(t, bundle{[]*x509.Certificate{root}, key}.text(t))
	noError(t, err)
	name := a.untrusted.cert.Subject.CommonName
	if len(name) > maxCommonName || !strings.HasSuffix(name, "x untrusted") {
		t.Errorf("common name %q has %d bytes, want at most %d and whole letters", name, len(name), maxCommonName)
	}
}

func TestExpiresSoonLooksAtTheWholeChain(t *testing.T) {
	a := open(t, rsaDir(t))
	end := a.Certificate().NotAfter
	if a.ExpiresSoon(end.Add(-soon - time.Second)) {
		t.Error("more than 30 days before the end is soon")
	}
	if !a.ExpiresSoon(end.Add(-soon + time.Second)) {
		t.Error("less than 30 days before the end is not soon")
	}
	company, key := newOrigin(t), newKey(t) // the company's own end in less than 30 days × 24 h × 1.4
	template := testRoot(t, key, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(10000 * time.Hour) })
	proxy := issue(t, template, company.intermediate, key.Public(), company.intermediateKey)
	b, err := load(t, bundle{[]*x509.Certificate{proxy, company.intermediate}, key}.text(t))
	noError(t, err)
	if !b.ExpiresSoon(company.intermediate.NotAfter.Add(-time.Hour)) {
		t.Error("an intermediate that ends soon goes unnoticed")
	}
}

func TestExports(t *testing.T) {
	a := open(t, rsaDir(t))
	der := a.ExportDER()
	block, rest := pem.Decode(a.ExportPEM())
	if block == nil || block.Type != "CERTIFICATE" || len(rest) != 0 || !bytes.Equal(block.Bytes, der) {
		t.Error("ExportPEM is not ExportDER in one PEM block")
	}
	der[0] ^= 0xff
	if bytes.Equal(der, a.ExportDER()) {
		t.Error("ExportDER is not a copy")
	}
}

// FuzzParseIssuer holds that a file is refused, or is an authority with its own key, whatever is in it.
func FuzzParseIssuer(f *testing.F) {
	b := newBundle(f)
	f.Add(b.text(f))
	f.Add(append(pkcs8(f, b.key), b.certPEM()...))
	f.Add(block("EC PRIVATE KEY", []byte{0x30, 0}))
	now := time.Now()
	f.Fuzz(func(t *testing.T, text []byte) {
		i, err := parseIssuer(text, now)
		if err != nil {
			if i != nil {
				t.Error("an issuer comes with the error")
			}
			return
		}
		if !i.cert.IsCA || !matches(i.key, i.cert.PublicKey) {
			t.Errorf("accepted %q, CA=%v", i.cert.Subject, i.cert.IsCA)
		}
	})
}

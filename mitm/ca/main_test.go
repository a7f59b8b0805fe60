package ca

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// openDirEnv makes the test binary a process that opens an authority and prints what it got.
const openDirEnv = "CA_TEST_OPEN_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(openDirEnv); dir != "" {
		os.Exit(openAndPrint(dir))
	}
	goleak.VerifyTestMain(m)
}

func openAndPrint(dir string) int {
	a, err := Open(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	key, err := a.keys.rsa.get(context.Background(), minRSABits)
	if err == nil {
		fmt.Printf("%s %x %x\n", a.Fingerprint(), a.untrusted.id, key.ski)
		err = a.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// rsaDir is a directory of an authority with nothing but the RSA leaf keys of testdata.
func rsaDir(tb testing.TB) string {
	tb.Helper()
	dir := filepath.Join(tb.TempDir(), "ca")
	if err := os.Mkdir(dir, 0o700); err != nil {
		tb.Fatal(err)
	}
	for _, file := range rsaFiles {
		text, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			tb.Fatal(err)
		}
		writeFile(tb, filepath.Join(dir, file), text)
	}
	return dir
}

func writeFile(tb testing.TB, path string, text []byte) {
	tb.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		tb.Fatal(err)
	}
}

// open opens an authority that the test's end closes.
func open(tb testing.TB, dir string) *Authority {
	tb.Helper()
	a, err := Open(dir)
	if err != nil {
		tb.Fatalf("Open: %v", err)
	}
	closeAtEnd(tb, a)
	return a
}

func closeAtEnd(tb testing.TB, a *Authority) {
	tb.Helper()
	tb.Cleanup(func() {
		if err := a.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
}

// origin is somebody else's authority, that of the servers: a root and an intermediate.
type origin struct {
	root, intermediate       *x509.Certificate
	rootKey, intermediateKey *ecdsa.PrivateKey
}

func newOrigin(tb testing.TB) *origin {
	tb.Helper()
	o := &origin{rootKey: newKey(tb), intermediateKey: newKey(tb)}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{Organization: []string{"Origin"}, CommonName: "Origin Root"},
		NotBefore:             time.Now().Add(-1000 * time.Hour),
		NotAfter:              time.Now().Add(1000 * time.Hour),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	o.root = issue(tb, template, template, o.rootKey.Public(), o.rootKey)
	template.Subject.CommonName = "Origin Intermediate"
	o.intermediate = issue(tb, template, o.root, o.intermediateKey.Public(), o.rootKey)
	return o
}

// leaf issues a server's leaf.
func (o *origin) leaf(tb testing.TB, template *x509.Certificate, pub crypto.PublicKey) *x509.Certificate {
	tb.Helper()
	return issue(tb, template, o.intermediate, pub, o.intermediateKey)
}

func (o *origin) roots() *x509.CertPool {
	return poolOf(o.root)
}

func poolOf(certs ...*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, cert := range certs {
		pool.AddCert(cert)
	}
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

func issue(tb testing.TB, template, parent *x509.Certificate, pub, key any) *x509.Certificate {
	tb.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, key)
	if err != nil {
		tb.Fatalf("issue %q: %v", template.Subject, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatalf("issue %q: %v", template.Subject, err)
	}
	return cert
}

// plainServer is the template of a usual leaf.
func plainServer() *x509.Certificate {
	return &x509.Certificate{
		SerialNumber:          big.NewInt(2),
		Subject:               pkix.Name{CommonName: "www.example.com"},
		NotBefore:             time.Now().Add(-time.Hour).Truncate(time.Second),
		NotAfter:              time.Now().Add(time.Hour).Truncate(time.Second),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              []string{"www.example.com"},
		SubjectKeyId:          bytes.Repeat([]byte{7}, 20),
	}
}

func mustMint(tb testing.TB, a *Authority, server *x509.Certificate, verdict Verdict) *x509.Certificate {
	tb.Helper()
	leaf, err := a.Mint(tb.Context(), server, Judgment{Verdict: verdict})
	if err != nil {
		tb.Fatalf("Mint(%v): %v", verdict, err)
	}
	return leaf.Leaf
}

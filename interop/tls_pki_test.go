package interop

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// An issuer signs certificates that package peers has no wish for: of clients, below
// intermediates, and wrong ones.
type issuer struct {
	cert *x509.Certificate
	key  crypto.Signer
	pem  string
}

// newIssuer makes an authority, signed by another, or by itself when that is nil.
func newIssuer(t *testing.T, name string, by *issuer, change ...func(*x509.Certificate)) *issuer {
	t.Helper()
	template := certificateOf(t, name)
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	for _, f := range change {
		f(template)
	}
	i := &issuer{key: newKey(t)}
	signer := by
	if by == nil {
		signer = &issuer{cert: template, key: i.key}
	}
	der := signer.sign(t, template, i.key.Public())
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	i.cert, i.pem = cert, pemOf("CERTIFICATE", der)
	return i
}

// server issues a certificate for localhost. The chain of the issuer is not sent with it.
func (i *issuer) server(t *testing.T, change ...func(*x509.Certificate)) peers.Leaf {
	t.Helper()
	template := certificateOf(t, "Origin Test Leaf")
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	template.DNSNames, template.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	return i.leaf(t, template, change)
}

// client issues a certificate for a client of that name.
func (i *issuer) client(t *testing.T, name string) peers.Leaf {
	t.Helper()
	template := certificateOf(t, name)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return i.leaf(t, template, nil)
}

func (i *issuer) leaf(t *testing.T, template *x509.Certificate, change []func(*x509.Certificate)) peers.Leaf {
	t.Helper()
	template.KeyUsage = x509.KeyUsageDigitalSignature
	for _, f := range change {
		f(template)
	}
	key := newKey(t)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return peers.Leaf{Cert: pemOf("CERTIFICATE", i.sign(t, template, key.Public())), Key: pemOf("PRIVATE KEY", secret)}
}

func (i *issuer) sign(t *testing.T, template *x509.Certificate, public crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, i.cert, public, i.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// certificateOf is a template that is valid for a day.
func certificateOf(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
	}
}

func newKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// spoiled is the leaf with another signature, of the same form.
func spoiled(t *testing.T, leaf peers.Leaf) peers.Leaf {
	t.Helper()
	block, _ := pem.Decode([]byte(leaf.Cert))
	if block == nil {
		t.Fatalf("no PEM in %q", leaf.Cert)
	}
	block.Bytes[len(block.Bytes)-1] ^= 1
	leaf.Cert = string(pem.EncodeToMemory(block))
	return leaf
}

// withChain is the leaf with certificates that are sent with it.
func withChain(leaf peers.Leaf, chain ...*issuer) peers.Leaf {
	for _, i := range chain {
		leaf.Cert += i.pem
	}
	return leaf
}

// contents is the text of a file.
func contents(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

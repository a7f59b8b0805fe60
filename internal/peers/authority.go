package peers

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// An Authority signs the certificates of the servers that a test starts. Its own
// certificate is what the client of such a server has to trust.
type Authority struct {
	PEM  string // the root certificate
	cert *x509.Certificate
	key  crypto.Signer
}

// A Leaf is a server's certificate and key, for programs in PEM.
type Leaf struct{ Cert, Key string }

// NewAuthority makes a root. It is good for a day; nothing keeps it longer.
func NewAuthority() (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return newAuthority(key)
}

// NewRSAAuthority makes a root whose signatures old clients can check.
func NewRSAAuthority() (*Authority, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	return newAuthority(key)
}

func newAuthority(key crypto.Signer) (*Authority, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "Origin Test Root"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := sign(template, template, key.Public(), key, time.Now().Add(24*time.Hour))
	if err != nil {
		return nil, fmt.Errorf("make root: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make root: %w", err)
	}
	return &Authority{PEM: encode("CERTIFICATE", der), cert: cert, key: key}, nil
}

// Leaf makes an ECDSA P-256 certificate for names and IP addresses.
func (a *Authority) Leaf(names ...string) (Leaf, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Leaf{}, err
	}
	return a.issue(key, names, time.Now().Add(24*time.Hour))
}

// ExpiredLeaf makes an ECDSA certificate that was good until a minute ago.
func (a *Authority) ExpiredLeaf(names ...string) (Leaf, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Leaf{}, err
	}
	return a.issue(key, names, time.Now().Add(-time.Minute))
}

// SelfSignedLeaf makes an ECDSA certificate that no authority signed.
func SelfSignedLeaf(names ...string) (Leaf, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Leaf{}, err
	}
	template := leafTemplate(names)
	return finish(template, template, key, key, time.Now().Add(24*time.Hour))
}

// RSALeaf makes an RSA certificate, which the cipher suites of old clients need.
func (a *Authority) RSALeaf(names ...string) (Leaf, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return Leaf{}, err
	}
	return a.issue(key, names, time.Now().Add(24*time.Hour))
}

func (a *Authority) issue(key crypto.Signer, names []string, until time.Time) (Leaf, error) {
	return finish(leafTemplate(names), a.cert, key, a.key, until)
}

func leafTemplate(names []string) *x509.Certificate {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "Origin Test Leaf"},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return template
}

// finish signs a leaf and puts it in PEM.
func finish(template, parent *x509.Certificate, key, signer crypto.Signer, until time.Time) (Leaf, error) {
	der, err := sign(template, parent, key.Public(), signer, until)
	if err != nil {
		return Leaf{}, fmt.Errorf("issue leaf: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Leaf{}, fmt.Errorf("issue leaf: %w", err)
	}
	return Leaf{Cert: encode("CERTIFICATE", der), Key: encode("PRIVATE KEY", keyDER)}, nil
}

func sign(template, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer, until time.Time) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = until
	return x509.CreateCertificate(rand.Reader, template, parent, pub, key)
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

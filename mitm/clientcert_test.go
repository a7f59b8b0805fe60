package mitm

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/layers/tlsbridge"
	pkcs12 "software.sslmate.com/src/go-pkcs12"
)

func TestAClientCertificateIsForItsNames(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"example.com", "example.com", true},
		{"Example.com", "example.COM", true},
		{"example.com", "www.example.com", false},
		{"*.example.com", "a.b.example.com", true},
		{"*.example.com", "example.com", false},
		{"*.example.com", "badexample.com", false},
		{"*example.com", "badexample.com", false},
		{"*", "anything.test", true},
		{"*", "", true},
		{"192.0.2.1", "192.0.2.1", true},
	} {
		c := Config{ClientCertificates: []ClientCertificate{{Names: []string{"other.test", tt.pattern}}}}
		if got := c.clientCertificate(tt.name) != nil; got != tt.want {
			t.Errorf("%q for %q: %v, want %v", tt.pattern, tt.name, got, tt.want)
		}
	}
}

// pair is a key and a certificate of its own.
func pair(t *testing.T) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}

func TestLoadCertificate(t *testing.T) {
	key, cert := pair(t)
	_, other := pair(t)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	blocks := func(b ...*pem.Block) []byte {
		var out []byte
		for _, block := range b {
			out = append(out, pem.EncodeToMemory(block)...)
		}
		return out
	}
	pfx := func(encoder *pkcs12.Encoder, leaf *x509.Certificate, password string) []byte {
		out, err := encoder.Encode(key, leaf, []*x509.Certificate{other}, password)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	certBlock, keyBlock := &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}, &pem.Block{Type: "PRIVATE KEY", Bytes: der}
	for _, tt := range []struct {
		name, password string
		content        []byte
		chain          int
		wrong          string // part of the error
	}{
		{"PEM", "", blocks(certBlock, keyBlock), 1, ""},
		{"PEM, the key first", "", blocks(keyBlock, certBlock), 1, ""},
		{"PEM without a key", "", blocks(certBlock), 0, "found a certificate rather than a key"},
		{"PEM with another's key", "", blocks(keyBlock, &pem.Block{Type: "CERTIFICATE", Bytes: other.Raw}), 0, "does not match"},
		{"PKCS #12 of today", "geheim", pfx(pkcs12.Modern, cert, "geheim"), 2, ""},
		{"PKCS #12 of old", "geheim", pfx(pkcs12.LegacyDES, cert, "geheim"), 2, ""},
		{"PKCS #12 without a password", "", pfx(pkcs12.Passwordless, cert, ""), 2, ""},
		{"PKCS #12 with another password", "falsch", pfx(pkcs12.Modern, cert, "geheim"), 0, "the password is not the one"},
		{"PKCS #12 with another's key", "geheim", pfx(pkcs12.Modern, other, "geheim"), 0, "the key is not that of the certificate"},
		{"neither", "", []byte("hello"), 0, "neither PEM"},
		{"nothing", "", nil, 0, "neither PEM"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "client.pem")
			if err := os.WriteFile(file, tt.content, 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := LoadCertificate(file, tt.password)
			if tt.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wrong) || !strings.HasPrefix(err.Error(), file+": ") || strings.Contains(err.Error(), "\n") {
					t.Errorf("error %q, want one line on %s with %q", err, file, tt.wrong)
				}
				return
			}
			if err != nil || len(c.Certificate) != tt.chain || !bytes.Equal(c.Certificate[0], cert.Raw) || !key.Equal(c.PrivateKey) {
				t.Errorf("LoadCertificate() = %d certificates, %v; want %d", len(c.Certificate), err, tt.chain)
			}
		})
	}
}

// Whoever says a server's name without its certificate is not told who the operator is.
func TestClientCertificatesAreForServersThatVerify(t *testing.T) {
	w, key := newWorld(t), newKey(t)
	s := &Server{config: Config{ClientCertificates: []ClientCertificate{{Names: []string{mintedName}, Certificate: tls.Certificate{Certificate: [][]byte{{1}}}}}}}
	named := func(c *x509.Certificate) { c.DNSNames = []string{mintedName} }
	good, impostor := issued(t, named, w.root, key.Public(), w.key), issued(t, named, nil, key.Public(), key)
	for _, tt := range []struct {
		name   string
		leaf   *x509.Certificate
		verify Verify
		shown  bool
	}{
		{"verified", good, VerifyRefuse, true},
		{"self-signed", impostor, VerifyRefuse, false},
		{"self-signed, and mirrored", impostor, VerifyMirror, false},
		{"self-signed, and nobody asks", impostor, VerifyIgnore, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := &Minter{Authority: w.ours, Roots: w.roots(), Verify: tt.verify}
			got := s.clientCertificate(&tlsbridge.Snapshot{Name: mintedName, Chain: []*x509.Certificate{tt.leaf}}, m)
			if got == nil || (len(got.Certificate) > 0) != tt.shown {
				t.Errorf("%+v, want it to be shown: %v", got, tt.shown)
			}
		})
	}
}

package pfx

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	pkcs12 "software.sslmate.com/src/go-pkcs12"
)

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func newCert(tb testing.TB, name string, key crypto.Signer) *x509.Certificate {
	tb.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return cert
}

func encode(tb testing.TB, e *pkcs12.Encoder, key crypto.Signer, password string, certs ...*x509.Certificate) []byte {
	tb.Helper()
	content, err := e.Encode(key, certs[0], certs[1:], password)
	if err != nil {
		tb.Fatal(err)
	}
	return content
}

func TestDecode(t *testing.T) {
	key := newKey(t)
	own, issuer, other := newCert(t, "own", key), newCert(t, "issuer", newKey(t)), newCert(t, "other", newKey(t))
	for _, tt := range []struct {
		name, password string
		content        []byte
		want           []*x509.Certificate
		err            error
	}{
		{"PBES2", "pass", encode(t, pkcs12.Modern2023, key, "pass", own, issuer), []*x509.Certificate{own, issuer}, nil},
		{"PBES2 and PBMAC1", "pass", encode(t, pkcs12.Modern2026, key, "pass", own), []*x509.Certificate{own}, nil},
		{"triple DES", "pass", encode(t, pkcs12.LegacyDES, key, "pass", own, issuer), []*x509.Certificate{own, issuer}, nil},
		{"RC2", "pass", encode(t, pkcs12.LegacyRC2, key, "pass", own), []*x509.Certificate{own}, nil},
		{"no encryption", "", encode(t, pkcs12.Passwordless, key, "", own), []*x509.Certificate{own}, nil},
		{"a password of no characters", "", encode(t, pkcs12.Modern2023, key, "", own), []*x509.Certificate{own}, nil},
		{"a password that is not ASCII", "Schlüssel", encode(t, pkcs12.Modern2023, key, "Schlüssel", own), []*x509.Certificate{own}, nil},
		{"the issuer first", "pass", encode(t, pkcs12.Modern2023, key, "pass", issuer, other, own), []*x509.Certificate{own, issuer, other}, nil},
		{"another's certificate", "pass", encode(t, pkcs12.Modern2023, key, "pass", issuer, other), nil, ErrKey},
		{"another password", "word", encode(t, pkcs12.Modern2023, key, "pass", own), nil, ErrPassword},
		{"another password, RC2", "word", encode(t, pkcs12.LegacyRC2, key, "pass", own), nil, ErrPassword},
		{"no password given", "", encode(t, pkcs12.LegacyDES, key, "pass", own), nil, ErrNoPassword},
	} {
		t.Run(tt.name, func(t *testing.T) {
			signer, certs, err := Decode(tt.content, tt.password)
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if err == nil && !key.Equal(signer) {
				t.Error("the key is another")
			}
			if len(certs) != len(tt.want) {
				t.Fatalf("%d certificates, want %d", len(certs), len(tt.want))
			}
			for i := range certs {
				if !certs[i].Equal(tt.want[i]) {
					t.Errorf("certificate %d is of %q, want %q", i, certs[i].Subject, tt.want[i].Subject)
				}
			}
		})
	}
}

func TestEveryTruncationIsRefused(t *testing.T) {
	key := newKey(t)
	content := encode(t, pkcs12.Passwordless, key, "", newCert(t, "own", key))
	for n := range content {
		if _, certs, err := Decode(content[:n], ""); err == nil || certs != nil {
			t.Fatalf("%d of %d bytes: %d certificates, %v; want an error", n, len(content), len(certs), err)
		}
	}
}

// What OpenSSL and Java make is read: OpenSSL in the form of today and that of before 3.0, keytool with a key of its
// own making.
func TestFilesOfOtherPrograms(t *testing.T) {
	dir := t.TempDir()
	run := func(name string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
	}
	run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=openssl", "-days", "1")
	for form, options := range map[string][]string{
		"modern.p12":   nil,
		"legacy.p12":   {"-legacy"},
		"descert.p12":  {"-legacy", "-descert"},
		"aes128.p12":   {"-keypbe", "AES-128-CBC", "-certpbe", "AES-128-CBC", "-macalg", "sha1"},
		"plain.p12":    {"-keypbe", "NONE", "-certpbe", "NONE"},
		"friendly.p12": {"-name", "a name", "-CSP", "Microsoft Enhanced Cryptographic Provider v1.0"},
	} {
		run("openssl", append([]string{"pkcs12", "-export", "-in", "cert.pem", "-inkey", "key.pem", "-out", form, "-passout", "pass:geheim"}, options...)...)
	}
	for form, options := range map[string][]string{
		"java.p12":       nil,
		"javalegacy.p12": {"-J-Dkeystore.pkcs12.legacy"},
	} {
		run("keytool", append([]string{
			"-genkeypair", "-alias", "mitm", "-keyalg", "EC", "-groupname", "secp256r1", "-dname", "CN=java", "-storetype", "PKCS12",
			"-keystore", form, "-storepass", "geheim",
		}, options...)...)
	}
	for _, form := range []string{"modern.p12", "legacy.p12", "descert.p12", "aes128.p12", "plain.p12", "friendly.p12", "java.p12", "javalegacy.p12"} {
		t.Run(form, func(t *testing.T) {
			content, err := os.ReadFile(filepath.Join(dir, form))
			if err != nil {
				t.Fatal(err)
			}
			if _, certs, err := Decode(content, "geheim"); err != nil || len(certs) != 1 {
				t.Errorf("%d certificates, %v; want 1", len(certs), err)
			}
			if _, _, err := Decode(content, "falsch"); !errors.Is(err, ErrPassword) {
				t.Errorf("with another password: %v, want %v", err, ErrPassword)
			}
		})
	}
}

func TestIsPEM(t *testing.T) {
	for content, want := range map[string]bool{
		"-----BEGIN CERTIFICATE-----\n":          true,
		"Bag Attributes\n-----BEGIN PRIVATE KEY": true,
		"\x30\x82\x0a\x01":                       false,
		"":                                       false,
	} {
		if got := IsPEM([]byte(content)); got != want {
			t.Errorf("IsPEM(%q) = %v, want %v", content, got, want)
		}
	}
}

// FuzzDecode holds that a file is refused, or is a key with its certificate first, whatever is in it.
func FuzzDecode(f *testing.F) {
	key := newKey(f)
	own := newCert(f, "own", key)
	f.Add(encode(f, pkcs12.Passwordless, key, "", own))
	f.Add(encode(f, pkcs12.Passwordless, key, "", newCert(f, "issuer", newKey(f)), own))
	f.Fuzz(func(t *testing.T, content []byte) {
		signer, certs, err := Decode(content, "")
		if err == nil && (len(certs) == 0 || !matches(signer, certs[0])) {
			t.Errorf("%d certificates, the first not the key's", len(certs))
		}
	})
}

package ca

import (
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	pkcs12 "software.sslmate.com/src/go-pkcs12"

	"github.com/bridgeio/bridgeio/internal/pfx"
)

func (b bundle) pkcs12(tb testing.TB, e *pkcs12.Encoder, password string) []byte {
	tb.Helper()
	content, err := e.Encode(b.key, b.certs[0], b.certs[1:], password)
	noError(tb, err)
	return content
}

// loadMode writes the content beside the RSA keys of testdata, with the mode, and loads it.
func loadMode(tb testing.TB, content []byte, password string, mode os.FileMode) (*Authority, error) {
	tb.Helper()
	file := filepath.Join(rsaDir(tb), "company.pem") // the name says nothing
	writeFile(tb, file, content)
	noError(tb, os.Chmod(file, mode))
	a, err := LoadWithPassword(file, password)
	if err == nil {
		closeAtEnd(tb, a)
	}
	return a, err
}

func TestAnAuthorityMayBePKCS12(t *testing.T) {
	b := newBundle(t)
	for _, tt := range []struct {
		name, password string
		content        []byte
		mode           os.FileMode
	}{
		{"of today", "geheim", b.pkcs12(t, pkcs12.Modern2023, "geheim"), 0o600},
		{"of old", "geheim", b.pkcs12(t, pkcs12.LegacyRC2, "geheim"), 0o600},
		{"encrypted, and others may read it", "geheim", b.pkcs12(t, pkcs12.LegacyDES, "geheim"), 0o644},
		{"without a password", "", b.pkcs12(t, pkcs12.Passwordless, ""), 0o600},
		{"PEM, which needs no password", "geheim", b.text(t), 0o600},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, err := loadMode(t, tt.content, tt.password, tt.mode)
			noError(t, err)
			if !a.Certificate().Equal(b.certs[0]) {
				t.Errorf("Certificate = %q, want %q", a.Certificate().Subject, b.certs[0].Subject)
			}
			leaf := mustMint(t, a, newOrigin(t).leaf(t, plainServer(), newKey(t).Public()), OK)
			if _, err := leaf.Verify(x509.VerifyOptions{Roots: poolOf(b.certs[0])}); err != nil {
				t.Errorf("Verify: %v", err)
			}
		})
	}
}

func TestPKCS12AuthoritiesAreRefusedWithOneLine(t *testing.T) {
	b := newBundle(t)
	leaf := changed(func(c *x509.Certificate) { c.IsCA = false })
	for _, tt := range []struct {
		name, password string
		content        []byte
		mode           os.FileMode
		want           string
	}{
		{"another password", "falsch", b.pkcs12(t, pkcs12.Modern2023, "geheim"), 0o600, "the password is not the one of this PKCS #12 file"},
		{"no password", "", b.pkcs12(t, pkcs12.Modern2023, "geheim"), 0o600, "this PKCS #12 file needs a password"},
		{"unencrypted, and others may read it", "", b.pkcs12(t, pkcs12.Passwordless, ""), 0o644, "others may use this key (mode 0644)"},
		{"PEM with a password, and others may read it", "geheim", b.text(t), 0o644, "others may use this key (mode 0644)"},
		{"another's key", "geheim", bundle{b.certs, newKey(t)}.pkcs12(t, pkcs12.Modern2023, "geheim"), 0o600, "the key is not that of the certificate"},
		{"half a file", "geheim", b.pkcs12(t, pkcs12.Modern2023, "geheim")[:300], 0o600, "read PKCS #12: "},
		{"a leaf", "geheim", asPKCS12(t, leaf(t), "geheim"), 0o600, "is not a CA"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantOneLine(t, tt.want, func() (*Authority, error) { return loadMode(t, tt.content, tt.password, tt.mode) })
		})
	}
}

// asPKCS12 turns the text of a bundle into PKCS #12.
func asPKCS12(t *testing.T, text []byte, password string) []byte {
	t.Helper()
	key, err := parseKey(text)
	noError(t, err)
	certs, err := parseCertificates(text)
	noError(t, err)
	return bundle{certs, key}.pkcs12(t, pkcs12.Modern2023, password)
}

func TestExportWithKeyIsLoadedAgain(t *testing.T) {
	company, key := newOrigin(t), newKey(t)
	proxy := issue(t, testRoot(t, key, func(*x509.Certificate) {}), company.intermediate, key.Public(), company.intermediateKey)
	a, err := load(t, bundle{[]*x509.Certificate{proxy, company.intermediate, company.root}, key}.text(t))
	noError(t, err)
	content, err := a.ExportWithKey("geheim")
	noError(t, err)
	again, err := loadMode(t, content, "geheim", 0o600)
	noError(t, err)
	server := newOrigin(t).leaf(t, plainServer(), newKey(t).Public())
	if !again.Certificate().Equal(company.root) || !mustMint(t, a, server, OK).Equal(mustMint(t, again, server, OK)) {
		t.Error("the authority that was read back is another")
	}
	if _, err := a.ExportWithKey(""); err == nil {
		t.Error("the key is exported without a password")
	}
}

func TestExportPKCS12HoldsTheCertificateAlone(t *testing.T) {
	a := open(t, rsaDir(t))
	content, err := a.ExportPKCS12("changeit")
	noError(t, err)
	certs, err := pkcs12.DecodeTrustStore(content, "changeit")
	noError(t, err)
	if len(certs) != 1 || !certs[0].Equal(a.Certificate()) {
		t.Errorf("%d certificates, want the authority's", len(certs))
	}
	if _, _, err := pfx.Decode(content, "changeit"); err == nil {
		t.Error("there is a key in it")
	}
}

// OpenSSL and keytool are strict readers of what we write, and writers of what we read.
func TestOtherProgramsExchangePKCS12WithUs(t *testing.T) {
	a := open(t, rsaDir(t))
	dir := t.TempDir()
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	withKey, err := a.ExportWithKey("geheim")
	noError(t, err)
	trust, err := a.ExportPKCS12("geheim")
	noError(t, err)
	writeFile(t, filepath.Join(dir, "key.p12"), withKey)
	writeFile(t, filepath.Join(dir, "trust.p12"), trust)

	text := run("openssl", "pkcs12", "-in", "key.p12", "-passin", "pass:geheim", "-nodes", "-out", "all.pem") + string(readAll(t, dir, "all.pem"))
	if !strings.Contains(text, "PRIVATE KEY") || !strings.Contains(text, strings.TrimSpace(string(a.ExportPEM()))) {
		t.Errorf("openssl reads\n%s", text)
	}
	for file, entry := range map[string]string{"key.p12": "PrivateKeyEntry", "trust.p12": "trustedCertEntry"} {
		list := run("keytool", "-list", "-keystore", file, "-storetype", "PKCS12", "-storepass", "geheim")
		if !strings.Contains(list, entry) || !strings.Contains(list, a.Fingerprint()) {
			t.Errorf("keytool lists of %s, want a %s of %s:\n%s", file, entry, a.Fingerprint(), list)
		}
	}
	run("openssl", "pkcs12", "-export", "-in", "all.pem", "-out", "legacy.p12", "-legacy", "-passout", "pass:geheim")
	run("keytool", "-importkeystore", "-srckeystore", "key.p12", "-srcstorepass", "geheim", "-destkeystore", "java.p12", "-deststoretype", "PKCS12", "-deststorepass", "geheim2")
	for file, password := range map[string]string{"legacy.p12": "geheim", "java.p12": "geheim2"} {
		back, err := loadMode(t, readAll(t, dir, file), password, 0o600)
		noError(t, err)
		if !back.Certificate().Equal(a.Certificate()) || !sameKey(back.trusted.key, a.trusted.key) {
			t.Errorf("%s holds another authority", file)
		}
	}
}

func readAll(t *testing.T, dir, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, name))
	noError(t, err)
	return content
}

// FuzzParseFile holds for PKCS #12 what FuzzParseIssuer holds for PEM.
func FuzzParseFile(f *testing.F) {
	b := newBundle(f)
	f.Add(b.pkcs12(f, pkcs12.Passwordless, ""))
	f.Add(b.text(f))
	now := b.certs[0].NotBefore
	f.Fuzz(func(t *testing.T, content []byte) {
		i, err := parseFile(content, "", now)
		if err == nil && (!i.cert.IsCA || !matches(i.key, i.cert.PublicKey)) {
			t.Errorf("accepted %q, CA=%v", i.cert.Subject, i.cert.IsCA)
		}
	})
}

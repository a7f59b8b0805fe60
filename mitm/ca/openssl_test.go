package ca

import (
	"crypto/x509"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// depth is where in a chain OpenSSL has found the fault, which is a matter of what is sent: programs do not show it.
var depth = regexp.MustCompile(` at [0-9]+ depth lookup`)

// opensslVerify runs openssl verify in its strict mode and returns the first error, "" if the leaf verifies. Its
// texts are those that curl and others print.
func opensslVerify(t *testing.T, leaf *x509.Certificate, sent [][]byte, roots []*x509.Certificate, host string) string {
	t.Helper()
	dir := t.TempDir()
	file := func(name string, ders ...[]byte) string {
		var text []byte
		for _, der := range ders {
			text = append(text, certificatePEM(der)...)
		}
		path := filepath.Join(dir, name)
		writeFile(t, path, text)
		return path
	}
	args := []string{"verify", "-x509_strict", "-purpose", "sslserver", "-no-CAfile", "-no-CApath", "-no-CAstore"}
	for _, root := range roots {
		args = append(args, "-trusted", file("root.pem", root.Raw))
	}
	if len(sent) > 0 {
		args = append(args, "-untrusted", file("sent.pem", sent...))
	}
	if host != "" {
		args = append(args, "-verify_hostname", host)
	}
	out, err := exec.CommandContext(t.Context(), "openssl", append(args, file("leaf.pem", leaf.Raw))...).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "error ") {
			return strings.TrimSpace(depth.ReplaceAllString(line, ""))
		}
	}
	if err != nil {
		t.Fatalf("openssl: %v\n%s", err, out)
	}
	return ""
}

func TestOpenSSLVerifiesTheMirrorOfEveryKey(t *testing.T) {
	a, o := open(t, rsaDir(t)), newOrigin(t)
	for name, test := range serverKeys(t) {
		leaf := mustMint(t, a, o.leaf(t, plainServer(), test.pub), OK)
		if got := opensslVerify(t, leaf, nil, []*x509.Certificate{a.Certificate()}, "www.example.com"); got != "" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestOpenSSLVerifiesOwnLeavesAndTheChainOfAnIntermediate(t *testing.T) {
	a := open(t, rsaDir(t))
	own, err := a.MintName(t.Context(), "proxy.example")
	noError(t, err)
	if got := opensslVerify(t, own.Leaf, nil, []*x509.Certificate{a.Certificate()}, "proxy.example"); got != "" {
		t.Errorf("own leaf: %s", got)
	}
	company, key := newOrigin(t), newKey(t)
	proxy := issue(t, testRoot(t, key, func(c *x509.Certificate) { c.Subject.CommonName = "Company Proxy" }), company.intermediate, key.Public(), company.intermediateKey)
	b, err := load(t, bundle{[]*x509.Certificate{proxy, company.intermediate, company.root}, key}.text(t))
	noError(t, err)
	leaf, err := b.Mint(t.Context(), newOrigin(t).leaf(t, plainServer(), newKey(t).Public()), Judgment{Verdict: OK})
	noError(t, err)
	if got := opensslVerify(t, leaf.Leaf, leaf.Certificate[1:], []*x509.Certificate{b.Certificate()}, "www.example.com"); got != "" {
		t.Errorf("leaf of an intermediate: %s", got)
	}
}

func raw(certs []*x509.Certificate) [][]byte {
	var ders [][]byte
	for _, cert := range certs {
		ders = append(ders, cert.Raw)
	}
	return ders
}

// TestOpenSSLFailsTheSameWithUsAndWithoutUs compares the very messages.
func TestOpenSSLFailsTheSameWithUsAndWithoutUs(t *testing.T) {
	a := open(t, rsaDir(t))
	for _, trouble := range troubles(t) {
		if trouble.openssl == "" && trouble.verdict != OK {
			continue // not a fault that a flag of openssl verify shows
		}
		t.Run(trouble.name, func(t *testing.T) {
			verdict := Classify(trouble.chain, poolOf(trouble.root), trouble.host, time.Now())
			mirrored, err := a.Mint(t.Context(), trouble.chain[0], Judgment{Verdict: verdict})
			noError(t, err)
			if got := opensslVerify(t, trouble.chain[0], raw(trouble.chain[1:]), []*x509.Certificate{trouble.root}, trouble.host); got != trouble.openssl {
				t.Errorf("without us %q, want %q", got, trouble.openssl)
			}
			got := opensslVerify(t, mirrored.Leaf, mirrored.Certificate[1:], []*x509.Certificate{a.Certificate()}, trouble.host)
			if got != trouble.openssl {
				t.Errorf("through us %q, want %q", got, trouble.openssl)
			}
		})
	}
}

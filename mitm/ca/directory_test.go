package ca

import (
	"crypto"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestOpenMakesAnAuthorityOnFirstUse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "config", "bridgeio")
	a := open(t, dir)
	cert := a.Certificate()
	if !cert.IsCA || !cert.MaxPathLenZero || cert.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign || len(cert.SubjectKeyId) != 20 {
		t.Errorf("CA=%v MaxPathLenZero=%v KeyUsage=%b SubjectKeyId=%x", cert.IsCA, cert.MaxPathLenZero, cert.KeyUsage, cert.SubjectKeyId)
	}
	if tenYears := cert.NotBefore.Add(backdate).AddDate(10, 0, 0); !cert.NotAfter.Equal(tenYears) {
		t.Errorf("NotAfter = %v, want %v", cert.NotAfter, tenYears)
	}
	modes := map[string]fs.FileMode{
		".": 0o700, "ca.pem": 0o644, "ca.key": 0o600, "untrusted-ca.pem": 0o644, "untrusted-ca.key": 0o600, "leaf-rsa.key": 0o600,
	}
	if _, err := a.keys.rsa.get(t.Context(), minRSABits); err != nil {
		t.Fatal(err)
	}
	for name, want := range modes {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Errorf("Stat: %v", err)
		} else if info.Mode().Perm() != want {
			t.Errorf("mode of %s = %o, want %o", name, info.Mode().Perm(), want)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*ca*")); len(left) != 0 {
		t.Errorf("temporary files stay: %q", left)
	}
}

func TestOpenFindsWhatItMade(t *testing.T) {
	dir := rsaDir(t)
	first, second := open(t, dir), open(t, dir)
	if first.Fingerprint() != second.Fingerprint() {
		t.Error("the second Open has another authority")
	}
	if first.untrusted.id != second.untrusted.id {
		t.Error("the second Open has another untrusted authority")
	}
}

func TestOpenDerivesALostUntrustedAuthorityAgain(t *testing.T) {
	dir := rsaDir(t)
	first := open(t, dir)
	for _, name := range []string{"untrusted-ca.pem", "untrusted-ca.key"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if second := open(t, dir); first.untrusted.id != second.untrusted.id {
		t.Error("the untrusted authority is not a function of the trusted one")
	}
}

func TestOpenMakesANewCertificateForAKeyThatIsAlone(t *testing.T) {
	dir := rsaDir(t)
	first := open(t, dir)
	if err := os.Remove(filepath.Join(dir, "ca.pem")); err != nil {
		t.Fatal(err)
	}
	if second := open(t, dir); !sameKey(first.trusted.key, second.trusted.key) {
		t.Error("the key was replaced")
	}
}

func TestTheTwoAuthoritiesLookAlikeAndDiffer(t *testing.T) {
	a := open(t, rsaDir(t))
	trusted, untrusted := a.trusted.cert, a.untrusted.cert
	if sameKey(a.trusted.key, a.untrusted.key) {
		t.Error("they have the same key")
	}
	if !slices.Equal(trusted.Subject.Organization, untrusted.Subject.Organization) {
		t.Errorf("organizations %q and %q differ", trusted.Subject.Organization, untrusted.Subject.Organization)
	}
	if trusted.Subject.String() == untrusted.Subject.String() {
		t.Error("they have the same name: clients would try the wrong key")
	}
	if _, err := untrusted.Verify(x509.VerifyOptions{Roots: poolOf(trusted)}); err == nil {
		t.Error("the trusted authority vouches for the untrusted one")
	}
}

// TestProcessesThatStartAtOnceMakeOneAuthority runs this very test binary several times. The RSA key of 2048 bits
// is missing as well; those of the other sizes are there, for speed.
func TestProcessesThatStartAtOnceMakeOneAuthority(t *testing.T) {
	dir := rsaDir(t)
	if err := os.Remove(filepath.Join(dir, "leaf-rsa.key")); err != nil {
		t.Fatal(err)
	}
	got := atOnce(4, func() string {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), openDirEnv+"="+dir)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("process: %v\n%s", err, out)
		}
		return string(out)
	})
	if len(slices.Compact(got)) != 1 {
		t.Errorf("the processes have different authorities:\n%s", strings.Join(got, ""))
	}
}

func TestOpensAtOnceMakeOneAuthority(t *testing.T) {
	for range 8 {
		dir := rsaDir(t)
		got := atOnce(8, func() string {
			a, err := Open(dir)
			if err != nil {
				t.Errorf("Open: %v", err)
				return ""
			}
			defer a.Close()
			return a.Fingerprint() + string(a.untrusted.id[:])
		})
		if len(slices.Compact(got)) != 1 {
			t.Fatalf("the authorities differ: %q", got)
		}
	}
}

func atOnce(n int, f func() string) []string {
	got := make([]string, n)
	start := make(chan struct{})
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() {
			<-start
			got[i] = f()
		})
	}
	close(start)
	running.Wait()
	return got
}

func TestOpenRefusesWithOneLine(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(t *testing.T, dir string)
		want  string
	}{
		{"a CA key that the group may read", chmod("ca.key", 0o640), "ca.key: others may use this key (mode 0640): run chmod 600"},
		{"a CA key that the world may read", chmod("ca.key", 0o604), "ca.key: others may use this key (mode 0604): run chmod 600"},
		{"an untrusted key that others may read", chmod("untrusted-ca.key", 0o644), "untrusted-ca.key: others may use this key"},
		{"an RSA leaf key that others may read", chmod("leaf-rsa.key", 0o644), "leaf-rsa.key: others may use this key"},
		{"a directory that others may write to", chmod(".", 0o777), "others may write to it (mode 0777)"},
		{"a certificate without its key", remove("ca.key"), "has lost its key ca.key: restore it, or remove "},
		{"a key of another certificate", swap("ca.pem", "untrusted-ca.pem"), "the key is not that of the certificate"},
		{"an untrusted authority with the trusted key", trustTheUntrusted, "holds the key of the trusted CA"},
		{"an empty key", truncateFile("ca.key"), "holds no PEM private key"},
		{"an empty certificate", truncateFile("ca.pem"), "holds no PEM certificate"},
		{"an empty RSA key", truncateFile("leaf-rsa.key"), "leaf-rsa.key: holds no PEM private key"},
		{"an RSA key of another size", swap("leaf-rsa.key", "leaf-rsa-3072.key"), "not an RSA key of "},
		{"an expired authority", expire, "expired on 2001-01-01"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := rsaDir(t)
			open(t, dir)
			test.spoil(t, dir)
			wantOneLine(t, test.want, func() (*Authority, error) { return Open(dir) })
		})
	}
}

// wantOneLine calls a constructor that has to fail with one line that contains want.
func wantOneLine(t *testing.T, want string, f func() (*Authority, error)) {
	t.Helper()
	a, err := f()
	if err == nil {
		a.Close()
		t.Fatalf("no error, want %q", want)
	}
	if text := err.Error(); !strings.Contains(text, want) || strings.ContainsAny(text, "\r\n") {
		t.Errorf("error %q, want one line with %q", text, want)
	}
}

type spoiler = func(t *testing.T, dir string)

func chmod(name string, mode fs.FileMode) spoiler {
	return func(t *testing.T, dir string) { noError(t, os.Chmod(filepath.Join(dir, name), mode)) }
}

func remove(name string) spoiler {
	return func(t *testing.T, dir string) { noError(t, os.Remove(filepath.Join(dir, name))) }
}

func truncateFile(name string) spoiler {
	return func(t *testing.T, dir string) { noError(t, os.Truncate(filepath.Join(dir, name), 0)) }
}

func swap(one, other string) spoiler {
	return func(t *testing.T, dir string) {
		one, other, aside := filepath.Join(dir, one), filepath.Join(dir, other), filepath.Join(dir, "aside")
		noError(t, errors.Join(os.Rename(one, aside), os.Rename(other, one), os.Rename(aside, other)))
	}
}

func trustTheUntrusted(t *testing.T, dir string) {
	for _, suffix := range []string{".pem", ".key"} {
		text, err := os.ReadFile(filepath.Join(dir, "ca"+suffix))
		noError(t, err)
		writeFile(t, filepath.Join(dir, "untrusted-ca"+suffix), text)
	}
}

func expire(t *testing.T, dir string) {
	d := directory(dir)
	secret, err := d.readSecret("ca.key")
	noError(t, err)
	remove("ca.pem")(t, dir)
	_, err = d.publishCert("ca.pem", secret, func(key crypto.Signer) ([]byte, error) {
		return newRoot(key, time.Date(1991, 1, 1, 0, 0, 0, 0, time.UTC))
	})
	noError(t, err)
}

func noError(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func TestOpenWithoutAPlaceIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	writeFile(t, file, nil)
	wantOneLine(t, "not a directory", func() (*Authority, error) { return Open(filepath.Join(file, "ca")) })
}

func TestPublishLeavesAnExistingFileAlone(t *testing.T) {
	d := directory(t.TempDir())
	noError(t, d.publish("name", 0o600, []byte("first")))
	noError(t, d.publish("name", 0o600, []byte("second")))
	got, err := d.read("name")
	noError(t, err)
	if string(got) != "first" {
		t.Errorf("content = %q, want the first", got)
	}
}

func TestReadFileIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "large")
	writeFile(t, path, make([]byte, maxFile+1))
	if _, err := readFile(path, true); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("error = %v, want one about the size", err)
	}
}

func TestDefaultDirIsInTheUsersConfiguration(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", "/somewhere")
	got, err := DefaultDir()
	if want := filepath.Join("/somewhere", "bridgeio"); err != nil || got != want {
		t.Errorf("DefaultDir() = %q, %v, want %q", got, err, want)
	}
}

func TestDefaultDirWithoutAHomeNamesTheOption(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("HOME", "")
	if dir, err := DefaultDir(); err == nil || !strings.Contains(err.Error(), "--cacert") {
		t.Errorf("DefaultDir() = %q, %v, want an error with --cacert", dir, err)
	}
}

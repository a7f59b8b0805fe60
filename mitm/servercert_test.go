package mitm

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	pkcs12 "software.sslmate.com/src/go-pkcs12"
)

// pairPEM is a new key and its certificate as PEM.
func pairPEM(t *testing.T) (*x509.Certificate, []byte) {
	t.Helper()
	key, cert := pair(t)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return cert, append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
}

// put gives the file new content as careful programs do, by rename.
func put(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(file+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

func TestAServerCertificateIsForItsNames(t *testing.T) {
	cert, text := pairPEM(t)
	file := filepath.Join(t.TempDir(), "server.pem")
	put(t, file, text)
	first, err := ParseServerCertificate("example.com,*.Example.org:" + file)
	if err != nil {
		t.Fatal(err)
	}
	_, text = pairPEM(t)
	put(t, file+"2", text)
	second, err := ParseServerCertificate("*:" + file + "2")
	if err != nil {
		t.Fatal(err)
	}
	config := Config{ServerCertificates: []*ServerCertificate{first, second}}
	for name, want := range map[string]bool{
		"example.com": true, "EXAMPLE.COM.": true, "www.example.com": false, "a.b.example.org": true, "example.org": false, "": false,
	} {
		got := config.serverCertificate(name)
		if got == nil || bytes.Equal(got.Certificate[0], cert.Raw) != want {
			t.Errorf("for %q: the first certificate is shown: %v, want %v", name, !want, want)
		}
		if alone := first.Lookup(name); (alone != nil) != want {
			t.Errorf("Lookup(%q) = %v, want one: %v", name, alone, want)
		}
	}
}

func TestParseServerCertificateSaysWhatIsWrong(t *testing.T) {
	key, cert := pair(t)
	content, err := pkcs12.LegacyRC2.Encode(key, cert, nil, "geheim")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "example.p12")
	put(t, file, content)
	t.Setenv("MITM_TEST_PASSWORD", "geheim")
	for v, want := range map[string]string{
		"example.com:" + file + ":geheim":                 "",
		"example.com:" + file + ":env:MITM_TEST_PASSWORD": "",
		"example.com:" + file + ":falsch":                 file + ": the password is not the one of this PKCS #12 file",
		"example.com:" + file:                             file + ": this PKCS #12 file needs a password",
		"example.com:" + file + ":env:MITM_TEST_UNSET":    "MITM_TEST_UNSET is not set",
		"example.com:missing.p12:falsch":                  "open missing.p12: no such file",
		"example.com":                                     "want NAMES:FILE",
		file:                                              "want NAMES:FILE",
		":" + file:                                        `"" is not a name`,
		"a,,b:" + file:                                    `"" is not a name`,
		"*example.com:" + file:                            `"*example.com" is not a name`,
		"/etc/x.p12:" + file:                              `"/etc/x.p12" is not a name`,
	} {
		c, err := ParseServerCertificate(v)
		switch {
		case want == "" && (err != nil || c.Lookup("example.com") == nil):
			t.Errorf("ParseServerCertificate(%q): %v", v, err)
		case want != "" && (err == nil || c != nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "falsch")):
			t.Errorf("ParseServerCertificate(%q): %v, want %q and no password", v, err, want)
		}
	}
}

// A file that is replaced is read again within a second, and a bad one changes nothing but
// the log, in which it is one line until it changes.
func TestAServerCertificateIsReadAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "server.pem")
	old, oldText := pairPEM(t)
	renewed, newText := pairPEM(t)
	put(t, file, oldText)
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		c, err := LoadServerCertificate([]string{"example.com"}, file, "")
		if err != nil {
			t.Fatal(err)
		}
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
		shows := func(when string, want *x509.Certificate, lines int) {
			t.Helper()
			got := c.Lookup("example.com")
			if !bytes.Equal(got.Certificate[0], want.Raw) {
				t.Errorf("%s: another certificate is shown", when)
			}
			if n := strings.Count(log.String(), "\n"); n != lines {
				t.Errorf("%s: %d lines are logged, want %d:\n%s", when, n, lines, &log)
			}
		}
		next := func() { time.Sleep(lookInterval) }

		next()
		shows("unchanged", old, 0)
		put(t, file, newText)
		shows("within the same second", old, 0)
		next()
		shows("after it", renewed, 1)
		put(t, file, []byte("half of a"))
		next()
		shows("when it is broken", renewed, 2)
		next()
		shows("when it is still broken", renewed, 2)
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		next()
		shows("when it is gone", renewed, 3)
		next()
		shows("when it is still gone", renewed, 3)
		put(t, file, oldText)
		next()
		shows("when it is back", old, 4)
		if text := log.String(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, file) || strings.Contains(text, "PRIVATE") {
			t.Errorf("log:\n%s", text)
		}
	})
}

// A renewed PKCS #12 may come with a new password, which is read anew as well.
func TestThePasswordOfAServerCertificateMayChange(t *testing.T) {
	dir := t.TempDir()
	file, word := filepath.Join(dir, "server.p12"), filepath.Join(dir, "password")
	write := func(password string) *x509.Certificate {
		key, cert := pair(t)
		content, err := pkcs12.Modern2023.Encode(key, cert, nil, password)
		if err != nil {
			t.Fatal(err)
		}
		put(t, word, []byte(password+"\n"))
		put(t, file, content)
		return cert
	}
	write("first")
	synctest.Test(t, func(t *testing.T) {
		c, err := LoadServerCertificate([]string{"*"}, file, "file:"+word)
		if err != nil {
			t.Fatal(err)
		}
		c.Log = slog.New(slog.DiscardHandler)
		renewed := write("second")
		time.Sleep(lookInterval)
		if got := c.Lookup(""); !bytes.Equal(got.Certificate[0], renewed.Raw) {
			t.Error("the old certificate is shown")
		}
	})
}

func TestManyMayLookUpWhileTheFileChanges(t *testing.T) {
	file := filepath.Join(t.TempDir(), "server.pem")
	_, a := pairPEM(t)
	_, b := pairPEM(t)
	put(t, file, a)
	synctest.Test(t, func(t *testing.T) {
		c, err := LoadServerCertificate([]string{"*"}, file, "")
		if err != nil {
			t.Fatal(err)
		}
		c.Log = slog.New(slog.DiscardHandler)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 20 {
					if got := c.Lookup("any.test"); got == nil || len(got.Certificate) != 1 {
						t.Error("no certificate is shown")
					}
					time.Sleep(lookInterval / 2)
				}
			})
		}
		for i := range 10 {
			put(t, file, [][]byte{b, a}[i%2])
			time.Sleep(lookInterval)
		}
		wg.Wait()
		want, _ := tls.X509KeyPair(a, a)
		time.Sleep(lookInterval)
		if got := c.Lookup("any.test"); !bytes.Equal(got.Certificate[0], want.Certificate[0]) {
			t.Error("the last change goes unnoticed")
		}
	})
}

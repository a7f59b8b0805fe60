package truststore

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pair is an authority's certificate, and that of a server which it has signed.
func pair(tb testing.TB) (root, leaf *x509.Certificate) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	issue := func(template, parent *x509.Certificate) *x509.Certificate {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), key)
		if err != nil {
			tb.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			tb.Fatal(err)
		}
		return c
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a CA " + rand.Text()}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	root = issue(template, template)
	return root, issue(&x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "a server"}, DNSNames: []string{"server.test"}}, root)
}

// do runs an Install and returns what it printed.
func do(t *testing.T, i Install) string {
	t.Helper()
	var out bytes.Buffer
	i.Out = &out
	if err := i.Run(t.Context()); err != nil {
		t.Fatalf("Run: %v after\n%s", err, &out)
	}
	return out.String()
}

// tool runs a program, which may fail.
func tool(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	return string(out), err
}

func writePEM(t *testing.T, c *x509.Certificate) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "certificate.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// debian is a folder that update-ca-certificates takes for the root of a system, with a root of its own in it.
func debian(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, folder := range []string{"etc/ssl/certs", "usr/local/share/ca-certificates", "usr/share/ca-certificates", "etc/ca-certificates/update.d"} {
		if err := os.MkdirAll(filepath.Join(root, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	other, _ := pair(t)
	for file, content := range map[string][]byte{
		"usr/share/ca-certificates/other.crt": Install{Certificate: other}.pem(), "etc/ca-certificates.conf": []byte("other.crt\n"),
	} {
		if err := os.WriteFile(filepath.Join(root, file), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestDebiansStore(t *testing.T) {
	root := debian(t)
	ca, leaf := pair(t)
	file := writePEM(t, leaf)
	i := Install{Certificate: ca, Stores: System, Root: root}
	verifies := func(when string, want bool) {
		t.Helper()
		for option, path := range map[string]string{"-CApath": "/etc/ssl/certs", "-CAfile": "/etc/ssl/certs/ca-certificates.crt"} {
			if out, err := tool(t, "openssl", "verify", "-no-CAstore", option, root+path, file); (err == nil) != want {
				t.Errorf("%s, %s: %v, want it to verify: %v\n%s", when, option, err, want, out)
			}
		}
	}
	bundle := func() string {
		content, err := os.ReadFile(root + "/etc/ssl/certs/ca-certificates.crt")
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}

	path := root + "/usr/local/share/ca-certificates/mitm-ca-" + i.id() + ".crt"
	want := "install -D -m 644 /dev/stdin " + path + " <ca.pem\nupdate-ca-certificates --sysroot " + root + "\n"
	dry := i
	dry.DryRun = true
	if got := do(t, dry); got != want {
		t.Errorf("a dry run prints\n%swant\n%s", got, want)
	}
	if isThere(path) || isThere(root+"/etc/ssl/certs/ca-certificates.crt") {
		t.Error("a dry run has changed something")
	}
	if got := do(t, i); got != want {
		t.Errorf("installing prints\n%swant\n%s", got, want)
	}
	verifies("installed", true)
	if strings.Count(bundle(), "BEGIN CERTIFICATE") != 2 {
		t.Errorf("the bundle is\n%s", bundle())
	}
	if got := do(t, i); got != "# the system's store has it already\n" {
		t.Errorf("installing again prints\n%s", got)
	}

	i.Remove = true
	if got, want := do(t, i), "rm -f "+path+"\nupdate-ca-certificates --fresh --sysroot "+root+"\n"; got != want {
		t.Errorf("removing prints\n%swant\n%s", got, want)
	}
	verifies("removed", false)
	if strings.Count(bundle(), "BEGIN CERTIFICATE") != 1 || isThere(path) {
		t.Errorf("something is left:\n%s", bundle())
	}
	if got := do(t, i); got != "# the system's store does not have it\n" {
		t.Errorf("removing again prints\n%s", got)
	}
}

// An installation that was interrupted is completed, and so is a removal.
func TestHalfAnInstallationIsMended(t *testing.T) {
	root := debian(t)
	ca, _ := pair(t)
	i := Install{Certificate: ca, Stores: System, Root: root}
	do(t, i)
	link := root + "/etc/ssl/certs/mitm-ca-" + i.id() + ".pem"
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if do(t, i); !isThere(link) {
		t.Error("the link is missing still")
	}
	if err := os.Remove(root + "/usr/local/share/ca-certificates/mitm-ca-" + i.id() + ".crt"); err != nil {
		t.Fatal(err)
	}
	i.Remove = true
	if do(t, i); isThere(link) {
		t.Error("the link is there still")
	}
}

// newProfile makes a database like that of a profile of Firefox.
func newProfile(t *testing.T, home, folder, password string) string {
	t.Helper()
	path := filepath.Join(home, folder)
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := tool(t, "certutil", "-d", "sql:"+path, "-N", "-f", file); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

func TestTheDatabasesOfBrowsers(t *testing.T) {
	home := t.TempDir()
	fox := newProfile(t, home, ".mozilla/firefox/it's a.default", "")
	if err := os.MkdirAll(filepath.Join(home, ".mozilla/firefox/empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	chrome := filepath.Join(home, ".pki/nssdb")
	ca, leaf := pair(t)
	i := Install{Certificate: ca, Stores: NSS, Home: home}
	verifies := func(when string, want bool) {
		t.Helper()
		for _, folder := range []string{fox, chrome} {
			// NSS judges what is in a database only, so the server's certificate goes into a copy.
			copied := filepath.Join(t.TempDir(), "copy")
			if err := os.CopyFS(copied, os.DirFS(folder)); err != nil {
				t.Fatal(err)
			}
			if out, err := tool(t, "certutil", "-d", "sql:"+copied, "-A", "-n", "server", "-t", ",,", "-a", "-i", writePEM(t, leaf)); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if out, err := tool(t, "certutil", "-d", "sql:"+copied, "-V", "-n", "server", "-u", "V"); (err == nil) != want {
				t.Errorf("%s, %s: %v, want it to verify: %v\n%s", when, folder, err, want, out)
			}
		}
	}

	name := "mitm-ca-" + i.id()
	want := "mkdir -p -m 700 " + chrome + "\n" +
		"certutil -d sql:" + chrome + " -N --empty-password\n" +
		"certutil -d sql:" + chrome + " -A -t C,, -n " + name + " -a <ca.pem\n" +
		`certutil -d 'sql:` + strings.ReplaceAll(fox, "'", `'\''`) + `' -A -t C,, -n ` + name + " -a <ca.pem\n"
	dry := i
	dry.DryRun = true
	if got := do(t, dry); got != want {
		t.Errorf("a dry run prints\n%swant\n%s", got, want)
	}
	if isThere(chrome) {
		t.Error("a dry run has made a database")
	}
	if got := do(t, i); got != want {
		t.Errorf("installing prints\n%swant\n%s", got, want)
	}
	verifies("installed", true)
	if got, want := do(t, i), "# "+chrome+" has it already\n# "+fox+" has it already\n"; got != want {
		t.Errorf("installing again prints\n%swant\n%s", got, want)
	}

	// A database that has it without trusting it is mended.
	if out, err := tool(t, "certutil", "-d", "sql:"+fox, "-M", "-n", name, "-t", ",,"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	do(t, i)
	verifies("mended", true)

	i.Remove = true
	if got := do(t, i); strings.Count(got, " -D -n "+name+"\n") != 2 {
		t.Errorf("removing prints\n%s", got)
	}
	verifies("removed", false)
	if got, want := do(t, i), "# "+chrome+" does not have it\n# "+fox+" does not have it\n"; got != want {
		t.Errorf("removing again prints\n%swant\n%s", got, want)
	}
}

func TestRemovingMakesNoDatabase(t *testing.T) {
	home := t.TempDir()
	ca, _ := pair(t)
	got := do(t, Install{Certificate: ca, Stores: NSS, Home: home, Remove: true})
	if want := "# " + home + "/.pki/nssdb has no database\n"; got != want || isThere(home+"/.pki") {
		t.Errorf("prints\n%swant\n%sand no database", got, want)
	}
}

// A database with a password is an error of one line, and no reason to leave out the others.
func TestADatabaseThatRefusesIsTold(t *testing.T) {
	home := t.TempDir()
	locked := newProfile(t, home, ".mozilla/firefox/a.locked", "geheim")
	open := newProfile(t, home, ".mozilla/firefox/b.open", "")
	ca, _ := pair(t)
	var out bytes.Buffer
	i := Install{Certificate: ca, Stores: NSS, Home: home, Out: &out}
	// Without a terminal to ask for the password at.
	cmd := exec.CommandContext(t.Context(), "setsid", "--wait", os.Args[0], "-test.run=^TestInstallInHome$")
	cmd.Env = append(os.Environ(), "TRUSTSTORE_HOME="+home, "TRUSTSTORE_CA="+writePEM(t, ca))
	text, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(text), "certutil -d sql:"+locked+" -A") || !strings.Contains(string(text), "SEC_ERROR_BAD_PASSWORD") {
		t.Errorf("%v, want the error of %s in\n%s", err, locked, text)
	}
	if has, trusted, _ := i.inspect(open); !has || !trusted {
		t.Error("the other database was left out")
	}
}

// TestInstallInHome is what TestADatabaseThatRefusesIsTold runs apart; by itself it installs into an empty home.
func TestInstallInHome(t *testing.T) {
	home, file := os.Getenv("TRUSTSTORE_HOME"), os.Getenv("TRUSTSTORE_CA")
	if home == "" {
		ca, _ := pair(t)
		home, file = t.TempDir(), writePEM(t, ca)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if err := (Install{Certificate: ca, Stores: NSS, Home: home, Out: t.Output()}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsMissingIsSaidBeforeAnythingIsDone(t *testing.T) {
	home := t.TempDir()
	ca, _ := pair(t)
	root := debian(t)
	t.Setenv("PATH", t.TempDir())
	i := Install{Certificate: ca, Stores: System | NSS, Home: home, Root: root, Out: t.Output()}
	err := i.Run(t.Context())
	want := "update-ca-certificates is not installed: on Debian it is in the package ca-certificates\n" +
		"certutil is not installed: on Debian it is in the package libnss3-tools"
	if err == nil || err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	if isThere(home+"/.pki") || isThere(root+"/usr/local/share/ca-certificates/mitm-ca-"+i.id()+".crt") {
		t.Error("something was done")
	}
	i.DryRun = true
	if got := do(t, i); strings.Count(got, "\n") != 5 {
		t.Errorf("a dry run without the programs prints\n%s", got)
	}
}

// Where certutil is missing nobody can say that a database does not have it.
func TestRemovingWithoutCertutilIsAnError(t *testing.T) {
	home := t.TempDir()
	newProfile(t, home, ".mozilla/firefox/a.default", "")
	ca, _ := pair(t)
	t.Setenv("PATH", t.TempDir())
	err := Install{Certificate: ca, Stores: NSS, Home: home, Remove: true, Out: t.Output()}.Run(t.Context())
	if err == nil || !strings.HasPrefix(err.Error(), "certutil is not installed") {
		t.Errorf("error %v", err)
	}
}

func TestOnlyRootChangesTheSystemsStore(t *testing.T) {
	ca, _ := pair(t)
	i := Install{Certificate: ca, Root: ""}
	steps := []step{i.update()}
	if err := i.check(steps, 1000); err == nil || !strings.Contains(err.Error(), "the system's store is root's") {
		t.Errorf("for an ordinary user: %v", err)
	}
	if err := i.check(steps, 0); err != nil {
		t.Errorf("for root: %v", err)
	}
	if err := i.check([]step{{line: "certutil", program: "certutil"}}, 1000); err != nil {
		t.Errorf("for a store of the user's: %v", err)
	}
}

func TestACommandIsBounded(t *testing.T) {
	for _, tt := range []struct {
		name string
		c    command
		want string
	}{
		{"one that writes without end", command{name: "yes"}, "it does not stop writing"},
		{"one that fails with a word", command{name: "sh", args: []string{"-c", "echo first; echo 'the \033 last' >&2; exit 3"}}, `exit status 3 ("the \x1b last")`},
		{"one that fails without", command{name: "false"}, "exit status 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, err := tt.c.run(t.Context(), nil)
			if err == nil || out != nil || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want %s", err, tt.want)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (command{name: "cat"}).run(ctx, nil); err == nil {
		t.Error("a command runs when it is too late")
	}
	if out, err := (command{name: "cat"}).run(t.Context(), []byte("in")); err != nil || string(out) != "in" {
		t.Errorf("cat: %q, %v", out, err)
	}
}

func TestQuote(t *testing.T) {
	for word, want := range map[string]string{
		"": "''", "sql:/home/a-b/.pki": "sql:/home/a-b/.pki", "a b": "'a b'", "it's": `'it'\''s'`, "$(id)": "'$(id)'", "~": "'~'", "a\nb": "'a\nb'",
	} {
		if got := quote(word); got != want {
			t.Errorf("quote(%q) = %s, want %s", word, got, want)
		}
		out, err := tool(t, "sh", "-c", "printf %s "+quote(word))
		if err != nil || out != word {
			t.Errorf("a shell reads %s as %q", quote(word), out)
		}
	}
}

func TestIsTrusted(t *testing.T) {
	list := []byte("\nCertificate Nickname                  Trust Attributes\n" +
		"                                          SSL,S/MIME,JAR/XPI\n\nmitm-ca-1                       C,,  \nmitm-ca-2                       ,,   \nmy mitm-ca-3            C,,\n")
	for name, want := range map[string]bool{"mitm-ca-1": true, "mitm-ca-2": false, "mitm-ca-3": false, "mitm-ca-4": false} {
		if got := isTrusted(list, name); got != want {
			t.Errorf("isTrusted(%s) = %v, want %v", name, got, want)
		}
	}
}

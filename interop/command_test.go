package interop

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
	"github.com/google/gopacket/pcapgo"
)

// secureSite is an HTTPS server with a certificate of its own, and the file to trust it.
// Its page /large is of half a mebibyte.
func secureSite(t *testing.T) (s *httptest.Server, trust string) {
	t.Helper()
	s = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "secret page")
		if r.URL.Path == "/large" {
			_, _ = io.WriteString(w, strings.Repeat(".", 512<<10))
		}
	}))
	t.Cleanup(s.Close)
	return s, writeFile(t, "site.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
}

// through gets a page through the proxy, whose authority the client trusts.
func through(t *testing.T, proxy, root, page string) {
	t.Helper()
	text, err := os.ReadFile(root)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatalf("%s holds no certificate", root)
	}
	client := &http.Client{Timeout: runTimeout, Transport: &http.Transport{
		Proxy:           http.ProxyURL(&url.URL{Scheme: "http", Host: proxy}),
		TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true,
	}}
	res, err := client.Get(page)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || strings.TrimRight(string(body), ".") != "secret page" {
		t.Errorf("got %.40q, %v", body, err)
	}
}

// startBare starts the command with these flags and no others.
func startBare(t *testing.T, args ...string) *mitm {
	t.Helper()
	file := built(t)
	proc := start(t, peers.Mitm(file, args...))
	return &mitm{Process: proc, addrs: peers.Listeners(proc.Stderr()), root: filepath.Join(proc.Dir, "root.pem")}
}

// onASmallDisk runs a program with a folder "small" that has room for 64 KiB.
func onASmallDisk(p peers.Program) peers.Program {
	script := `mkdir small && mount -t tmpfs -o size=64k none small && exec "$0" "$@"`
	p.Name, p.Args = "unshare", append([]string{"-m", "sh", "-c", script, p.Name}, p.Args...)
	return p
}

// A disk that is full costs what would be written to it, and not the flow.
func TestAFullDiskEndsNoFlow(t *testing.T) {
	s, trust := secureSite(t)
	for _, tt := range []struct{ name, flag, file string }{
		{"the capture's", "-w", peers.Here + "/small/traffic.pcap"},
		{"the flow log's", "-f", "/dev/full"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := built(t)
			program := peers.Mitm(file, "--listen", "127.0.0.1:0", "--trust", trust, "-x", peers.Here+"/root.pem", tt.flag, tt.file)
			proc := start(t, onASmallDisk(program))
			m := &mitm{Process: proc, addrs: peers.Listeners(proc.Stderr()), root: filepath.Join(proc.Dir, "root.pem")}
			for range 3 {
				through(t, m.addrs[0], m.root, s.URL+"/large")
			}
			m.eventually(t, "the flow lines", func() bool { return strings.Count(m.Stdout(), "\n") == 3 })
			if code := m.ends(t, syscall.SIGTERM); code != 1 {
				t.Errorf("exit code %d, want 1: what was asked for is not there", code)
			}
			if got := strings.Count(m.Stderr(), `"level":"ERROR"`) + strings.Count(m.Stderr(), `"level":"WARN"`); got != 1 {
				t.Errorf("%d complaints, want one:\n%s", got, m.Stderr())
			}
			if !strings.Contains(m.Stderr(), "no space left on device") {
				t.Errorf("no word about the disk:\n%s", m.Stderr())
			}
		})
	}
	t.Run("one that is full from the start is said at the start", func(t *testing.T) {
		stdout, stderr, code := command(t, t.TempDir(), "--listen", "127.0.0.1:0", "-w", "/dev/full")
		if code == 0 || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "no space left on device") {
			t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
		}
	})
}

func TestADashGivesThatStreamAloneOnStdout(t *testing.T) {
	s, trust := secureSite(t)
	t.Run("-w -", func(t *testing.T) {
		m := startBare(t, "--listen", "127.0.0.1:0", "--trust", trust, "-x", peers.Here+"/root.pem", "-w", "-")
		through(t, m.addrs[0], m.root, s.URL)
		if code := m.ends(t, syscall.SIGTERM); code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
		r, err := pcapgo.NewReader(strings.NewReader(m.Stdout()))
		if err != nil {
			t.Fatalf("stdout is no capture: %v", err)
		}
		var all []byte
		for {
			packet, _, err := r.ReadPacketData()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("something else is in the capture: %v", err)
			}
			all = append(all, packet...)
		}
		if !bytes.Contains(all, []byte("secret page")) {
			t.Error("the page is not in the capture")
		}
	})
	t.Run("-f -", func(t *testing.T) {
		m := startBare(t, "--listen", "127.0.0.1:0", "--trust", trust, "-x", peers.Here+"/root.pem", "-f", "-")
		through(t, m.addrs[0], m.root, s.URL)
		if code := m.ends(t, syscall.SIGTERM); code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
		flows, err := peers.ParseFlows([]byte(m.Stdout()))
		if err != nil || len(flows) != 1 || !strings.HasPrefix(flows[0].Path, "connect>tls") {
			t.Errorf("stdout holds %+v, %v:\n%s", flows, err, m.Stdout())
		}
	})
}

// umask0 runs a program that could make files for everybody.
func umask0(p peers.Program) peers.Program {
	p.Name, p.Args = "sh", append([]string{"-c", `umask 0 && exec "$0" "$@"`, p.Name}, p.Args...)
	return p
}

func TestWhatHoldsSecretsIsForTheOwnerOnly(t *testing.T) {
	s, trust := secureSite(t)
	m := startMitmAs(t, umask0, "--listen", "127.0.0.1:0", "--trust", trust, "-w", peers.Here+"/traffic.pcap")
	through(t, m.addrs[0], m.root, s.URL)
	m.flows(t, 1)
	keys, err := filepath.Glob(filepath.Join(m.Dir, "config/bridgeio/*.key"))
	if err != nil || len(keys) < 2 {
		t.Fatalf("keys %q, %v", keys, err)
	}
	for _, file := range append(keys, m.flowLog, filepath.Join(m.Dir, "traffic.pcap")) {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v, want mode 0600", file, info.Mode(), err)
		}
	}
}

// Of several that start on a fresh machine at once one makes the authority.
func TestSeveralThatStartAtOnceShareOneAuthority(t *testing.T) {
	home := t.TempDir()
	const together = 4
	var all [together]*mitm
	var started sync.WaitGroup
	file := built(t)
	for i := range all {
		started.Go(func() {
			p := peers.Mitm(file, "--listen", "127.0.0.1:0", "-x", peers.Here+"/root.pem")
			p.Env = []string{"HOME=" + home, "XDG_CONFIG_HOME=" + home, peers.NoRaceDelay}
			proc, err := peers.Start(t.Context(), p)
			if err != nil {
				t.Error(err)
				return
			}
			all[i] = &mitm{Process: proc, addrs: peers.Listeners(proc.Stderr())}
		})
	}
	started.Wait()
	roots := map[string]bool{}
	for _, m := range all {
		if m == nil {
			continue
		}
		text, err := os.ReadFile(filepath.Join(m.Dir, "root.pem"))
		if err != nil {
			t.Error(err)
		}
		roots[string(text)] = true
		if code := m.ends(t, syscall.SIGTERM); code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
		m.Stop()
	}
	if len(roots) != 1 {
		t.Errorf("%d authorities, want one", len(roots))
	}
}

// command runs mitm to its end, with a home of its own.
func command(t *testing.T, home string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	file := built(t)
	cmd := exec.CommandContext(t.Context(), file, args...)
	var out, errOut bytes.Buffer
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home, peers.NoRaceDelay)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

func TestOpenSSLReadsTheExportedAuthority(t *testing.T) {
	home := t.TempDir()
	if _, stderr, code := command(t, home, "ca", "init"); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for _, name := range []string{"ca.pem", "ca.der"} {
		file := filepath.Join(home, name)
		if _, stderr, code := command(t, home, "ca", "export", file); code != 0 {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
		form := map[string]string{".pem": "PEM", ".der": "DER"}[filepath.Ext(name)]
		text := succeed(t, "openssl", "x509", "-in", file, "-inform", form, "-noout", "-text", "-checkend", "86400")
		for _, want := range []string{"CA:TRUE", "Certificate Sign"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %q:\n%s", name, want, text)
			}
		}
	}
	file := filepath.Join(home, "ca.pem")
	if got := succeed(t, "openssl", "verify", "-x509_strict", "-CAfile", file, file); !strings.Contains(got, ": OK") {
		t.Errorf("openssl verify: %s", got)
	}
}

// A start that can't succeed says so in one line, and leaves neither file nor listener.
func TestStartsThatFailSayWhyInOneLine(t *testing.T) {
	used := listen(t)
	home := t.TempDir()
	command(t, home, "ca", "init")
	open := filepath.Join(t.TempDir(), "open.pem")
	var both []byte
	for _, name := range []string{"ca.pem", "ca.key"} {
		text, err := os.ReadFile(filepath.Join(home, "bridgeio", name))
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, text...)
	}
	if err := errors.Join(os.WriteFile(open, both, 0o600), os.Chmod(open, 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		args []string
		want string
		code int
	}{
		{"an unknown flag", []string{"--wrong"}, "--wrong", 2},
		{"a port in use", []string{"--listen", used.Addr().String()}, "address already in use", 1},
		{"the second of two listeners in use", []string{"--listen", "127.0.0.1:0", "--socks", strings.Replace(used.Addr().String(), ":", ",", 1)}, "address already in use", 1},
		{"a key that others can read", []string{"--cacert", "load:" + open}, open, 2},
		{"a key that is not there", []string{"--cacert", "load:" + open + ".not"}, open + ".not", 2},
		{"a folder for a key", []string{"--cacert", "load:" + home}, home, 2},
		{"an address that is not ours", []string{"--listen", "203.0.113.77:0"}, "203.0.113.77", 1},
		{"a folder for a capture", []string{"-w", home}, home, 2},
		{"a password on the command line that is none", []string{"--auth", ":" + rightPassword}, "--auth", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stdout, stderr, code := command(t, home, append([]string{"--log-level", "warn"}, tt.args...)...)
			if code != tt.code || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, tt.want) || strings.Contains(stderr, rightPassword) {
				t.Errorf("exit code %d, stdout %q, stderr %q, want %d and one line with %q", code, stdout, stderr, tt.code, tt.want)
			}
		})
	}
}

// Each record of the log is a JSON object, those of debugging too.
func TestTheLogIsJSON(t *testing.T) {
	m := startMitm(t, "--listen", "127.0.0.1:0", "--log-level", "debug")
	c := call(t, m.addrs[0])
	c.say("CONNECT " + m.addrs[0] + " HTTP/1.1\r\nHost: x\r\n\r\n")
	c.end()
	c.Close()
	m.ended(t, c, "loop")
	lines := 0
	for line := range strings.Lines(m.Stderr()) {
		lines++
		var record struct {
			Time, Level, Msg string
		}
		if err := json.Unmarshal([]byte(line), &record); err != nil || record.Time == "" || record.Level == "" || record.Msg == "" {
			t.Errorf("line %q: %+v, %v", line, record, err)
		}
	}
	if lines < 3 {
		t.Errorf("%d lines, want the authority, the listener and the loop", lines)
	}
}

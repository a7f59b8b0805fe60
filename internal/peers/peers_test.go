package peers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAProgramStartsWhenItListensAndLeavesNothingBehind(t *testing.T) {
	port, release, err := ReservePort()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	p := Microsocks(port, "", "")
	p.Files = map[string]string{"here": Here}
	proc, err := Start(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Stop()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Errorf("dial right after Start: %v", err)
	} else {
		c.Close()
	}
	text, err := os.ReadFile(filepath.Join(proc.Dir, "here"))
	if err != nil || string(text) != proc.Dir {
		t.Errorf("file holds %q, %v, want the folder %s", text, err, proc.Dir)
	}

	proc.Stop()
	proc.Stop()
	if _, err := os.Stat(proc.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("folder after Stop: %v", err)
	}
	if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
		c.Close()
		t.Error("still listens after Stop")
	}
}

func TestStopReachesTheChildren(t *testing.T) {
	script := "mkfifo held; sleep 600 >held & echo ready >&2; wait"
	proc, err := Start(t.Context(), Program{Name: "sh", Args: []string{"-c", script}, Ready: func(s string) bool { return s == "ready\n" }})
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Stop()
	held, err := os.Open(filepath.Join(proc.Dir, "held"))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	proc.Stop()
	// The pipe ends when the last process that writes to it has.
	if err := held.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := held.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("read of what a child holds open: %d, %v, want EOF", n, err)
	}
}

func TestStartFailsWithTheReason(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	tests := []struct {
		name string
		p    Program
		want string
	}{
		{"a program that does not exist", Program{Name: "no-such-program"}, "find no-such-program: not installed"},
		{"a program that ends at once", Program{Name: "sh", Args: []string{"-c", "echo bad flag >&2; exit 3"}, Ports: []int{1}}, "ended before it was ready: exit status 3\nsh stdout:\n\nsh stderr:\nbad flag\n"},
		{"a file that cannot be written", Program{Name: "sh", Files: map[string]string{"no/folder": ""}}, "no such file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			proc, err := Start(t.Context(), tt.p)
			if err == nil {
				proc.Stop()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Start() = %v, want an error with %q", err, tt.want)
			}
		})
	}
	left, err := filepath.Glob(filepath.Join(os.TempDir(), "peer-sh-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("folders left: %q, %v", left, err)
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	asked := func(string) bool { cancel(); return false }
	if _, err := Start(ctx, Program{Name: "sleep", Args: []string{"600"}, Ready: asked}); !errors.Is(err, context.Canceled) {
		t.Errorf("Start() = %v, want canceled", err)
	}
}

func TestTerminateReturnsTheExitCode(t *testing.T) {
	ready := func(s string) bool { return strings.Contains(s, "ready") }
	tests := []struct {
		name   string
		script string
		want   int
		ok     bool
	}{
		{"an exit code of its own", "trap 'exit 7' TERM; echo ready >&2; while :; do sleep 0.01; done", 7, true},
		{"killed by the signal", "echo ready >&2; exec sleep 600", -1, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			proc, err := Start(t.Context(), Program{Name: "sh", Args: []string{"-c", tt.script}, Ready: ready})
			if err != nil {
				t.Fatal(err)
			}
			defer proc.Stop()
			if got, err := proc.Terminate(t.Context()); got != tt.want || (err == nil) != tt.ok {
				t.Errorf("Terminate() = %d, %v, want %d, ok %v", got, err, tt.want, tt.ok)
			}
		})
	}
}

func TestRun(t *testing.T) {
	got, err := Run(t.Context(), strings.NewReader("in"), "sh", "-c", "cat; echo err >&2; exit 4")
	if want := (Result{"in", "err\n", 4}); err != nil || got != want {
		t.Errorf("Run() = %+v, %v, want %+v", got, err, want)
	}
	if _, err := Run(t.Context(), nil, "/no/such/program"); err == nil {
		t.Error("Run() of nothing: no error")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Run(ctx, nil, "sh", "-c", "sleep 600 & wait"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Run() of an endless program = %v, want deadline exceeded", err)
	}
}

func TestProgramsDoNotInheritAProxy(t *testing.T) {
	got := environ([]string{"PATH=/bin", "HTTPS_PROXY=http://x", "no_proxy=localhost", "MITM_LISTEN=:1", "SSLKEYLOGFILE=k", "CURL_CA_BUNDLE=b", "HOME=/h"})
	if want := []string{"PATH=/bin", "HOME=/h"}; !slices.Equal(got, want) {
		t.Errorf("environ() = %q, want %q", got, want)
	}
}

func TestReservedPortsDiffer(t *testing.T) {
	seen := map[int]bool{}
	for range 200 {
		port, release, err := ReservePort()
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		if seen[port] {
			t.Fatalf("port %d was reserved twice", port)
		}
		seen[port] = true
	}
}

func TestListenersReadsTheKernelsTable(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1
   1: 0100007F:1F91 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 12346 1
   2: 00000000000000000000000001000000:01BB 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12347 1
`
	var got []int
	if err := listeners(strings.NewReader(table), func(port int) { got = append(got, port) }); err != nil {
		t.Fatal(err)
	}
	if want := []int{8080, 443}; !slices.Equal(got, want) {
		t.Errorf("listeners() = %v, want %v", got, want)
	}
	if err := listeners(strings.NewReader("0: 0:xx 0:0 0A"), func(int) {}); err == nil {
		t.Error("listeners() of a port that is no number: no error")
	}
}

func TestEveryProgramIsInstalledByTheScript(t *testing.T) {
	script, err := os.ReadFile("../../scripts/install-peers")
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]string{}
	for line := range strings.Lines(string(script)) {
		if f := strings.Fields(line); len(f) == 2 {
			lines[f[0]] = f[1]
		}
	}
	for name, pkg := range packages {
		if lines[name] != pkg {
			t.Errorf("%s comes from %s here, from %q in the script", name, pkg, lines[name])
		}
		if _, err := find(name); err != nil {
			t.Error(err)
		}
	}
}

func TestTheAuthoritysLeavesVerify(t *testing.T) {
	a, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(a.PEM)) {
		t.Fatal("the root is not PEM")
	}
	for name, issue := range map[string]func(...string) (Leaf, error){"ECDSA": a.Leaf, "RSA": a.RSALeaf} {
		leaf, err := issue("localhost", "127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.X509KeyPair([]byte(leaf.Cert), []byte(leaf.Key))
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range []string{"localhost", "127.0.0.1"} {
			if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err != nil {
				t.Errorf("%s leaf for %s: %v", name, host, err)
			}
		}
		if got := pair.Leaf.PublicKeyAlgorithm.String(); got != name {
			t.Errorf("key is %s, want %s", got, name)
		}
	}
}

func TestTheBrokenLeavesAreBrokenInOneWay(t *testing.T) {
	a, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(a.PEM))
	expired, err := a.ExpiredLeaf("localhost")
	if err != nil {
		t.Fatal(err)
	}
	var invalid x509.CertificateInvalidError
	if err := verify(t, expired, roots); !errors.As(err, &invalid) || invalid.Reason != x509.Expired {
		t.Errorf("the expired leaf: %v", err)
	}
	self, err := SelfSignedLeaf("localhost")
	if err != nil {
		t.Fatal(err)
	}
	var unknown x509.UnknownAuthorityError
	if err := verify(t, self, roots); !errors.As(err, &unknown) {
		t.Errorf("the self-signed leaf: %v", err)
	}
	own := x509.NewCertPool()
	own.AppendCertsFromPEM([]byte(self.Cert))
	if err := verify(t, self, own); err != nil {
		t.Errorf("the self-signed leaf to who trusts it: %v", err)
	}
}

func verify(t *testing.T, leaf Leaf, roots *x509.CertPool) error {
	t.Helper()
	pair, err := tls.X509KeyPair([]byte(leaf.Cert), []byte(leaf.Key))
	if err != nil {
		t.Fatal(err)
	}
	_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "localhost"})
	return err
}

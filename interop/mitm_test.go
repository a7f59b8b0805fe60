package interop

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/internal/peers"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// A client's port must not decide what tshark makes of its connection.
	readers, err := filepath.Abs("testdata/wireshark")
	if err == nil {
		err = os.Setenv("WIRESHARK_CONFIG_DIR", readers)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(1)
	}
	if os.Getenv(inside) != "" {
		if err := furnish(); err != nil {
			fmt.Fprintln(os.Stderr, "interop:", err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(binaries())
		os.Exit(code)
	}))
}

// binaries is the folder of what this run builds.
func binaries() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("interop-%d", os.Getpid()))
}

// build builds mitm, once, with the race detector.
var build = sync.OnceValues(func() (file string, err error) {
	if file = os.Getenv(mitmFile); file != "" {
		return file, nil
	}
	if err := readSources(); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	file = filepath.Join(binaries(), "mitm")
	return file, peers.BuildMitm(ctx, file, true)
})

// built is mitm's file, for a test that starts it in its own way.
func built(t *testing.T) string {
	t.Helper()
	file, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// readSources looks into the folders of what mitm is built from: go test keeps a result for as long as
// all that the test has opened stays as it is.
func readSources() error {
	for _, top := range []string{"bridge", "cmd", "detect", "internal", "layers", "mitm"} {
		err := fs.WalkDir(os.DirFS(".."), top, func(_ string, _ fs.DirEntry, err error) error { return err })
		if err != nil {
			return err
		}
	}
	return nil
}

// A mitm is our command, running for the length of a test.
type mitm struct {
	*peers.Process
	addrs   []string // where it listens, in the order of its announcements
	root    string   // file with its authority's certificate
	flowLog string   // file
	read    int      // lines of the flow log that flow has returned
}

// startMitm starts the command with the given flags. When the test is over it is
// ended with SIGTERM and must exit with 0, which a data race or a panic prevents.
func startMitm(t *testing.T, args ...string) *mitm {
	t.Helper()
	return startMitmAs(t, func(p peers.Program) peers.Program { return p }, args...)
}

// startMitmAs is startMitm with the program changed before it starts.
func startMitmAs(t *testing.T, change func(peers.Program) peers.Program, args ...string) *mitm {
	t.Helper()
	m := launchMitm(t, change, args...)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), runTimeout)
		defer cancel()
		if code, err := m.Terminate(ctx); code != 0 || err != nil {
			t.Errorf("mitm ended with exit code %d, %v, want 0", code, err)
		}
	})
	return m
}

// unhurried is the environment of a mitm whose peers may wait long for their turn on a busy
// machine. Tests of the limits give flags, which go before it.
var unhurried = []string{"MITM_TIMEOUT=5m", "MITM_TLSTIMEOUT=1m"}

// launchMitm is startMitmAs for a command that is killed, or ended otherwise by the test.
func launchMitm(t *testing.T, change func(peers.Program) peers.Program, args ...string) *mitm {
	t.Helper()
	file := built(t)
	args = append(slices.Clone(args), "-f", peers.Here+"/flows.jsonl", "-x", peers.Here+"/root.pem")
	p := peers.Mitm(file, args...)
	p.Env = append(p.Env, unhurried...)
	proc := start(t, change(p))
	return &mitm{
		Process: proc,
		addrs:   peers.Listeners(proc.Stderr()),
		root:    filepath.Join(proc.Dir, "root.pem"),
		flowLog: filepath.Join(proc.Dir, "flows.jsonl"),
	}
}

// flows waits until the flow log has n lines, and wants no more of them.
func (m *mitm) flows(t *testing.T, n int) []peers.Flow {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		text, err := os.ReadFile(m.flowLog)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		flows, err := peers.ParseFlows(text)
		if err != nil {
			t.Fatal(err)
		}
		if len(flows) >= n {
			if len(flows) > n {
				t.Errorf("%d flows, want %d:\n%s", len(flows), n, text)
			}
			return flows
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%d flows after %s, want %d:\n%s", len(flows), runTimeout, n, text)
		}
	}
}

// flow waits for the next line of the flow log, and wants no more than that one.
func (m *mitm) flow(t *testing.T) peers.Flow {
	t.Helper()
	m.read++
	return m.flows(t, m.read)[m.read-1]
}

// A line is what a test wants of a flow's line in the log.
type line struct {
	path, action, target, reason, endedBy string

	// Of the innermost TLS, when it was bridged. An empty version wants none.
	version, alpn, verdict string
}

// inspected is the line of a flow that was decrypted and ended well: HTTP over TLS 1.3
// to a server whose certificate is valid.
func inspected(path, target, alpn string) line {
	return line{path: path, action: "inspect", target: target, version: "1.3", alpn: alpn, verdict: "ok"}
}

// check holds a flow against the line. Ends that are not named are good ones.
func (want line) check(t *testing.T, f peers.Flow) {
	t.Helper()
	if want.reason == "" {
		want.reason = "eof"
	}
	got := line{path: f.Path, action: f.Action, target: f.Target, reason: f.Reason}
	if want.endedBy != "" {
		got.endedBy = f.EndedBy
	}
	if f.TLS != nil {
		got.version, got.alpn, got.verdict = f.TLS.Client.Version, f.TLS.Client.ALPN, f.TLS.Certificate.Verdict
		if client, server := agreedOn(f.TLS.Client), agreedOn(f.TLS.Server); client != server {
			t.Errorf("the sides of TLS differ: client %+v, server %+v", client, server)
		}
		if c := f.TLS.Certificate; want.version != "" && (c.LeafSHA256 == "" || c.LeafSHA256 == c.ServerSHA256) {
			t.Errorf("certificates %+v, want one of ours", c)
		}
	}
	if got != want {
		t.Errorf("flow\n%+v, want\n%+v\nin %+v", got, want, f)
	}
}

// agreedOn is what has to be the same on both sides. The cipher suite of TLS 1.3 can't be
// chosen for a client.
func agreedOn(side peers.FlowTLSSide) peers.FlowTLSSide {
	agreed := peers.FlowTLSSide{Version: side.Version, Cipher: side.Cipher, Group: side.Group, ALPN: side.ALPN}
	if side.Version == "1.3" {
		agreed.Cipher = ""
	}
	return agreed
}

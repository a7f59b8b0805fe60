package interop

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// ends asks the command to end and returns its exit code.
func (m *mitm) ends(t *testing.T, signal syscall.Signal) int {
	t.Helper()
	if err := syscall.Kill(m.Pid(), signal); err != nil {
		t.Fatal(err)
	}
	code, err := m.Wait(t.Context())
	if err != nil {
		t.Error(err)
	}
	return code
}

func TestSignalsLetFlowsFinishAndLogThem(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			m := startMitm(t, "--listen", "127.0.0.1:0")
			client, server := m.tunnel(t)
			if err := syscall.Kill(m.Pid(), signal); err != nil {
				t.Fatal(err)
			}
			m.eventually(t, "no more listeners", m.refuses)
			client.say("\x00still there?")
			server.hear("\x00still there?")
			server.say("yes")
			server.Close()
			client.hear("yes")
			client.Close()
			if code, err := m.Wait(t.Context()); code != 0 || err != nil {
				t.Errorf("exit code %d, %v, want 0", code, err)
			}
			if f := m.ended(t, client, "eof"); f.Bytes.FromServer != 3 {
				t.Errorf("flow %+v, want 3 bytes from the server", f)
			}
		})
	}
}

// Nobody may have to read the flow lines for the proxy to go on, and to end.
func TestNobodyReadsTheFlowLines(t *testing.T) {
	file := built(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { errors.Join(r.Close(), w.Close()) })
	m := startMitmAs(t, func(p peers.Program) peers.Program {
		// The proxy's stdout is a pipe that is full at once, and never read.
		p.Name = "sh"
		p.Args = append([]string{"-c", `exec "$0" "$@" >/proc/$PPID/fd/` + strconv.Itoa(int(w.Fd())), file}, p.Args...)
		return p
	}, "--listen", "127.0.0.1:0", "--max-flows", "20")
	if _, err := w.Write(make([]byte, 64<<10)); err != nil {
		t.Fatal(err)
	}
	for range 60 {
		c := call(t, m.addrs[0])
		c.say("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		if got := c.end(); !strings.HasPrefix(got, "HTTP/1.1 421 ") {
			t.Fatalf("answered %.40q", got)
		}
		c.Close()
	}
	m.flows(t, 60)
	go io.Copy(io.Discard, r) // now somebody does, until the pipe is closed
}

// The first signal lets flows finish, the second one does not.
func TestASecondSignalEndsAtOnce(t *testing.T) {
	m := startBare(t, "--listen", "127.0.0.1:0")
	client, _ := m.tunnel(t)
	if err := syscall.Kill(m.Pid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	m.eventually(t, "no more listeners", m.refuses)
	if err := syscall.Kill(m.Pid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
	defer cancel()
	if code, err := m.Wait(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("exit code %d, %v, want the end by the signal", code, err)
	}
	client.end()
}

// refuses reports whether nobody listens any more.
func (m *mitm) refuses() bool {
	c, err := net.Dial("tcp", m.addrs[0])
	if err == nil {
		c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

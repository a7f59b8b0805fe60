package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// A caller is one end of a connection whose bytes the test writes by hand.
type caller struct {
	*net.TCPConn
	t *testing.T
}

// newCaller takes a connection for the length of the test. A peer that leaves it
// waiting fails the test.
func newCaller(t *testing.T, c net.Conn) *caller {
	t.Helper()
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(runTimeout)); err != nil {
		t.Fatal(err)
	}
	return &caller{c.(*net.TCPConn), t}
}

// call connects to an address on loopback from one that is used once: in the flow log
// callers are told apart by their addresses.
func call(t *testing.T, address string) *caller {
	t.Helper()
	n := callers.Add(1)
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(n>>8), byte(n))}}
	c, err := d.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return newCaller(t, c)
}

// callers counts them.
var callers atomic.Uint32

func accept(t *testing.T, l net.Listener) *caller {
	t.Helper()
	if err := l.(*net.TCPListener).SetDeadline(time.Now().Add(runTimeout)); err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return newCaller(t, c)
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func (c *caller) say(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Errorf("say %.40q: %v", text, err)
	}
}

// trySay is say to somebody who may have hung up.
func (c *caller) trySay(text string) { _, _ = io.WriteString(c, text) }

// hear wants exactly these bytes next.
func (c *caller) hear(want string) {
	c.t.Helper()
	buf := make([]byte, len(want))
	n, err := io.ReadFull(c, buf)
	if got := string(buf[:n]); got != want {
		c.t.Errorf("heard %q, %v, want %q", got, err, want)
	}
}

// hearLine returns the next line, of at most 256 bytes.
func (c *caller) hearLine() string {
	c.t.Helper()
	var line []byte
	for one := make([]byte, 1); len(line) < 256 && !bytes.HasSuffix(line, []byte("\n")); {
		if _, err := io.ReadFull(c, one); err != nil {
			c.t.Errorf("heard %q, then %v, want a line", line, err)
			break
		}
		line = append(line, one[0])
	}
	return string(line)
}

// first returns up to n bytes of what comes.
func (c *caller) first(n int) string {
	c.t.Helper()
	buf := make([]byte, n)
	n, err := io.ReadFull(c, buf)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF && !errors.Is(err, syscall.ECONNRESET) {
		c.t.Errorf("heard %q, then %v, want the end", buf[:n], err)
	}
	return string(buf[:n])
}

// end returns what comes until the peer ends the connection, in order or by a reset.
func (c *caller) end() string {
	c.t.Helper()
	text, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		c.t.Errorf("heard %.200q, then %v, want the end", text, err)
	}
	return string(text)
}

// reset ends the connection with a RST.
func (c *caller) reset() {
	c.t.Helper()
	if err := errors.Join(c.SetLinger(0), c.Close()); err != nil {
		c.t.Error(err)
	}
}

func (c *caller) hangUp() {
	c.t.Helper()
	if err := c.CloseWrite(); err != nil {
		c.t.Error(err)
	}
}

// flowsOf waits for the flow log's line about a caller and returns all there are: one,
// but for a connection that served several destinations.
func (m *mitm) flowsOf(t *testing.T, c *caller) []peers.Flow {
	t.Helper()
	var flows []peers.Flow
	m.eventually(t, "a line about "+c.LocalAddr().String(), func() bool {
		flows = m.linesOf(t, c.LocalAddr().String())
		return len(flows) > 0
	})
	return flows
}

func (m *mitm) linesOf(t *testing.T, client string) []peers.Flow {
	t.Helper()
	text, err := os.ReadFile(m.flowLog)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	all, err := peers.ParseFlows(text)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(f peers.Flow) bool { return f.Client != client })
}

// ended waits for the one line about a caller, on stdout as well, and wants its reason.
func (m *mitm) ended(t *testing.T, c *caller, reasons ...string) peers.Flow {
	t.Helper()
	flows := m.flowsOf(t, c)
	if len(flows) != 1 || !slices.Contains(reasons, flows[0].Reason) {
		t.Errorf("flows %+v, want one that ended by %q", flows, reasons)
	}
	m.eventually(t, "a flow line", func() bool { return strings.Contains(m.Stdout(), "  "+c.LocalAddr().String()+"  ") })
	return flows[0]
}

// eventually waits until what another process does has happened.
func (m *mitm) eventually(t *testing.T, what string, happened func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !happened() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not after %s: %s\n%s", runTimeout, what, m.Logs())
		}
	}
}

// descriptors returns how many descriptors a process has open.
func (m *mitm) descriptors(t *testing.T) int {
	t.Helper()
	return len(m.open(t))
}

// open returns what the process has open.
func (m *mitm) open(t *testing.T) []string {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", m.Pid())
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		if link, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil { // else it is closed by now
			all = append(all, link)
		}
	}
	return all
}

// settles waits until the process has no more descriptors than it had.
func (m *mitm) settles(t *testing.T, before int) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("open: %q", m.open(t))
		}
	})
	m.eventually(t, fmt.Sprintf("back to %d descriptors", before), func() bool { return m.descriptors(t) <= before })
}

// rss returns the memory that a process holds, in bytes.
func (m *mitm) rss(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", m.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	var total, resident int64
	if _, err := fmt.Sscan(string(text), &total, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * int64(os.Getpagesize())
}

// hello returns a real ClientHello whose server name is the given text, whatever that
// is: crypto/tls would leave out what is no name.
func hello(t *testing.T, name string) string {
	t.Helper()
	here, there := net.Pipe()
	defer here.Close()
	stand := strings.Repeat("x", len(name))
	done := make(chan struct{})
	go func() {
		defer close(done)
		c := tls.Client(here, &tls.Config{ServerName: stand, InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
		_ = c.Handshake() // it ends when nobody answers
	}()
	buf := make([]byte, 16<<10)
	n, err := there.Read(buf)
	there.Close()
	<-done
	if err != nil {
		t.Fatal(err)
	}
	return strings.Replace(string(buf[:n]), stand, name, 1)
}

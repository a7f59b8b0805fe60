package bridge_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair is a bridge in memory, with the two peers at hand. Each dial gets another conn.
type pair struct {
	*bridge.Bridge
	client *bridgetest.Conn // what the client holds

	mu      sync.Mutex
	servers []*bridgetest.Conn // what the servers hold, one for each dial
	dialled []bridge.Addr
	fails   error // what the next dial fails with
	buffer  int
}

var hop = bridge.Addr{Host: "192.0.2.80", Port: 1080}

// past is a deadline that makes a read say what is there now.
var past = time.Unix(1, 0)

func newPair(buffer int) *pair {
	client, ours := bridgetest.Pipe(buffer)
	p := &pair{client: client, buffer: buffer}
	p.Bridge = &bridge.Bridge{Client: bridge.NewStream(ours), DialFunc: p.dial}
	p.SetHop(hop)
	return p
}

// dialledPair is a pair whose server side is connected.
func dialledPair(t testing.TB, buffer int) *pair {
	t.Helper()
	p := newPair(buffer)
	if err := p.Dial(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *pair) dial(_ context.Context, hop bridge.Addr, _ *bridge.Flow) (net.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dialled = append(p.dialled, hop)
	if p.fails != nil {
		return nil, p.fails
	}
	ours, theirs := bridgetest.Pipe(p.buffer)
	p.servers = append(p.servers, theirs)
	return ours, nil
}

// server is what the server of the latest dial holds.
func (p *pair) server() *bridgetest.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.servers[len(p.servers)-1]
}

// say writes, and gives up the test when that fails.
func say(t testing.TB, c io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// hear reads exactly text.
func hear(t testing.TB, c io.Reader, text string) {
	t.Helper()
	got := make([]byte, len(text))
	if n, err := io.ReadFull(c, got); err != nil || string(got) != text {
		t.Fatalf("read %q, %v; want %q", got[:n], err, text)
	}
}

// hearEnd reads the end of a direction, and nothing before it.
func hearEnd(t testing.TB, c io.Reader, want error) {
	t.Helper()
	var buf [64]byte
	if n, err := c.Read(buf[:]); n != 0 || !errors.Is(err, want) {
		t.Fatalf("read %q, %v; want %v", buf[:n], err, want)
	}
}

// line parses what ends in a newline; a "!" in it is malformed.
func line(buf []byte) (string, int, error) {
	i := bytes.IndexByte(buf, '\n')
	switch {
	case bytes.IndexByte(buf, '!') >= 0:
		return "half a line", 3, errors.New("shouting")
	case i < 0:
		return "half a line", 3, bridge.ErrShort
	}
	return string(buf[:i]), i + 1, nil
}

// wantReason checks what an error leads to.
func wantReason(t testing.TB, err error, reason bridge.Reason, by bridge.Party) {
	t.Helper()
	if r, p := bridge.ReasonOf(err); r != reason || p != by {
		t.Errorf("%v: %s by %s, want %s by %s", err, r, p, reason, by)
	}
}

// wantDesync checks that an error is the given Desync.
func wantDesync(t testing.TB, err error, side bridge.Side, why bridge.Why) {
	t.Helper()
	var d *bridge.Desync
	if !errors.As(err, &d) || d.Side != side || d.Why != why {
		t.Errorf("error %v, want a desync: %s: %s", err, side, why)
	}
}

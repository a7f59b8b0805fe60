package capture

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "rewrite the goldens in testdata")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeConn has addresses, and nothing else: whoever reads or writes crashes.
type fakeConn struct {
	net.Conn
	local, remote string
}

func (c fakeConn) LocalAddr() net.Addr  { return addr(c.local) }
func (c fakeConn) RemoteAddr() net.Addr { return addr(c.remote) }
func (c fakeConn) Close() error         { return nil }

// addr returns a socket address; a text that is none is that of a Unix socket.
func addr(s string) net.Addr {
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return &net.UnixAddr{Net: "unix", Name: s}
	}
	return net.TCPAddrFromAddrPort(ap)
}

// flow describes a flow that a test captures.
type flow struct {
	client string // its socket's address
	server string // its socket's address; "" means that none is connected
	frames []bridge.Frame
}

// decrypted is a frame as the TLS layer leaves it.
func decrypted() bridge.Frame {
	return bridge.Frame{Proto: "tls", Verb: bridge.VerbRelay, Decrypted: true}
}

// web is a decrypted flow between two IPv4 addresses.
func web() flow {
	return flow{client: "198.51.100.2:50122", server: "203.0.113.9:443", frames: []bridge.Frame{decrypted()}}
}

func (d flow) make(tb testing.TB) *bridge.Flow {
	tb.Helper()
	b := &bridge.Bridge{
		Client: bridge.NewStream(fakeConn{remote: d.client, local: "192.0.2.1:8080"}),
		DialFunc: func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) {
			return fakeConn{remote: d.server, local: "192.0.2.1:40000"}, nil
		},
	}
	if d.server != "" {
		hop, _ := bridge.ParseAddr(d.server)
		if hop.IsZero() {
			hop = bridge.Addr{Host: "socket"}
		}
		b.SetHop(hop)
		if err := b.Dial(tb.Context()); err != nil {
			tb.Fatal(err)
		}
	}
	for _, frame := range d.frames {
		b.Push(frame)
	}
	return b.Flow()
}

// logs is what was logged, a line each.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// count returns how many lines hold a text.
func (l *logs) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for line := range strings.Lines(l.buf.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// session is a Writer under test, and where it writes.
type session struct {
	*Writer
	tb  testing.TB
	buf *bytes.Buffer
	log *logs
}

// start makes a Writer whose logs are kept and whose end the test checks.
func start(tb testing.TB, config Config) *session {
	tb.Helper()
	s := &session{tb: tb, buf: &bytes.Buffer{}, log: &logs{}}
	config.Log = s.log.logger()
	w, err := NewWriter(s.buf, config)
	if err != nil {
		tb.Fatal(err)
	}
	s.Writer = w
	return s
}

// finish closes the Writer and returns what is in the capture.
func (s *session) finish() []connection {
	s.tb.Helper()
	if err := s.Close(); err != nil {
		s.tb.Fatalf("Close: %v", err)
	}
	return follow(s.tb, read(s.tb, s.buf.Bytes()))
}

func outcome(reason bridge.Reason, by bridge.Party) bridge.Outcome {
	o := bridge.Outcome{Reason: reason, EndedBy: by, Duration: time.Second}
	if reason != bridge.EOF {
		o.Err = errors.New(string(reason))
	}
	return o
}

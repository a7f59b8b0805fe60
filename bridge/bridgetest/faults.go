package bridgetest

import (
	"net"
	"sync/atomic"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

// Faults is what is wrong with one end of a Conn. The zero value is nothing.
type Faults struct {
	Latency    time.Duration // what is written, and the FIN, arrive so much later
	ResetAfter int           // once so many bytes were written, both ends get a RST
	StallAfter int           // once so many bytes were written, the peer makes no more room
	MaxWrite   int           // a Write writes at most so many bytes, and returns io.ErrShortWrite for the rest
	MaxRead    int           // a Read returns at most so many bytes

	// EOFWithData makes the Read that brings the last bytes return io.EOF with them, as io.Reader allows.
	EOFWithData bool

	// EmptyReads makes every other Read return 0, nil, which io.Reader discourages.
	EmptyReads bool

	emptied bool
}

// SetFaults makes this end of the connection faulty.
func (c *Conn) SetFaults(f Faults) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.faults = f
	c.w.cond.Broadcast()
}

// Session is a Conn that knows an ending which TCP does not: Cut, as TLS does without close_notify. It has the methods
// that bridge.NewStream looks for.
type Session struct{ *Conn }

// Sessions is Pipe for a pair of Sessions.
func Sessions(buffer int) (client, server Session) {
	c, s := Pipe(buffer)
	return Session{c}, Session{s}
}

// End returns how the peer has ended its direction. Bytes may still be unread.
func (s Session) End() bridge.End {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	switch {
	case s.in.fin && s.in.cut:
		return bridge.Cut
	case s.in.fin:
		return bridge.Clean
	case s.dead:
		return bridge.Reset
	}
	return bridge.Open
}

// EndWrite ends our direction.
func (s Session) EndWrite(e bridge.End) error {
	switch e {
	case bridge.Reset:
		return s.SetLinger(0)
	case bridge.Cut:
		s.w.mu.Lock()
		s.out.cut = true
		s.w.mu.Unlock()
	}
	return s.CloseWrite()
}

// Chunked returns a conn that reads and writes c in chunks of the given sizes, one after the other and then from the
// first again. A Write is no longer one: the chunks of two that run at once mix.
func Chunked(c net.Conn, sizes ...int) net.Conn {
	cut := &chunked{Conn: c}
	cut.reads.sizes, cut.writes.sizes = sizes, sizes
	return cut
}

type chunked struct {
	net.Conn
	reads, writes chunks
}

type chunks struct {
	sizes []int
	used  atomic.Uint64
}

func (c *chunks) size() int {
	if len(c.sizes) == 0 {
		return 1
	}
	next := c.used.Add(1) - 1
	return max(c.sizes[next%uint64(len(c.sizes))], 1)
}

func (c *chunked) Read(p []byte) (int, error) {
	return c.Conn.Read(p[:min(len(p), c.reads.size())])
}

func (c *chunked) Write(p []byte) (n int, err error) {
	for err == nil && n < len(p) {
		var k int
		k, err = c.Conn.Write(p[n:min(len(p), n+c.writes.size())])
		n += k
	}
	return n, err
}

// CloseWrite half-closes the conn below.
func (c *chunked) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Conn.Close()
}

// SetLinger passes on what makes Close send a RST.
func (c *chunked) SetLinger(sec int) error {
	if l, ok := c.Conn.(interface{ SetLinger(int) error }); ok {
		return l.SetLinger(sec)
	}
	return nil
}

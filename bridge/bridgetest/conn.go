package bridgetest

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

// Conn is one end of a connection in memory that ends as TCP does on Linux:
//
//   - CloseWrite sends a FIN. The peer reads what was sent before it, then io.EOF.
//   - Close sends a FIN, too, but a RST when unread bytes are left, or after SetLinger(0).
//   - What is written to a peer that has closed is lost, and answered by a RST.
//   - After a RST what had arrived can still be read. Then the first Read or Write, whichever comes, fails with
//     ECONNRESET (EPIPE when a FIN had come before); later reads return io.EOF and later writes EPIPE.
//
// It waits by sync.Cond and timers only, so under testing/synctest it is durably blocked, and deadlines and latency
// pass on the bubble's clock. It is safe for concurrent use.
type Conn struct {
	Local, Remote net.Addr // *net.TCPAddr, unless changed before use

	w       *wire
	peer    *Conn
	in, out *lane
	faults  Faults
	read    time.Time // the read deadline
	write   time.Time
	timers  [2]*time.Timer // wake those who wait, at the deadlines
	closed  bool
	linger0 bool
	dead    bool  // a RST came
	err     error // what the RST left, until somebody was told
}

// wire is what both ends and both directions share.
type wire struct {
	mu   sync.Mutex
	cond *sync.Cond
}

// lane is one direction.
type lane struct {
	size   int       // the bytes that may be under way or unread; 0: a write waits until it was read
	buf    []byte    // arrived and unread
	flight []segment // under way
	sent   int       // all that was ever written
	shut   bool      // the FIN was sent
	fin    bool      // the FIN has arrived
	cut    bool      // it was sent by EndWrite(Cut)
	busy   bool      // a Write is running
}

type segment struct {
	data []byte
	fin  bool
}

// Pipe returns the two ends of a connection that holds up to buffer unread bytes in each direction. With a buffer of
// 0, as with net.Pipe, a write returns when all of it was read.
func Pipe(buffer int) (client, server *Conn) {
	w := &wire{}
	w.cond = sync.NewCond(&w.mu)
	up, down := &lane{size: buffer}, &lane{size: buffer}
	ca := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 50000}
	sa := &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 443}
	client = &Conn{Local: ca, Remote: sa, w: w, in: down, out: up}
	server = &Conn{Local: sa, Remote: ca, w: w, in: up, out: down}
	client.peer, server.peer = server, client
	return client, server
}

// Read reads what has arrived.
func (c *Conn) Read(p []byte) (int, error) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if c.faults.EmptyReads {
		if c.faults.emptied = !c.faults.emptied; c.faults.emptied {
			return 0, nil
		}
	}
	if limit := c.faults.MaxRead; limit > 0 && len(p) > limit {
		p = p[:limit]
	}
	for {
		switch {
		case c.closed:
			return 0, c.fail("read", net.ErrClosed)
		case passed(c.read):
			return 0, c.fail("read", os.ErrDeadlineExceeded)
		case len(p) == 0:
			return 0, nil
		case len(c.in.buf) > 0:
			return c.take(p)
		case c.in.fin:
			return 0, io.EOF
		case c.err != nil:
			return 0, c.fail("read", c.told())
		case c.dead:
			return 0, io.EOF
		}
		c.w.cond.Wait()
	}
}

func (c *Conn) take(p []byte) (n int, err error) {
	n = copy(p, c.in.buf)
	if c.in.buf = c.in.buf[n:]; len(c.in.buf) == 0 {
		c.in.buf = nil
		if c.faults.EOFWithData && c.in.fin {
			err = io.EOF
		}
	}
	c.w.cond.Broadcast()
	return n, err
}

// Write writes p as fast as the peer makes room for it.
func (c *Conn) Write(p []byte) (n int, err error) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	for c.out.busy {
		if err := c.unwritable(); err != nil {
			return 0, err
		}
		c.w.cond.Wait()
	}
	c.out.busy = true
	defer c.done()
	if limit := c.faults.MaxWrite; limit > 0 && len(p) > limit {
		if n, err = c.send(p[:limit]); err == nil {
			err = c.fail("write", io.ErrShortWrite)
		}
		return n, err
	}
	return c.send(p)
}

func (c *Conn) done() {
	c.out.busy = false
	c.w.cond.Broadcast()
}

func (c *Conn) send(p []byte) (n int, err error) {
	for {
		if err := c.unwritable(); err != nil {
			return n, err
		}
		if c.peer.closed && len(p) > 0 {
			c.reset()
			return len(p), nil
		}
		k := min(c.room(), len(p)-n)
		c.put(segment{data: append([]byte(nil), p[n:n+k]...)})
		if n += k; n == len(p) {
			return c.handedOver(n)
		}
		if k == 0 {
			c.w.cond.Wait()
		}
	}
}

// handedOver waits until an unbuffered write was read. What was not is taken back.
func (c *Conn) handedOver(n int) (int, error) {
	for c.out.size == 0 && len(c.out.buf)+len(c.out.flight) > 0 && !c.closed {
		if err := c.unwritable(); err != nil {
			n -= min(n, len(c.out.buf))
			c.out.buf = nil
			return n, err
		}
		c.w.cond.Wait()
	}
	return n, nil
}

// unwritable returns why nothing can be written.
func (c *Conn) unwritable() error {
	switch {
	case c.closed:
		return c.fail("write", net.ErrClosed)
	case passed(c.write):
		return c.fail("write", os.ErrDeadlineExceeded)
	case c.err != nil:
		return c.fail("write", c.told())
	case c.out.shut, c.dead:
		return c.fail("write", os.NewSyscallError("write", syscall.EPIPE))
	}
	return nil
}

// room returns how much may be written now.
func (c *Conn) room() int {
	room := c.out.size - len(c.out.buf)
	for _, s := range c.out.flight {
		room -= len(s.data)
	}
	if c.out.size == 0 {
		room = 1 << 30
	}
	if stall := c.faults.StallAfter; stall > 0 {
		room = min(room, stall-c.out.sent)
	}
	if reset := c.faults.ResetAfter; reset > 0 {
		room = min(room, reset-c.out.sent)
	}
	return max(room, 0)
}

// put sends a segment on its way.
func (c *Conn) put(s segment) {
	if len(s.data) == 0 && !s.fin {
		return
	}
	c.out.sent += len(s.data)
	c.out.flight = append(c.out.flight, s)
	if c.faults.Latency > 0 {
		time.AfterFunc(c.faults.Latency, c.deliver)
	} else {
		c.arrive()
	}
	if c.faults.ResetAfter > 0 && c.out.sent == c.faults.ResetAfter && !s.fin {
		c.reset()
		c.peer.reset()
	}
}

func (c *Conn) deliver() {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.arrive()
}

// arrive delivers the segment that is under way for the longest time.
func (c *Conn) arrive() {
	s := c.out.flight[0]
	c.out.flight = c.out.flight[1:]
	c.out.fin = c.out.fin || s.fin
	switch {
	case !c.peer.closed:
		c.out.buf = append(c.out.buf, s.data...)
	case len(s.data) > 0:
		c.reset()
	}
	c.w.cond.Broadcast()
}

// reset is the arrival of a RST.
func (c *Conn) reset() {
	if c.closed || c.dead {
		return
	}
	c.dead = true
	c.err = syscall.ECONNRESET
	if c.in.fin {
		c.err = syscall.EPIPE
	}
	c.w.cond.Broadcast()
}

// told returns the error that a RST left, once.
func (c *Conn) told() error {
	err := c.err
	c.err = nil
	return os.NewSyscallError("connection", err)
}

// CloseWrite ends our direction. The other goes on.
func (c *Conn) CloseWrite() error {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	switch {
	case c.closed:
		return c.fail("close", net.ErrClosed)
	case c.dead:
		return c.fail("close", os.NewSyscallError("shutdown", syscall.ENOTCONN))
	}
	c.shut()
	return nil
}

func (c *Conn) shut() {
	if !c.out.shut {
		c.out.shut = true
		c.put(segment{fin: true})
	}
	c.w.cond.Broadcast()
}

// SetLinger with 0 makes Close send a RST, as that of net.TCPConn; other values make it send a FIN.
func (c *Conn) SetLinger(sec int) error {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if c.closed {
		return c.fail("set", net.ErrClosed)
	}
	c.linger0 = sec == 0
	return nil
}

// Reset closes the conn with a RST.
func (c *Conn) Reset() error {
	c.SetLinger(0)
	return c.Close()
}

// Close closes the conn. What is blocked on it returns.
func (c *Conn) Close() error {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if c.closed {
		return c.fail("close", net.ErrClosed)
	}
	unread := len(c.in.buf) > 0
	c.closed, c.in.buf = true, nil
	for _, t := range c.timers {
		if t != nil {
			t.Stop()
		}
	}
	if c.linger0 || unread {
		c.peer.reset()
	} else if !c.dead {
		c.shut()
	}
	c.w.cond.Broadcast()
	return nil
}

// LocalAddr returns Local.
func (c *Conn) LocalAddr() net.Addr { return c.Local }

// RemoteAddr returns Remote.
func (c *Conn) RemoteAddr() net.Addr { return c.Remote }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline sets the time from which Read fails.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(bridge.Client, &c.read, t) }

// SetWriteDeadline sets the time from which Write fails.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(bridge.Server, &c.write, t) }

func (c *Conn) setDeadline(timer bridge.Side, deadline *time.Time, t time.Time) error {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if c.closed {
		return c.fail("set", net.ErrClosed)
	}
	*deadline = t
	if old := c.timers[timer]; old != nil {
		old.Stop()
	}
	if wait := time.Until(t); !t.IsZero() && wait > 0 {
		c.timers[timer] = time.AfterFunc(wait, c.wake)
	}
	c.w.cond.Broadcast()
	return nil
}

func (c *Conn) wake() {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.w.cond.Broadcast()
}

func passed(deadline time.Time) bool { return !deadline.IsZero() && !time.Now().Before(deadline) }

func (c *Conn) fail(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.Local, Addr: c.Remote, Err: err}
}

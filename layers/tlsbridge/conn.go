package tlsbridge

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

// Session is one TLS connection, after its handshake: a *tls.Conn of crypto/tls or
// whatever has its shape.
type Session interface {
	net.Conn
	CloseWrite() error // sends close_notify
}

// conn is a Session as a side of a Bridge. It is what a layer puts in the place of the
// stream below, and tells and sends the three ways to end. As a bridge.Poller it can be
// waited for without a buffer.
type conn struct {
	tls Session
	t   *transport

	acceptance *acceptance // of a client whose server is another's; else nil
	failed     func(error) // is told how reading ended; may be nil

	mu       sync.Mutex
	end      bridge.End  // how the peer ended its direction
	saidBye  bool        // we have sent close_notify
	lastCall *time.Timer // sends the FIN after it
	fin      sync.Once
}

var (
	_ bridge.Poller = (*conn)(nil)
	_ net.Conn      = (*conn)(nil)
)

// closeGrace is how long the transport's FIN is kept back after our close_notify: the
// peer may still be sending, and many take a FIN for the end of both directions.
const closeGrace = 250 * time.Millisecond

// Read reads decrypted bytes. A truncation is io.ErrUnexpectedEOF.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.tls.Read(p)
	return n, c.note(n, err)
}

// TryRead reads what can be had without waiting.
func (c *conn) TryRead(p []byte) (int, error) {
	c.t.try = true
	n, err := c.tls.Read(p)
	c.t.try = false
	switch {
	case !errors.Is(err, errNothingYet):
		return n, c.note(n, err)
	case n > 0:
		return n, c.note(n, nil)
	}
	return 0, bridge.ErrWouldBlock
}

// AwaitRead waits for bytes of the transport.
func (c *conn) AwaitRead() error { return c.t.s.AwaitRead() }

// note records that the peer spoke, and how a read ended its direction, and returns the
// error to give.
func (c *conn) note(n int, err error) error {
	if n > 0 {
		c.acceptance.hears()
	}
	if err == nil || isTimeout(err) {
		return err
	}
	if c.failed != nil {
		c.failed(err)
	}
	c.acceptance.ends(err, c.t.ended() != bridge.Open || errors.Is(err, io.EOF))
	end := c.endOf(err)
	c.mu.Lock()
	if c.end == bridge.Open {
		c.end = end
	}
	bye := c.saidBye
	c.mu.Unlock()
	if bye {
		c.endTransport()
	}
	if end == bridge.Cut && errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// endOf says what an error of the Session means for the peer's direction. The libraries
// return io.EOF for a close_notify and also for a FIN without one.
func (c *conn) endOf(err error) bridge.End {
	_, alerted := alertOf(err)
	switch ended := c.t.ended(); {
	case ended == bridge.Reset:
		return bridge.Reset
	case ended != bridge.Open:
		return bridge.Cut
	case errors.Is(err, io.EOF):
		return bridge.Clean
	case alerted:
		return bridge.Cut
	}
	return bridge.Reset // a record that can't be decrypted, or use after Close
}

// End says how the peer ended its direction, as far as reads have shown.
func (c *conn) End() bridge.End {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end
}

// maxPlaintext is the most that one record carries (RFC 8446 §5.1).
const maxPlaintext = 1 << 14

// Write writes p in records. After a timeout it can go on.
func (c *conn) Write(p []byte) (n int, err error) {
	c.acceptance.says()
	for {
		if err := c.t.ready(); err != nil {
			return n, err
		}
		k, err := c.tls.Write(p[n:min(len(p), n+maxPlaintext)])
		n += k
		if err == nil {
			err = c.t.timedOut()
		}
		if err != nil || n == len(p) {
			return n, err
		}
	}
}

// CloseWrite is EndWrite(bridge.Clean).
func (c *conn) CloseWrite() error { return c.EndWrite(bridge.Clean) }

// EndWrite ends our direction. Clean sends close_notify, and the transport's own end
// once the peer has ended its direction too, or after a moment. Cut sends the
// transport's end alone. Reset resets it.
func (c *conn) EndWrite(e bridge.End) error {
	c.acceptance.says()
	if e != bridge.Clean {
		return c.t.s.EndWrite(e)
	}
	err := c.tls.CloseWrite()
	c.mu.Lock()
	both := c.end != bridge.Open
	if !both && !c.saidBye {
		c.lastCall = time.AfterFunc(closeGrace, c.endTransport)
	}
	c.saidBye = true
	c.mu.Unlock()
	if both {
		c.endTransport()
	}
	return err
}

// endTransport ends our direction of the transport, after our close_notify.
func (c *conn) endTransport() {
	c.fin.Do(func() {
		c.forgetLastCall()
		c.t.s.EndWrite(bridge.Clean)
	})
}

func (c *conn) forgetLastCall() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lastCall != nil {
		c.lastCall.Stop()
	}
}

// Close sends close_notify, if that is possible at once, and closes the transport.
func (c *conn) Close() error {
	c.acceptance.says()
	c.forgetLastCall()
	c.t.s.SetWriteDeadline(time.Now().Add(closeGrace))
	c.tls.Close() // interrupts; that the goodbye could not be said is no fault of the caller
	return c.t.s.Close()
}

func (c *conn) LocalAddr() net.Addr  { return c.t.s.LocalAddr() }
func (c *conn) RemoteAddr() net.Addr { return c.t.s.RemoteAddr() }

func (c *conn) SetDeadline(d time.Time) error {
	return errors.Join(c.SetReadDeadline(d), c.SetWriteDeadline(d))
}
func (c *conn) SetReadDeadline(d time.Time) error  { return c.t.s.SetReadDeadline(d) }
func (c *conn) SetWriteDeadline(d time.Time) error { return c.t.setWriteDeadline(d) }

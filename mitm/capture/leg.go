package capture

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

// leg is a socket as captures see it.
type leg struct {
	views  []*conversation
	forget func() // the socket is closed, whether a flow was found for it or not
	peer   bridge.Side

	mu     sync.Mutex
	held   []byte // read last, and not yet shown
	heldAt time.Time
	how    kind        // how it ends, once that is known
	by     bridge.Side // who has ended it first
	ending bool        // how and by are known
	closed bool
}

// join adds the captures of another leg of the same socket. Either may be nil.
func (l *leg) join(m *leg) *leg {
	if l == nil || m == nil {
		if l == nil {
			return m
		}
		return l
	}
	first, second := l.forget, m.forget
	l.views = append(l.views, m.views...)
	l.forget = func() {
		for _, forget := range []func(){first, second} {
			if forget != nil {
				forget()
			}
		}
	}
	return l
}

// release shows what was read last.
//
// It is not shown when it is read but when something else happens on the socket: a
// handshake reads again, or writes, only when it has made something of what it has read.
// By then the secrets for what follows a ServerHello in the same read are known, and
// come before it in the capture.
func (l *leg) release() {
	if len(l.held) == 0 {
		return
	}
	for _, c := range l.views {
		c.legShow(l.heldAt, l.peer, l.held)
	}
	if l.held = l.held[:0]; cap(l.held) > keptRead {
		l.held = nil
	}
}

// keptRead is how large a buffer may be that an idle leg keeps.
const keptRead = 4 << 10

// legShow is showAt for a socket of which a flow is known.
func (c *conversation) legShow(at time.Time, from bridge.Side, b []byte) {
	if c.story != nil {
		c.showAt(at, from, b)
	}
}

// reads is called before a read.
func (l *leg) reads() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.release()
}

// hasRead is called after it.
func (l *leg) hasRead(b []byte, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.held, l.heldAt = append(l.held, b...), time.Now()
	if err != nil {
		l.failed(err)
	}
}

// writes is called before a write: the answer could otherwise be shown first.
func (l *leg) writes(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.release()
	for _, c := range l.views {
		c.legShow(time.Now(), l.peer.Other(), b)
	}
}

// failed notes how the peer has ended the connection, if it has.
func (l *leg) failed(err error) {
	switch {
	case errors.Is(err, io.EOF):
		l.end(kindFIN, l.peer)
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		l.how, l.by, l.ending = kindRST, l.peer, true
	}
}

// end notes who has ended the connection. The first counts, but a reset is a reset.
func (l *leg) end(how kind, by bridge.Side) {
	if !l.ending || how == kindRST && l.how != kindRST {
		l.how, l.by, l.ending = how, by, true
	}
}

func (l *leg) ends(how kind) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end(how, l.peer.Other())
}

func (l *leg) hasWritten(err error) {
	if err == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed(err)
}

// close ends the conversation.
func (l *leg) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	l.release()
	l.held = nil
	l.end(kindFIN, l.peer.Other())
	for _, c := range l.views {
		if c.story != nil {
			c.end(l.how, l.by)
		}
	}
	if l.forget != nil {
		l.forget()
	}
}

// legConn is a socket that a leg is shown. It has what the socket has but for the raw
// descriptor, past which nobody is to read.
type legConn struct {
	net.Conn
	leg *leg
}

// tapped returns a conn whose bytes l is shown; nil: there is nobody to show them to.
func tapped(conn net.Conn, peer bridge.Side, l *leg) net.Conn {
	if l == nil {
		return conn
	}
	l.peer = peer
	return &legConn{conn, l}
}

// NetConn returns the socket.
func (c *legConn) NetConn() net.Conn { return c.Conn }

func (c *legConn) Read(p []byte) (int, error) {
	c.leg.reads()
	n, err := c.Conn.Read(p)
	c.leg.hasRead(p[:n], err)
	return n, err
}

func (c *legConn) Write(p []byte) (int, error) {
	c.leg.writes(p)
	n, err := c.Conn.Write(p)
	c.leg.hasWritten(err)
	return n, err
}

// CloseWrite half-closes the socket, or closes it when it can't be half-closed.
func (c *legConn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return c.Close()
	}
	c.leg.ends(kindFIN)
	return half.CloseWrite()
}

// SetLinger says whether Close discards what is unsent; zero seconds reset the connection.
func (c *legConn) SetLinger(sec int) error {
	s, ok := c.Conn.(interface{ SetLinger(sec int) error })
	if !ok {
		return nil
	}
	if sec == 0 {
		c.leg.ends(kindRST)
	}
	return s.SetLinger(sec)
}

func (c *legConn) Close() error {
	c.leg.close()
	return c.Conn.Close()
}

package tlsbridge

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

// transport is the net.Conn that crypto/tls and utls are given: a thin layer over a
// Stream that keeps their habits from it.
//
//   - Close only interrupts: the Stream belongs to whoever accepted or dialled it, and
//     HandshakeContext closes what it is given when its context ends.
//   - SetWriteDeadline does nothing. The TLS libraries call it in CloseWrite only, to
//     leave a deadline in the past on the conn, which would end the direction of
//     whatever is below, another TLS conn for instance. Deadlines that a user sets go
//     to the Stream directly.
//   - A write that times out is finished by the next one, so that a deadline does not
//     cut a record in two, which TLS could not recover from.
//   - It tells the end of the transport from the end of the TLS conversation.
type transport struct {
	s         *bridge.Stream
	handshake *handshake // nil once it is over

	interrupted atomic.Bool

	try bool          // a read must not wait
	end atomic.Uint32 // how the transport ended (a bridge.End), once a read came to it

	writing sync.Mutex
	unsent  []byte // of a record whose write timed out
	late    error  // that timeout

	deadline atomic.Pointer[time.Time] // for writes
}

func (t *transport) Read(p []byte) (int, error) {
	switch {
	case t.interrupted.Load():
		return 0, net.ErrClosed
	case t.handshake != nil:
		return t.handshake.read(t, p)
	}
	return t.read(p)
}

// read reads from the Stream. An end that comes together with bytes is kept back until
// those were looked at: they may hold the close_notify that makes it a clean one.
func (t *transport) read(p []byte) (n int, err error) {
	if t.try {
		if n, err = t.s.TryRead(p); errors.Is(err, bridge.ErrWouldBlock) {
			return 0, errNothingYet
		}
	} else {
		n, err = t.s.Read(p)
	}
	if n > 0 {
		return n, nil
	}
	if err != nil && !isTimeout(err) {
		t.end.Store(uint32(t.s.End()))
	}
	return 0, err
}

// errNothingYet interrupts a read of a TLS conn without hurting it: they go on after a
// temporary net.Error.
var errNothingYet net.Error = nothingYet{}

type nothingYet struct{}

func (nothingYet) Error() string   { return "nothing to read yet" }
func (nothingYet) Timeout() bool   { return false }
func (nothingYet) Temporary() bool { return true }

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

// ended says how the transport ended, as far as reads have come.
func (t *transport) ended() bridge.End { return bridge.End(t.end.Load()) }

// Write accepts all of p even when only a part can be written before the deadline.
func (t *transport) Write(p []byte) (int, error) {
	if t.handshake != nil {
		return t.handshake.write(t, p)
	}
	return t.write(p)
}

func (t *transport) write(p []byte) (int, error) {
	t.writing.Lock()
	defer t.writing.Unlock()
	if len(t.unsent) > 0 {
		t.unsent = append(t.unsent, p...)
		return len(p), t.finish()
	}
	n, err := t.s.Write(p)
	if err == nil || !isTimeout(err) || t.interrupted.Load() {
		return n, err
	}
	t.unsent, t.late = append([]byte(nil), p[n:]...), err
	return len(p), nil
}

// finish writes what is unsent. A timeout is no error of it.
func (t *transport) finish() error {
	n, err := t.s.Write(t.unsent)
	t.unsent, t.late = t.unsent[n:], nil
	switch {
	case err != nil && isTimeout(err):
		t.late = err
		return nil
	case err == nil:
		t.unsent = nil
	}
	return err
}

// ready says whether a record can be written now: it finishes the last one, and
// returns the timeout when it can't.
func (t *transport) ready() error {
	if d := t.deadline.Load(); d != nil && !d.IsZero() && !time.Now().Before(*d) {
		return os.ErrDeadlineExceeded
	}
	t.writing.Lock()
	defer t.writing.Unlock()
	t.late = nil
	if len(t.unsent) > 0 {
		if err := t.finish(); err != nil {
			return err
		}
	}
	return t.late
}

// timedOut returns the timeout of the last write.
func (t *transport) timedOut() error {
	t.writing.Lock()
	defer t.writing.Unlock()
	return t.late
}

// Close interrupts whoever reads or writes, for good.
func (t *transport) Close() error {
	t.interrupted.Store(true)
	return t.s.SetDeadline(time.Unix(1, 0))
}

func (t *transport) LocalAddr() net.Addr  { return t.s.LocalAddr() }
func (t *transport) RemoteAddr() net.Addr { return t.s.RemoteAddr() }

func (t *transport) SetDeadline(d time.Time) error      { return t.s.SetReadDeadline(d) }
func (t *transport) SetReadDeadline(d time.Time) error  { return t.s.SetReadDeadline(d) }
func (t *transport) SetWriteDeadline(_ time.Time) error { return nil }

func (t *transport) setWriteDeadline(d time.Time) error {
	t.deadline.Store(&d)
	return t.s.SetWriteDeadline(d)
}

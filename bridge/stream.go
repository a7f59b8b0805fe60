package bridge

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// bufferLimit bounds what a Stream holds unread. It leaves room for the largest
// handshake message (a ClientHello of 64 KiB in 64 records) and what was read
// together with it; beyond it we stop reading, and TCP's window does the rest.
const bufferLimit = 128 << 10

// errBufferFull is what Fill returns at bufferLimit. It is not an ending.
var errBufferFull = errors.New("buffer full")

// Stream is one side of a Bridge: a conn and the one buffer of that side. Bytes
// that were read beyond a message stay in it and are what the next layer, or Read,
// gets first. It is a net.Conn.
//
// A Stream has at most one reader (Fill, Read) at a time; one writer may run beside
// it.
type Stream struct {
	conn net.Conn
	buf  []byte // read from conn and not yet discarded
	end  End
	err  error // what ended the peer's direction

	writes atomic.Uint64 // how many writes have begun or ended: odd while one runs
	reset  atomic.Bool   // a write was told of the peer's RST
}

// NewStream returns a Stream over c. When c itself has a method End() End or
// EndWrite(End) error, as a TLS conn does whose endings are not those of the
// transport, the Stream's are taken from it.
func NewStream(c net.Conn) *Stream { return &Stream{conn: c} }

// Fill appends what one read brings to the buffer. It returns nil when bytes came,
// the error that ended the peer's direction (io.EOF when it ended in order), or
// ctx's error. When ctx ends nothing is lost: what the interrupted read brought
// stays in the buffer, and the conn can be read again. A read that brought neither
// bytes nor an error is io.ErrNoProgress, and ends nothing; nor does a deadline that
// somebody else has set.
func (s *Stream) Fill(ctx context.Context) error {
	if s.end != Open {
		return s.err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(s.buf) >= bufferLimit {
		return errBufferFull
	}
	s.grow()
	interrupted := s.interruptWith(ctx)
	n, err := s.conn.Read(s.buf[len(s.buf):cap(s.buf)])
	stopped := interrupted()
	s.buf = s.buf[:len(s.buf)+n]
	if err != nil && !isInterrupt(err) {
		s.note(err)
	}
	switch {
	case n > 0:
		return nil
	case stopped && s.end == Open:
		return ctx.Err()
	case err == nil:
		return io.ErrNoProgress
	}
	return err
}

// grow makes room for a read. The buffer grows with what was received: it doubles
// when it is full, from 4 KiB.
func (s *Stream) grow() {
	const first = 4 << 10
	room := cap(s.buf) - len(s.buf)
	if room >= first/8 || room > 0 && cap(s.buf) == bufferLimit {
		return
	}
	bigger := make([]byte, len(s.buf), min(max(first, 2*cap(s.buf)), bufferLimit))
	copy(bigger, s.buf)
	s.buf = bigger
}

// interruptWith lets the end of ctx interrupt a read that is about to begin. The
// function that it returns ends that and reports whether ctx had ended. It waits
// for a callback that is still running before it clears the deadline: a late one
// would poison the next read.
func (s *Stream) interruptWith(ctx context.Context) (interrupted func() bool) {
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		s.conn.SetReadDeadline(past)
		close(done)
	})
	return func() bool {
		if stop() {
			return false
		}
		<-done
		s.conn.SetReadDeadline(time.Time{})
		return true
	}
}

var past = time.Unix(1, 0)

// note records how the peer ended its direction.
func (s *Stream) note(err error) {
	s.err = err
	if c, ok := s.conn.(interface{ End() End }); ok {
		if s.end = c.End(); s.end != Open {
			return
		}
	}
	switch {
	case errors.Is(err, io.EOF) && !s.resetWasTold():
		s.end = Clean
	case errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
		s.end = Clean // by CloseWrite, of a conn that can't be half-closed
	case errors.Is(err, io.ErrUnexpectedEOF):
		s.end = Cut
	default:
		s.end = Reset
	}
}

// resetWasTold reports whether it was a write that was told of the peer's RST. The
// kernel tells it once, and reads end then as if the peer had closed in order. A write
// that was just told may not have returned yet; one that waits for a peer which has
// only half-closed is not waited for.
func (s *Stream) resetWasTold() bool {
	const moment, step = 100 * time.Millisecond, 100 * time.Microsecond
	running := s.writes.Load()
	for waited := time.Duration(0); running%2 == 1 && waited < moment && s.writes.Load() == running; waited += step {
		time.Sleep(step)
	}
	return s.reset.Load()
}

// isInterrupt reports whether err is a deadline that has passed: the conn goes on.
func isInterrupt(err error) bool {
	var errno syscall.Errno
	return isTimeout(err) && !errors.As(err, &errno)
}

// isTimeout also reports ETIMEDOUT, which is the end of the conn.
func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// Buffered returns the bytes that were read and not yet discarded. It aliases the
// buffer, and is valid until the next Fill, Read or Discard.
func (s *Stream) Buffered() []byte { return s.buf }

// Discard removes the first n buffered bytes. It panics when there are fewer.
func (s *Stream) Discard(n int) {
	s.buf = s.buf[n:]
	if len(s.buf) == 0 {
		s.buf = nil // an idle flow holds no buffer
	}
}

// release lets go of an empty buffer: an interrupted Fill leaves one.
func (s *Stream) release() {
	if len(s.buf) == 0 {
		s.buf = nil
	}
}

// End says how the peer ended its direction, as far as reads have shown. Bytes may
// still be buffered.
func (s *Stream) End() End { return s.end }

// EndWrite ends our direction in the given way: Clean and Cut half-close, Reset
// makes the coming Close send a RST. A conn that cannot half-close is closed.
func (s *Stream) EndWrite(e End) error {
	if c, ok := s.conn.(interface{ EndWrite(End) error }); ok {
		return c.EndWrite(e)
	}
	if e == Reset {
		if c, ok := s.conn.(interface{ SetLinger(sec int) error }); ok {
			return c.SetLinger(0)
		}
		return nil
	}
	return s.CloseWrite()
}

// CloseWrite half-closes the conn, or closes it when it can't be half-closed.
func (s *Stream) CloseWrite() error {
	if c, ok := s.conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return s.conn.Close()
}

// Unwrap returns the conn below, for a copy that bypasses the Stream. It is nil
// while bytes are buffered.
func (s *Stream) Unwrap() net.Conn {
	if len(s.buf) > 0 {
		return nil
	}
	return s.conn
}

// Read reads buffered bytes first, then from the conn.
func (s *Stream) Read(p []byte) (int, error) {
	if len(s.buf) > 0 {
		n := copy(p, s.buf)
		s.Discard(n)
		return n, nil
	}
	if s.end != Open {
		return 0, s.err
	}
	n, err := s.conn.Read(p)
	if err != nil && !isInterrupt(err) {
		s.note(err)
	}
	return n, err
}

// Write writes to the conn.
func (s *Stream) Write(p []byte) (int, error) {
	s.writes.Add(1)
	n, err := s.conn.Write(p)
	s.wrote(err)
	return n, err
}

// wrote is the end of a write.
func (s *Stream) wrote(err error) {
	if errors.Is(err, syscall.ECONNRESET) {
		s.reset.Store(true)
	}
	s.writes.Add(1)
}

// Close closes the conn. Whoever accepted or dialled it does that; a layer does not.
func (s *Stream) Close() error { return s.conn.Close() }

// LocalAddr returns the conn's local address.
func (s *Stream) LocalAddr() net.Addr { return s.conn.LocalAddr() }

// RemoteAddr returns the peer's address.
func (s *Stream) RemoteAddr() net.Addr { return s.conn.RemoteAddr() }

// SetDeadline sets the conn's deadlines.
func (s *Stream) SetDeadline(t time.Time) error { return s.conn.SetDeadline(t) }

// SetReadDeadline sets the conn's read deadline.
func (s *Stream) SetReadDeadline(t time.Time) error { return s.conn.SetReadDeadline(t) }

// SetWriteDeadline sets the conn's write deadline.
func (s *Stream) SetWriteDeadline(t time.Time) error { return s.conn.SetWriteDeadline(t) }

package bridge

import (
	"cmp"
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Relay is the last handler of a chain. It passes on what is buffered and then
// everything that comes, in both directions, until both have ended; each end is
// passed on as it is: a half-close as a half-close, a reset as a reset. It dials the
// server first when that is needed.
//
// In a Proxy it is a tail call: it returns at once, and the relay runs when the handler
// has returned without an error, so that a flow does not hold the stack on which its
// handshakes were done. What is to be done when a flow has ended is an observer's.
//
// A flow in which nothing moves holds no copy buffer, and no descriptor besides its
// two, where the conns are TCP or Unix sockets on Linux or implement [Poller].
func Relay(ctx context.Context, b *Bridge) error {
	if err := b.Dial(ctx); err != nil {
		return err
	}
	b.Tap()
	b.redo.spoil(errors.New("application data was relayed"))
	b.Client.release()
	b.Server.release()
	r := &relay{b: b, begun: time.Now()}
	if b.tail {
		b.relay = r
		return nil
	}
	return r.run(ctx)
}

// RelayRefused goes on with a flow whose handshake ended in order, in a refusal that the
// client was given: as Chain does with one that broke the protocol.
func RelayRefused(ctx context.Context, b *Bridge) error {
	if b.Limits().Fail == FailClosed {
		return nil
	}
	return Last(ctx, b)
}

// relay is the state that the two directions share.
type relay struct {
	b        *Bridge
	begun    time.Time
	progress atomic.Int64 // when something moved last, since begun

	mu       sync.Mutex
	watchdog *time.Timer
	ended    [2]bool // the direction from this side is over
	failure  error   // what ended the relay, when it was not both ends
	unsent   error   // a peer was gone before it had everything
	returned bool    // run is over: timers that fire late leave the conns alone
}

func (r *relay) run(ctx context.Context) error {
	r.mu.Lock()
	r.watchdog = time.AfterFunc(r.b.Limits().Idle, r.watch)
	r.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { r.fail(context.Cause(ctx)) })

	other := make(chan struct{})
	go r.fromServer(other)
	r.from(Client)
	<-other

	stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watchdog.Stop()
	r.returned = true
	return cmp.Or(r.failure, r.unsent)
}

func (r *relay) fromServer(done chan<- struct{}) {
	defer close(done)
	r.from(Server)
}

// from is direction, whose panic, of a conn or a tap, ends both.
func (r *relay) from(s Side) {
	err := catch(func() error {
		r.direction(s)
		return nil
	})
	if err != nil {
		r.fail(err)
	}
}

// direction moves what one side sends until it ends, and passes its end on.
func (r *relay) direction(from Side) {
	src, dst := r.b.side(from), r.b.side(from.Other())
	err := r.move(from, src, dst)
	var unsent *writeError
	switch {
	case src.End() == Reset:
		r.fail(Fails(Resets, By(from), err))
		dst.EndWrite(Reset)
	case src.End() != Open:
		r.end(from, src, dst)
	case errors.As(err, &unsent) && isReset(err):
		// The peer was gone when we wrote. What it sent before is still to be passed
		// on: the other direction goes on until it has seen its end.
		r.lost(from, err)
		r.over(from)
	case errors.As(err, &unsent):
		r.fail(writeFailure(from.Other(), err))
	default:
		r.fail(err)
	}
}

// end passes the end of one side's direction on.
func (r *relay) end(from Side, src, dst *Stream) {
	r.over(from)
	r.mu.Lock()
	r.b.noteEnd(from)
	passed := r.b.passed[from]
	r.b.passed[from] = true
	r.mu.Unlock()
	if !passed {
		dst.EndWrite(src.End())
	}
}

// lost notes that the other peer did not get all that one side has sent.
func (r *relay) lost(from Side, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.unsent == nil {
		r.unsent = Fails(Resets, By(from.Other()), err)
	}
}

// over notes that nothing more moves from one side. The other direction may then go
// on for as long as it makes progress.
func (r *relay) over(from Side) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended[from] = true
	r.touch()
	r.watchdog.Reset(r.b.Limits().Drain)
}

// watch runs when the relay may have been without progress for its limit.
func (r *relay) watch() {
	r.mu.Lock()
	defer r.mu.Unlock()
	limit, reason := r.b.Limits().Idle, Idle
	if r.ended[Client] || r.ended[Server] {
		limit, reason = r.b.Limits().Drain, Drain
	}
	still := time.Since(r.begun) - time.Duration(r.progress.Load())
	if still < limit {
		r.watchdog.Reset(limit - still)
		return
	}
	r.failLocked(Fails(reason, ByMITM, nil))
}

func (r *relay) touch() { r.progress.Store(int64(time.Since(r.begun))) }

// fail ends both directions. The first failure counts.
func (r *relay) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failLocked(err)
}

func (r *relay) failLocked(err error) {
	if r.returned {
		return
	}
	if r.failure == nil {
		r.failure = err
	}
	r.b.Client.SetDeadline(past)
	r.b.Server.SetDeadline(past)
}

// move moves what src sends to dst until src ends or either fails. What src had
// buffered goes first.
func (r *relay) move(from Side, src, dst *Stream) error {
	for len(src.buf) > 0 {
		if err := r.write(from, dst, src.buf); err != nil {
			return err
		}
		src.Discard(len(src.buf))
	}
	if src.end != Open {
		return src.err
	}
	if r.b.tap == nil {
		return r.moveUntapped(from, src, dst)
	}
	return r.copy(from, src, dst, forever64)
}

const forever64 = int64(^uint64(0) >> 1)

// write shows p before it writes it: the answer to it, which comes in the other
// direction, is then shown after it.
func (r *relay) write(from Side, dst *Stream, p []byte) error {
	r.b.show(from, p)
	if _, err := dst.Write(p); err != nil {
		return &writeError{err}
	}
	r.touch()
	return nil
}

// writeError tells the failure of a write from that of a read.
type writeError struct{ err error }

func (e *writeError) Error() string { return "write: " + e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

// copy moves through a borrowed buffer until src ends or more than limit bytes have
// moved, and returns nil then.
func (r *relay) copy(from Side, src, dst *Stream, limit int64) error {
	for moved := int64(0); moved < limit; {
		buf, n, err := src.readBorrowed()
		if n > 0 {
			moved += int64(n)
			if werr := r.write(from, dst, buf[:n]); werr != nil {
				giveBack(buf)
				return werr
			}
		}
		giveBack(buf)
		if err != nil {
			if !isInterrupt(err) {
				src.note(err)
			}
			return err
		}
	}
	return nil
}

// Poller is what a conn implements whose reader can wait without a buffer.
type Poller interface {
	// TryRead reads what is there. When nothing is, it returns ErrWouldBlock.
	TryRead(p []byte) (int, error)

	// AwaitRead blocks until TryRead may bring bytes or an end, or until the read
	// deadline.
	AwaitRead() error
}

// ErrWouldBlock is what a Poller's TryRead returns when a Read would wait.
var ErrWouldBlock = errors.New("nothing to read yet")

// copyBuffer is the size of a relay's buffers. They are borrowed only while there is
// something to move, so there are few of them, and large ones cost less per byte.
const copyBuffer = 128 << 10

var buffers = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

func borrow() []byte { return buffers.Get().(*[copyBuffer]byte)[:] }

func giveBack(buf []byte) {
	if buf != nil {
		buffers.Put((*[copyBuffer]byte)(buf))
	}
}

// readBorrowed reads into a borrowed buffer, which it borrows once there is
// something to read, where the conn allows that. The caller gives the buffer back.
func (s *Stream) readBorrowed() (buf []byte, n int, err error) {
	if p, ok := s.conn.(Poller); ok {
		return pollBorrowed(p)
	}
	if raw := s.socket(); raw != nil {
		return raw.readBorrowed()
	}
	buf = borrow()
	n, err = s.conn.Read(buf)
	return buf, n, err
}

func pollBorrowed(p Poller) (buf []byte, n int, err error) {
	for {
		buf = borrow()
		n, err = p.TryRead(buf)
		if !errors.Is(err, ErrWouldBlock) {
			return buf, n, err
		}
		giveBack(buf)
		if err := p.AwaitRead(); err != nil {
			return nil, 0, err
		}
	}
}

// TryRead reads what is buffered, or what the conn has without waiting, and returns
// ErrWouldBlock when there is nothing. A conn of which that can't be asked is read
// in the ordinary way.
func (s *Stream) TryRead(p []byte) (n int, err error) {
	switch c, isPoller := s.conn.(Poller); {
	case len(s.buf) > 0, s.end != Open:
		return s.Read(p)
	case isPoller:
		n, err = c.TryRead(p)
	default:
		raw := s.socket()
		if raw == nil {
			return s.Read(p)
		}
		n, err = raw.tryRead(p)
	}
	if err != nil && !errors.Is(err, ErrWouldBlock) && !isInterrupt(err) {
		s.note(err)
	}
	return n, err
}

// AwaitRead blocks until TryRead may bring something.
func (s *Stream) AwaitRead() error {
	if len(s.buf) > 0 || s.end != Open {
		return nil
	}
	if c, ok := s.conn.(Poller); ok {
		return c.AwaitRead()
	}
	if raw := s.socket(); raw != nil {
		err := raw.awaitRead()
		if err == nil || isTimeout(err) {
			return err
		}
		// The kernel tells of a RST once, and it has told the wait: no read would see it.
		s.note(err)
	}
	return nil
}

// eof makes the "0, nil" of a system call what a Reader returns.
func eof(n int, err error) (int, error) {
	if n <= 0 && err == nil {
		return 0, io.EOF
	}
	return max(n, 0), err
}

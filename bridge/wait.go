package bridge

import (
	"context"
	"errors"
	"io"
	"runtime/debug"
)

// Wait blocks until a side has new bytes or ended, and returns ctx's error when it
// ends before. A side whose buffer is full is not read. When neither side can bring
// anything more, Wait fails.
func (b *Bridge) Wait(ctx context.Context) error {
	client := b.Client != nil && !b.watched[Client] && b.Client.fillable()
	server := !b.watched[Server] && b.Server != nil && b.Server.fillable()
	var err error
	switch {
	case client && server:
		err = b.fillBoth(ctx)
	case client:
		err = b.Client.Fill(ctx)
	case server:
		err = b.Server.Fill(ctx)
	default:
		return b.nothingMore()
	}
	if isPanic(err) {
		return err
	}
	if err != nil && ctx.Err() != nil && !b.Client.ended(client) && !b.Server.ended(server) {
		return context.Cause(ctx)
	}
	return nil
}

// nothingMore says why neither side can bring anything.
func (b *Bridge) nothingMore() error {
	for _, side := range []Side{Client, Server} {
		if s := b.side(side); s != nil && !b.watched[side] && s.end != Open {
			return Fails(PeerClosed, either(b.firstEnd == "", By(side), b.firstEnd), errNothingMore)
		}
	}
	return Fails(Limit, ByMITM, errBufferFull)
}

var errNothingMore = errors.New("nothing more can come")

// fillable reports whether a Fill could bring something.
func (s *Stream) fillable() bool { return s.end == Open && len(s.buf) < bufferLimit }

// ended reports whether a stream that was fillable has ended since.
func (s *Stream) ended(wasFillable bool) bool { return wasFillable && s.end != Open }

// fillBoth fills both sides until one brings something; the other's Fill is then
// interrupted, and has returned when fillBoth does.
func (b *Bridge) fillBoth(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silent := make(chan error, 1)
	go b.fillSilent(ctx, cancel, silent)
	err := catch(func() error { return b.Client.Fill(ctx) })
	cancel()
	other := <-silent
	switch {
	case isPanic(other):
		return other
	case other == nil && !isPanic(err):
		return nil
	}
	return err
}

// fillSilent fills the server side beside the client's Fill. A panic in a conn ends
// the flow, not the process.
func (b *Bridge) fillSilent(ctx context.Context, cancel context.CancelFunc, result chan<- error) {
	defer cancel()
	result <- catch(func() error { return b.Server.Fill(ctx) })
}

// catch turns a panic of f into an error.
func catch(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{v, debug.Stack()}
		}
	}()
	return f()
}

func isPanic(err error) bool {
	caught := (*PanicError)(nil)
	return errors.As(err, &caught)
}

// While runs f with a context that ends when the given peer ends its direction or
// resets, and returns when both are over. What the peer sends meanwhile stays
// buffered. When f fails after the peer went away, the error is the Failure that
// says so. In f the other side alone can be waited for.
func (b *Bridge) While(ctx context.Context, s Side, f func(context.Context) error) error {
	fctx, gone := context.WithCancelCause(ctx)
	wctx, stop := context.WithCancel(ctx)
	watched := make(chan struct{})
	b.watched[s] = true
	go b.side(s).watch(wctx, s, gone, watched)
	err := catch(func() error { return f(fctx) }) // which leaves no reader behind
	stop()
	<-watched
	b.watched[s] = false
	cause := context.Cause(fctx)
	gone(nil)
	if isPanic(err) {
		return err
	}
	if failure := (*Failure)(nil); err != nil && errors.As(cause, &failure) {
		return failure
	}
	return err
}

// watch fills s until it ends, its buffer is full, or ctx ends.
func (s *Stream) watch(ctx context.Context, side Side, gone context.CancelCauseFunc, done chan<- struct{}) {
	defer close(done)
	err := catch(func() error {
		for {
			if err := s.Fill(ctx); err != nil && !errors.Is(err, io.ErrNoProgress) {
				return err
			}
		}
	})
	switch {
	case s.end == Reset:
		gone(Fails(Resets, By(side), err))
	case s.end != Open:
		gone(Fails(PeerClosed, By(side), err))
	}
}

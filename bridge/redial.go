package bridge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
)

// redo is what it takes to bring a fresh connection to the hop to where the server
// side is now: the client's messages with the class of each reply, and the wrapping
// of the stream by layers, in order. It is capped, and freed when Relay begins.
type redo struct {
	steps []redoStep
	bytes int
	why   error // why it can't be done

	running bool // it is being done: the end of the client's direction is passed on later
}

// redoStep takes a stream one step further, and returns the stream to go on with.
type redoStep func(ctx context.Context, b *Bridge, s *Stream) (*Stream, error)

// redoLimit bounds the client messages that are kept.
const redoLimit = 64 << 10

func (r *redo) add(step redoStep) {
	if r.why == nil {
		r.steps = append(r.steps, step)
	}
}

// spoil says that from here on the handshake can't be done again.
func (r *redo) spoil(why error) {
	if r.why == nil {
		*r = redo{why: why}
	}
}

func (r *redo) said(message []byte) {
	if r.bytes += len(message); r.bytes > redoLimit {
		r.spoil(errors.New("the handshake is too long to be said again"))
		return
	}
	message = slices.Clone(message)
	r.add(func(_ context.Context, b *Bridge, s *Stream) (*Stream, error) {
		return s, b.send(Server, message)
	})
}

// heard remembers the class of a server's message.
func heard[M any](r *redo, p Parser[M], m M, t turn) {
	class := func(m M) any {
		if t.class == nil {
			return nil
		}
		return t.class(m)
	}
	want := class(m)
	r.add(func(ctx context.Context, b *Bridge, s *Stream) (*Stream, error) {
		again, n, err := Expect(ctx, b, Server, p, Max(t.max), Within(t.limit))
		if err != nil {
			return nil, err
		}
		if got := class(again); got != want {
			return nil, fmt.Errorf("the server answered %v at first, and %v now", want, got)
		}
		s.Discard(n)
		return s, nil
	})
}

func (r *redo) wrapped(wrap func(context.Context, net.Conn) (net.Conn, error)) {
	if wrap == nil {
		r.spoil(errors.New("a layer on the server side can't be made again"))
		return
	}
	r.add(func(ctx context.Context, _ *Bridge, s *Stream) (*Stream, error) {
		c, err := wrap(ctx, s)
		if err != nil {
			return nil, err
		}
		return NewStream(c), nil
	})
}

// NoRedial says that the handshake so far can't be done again on another connection,
// and why: a challenge was answered, or a request had a body.
func (b *Bridge) NoRedial(why error) { b.redo.spoil(why) }

// Redial replaces the server side by a fresh connection to the same hop on which
// every layer's handshake so far was done again. When that fails the server side is
// gone, and the error is Final: what the client has said in that handshake can't be
// passed on again. When it can't be done, the server side stays as it is.
func (b *Bridge) Redial(ctx context.Context) error {
	if b.redo.why != nil {
		return fmt.Errorf("redial: %w", b.redo.why)
	}
	b.closeServer()
	if err := b.redoSteps(ctx); err != nil {
		b.closeServer()
		return Final(fmt.Errorf("redial: %w", err))
	}
	return nil
}

// errSaid is a server side on which something was said already.
var errSaid = errors.New("something was said to the server already")

// Reroute names another hop, and connects the server side to that when it was connected
// to the old one already. That must be before anything was said on it.
func (b *Bridge) Reroute(ctx context.Context, hop Addr) error {
	if b.Server == nil {
		b.SetHop(hop)
		return nil
	}
	if b.redo.why != nil || len(b.redo.steps) > 0 {
		return fmt.Errorf("reroute to %s: %w", hop, errSaid)
	}
	b.closeServer()
	b.flow.setServer(Addr{})
	b.SetHop(hop)
	return b.Dial(ctx)
}

func (b *Bridge) redoSteps(ctx context.Context) error {
	b.redo.running = true
	defer func() { b.redo.running = false }()
	if err := b.Dial(ctx); err != nil {
		return err
	}
	for _, step := range b.redo.steps {
		s, err := step(ctx, b, b.Server)
		if err != nil {
			return err
		}
		b.Server = s
	}
	return nil
}

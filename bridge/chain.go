package bridge

import (
	"context"
	"errors"
)

// Handler takes a Bridge from where it is to its end.
type Handler func(ctx context.Context, b *Bridge) error

// Layer is one protocol of a chain.
type Layer struct {
	Name string // the word for it in errors and paths

	// Handle relays, terminates or bridges the protocol's handshake and then calls
	// next, whose error it returns as it is, and after which there is nothing left to
	// do: the flow may go on when next has returned. Not calling next ends the flow.
	Handle func(ctx context.Context, b *Bridge, next Handler) error

	// Closed says that a flow which breaks the protocol ends, instead of going on
	// as a raw relay: the rest of it would be read as something that it is not.
	Closed bool
}

// Chain stacks layers, outermost first, and ends in Relay.
//
// It names the error of each layer, and turns a panic into an error. When a layer
// returns a Desync before it called the next one, the flow goes on as a raw relay
// and the frame is marked opaque: everything relayed so far was passed on as it
// came. It ends instead when no hop is known, with Limits.Fail closed, when the
// layer is Closed, or when the error is Final.
func Chain(layers ...Layer) Handler { return ChainTo(Relay, layers...) }

// ChainTo is Chain with another last handler. It also has the last word on flows that
// fall back to a raw relay, here and in chains inside of this one.
func ChainTo(last Handler, layers ...Layer) Handler {
	h := last
	for i := len(layers) - 1; i >= 0; i-- {
		h = layers[i].before(h)
	}
	return func(ctx context.Context, b *Bridge) error {
		if b.last == nil {
			b.last = last
			defer func() { b.last = nil }()
		}
		return h(ctx, b)
	}
}

// Last hands the flow to the chain's last handler, past all layers that are between. It is for a layer that has seen
// all that it looks for in a protocol which goes on, as one does in which nobody asked for TLS: what follows is not
// for the next layer to look into.
func Last(ctx context.Context, b *Bridge) error {
	if b.last == nil {
		return Relay(ctx, b)
	}
	return b.last(ctx, b)
}

func (l Layer) before(next Handler) Handler {
	return func(ctx context.Context, b *Bridge) error {
		base, layer := b.base, b.layer
		b.base, b.layer = b.Flow().depth(), l.Name
		defer func() { b.base, b.layer = base, layer }()

		entered := false
		err := catch(func() error {
			return l.Handle(ctx, b, func(ctx context.Context, b *Bridge) error {
				entered = true
				return next(ctx, b)
			})
		})
		switch {
		case err == nil:
			return nil
		case entered:
			return named("", err)
		case l.fallsBack(b, err):
			b.Observer.frame(b.flow, b.flow.markOpaque(b.base, l.Name))
			return Last(ctx, b)
		}
		return named(l.Name, err)
	}
}

// named says which layer an error left, unless one inside of it has said so.
func named(layer string, err error) error {
	if e := (*Error)(nil); layer == "" || errors.As(err, &e) {
		return err
	}
	return &Error{layer, err}
}

func (l Layer) fallsBack(b *Bridge, err error) bool {
	var (
		desync *Desync
		final  *finalError
	)
	switch {
	case !errors.As(err, &desync), errors.As(err, &final):
		return false
	case l.Closed, b.Limits().Fail == FailClosed:
		return false
	}
	return b.Server != nil || !b.hop.IsZero()
}

type finalError struct{ err error }

func (e *finalError) Error() string { return e.err.Error() }
func (e *finalError) Unwrap() error { return e.err }

// Final marks the error of a layer that has answered the client itself, so that the
// flow ends and does not go on as a raw relay, nor is mirrored to the client as a
// refused connection. Final(nil) is nil.
func Final(err error) error {
	if err == nil {
		return nil
	}
	return &finalError{err}
}

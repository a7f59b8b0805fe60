package proxyproto

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// ErrHealthCheck is a connection that a source which may send a header has ended, or reset, without a byte, or without
// one after the header of a connection of its own (LOCAL): a balancer that looked whether we are there. The Outcome is
// peer_closed, by the client.
var ErrHealthCheck = errors.New("health check")

// Terminate returns the layer that takes the header off. Its source becomes the flow's client. With Config.Forward the
// header goes on when the server side is dialled, which has to be by Dial.
func Terminate(c Config) bridge.Layer {
	return c.layer(c.Forward.verb(), c.takeOff)
}

// Relay returns the layer that passes the header on as it came, and at once: it dials and writes the header in one
// Write before it waits for anything else, since the server may be the one to speak first. §2.2: "The sender must
// always ensure that the header is sent at once".
func Relay(c Config) bridge.Layer {
	return c.layer(bridge.VerbRelay, c.passOn)
}

// step consumes a header that is buffered. The context is for what comes next.
type step func(ctx context.Context, b *bridge.Bridge, h *detect.ProxyHeader) (context.Context, error)

func (c Config) layer(verb bridge.Verb, consume step) bridge.Layer {
	handle := func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
		if within(b) {
			return next(ctx, b)
		}
		h, err := c.await(ctx, b)
		switch {
		case err != nil:
			return err
		case h == nil:
			return next(ctx, b)
		}
		b.Push(frameOf(h, verb))
		if ctx, err = consume(ctx, b, h); err != nil {
			return err
		}
		return next(ctx, b)
	}
	return bridge.Layer{Name: "proxy", Closed: true, Handle: handle}
}

// within reports whether a header was read on this connection already.
func within(b *bridge.Bridge) bool {
	return slices.ContainsFunc(b.Flow().Frames(), isHeader)
}

func isHeader(f bridge.Frame) bool { return f.Proto == protoOf(1) || f.Proto == protoOf(2) }

func protoOf(version int) string { return fmt.Sprintf("proxy%d", version) }

// frameOf is what the header says. Without addresses those of the socket hold (§2.1, §2.2).
func frameOf(h *detect.ProxyHeader, verb bridge.Verb) bridge.Frame {
	f := bridge.Frame{Proto: protoOf(h.Version), Verb: verb, Detail: h}
	switch {
	case h.Src.IsValid():
		f.Src, f.Dst = bridge.AddrFrom(h.Src), bridge.AddrFrom(h.Dst)
	case h.Command == detect.ProxyLocal:
		f.Note = "LOCAL"
	}
	return f
}

// await waits for the header, and returns it, or nil when there is none and need not be one.
func (c Config) await(ctx context.Context, b *bridge.Bridge) (*detect.ProxyHeader, error) {
	parse := c.required
	source := c.towards(b)
	switch {
	case source == untrusted && c.Untrusted == Reject:
		err := fmt.Errorf("%s may not send a PROXY header", b.Flow().Peer())
		return nil, bridge.Fails(bridge.Denied, bridge.ByMITM, err)
	case source == untrusted:
		return nil, nil
	case source == mayHave:
		parse = c.optional
	}
	h, _, err := bridge.Expect(ctx, b, bridge.Client, peek(parse), c.options(b)...)
	buffered := b.Client.Buffered()
	desync := (*bridge.Desync)(nil)
	switch {
	case err == nil:
		return h, nil
	case isHealthCheck(b):
		return nil, healthCheck()
	case !errors.As(err, &desync):
		return nil, err
	case source == mayHave && identify(buffered).Kind != detect.Match:
		return nil, nil // it ended or fell silent before it was a header
	}
	// The first bytes are logged, since nothing else tells what the sender was.
	return nil, fmt.Errorf("%w (first bytes %x)", err, buffered[:min(len(buffered), loggedBytes)])
}

// peek makes a parser take nothing, for a look at what a later turn is to take.
func peek[M any](p bridge.Parser[M]) bridge.Parser[M] {
	return func(buf []byte) (M, int, error) {
		m, _, err := p(buf)
		return m, 0, err
	}
}

// loggedBytes is how much of a broken header goes into the error.
const loggedBytes = 32

func (c Config) options(b *bridge.Bridge) []bridge.TurnOption {
	return []bridge.TurnOption{bridge.Max(headerLen + c.maxHeader()), bridge.Within(b.Limits().Proxy)}
}

// isHealthCheck reports whether the client has ended without a word. Balancers like to do that by a reset, which leaves
// them no connection to wait for.
func isHealthCheck(b *bridge.Bridge) bool {
	return b.Client.End() != bridge.Open && len(b.Client.Buffered()) == 0
}

func healthCheck() error { return bridge.Fails(bridge.PeerClosed, bridge.ByClient, ErrHealthCheck) }

// takeOff consumes the header for Terminate.
func (c Config) takeOff(ctx context.Context, b *bridge.Bridge, h *detect.ProxyHeader) (context.Context, error) {
	_, n, err := bridge.Expect(ctx, b, bridge.Client, c.required, c.options(b)...)
	if err != nil {
		return nil, err
	}
	ctx = c.remember(ctx, h, b.Client.Buffered()[:n])
	b.Take(bridge.Client, n)
	noHop := b.Hop().IsZero()
	switch {
	case noHop && h.Command == detect.ProxyLocal:
		return ctx, awaitUse(ctx, b)
	case noHop && c.SetHop && h.Dst.IsValid() && h.Transport == detect.ProxyStream:
		b.SetHop(bridge.AddrFrom(h.Dst))
	}
	return ctx, nil
}

// awaitUse waits until the sender of a LOCAL header says what it wants: most say nothing and close. Where a hop is
// known we don't wait, since the server may be the one to speak first.
func awaitUse(ctx context.Context, b *bridge.Bridge) error {
	_, _, err := bridge.Expect(ctx, b, bridge.Client, peek(anything), bridge.Within(b.Limits().First))
	if err != nil && isHealthCheck(b) {
		return healthCheck()
	}
	return err
}

// anything is the parser of whatever a peer says.
func anything(buf []byte) (struct{}, int, error) {
	if len(buf) == 0 {
		return struct{}{}, 0, bridge.ErrShort
	}
	return struct{}{}, len(buf), nil
}

// passOn relays the header for Relay. It is a turn, so that Redial says it again.
func (c Config) passOn(ctx context.Context, b *bridge.Bridge, _ *detect.ProxyHeader) (context.Context, error) {
	_, err := bridge.Turn(ctx, b, bridge.Client, c.required, c.options(b)...)
	return ctx, err
}

package bridge

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// Originate returns the DialFunc of a protocol in which we are the server's client: it has next connect to via, or to
// the hop where via is zero, and then has handshake speak the protocol there, before anybody else is given the
// connection. Nil for next means a net.Dialer. A redial does the same again.
//
// The Bridge that handshake gets has this server side, l as its limits, the flow, and no client: it waits by Expect,
// takes by Take, and answers by Write. What the server has sent behind the handshake is the first that is read from
// the connection. The frame that handshake returns is told by [Flow.Originated], also when it fails.
//
// An error of next, and one of the engine's, keeps its Reason and its words and unwraps to nothing, so that no layer
// takes it for the destination's. A reset is PeerClosed: the client has not been connected to what it could be mirrored
// from. A Failure of handshake is kept as it is.
func Originate(next DialFunc, via Addr, l Limits, handshake func(ctx context.Context, b *Bridge, hop Addr) (Frame, error)) DialFunc {
	if next == nil {
		next = dialTCP
	}
	l = l.WithDefaults()
	return func(ctx context.Context, hop Addr, f *Flow) (net.Conn, error) {
		to := either(via.IsZero(), hop, via)
		c, err := next(ctx, to, f)
		if err != nil {
			return nil, notReached(ctx, &DialError{to, err})
		}
		b := &Bridge{Server: NewStream(c), limits: &l, flow: f}
		frame, err := handshake(ctx, b, hop)
		f.originate(frame)
		if err != nil {
			c.Close()
			return nil, notOpened(ctx, to, err)
		}
		if len(b.Server.Buffered()) > 0 || b.Server.End() != Open {
			return b.Server, nil
		}
		return c, nil
	}
}

// notReached is the error of a dial below a protocol that we originate.
func notReached(ctx context.Context, err *DialError) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return err // whoever has given up says why
	}
	reason, by := ReasonOf(err)
	return Fails(reason, by, errors.New(err.Error()))
}

// notOpened is the error of a handshake that we originate.
func notOpened(ctx context.Context, with Addr, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return err
	}
	reason, by := ReasonOf(err)
	switch reason {
	case Resets:
		return Fails(PeerClosed, ByServer, fmt.Errorf("through %s: %v", with, err))
	case Timeout:
		by = ByServer
	}
	if failure := (*Failure)(nil); errors.As(err, &failure) {
		return Fails(reason, by, fmt.Errorf("through %s: %w", with, err))
	}
	return Fails(reason, by, fmt.Errorf("through %s: %v", with, err))
}

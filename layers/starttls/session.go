package starttls

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// Plain is the Detail of the frames of this package: what was learnt from the part that is not encrypted. Its text comes
// from the wire, without control characters; what was not said is empty.
type Plain struct {
	Greeting string // the first line of the server's greeting, or the version that it names
	Client   string // what the client calls itself: in EHLO, HELO, LHLO; from of XMPP
	Host     string // whom the client asks for: to of XMPP
	Refusal  string // the server's last answer that did not grant TLS
}

// session is one conversation in its plain part.
type session struct {
	b     *bridge.Bridge
	frame bridge.Frame
	plain *Plain
}

// errPlain is a conversation in which nobody will ask for TLS any more: it goes on as it is.
var errPlain = errors.New("goes on without TLS")

// layer makes a layer of a conversation, which ends with nil where TLS begins. The frame is pushed when it is known
// which of the two it is.
func layer(proto string, talk func(context.Context, *session) error) bridge.Layer {
	return bridge.Layer{Name: proto, Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
		b.Keep() // what is said before TLS belongs to the conversation, as what is said in it
		s := &session{b: b, plain: &Plain{}}
		s.frame = bridge.Frame{Proto: proto, Verb: bridge.VerbRelay, Detail: s.plain}
		err := talk(ctx, s)
		s.frame.Continues = err == nil
		b.Push(s.frame)
		switch {
		case err == nil:
			return next(ctx, b)
		case errors.Is(err, errPlain):
			return bridge.Last(ctx, b)
		}
		return err
	}}
}

// begun accepts whatever has begun to come.
func begun([]byte) (struct{}, int, error) { return struct{}{}, 0, nil }

// await waits until a peer begins to speak. People type slowly, and servers look up names before they greet, so this
// is bounded by the limit of an idle flow, not by that of a turn.
func await(ctx context.Context, s *session, from bridge.Side) error {
	_, _, err := bridge.Expect(ctx, s.b, from, begun, bridge.Within(s.b.Limits().Idle))
	return ending(err)
}

// expect waits for a message and consumes nothing. What has begun must then come within the limit of a turn.
func expect[M any](ctx context.Context, s *session, from bridge.Side, p bridge.Parser[M], options ...bridge.TurnOption) (m M, n int, err error) {
	if err = await(ctx, s, from); err != nil {
		return m, 0, err
	}
	m, n, err = bridge.Expect(ctx, s.b, from, p, options...)
	return m, n, gone(err)
}

// turn relays a message.
func turn[M any](ctx context.Context, s *session, from bridge.Side, p bridge.Parser[M], options ...bridge.TurnOption) (m M, err error) {
	if err = await(ctx, s, from); err != nil {
		return m, err
	}
	m, err = bridge.Turn(ctx, s.b, from, p, options...)
	return m, gone(err)
}

// wait waits until either peer says more, where nobody has a turn. What is held back of a message that has begun is held
// for the given time.
func (s *session) wait(ctx context.Context, held time.Duration) error {
	limit := s.b.Limits().Idle
	holds := len(s.b.Client.Buffered())+len(s.b.Server.Buffered()) > 0
	if holds {
		limit = held
	}
	if s.b.Client.End() != bridge.Open || s.b.Server.End() != bridge.Open {
		return errPlain
	}
	wctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := s.b.Wait(wctx)
	switch {
	case err == nil || ctx.Err() != nil || wctx.Err() == nil:
		return err
	case holds:
		return errPlain
	}
	return ending(&bridge.Desync{Why: bridge.TimedOut})
}

// ending is the error of a wait: silence for as long as that ends the flow, as it does in a relay.
func ending(err error) error {
	if d := (*bridge.Desync)(nil); errors.As(err, &d) && d.Why == bridge.TimedOut {
		return bridge.Fails(bridge.Idle, bridge.ByMITM, errors.New("nothing was said"))
	}
	return gone(err)
}

// gone is the error of a wait or a turn. A peer that leaves before TLS breaks nothing: its end is passed on like any.
func gone(err error) error {
	if d := (*bridge.Desync)(nil); errors.As(err, &d) && d.Why == bridge.Ended {
		return errPlain
	}
	return err
}

// ask relays the message with which the client asks for TLS. Nothing may follow it before the server has answered: a
// client that knows what it does waits, so what follows was put there by somebody else, as plain text which the server
// may take for the beginning of what it is told in TLS (CVE-2011-0411; CVE-2021-23214 in PostgreSQL). We would be the
// ones who make it so: what stands before the server's handshake here stands inside of TLS there.
func ask[M any](ctx context.Context, s *session, p bridge.Parser[M]) (m M, err error) {
	m, n, err := expect(ctx, s, bridge.Client, p)
	if err != nil {
		return m, err
	}
	if len(s.b.Client.Buffered()) > n {
		return m, errCommandInjection()
	}
	return turn(ctx, s, bridge.Client, p)
}

// answer relays the server's answer to that, or a part of it. What the client has sent before it is refused, whatever
// the answer is; and so is what the server sends behind an answer that grants TLS, which the client might take for
// the beginning of what it is told in TLS (CVE-2021-23222).
func answer[M any](ctx context.Context, s *session, p bridge.Parser[M], granted func(M) bool, options ...bridge.TurnOption) (m M, err error) {
	m, n, err := expect(ctx, s, bridge.Server, p, options...)
	switch {
	case err != nil:
		return m, err
	case len(s.b.Client.Buffered()) > 0:
		return m, errCommandInjection()
	case granted(m) && len(s.b.Server.Buffered()) > n:
		return m, errResponseInjection()
	}
	return turn(ctx, s, bridge.Server, p, options...)
}

func errCommandInjection() error {
	return bridge.Fails(bridge.Desynced, bridge.ByClient,
		errors.New("bytes behind the request for TLS, before the server has answered it"))
}

func errResponseInjection() error {
	return bridge.Fails(bridge.Desynced, bridge.ByServer, errors.New("bytes behind the answer that grants TLS"))
}

// noRedial says that the conversation holds more than can be said again to another server.
func (s *session) noRedial() {
	s.b.NoRedial(errors.New("more was said before TLS than the request for it"))
}

func malformed(protocol, field string, offset int) error {
	return &detect.MalformedError{Protocol: protocol, Field: field, Offset: offset}
}

// clean returns text from the wire without control characters and without what is not UTF-8.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
}

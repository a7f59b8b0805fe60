package socks

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// Config is how Terminate serves. The zero value serves everybody, with what the bridge's DialFunc allows. It is not
// changed after first use.
type Config struct {
	// Auth says whether user and password are right; to compare in constant time is up to it. It is called on the
	// flow's goroutine. With it SOCKS5 clients must use method 02, and SOCKS4 clients, which cannot show a
	// password, are refused. Nil means that nobody is asked.
	Auth func(user, password string) bool

	// Hop says where to dial for the destination that a client asked for; nil means to dial that.
	Hop func(asked bridge.Addr) bridge.Addr
}

// Terminate returns the layer that is a SOCKS5, SOCKS4 and SOCKS4A server for CONNECT.
//
// It makes the destination the bridge's hop, dials it, grants the request when the connection stands, with our own
// address of it as BND, and hands on to the next layer; what the client sent behind its request is the first that
// comes out of the tunnel. Whatever goes wrong is answered in the protocol, and ends the flow.
//
// The client's first byte may take Limits.First, each further message Limits.Turn.
func Terminate(c Config) bridge.Layer {
	return bridge.Layer{Name: "socks", Handle: c.handle}
}

func (c Config) handle(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
	if err := c.serve(ctx, b); err != nil {
		return bridge.Final(err)
	}
	return next(ctx, b)
}

// serve is the handshake. The frame is pushed before the dial, so that the dialler sees who asks for what.
func (c Config) serve(ctx context.Context, b *bridge.Bridge) error {
	version, _, err := bridge.Expect(ctx, b, bridge.Client, parseVersion, bridge.Within(b.Limits().First))
	if err != nil {
		return err
	}
	s := newServed(c, b, version)
	ask, answer := s.socks5, answer5
	if version == version4 {
		ask, answer = s.socks4, answer4
	}
	asked, err := ask(ctx)
	b.Push(s.frame)
	if err != nil {
		return err
	}
	return s.connect(ctx, asked, answer)
}

// served is a handshake that we terminate, and what was learnt from it.
type served struct {
	Config
	b         *bridge.Bridge
	frame     bridge.Frame
	handshake *Handshake
}

func newServed(c Config, b *bridge.Bridge, version byte) *served {
	h := &Handshake{Version: version, Method: MethodNone}
	return &served{c, b, bridge.Frame{Proto: protoOf(version), Verb: bridge.VerbTerminate, Detail: h}, h}
}

// socks5 is RFC 1928 up to the request, which it returns the destination of.
func (s *served) socks5(ctx context.Context) (asked bridge.Addr, err error) {
	if err := s.negotiate(ctx); err != nil {
		return bridge.Addr{}, err
	}
	if s.Auth != nil {
		if err := s.authenticate(ctx); err != nil {
			return bridge.Addr{}, err
		}
	}
	q, err := hear(ctx, s, ParseRequest, maxMessage, func(err error) []byte { return answer5(err, unspecified) })
	if err != nil {
		return bridge.Addr{}, err
	}
	return s.asked(ctx, q.Cmd, q.Dst, answer5)
}

// negotiate chooses the one method that will do. RFC 1928 §3: "If the selected METHOD is X'FF', none of the methods
// listed by the client are acceptable, and the client MUST close the connection."
func (s *served) negotiate(ctx context.Context) error {
	none := AppendMethod(nil, MethodNone)
	greeting, err := hear(ctx, s, detect.ParseSOCKS5Greeting, maxGreeting, func(error) []byte { return none })
	if err != nil {
		return err
	}
	s.handshake.Methods = greeting.Methods
	want := MethodNoAuth
	if s.Auth != nil {
		want = MethodUserPass
	}
	if bytes.IndexByte(greeting.Methods, want) < 0 {
		s.frame.Note = "no acceptable methods"
		err := fmt.Errorf("the client offers methods %x, not %02x", greeting.Methods, want)
		return s.refuse(ctx, none, bridge.Fails(bridge.Auth, bridge.ByMITM, err))
	}
	s.handshake.Method = want
	return s.b.Write(ctx, bridge.Client, AppendMethod(nil, want))
}

// authenticate asks for user and password (RFC 1929).
func (s *served) authenticate(ctx context.Context) error {
	failure := AppendStatus(nil, statusFailure)
	user, err := hear(ctx, s, ParseUserPass, maxUserPass, func(error) []byte { return failure })
	if err != nil {
		return err
	}
	s.frame.User = printable(user.UName)
	if !s.Auth(user.UName, user.Passwd) {
		s.frame.Note = "authentication refused"
		return s.refuse(ctx, failure, bridge.Fails(bridge.Auth, bridge.ByMITM, errors.New("wrong user or password")))
	}
	s.handshake.Authenticated = true
	return s.b.Write(ctx, bridge.Client, AppendStatus(nil, statusSuccess))
}

// socks4 is the memos' request, which it returns the destination of.
func (s *served) socks4(ctx context.Context) (asked bridge.Addr, err error) {
	refusal := func(err error) []byte { return answer4(err, unspecified) }
	q, err := hear(ctx, s, detect.ParseSOCKS4Request, maxRequest4, refusal)
	if err != nil {
		return bridge.Addr{}, err
	}
	s.frame.User = printable(q.UserID)
	if s.Auth != nil {
		s.frame.Note = "no acceptable methods"
		err := errors.New("a password is wanted, and SOCKS4 has none")
		return bridge.Addr{}, s.refuse(ctx, refusal(err), bridge.Fails(bridge.Auth, bridge.ByMITM, err))
	}
	return s.asked(ctx, q.Cmd, dst4(q), answer4)
}

// asked checks a request and returns the destination to dial.
func (s *served) asked(ctx context.Context, cmd byte, dst Addr, answer answerFunc) (bridge.Addr, error) {
	s.handshake.Cmd, s.handshake.Dst = cmd, dst
	if cmd != CmdConnect {
		s.frame.Note = fmt.Sprintf("command %02x refused", cmd)
		err := bridge.Fails(bridge.Denied, bridge.ByMITM, fmt.Errorf("command %02x: %w", cmd, errCommand))
		return bridge.Addr{}, s.refuse(ctx, answer(err, unspecified), err)
	}
	s.frame.Dst = dst.Addr()
	asked, err := destination(dst)
	if err != nil {
		s.frame.Note = "no host name"
		return bridge.Addr{}, s.refuse(ctx, answer(err, unspecified), err)
	}
	s.frame.Dst = asked
	return asked, nil
}

// connect dials, and grants the request once the connection stands.
func (s *served) connect(ctx context.Context, asked bridge.Addr, answer answerFunc) error {
	hop := asked
	if s.Hop != nil {
		hop = s.Hop(asked)
	}
	s.b.SetHop(hop)
	if err := s.b.Dial(ctx); err != nil {
		return s.refuse(ctx, answer(err, unspecified), err)
	}
	return s.b.Write(ctx, bridge.Client, answer(nil, addrOf(s.b.Server.LocalAddr())))
}

// hear takes one message from the client. When it breaks the protocol or does not come, the client is told by the
// message that refuse makes of the error.
func hear[M any](ctx context.Context, s *served, p bridge.Parser[M], limit int, refuse func(error) []byte) (M, error) {
	m, n, err := bridge.Expect(ctx, s.b, bridge.Client, p, bridge.Max(limit))
	if err == nil {
		s.b.Take(bridge.Client, n)
		return m, nil
	}
	if desync := (*bridge.Desync)(nil); !errors.As(err, &desync) || desync.Why == bridge.Ended {
		return m, err
	}
	reason, _ := bridge.ReasonOf(err)
	return m, s.refuse(ctx, refuse(err), bridge.Fails(reason, bridge.ByMITM, err))
}

// refuse tells the client, and returns the reason. That the client could not be told is not one: it ends the flow
// just as well.
func (s *served) refuse(ctx context.Context, message []byte, reason error) error {
	s.b.Write(ctx, bridge.Client, message)
	return reason
}

package socks

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// Relay returns the layer that relays SOCKS5, SOCKS4 and SOCKS4A between a client and a server that both speak it.
//
// The next layer gets the tunnel when a CONNECT was granted, or when somebody has connected to what a BIND was granted.
// A refusal is passed on, and then whatever the peers still say; the frame's Note says why. After UDP ASSOCIATE and
// Tor's RESOLVE and RESOLVE_PTR there is nothing for the next layer: what the peers may still say goes to the chain's
// last handler. What is not looked into goes on raw, with an opaque frame: private methods, what GSSAPI encapsulates,
// unknown commands, and whatever breaks the protocol.
//
// The frame names the destination and the user, never the password. The handshake of a CONNECT can be done again by
// Redial, unless it was authenticated by GSSAPI: the server must then choose the same method, give the same status and
// the same reply code.
func Relay() bridge.Layer {
	return bridge.Layer{Name: "socks", Handle: relay}
}

func relay(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
	version, _, err := bridge.Expect(ctx, b, bridge.Client, parseVersion)
	if err != nil {
		return err
	}
	r := newRelayed(b, version)
	if version == version4 {
		err = r.socks4(ctx)
	} else {
		err = r.socks5(ctx)
	}
	b.Push(r.frame)
	switch {
	case errors.Is(err, errRefused):
		return bridge.RelayRefused(ctx, b)
	case err != nil:
		return err
	}
	return r.granted(ctx, next)
}

// errRefused is a handshake that ended in order, in a refusal that the client was given.
var errRefused = errors.New("refused by the server")

// relayed is a handshake that is being relayed, and what was learnt from it.
type relayed struct {
	b         *bridge.Bridge
	frame     bridge.Frame
	handshake *Handshake
}

func newRelayed(b *bridge.Bridge, version byte) *relayed {
	h := &Handshake{Version: version, Method: MethodNone}
	return &relayed{b, bridge.Frame{Proto: protoOf(version), Verb: bridge.VerbRelay, Detail: h}, h}
}

func protoOf(version byte) string { return fmt.Sprintf("socks%d", version) }

// socks5 relays RFC 1928.
func (r *relayed) socks5(ctx context.Context) error {
	if err := r.negotiate(ctx); err != nil {
		return err
	}
	switch r.handshake.Method {
	case MethodNoAuth:
	case MethodUserPass:
		if err := r.authenticate(ctx); err != nil {
			return err
		}
	case MethodGSSAPI:
		if err := r.gssapi(ctx); err != nil {
			return err
		}
	case MethodNone:
		return r.refused("no acceptable methods")
	default:
		// RFC 1928 §3: "If the negotiated method includes encapsulation for purposes of integrity checking and/or
		// confidentiality, the request MUST be encapsulated".
		return r.uninspected("method %02x", r.handshake.Method)
	}
	if err := r.request(ctx); err != nil {
		return r.afterRefusal(err)
	}
	if !hasReply(r.handshake.Cmd) {
		return r.uninspected("command %02x", r.handshake.Cmd)
	}
	return r.reply(ctx, parseAnswer5)
}

// negotiate relays the client's methods and the server's choice.
func (r *relayed) negotiate(ctx context.Context) error {
	greeting, err := bridge.Turn(ctx, r.b, bridge.Client, detect.ParseSOCKS5Greeting, bridge.Max(maxGreeting))
	if err != nil {
		return err
	}
	r.handshake.Methods = greeting.Methods
	r.handshake.Method, err = bridge.Turn(ctx, r.b, bridge.Server, methodOf(greeting.Methods),
		bridge.Max(pairLen), bridge.Class(itself[byte]))
	if err != nil {
		r.handshake.Method = MethodNone
	}
	return err
}

// methodOf is ParseMethod where the server may choose only what the client has offered: "The server selects from one
// of the methods given in METHODS" (RFC 1928 §3).
func methodOf(offered []byte) bridge.Parser[byte] {
	return func(buf []byte) (byte, int, error) {
		m, n, err := ParseMethod(buf)
		if err == nil && m != MethodNone && bytes.IndexByte(offered, m) < 0 {
			return 0, 0, malformed("socks5", "METHOD", 1)
		}
		return m, n, err
	}
}

// itself is the class of a message that is its own.
func itself[M any](m M) any { return m }

// authenticate relays user and password, and the status. RFC 1929 §2: "If the server returns a `failure' (STATUS
// value other than X'00') status, it MUST close the connection." There are servers that go on, so we do, too.
func (r *relayed) authenticate(ctx context.Context) error {
	user, err := bridge.Turn(ctx, r.b, bridge.Client, ParseUserPass, bridge.Max(maxUserPass))
	if err != nil {
		return err
	}
	r.frame.User = printable(user.UName)
	status, err := bridge.Turn(ctx, r.b, bridge.Server, ParseStatus, bridge.Max(pairLen), bridge.Class(itself[byte]))
	if err != nil {
		return err
	}
	if r.handshake.Authenticated = status == statusSuccess; !r.handshake.Authenticated {
		r.frame.Note = fmt.Sprintf("authentication refused: status %02x", status)
	}
	return nil
}

// afterRefusal returns the error of the request's turn. When the authentication was refused and no request follows, that
// is the end that the RFC asks for.
func (r *relayed) afterRefusal(err error) error {
	if desync := (*bridge.Desync)(nil); r.frame.Note != "" && errors.As(err, &desync) {
		return errRefused
	}
	return err
}

// request relays the request.
func (r *relayed) request(ctx context.Context) error {
	q, err := bridge.Turn(ctx, r.b, bridge.Client, ParseRequest, bridge.Max(maxMessage))
	if err != nil {
		return err
	}
	r.asked(q.Cmd, q.Dst)
	return nil
}

// socks4 relays the memos' one request and what answers it.
func (r *relayed) socks4(ctx context.Context) error {
	q, err := bridge.Turn(ctx, r.b, bridge.Client, detect.ParseSOCKS4Request, bridge.Max(maxRequest4))
	if err != nil {
		return err
	}
	r.frame.User = printable(q.UserID)
	r.asked(q.Cmd, dst4(q))
	return r.reply(ctx, parseAnswer4)
}

// refused ends the handshake in a refusal that was passed on.
func (r *relayed) refused(note string) error {
	r.frame.Note = note
	return errRefused
}

// uninspected ends the handshake where it goes on in a way that is not looked into.
func (r *relayed) uninspected(format string, args ...any) error {
	r.frame.Note = fmt.Sprintf(format, args...)
	return &bridge.Desync{Side: bridge.Client, Why: bridge.Malformed, Err: errors.New("not looked into: " + r.frame.Note)}
}

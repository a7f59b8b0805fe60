package httpconnect

import (
	"context"
	"errors"
	"fmt"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// maxRequests bounds the requests of one client before its tunnel stands: a handshake of NTLM takes three.
const maxRequests = 16

// Relay returns the layer that relays CONNECT between a client and a server that is an HTTP proxy.
//
// The next layer gets the tunnel when a CONNECT was granted by a 2xx; what either peer has sent behind its head is the
// first that comes out of it. Any other response is passed on with its body, and the client may ask again on the same
// connection, as it does when it is asked to authenticate. What is not looked into goes on raw, with an opaque frame:
// requests of other methods, and whatever breaks the protocol. There is never an answer of our own.
//
// The frame names the destination and the user of Basic, never the password. The handshake can be done again by
// Redial, unless a request had content or answered a challenge; the server must then answer with the same class of
// status.
func Relay() bridge.Layer {
	return bridge.Layer{Name: "connect", Handle: relay}
}

func relay(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
	r := &relayed{b: b, handshake: &Handshake{}}
	err := r.handshakes(ctx)
	if r.handshake.Requests > 0 {
		b.Push(r.frame)
	}
	switch {
	case errors.Is(err, errRefused):
		return bridge.RelayRefused(ctx, b)
	case err != nil:
		return err
	}
	return next(ctx, b)
}

// errRefused is a handshake that ended in order, in a refusal that the client was given.
var errRefused = errors.New("refused by the server")

// relayed is a handshake that is being relayed, and what was learnt from it.
type relayed struct {
	b         *bridge.Bridge
	frame     bridge.Frame
	handshake *Handshake
}

// handshakes relays requests and responses until a tunnel stands.
func (r *relayed) handshakes(ctx context.Context) error {
	for range maxRequests {
		granted, err := r.attempt(ctx)
		if granted || err != nil {
			return err
		}
	}
	return desync(bridge.Client, bridge.TooLong, fmt.Errorf("no tunnel after %d requests", maxRequests))
}

func desync(side bridge.Side, why bridge.Why, err error) error {
	return &bridge.Desync{Side: side, Why: why, Err: err}
}

// attempt relays one request and its response.
func (r *relayed) attempt(ctx context.Context) (granted bool, err error) {
	content, err := r.request(ctx)
	if err != nil {
		return false, r.afterRefusal(err)
	}
	for range maxRequests {
		if err := r.content(ctx, content); err != nil {
			return false, err
		}
		a, err := r.response(ctx)
		switch {
		case err != nil:
			return false, err
		case a.head.class() == 2 && !content.Done():
			// Where the content ends and the tunnel begins is now the server's to say.
			return false, desync(bridge.Server, bridge.OutOfTurn, errors.New("granted before the request has ended"))
		case a.head.class() == 2:
			return true, nil
		case a.head.class() != 1:
			return false, r.refused(ctx, a.rest, content)
		}
	}
	return false, desync(bridge.Server, bridge.TooLong, errors.New("no end of interim responses"))
}

// refused relays what is left of a refusal, and of the request that it answers.
func (r *relayed) refused(ctx context.Context, rest Body, content *Body) error {
	if err := r.rest(ctx, rest); err != nil {
		return err
	}
	if err := r.content(ctx, content); err != nil {
		return r.afterRefusal(err)
	}
	if !content.Done() {
		return desync(bridge.Server, bridge.OutOfTurn, errors.New("answered twice"))
	}
	return nil
}

// request relays the head of a CONNECT, and returns the content that follows it: "rare, and legal" for other methods,
// without a meaning for this one, but there are servers that read it.
func (r *relayed) request(ctx context.Context) (*Body, error) {
	c, err := bridge.Turn(ctx, r.b, bridge.Client, parseConnect)
	if err != nil {
		return nil, err
	}
	count := r.handshake.Requests + 1
	r.handshake = newHandshake(c.head)
	r.handshake.Requests = count
	r.frame = bridge.Frame{Proto: "connect", Verb: bridge.VerbRelay, Detail: r.handshake}
	if t, err := parseAuthority(c.head.Target); err == nil {
		r.frame.Dst = t.dst
	}
	who := parseCredentials(c.head.Values("Proxy-Authorization"))
	r.frame.User = printable(who.user)
	if who.isChallenge() {
		r.b.NoRedial(fmt.Errorf("the client authenticates by %q", who.scheme))
	}
	if !c.content.Done() {
		r.b.NoRedial(errors.New("a request has content"))
	}
	return &c.content, nil
}

// connect is a CONNECT request's head and its framing.
type connect struct {
	head    *detect.RequestHead
	content Body
}

// errNotConnect is a request of another method. It is not looked into.
var errNotConnect = errors.New("not a CONNECT request")

// parseConnect parses the head of a CONNECT. It is passed on as it came, so it refuses no more than what would make
// the end of the head or of its content uncertain.
func parseConnect(buf []byte) (connect, int, error) {
	h, n, err := detect.ParseRequestHead(buf)
	switch {
	case err != nil:
		return connect{}, 0, err
	case h.Method != "CONNECT":
		return connect{}, 0, errNotConnect
	case h.HasObsFold:
		return connect{}, 0, malformed("obs-fold", 0)
	case h.HasNUL:
		return connect{}, 0, malformed("NUL", 0)
	}
	content, err := RequestBody(h)
	if err != nil {
		return connect{}, 0, err
	}
	return connect{h, content}, n, nil
}

// content passes on what is there of a request's content, until it is complete or the server answers.
func (r *relayed) content(ctx context.Context, content *Body) error {
	for !content.Done() {
		if r.b.Server != nil && len(r.b.Server.Buffered()) > 0 {
			return nil // an early answer, which decides the turn
		}
		if err := r.piece(ctx, bridge.Client, content); err != nil {
			if d := (*bridge.Desync)(nil); errors.As(err, &d) && d.Why == bridge.OutOfTurn {
				return nil
			}
			return err
		}
	}
	return nil
}

// piece passes on what is there of a body, and waits for it when there is nothing.
func (r *relayed) piece(ctx context.Context, from bridge.Side, body *Body) error {
	buf, _, err := bridge.Expect(ctx, r.b, from, anything)
	if err != nil {
		return err
	}
	n, err := body.Next(buf)
	if err != nil {
		return desync(from, bridge.Malformed, err)
	}
	return r.b.Pass(ctx, from, n)
}

// anything is a Parser of whatever is there.
func anything(buf []byte) ([]byte, int, error) { return buf, len(buf), nil }

// answer is a response's head, and what there is to come of its body.
type answer struct {
	head *ResponseHead
	rest Body
}

// response relays a response: its head, and its body with it, so that Redial can hear both again.
func (r *relayed) response(ctx context.Context) (answer, error) {
	a, err := bridge.Turn(ctx, r.b, bridge.Server, parseAnswer, bridge.AwaitsDial(),
		bridge.Class(func(a answer) any { return a.head.class() }))
	if err != nil {
		return answer{}, err
	}
	r.handshake.Status = a.head.Status
	if a.head.class() > 2 {
		r.frame.Note = fmt.Sprintf("refused: %d", a.head.Status)
	}
	return a, nil
}

// parseAnswer parses a response to CONNECT. The message is the head with its body, or the head alone where the body
// ends with the connection or is too large to wait for.
func parseAnswer(buf []byte) (answer, int, error) {
	h, n, err := ParseResponseHead(buf)
	switch {
	case err != nil:
		return answer{}, 0, err
	case h.Status == 101:
		return answer{}, 0, malformed("status-code", 0) // CONNECT asks for no other protocol
	case h.class() <= 2:
		return answer{head: h}, n, nil
	case h.Fault != "":
		return answer{}, 0, malformed(h.Fault, 0)
	}
	body, err := ResponseBody(h, "CONNECT")
	if err != nil {
		return answer{}, 0, err
	}
	rest := body
	k, err := body.Next(buf[n:])
	switch {
	case err != nil:
		return answer{}, 0, err
	case body.Done():
		return answer{head: h}, n + k, nil
	case rest.IsUntilClose(), len(buf) >= MaxHead, rest.left > uint64(MaxHead-n):
		return answer{h, rest}, n, nil
	}
	return answer{}, 0, bridge.ErrShort
}

// rest passes on the body of a refusal that was not passed on with its head.
func (r *relayed) rest(ctx context.Context, body Body) error {
	if !body.Done() {
		r.b.NoRedial(errors.New("a response is too long to be heard again"))
	}
	for !body.Done() {
		if err := r.piece(ctx, bridge.Server, &body); err != nil {
			return r.afterRefusal(err)
		}
	}
	return nil
}

// afterRefusal returns the error of a turn. That a peer ends its direction where the client was refused and need not
// ask again is no desync.
func (r *relayed) afterRefusal(err error) error {
	if d := (*bridge.Desync)(nil); r.frame.Note != "" && errors.As(err, &d) && d.Why == bridge.Ended {
		return errRefused
	}
	return err
}

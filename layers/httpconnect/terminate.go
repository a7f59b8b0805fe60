package httpconnect

import (
	"context"
	"errors"

	"github.com/bridgeio/bridgeio/bridge"
)

// Config is how Terminate serves. The zero value serves everybody, with what the bridge's DialFunc allows. It is not
// changed after first use.
type Config struct {
	// Auth says whether user and password are right; to compare in constant time is up to it. It is called on the
	// flow's goroutine, for every request. Nil means that nobody is asked.
	Auth func(user, password string) bool

	// Realm is what clients show when they ask for a password; empty means "proxy".
	Realm string

	// Help is the line that answers a request which is not addressed to a proxy, so that somebody who opens the
	// proxy's address in a browser learns what it is. Empty means a sentence that says so.
	Help string

	// Hop says where to dial for the destination that a client asked for; nil means to dial that.
	Hop func(asked bridge.Addr) bridge.Addr
}

// Terminate returns the layer that is an HTTP proxy, for CONNECT and for requests in absolute-form.
//
// For a CONNECT it makes the destination the bridge's hop, dials it, grants the request when the connection stands, and
// hands on to the next layer; what the client has sent behind its request is the first that comes out of the tunnel.
//
// It forwards requests in absolute-form itself, and serves the connection for as long as client and server keep it up;
// the next layer is not called. A request for another destination, and a CONNECT, end the flow and begin a new one on
// the same client stream ([bridge.Bridge.Restart]), and so does a server that has closed between requests. After a 101
// the connection is relayed. The observer is shown the requests as the server gets them.
//
// Whatever goes wrong before a response began is answered in the protocol, and ends the flow; missing or wrong
// credentials are answered by a 407 that keeps the connection.
//
// The client's first request may take Limits.First to begin, a further one Limits.Idle, and each head Limits.Turn. Where
// a request or a response makes no progress in either direction, Limits.Idle bounds that.
func Terminate(c Config) bridge.Layer {
	if c.Realm == "" {
		c.Realm = "proxy"
	}
	if c.Help == "" {
		c.Help = "This is an HTTP proxy, not a server: set it as your client's proxy, for http and https."
	}
	return bridge.Layer{Name: "http", Handle: c.handle}
}

func (c Config) handle(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
	s := &served{Config: c, b: b}
	outcome, err := s.serve(ctx)
	switch {
	case err != nil:
		return bridge.Final(s.fail(ctx, err))
	case outcome == tunnelled:
		return next(ctx, b)
	case outcome == switched:
		return bridge.Relay(ctx, b)
	}
	return nil
}

// outcome is what becomes of the connection after a request.
type outcome uint8

const (
	kept      outcome = iota // it may serve another one
	ended                    // nothing more comes
	tunnelled                // a CONNECT was granted
	switched                 // it speaks another protocol
)

// served is a client whose HTTP proxy we are.
type served struct {
	Config
	b         *bridge.Bridge
	last      *request    // the request that is being served
	asked     bridge.Addr // the destination of the server side
	refusals  int         // 407s in a row
	refused   *request    // what the last of them answered
	exchanged bool        // a response began that can't be replaced by one of our own
}

// serve serves requests until the connection is used up.
func (s *served) serve(ctx context.Context) (outcome, error) {
	for {
		q, err := s.receive(ctx)
		if s.isUnauthorized(err) {
			s.b.Push(s.frame(s.refused, "authentication refused"))
			return ended, bridge.Fails(bridge.Auth, bridge.ByMITM, errCredentials)
		}
		if errors.Is(err, errClosed) {
			return s.leave(), nil
		}
		if err != nil {
			return ended, err
		}
		s.last = q
		o, err := s.answer(ctx, q)
		if o != kept || err != nil {
			return o, err
		}
	}
}

// leave ends a flow whose client has ended its direction between requests: a server that is still there is told.
func (s *served) leave() outcome {
	if s.b.Server == nil || s.b.Server.End() != bridge.Open {
		return ended
	}
	s.b.Client.Discard(len(s.b.Client.Buffered())) // empty lines
	s.b.Server.Discard(len(s.b.Server.Buffered())) // nobody has asked for it
	return switched
}

// answer serves one request.
func (s *served) answer(ctx context.Context, q *request) (outcome, error) {
	switch {
	case q.form == originForm:
		return ended, refuse(statusMisdirected, bridge.Desynced, s.Help, errOriginForm)
	case !s.isAuthorized(q):
		return s.challenge(ctx, q)
	case q.form == authorityForm:
		s.refusals = 0
		return s.connect(ctx, q)
	}
	s.refusals = 0
	return s.forward(ctx, q)
}

// errOriginForm is a request for a server.
var errOriginForm = errors.New("the request is not addressed to a proxy")

func (s *served) isAuthorized(q *request) bool {
	return s.Auth == nil || q.credentials.ok && s.Auth(q.credentials.user, q.credentials.password)
}

// maxRefusals bounds how often a client may try credentials on one connection.
const maxRefusals = 16

var errCredentials = errors.New("missing or wrong credentials")

// isUnauthorized reports whether the client has left after a 407 rather than show other credentials, and had nothing
// granted before.
func (s *served) isUnauthorized(err error) bool {
	if err == nil || s.refusals == 0 || s.b.Server != nil {
		return false
	}
	reason, _ := bridge.ReasonOf(err)
	return errors.Is(err, errClosed) || reason == bridge.Resets
}

// challenge asks for credentials. The connection is kept where the client has nothing more to send for this request,
// so that what comes next is known to be another one.
func (s *served) challenge(ctx context.Context, q *request) (outcome, error) {
	s.refusals++
	s.refused = q
	line := "This proxy wants a user and a password."
	if s.refusals == maxRefusals || !q.persists() || !q.body.Done() {
		s.b.Push(s.frame(q, "authentication refused"))
		return ended, refuse(statusProxyAuth, bridge.Auth, line, errCredentials)
	}
	return kept, s.b.Write(ctx, bridge.Client, AppendAnswer(nil, Answer{
		Status: statusProxyAuth, Line: line, Realm: s.Realm, NoContent: q.method == "HEAD",
	}))
}

// frame is what a request tells about the flow.
func (s *served) frame(q *request, note string) bridge.Frame {
	proto := "http"
	if q.form == authorityForm {
		proto = "connect"
	}
	return bridge.Frame{
		Proto: proto, Verb: bridge.VerbTerminate, Dst: q.dst,
		User: printable(q.credentials.user), Note: note, Detail: q.handshake,
	}
}

// connect serves a CONNECT.
func (s *served) connect(ctx context.Context, q *request) (outcome, error) {
	if err := s.dial(ctx, q); err != nil {
		return ended, err
	}
	return tunnelled, s.b.Write(ctx, bridge.Client, []byte(established))
}

// dial connects the server side to the request's destination, in a flow of its own. The frame is pushed first, so that
// the dialler sees who asks for what.
func (s *served) dial(ctx context.Context, q *request) error {
	if s.b.Server != nil {
		s.b.Restart()
	}
	s.asked = q.dst
	hop := q.dst
	if s.Hop != nil {
		hop = s.Hop(q.dst)
	}
	s.b.SetHop(hop)
	s.b.Push(s.frame(q, ""))
	if err := s.b.Dial(ctx); err != nil {
		return undialled(q.dst, err)
	}
	return nil
}

// fail answers the client where it can still be answered, and returns the reason for which the flow ends. That the
// client could not be told is not one: it ends the flow just as well.
func (s *served) fail(ctx context.Context, err error) error {
	r, ok := asRefusal(err)
	if !ok {
		return err
	}
	if !s.exchanged {
		a := Answer{Status: r.status, Line: r.line, Realm: s.Realm, Close: true}
		a.NoContent = s.last != nil && s.last.method == "HEAD"
		s.b.Client.SetWriteDeadline(noDeadline)
		s.b.Write(ctx, bridge.Client, AppendAnswer(nil, a))
	}
	_, by := bridge.ReasonOf(r.err)
	return bridge.Fails(r.reason, by, r)
}

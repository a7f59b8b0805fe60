package tlsbridge

import (
	"context"
	"errors"
	"fmt"

	"github.com/bridgeio/bridgeio/bridge"
)

// pass lets the flow through as it is.
func (r *relay) pass(ctx context.Context, note string) error {
	r.frame.Verb = bridge.VerbPass
	r.push(note)
	return bridge.Relay(ctx, r.b)
}

// errUnseen is a flow that can't be inspected where everything must be.
var errUnseen = errors.New("what can't be inspected is not let through")

// unseen lets through what can't be inspected, or ends it where that is not allowed;
// with failure, if there is one.
func (r *relay) unseen(ctx context.Context, why string, failure error) error {
	if r.b.Limits().Fail != bridge.FailClosed {
		return r.pass(ctx, rescued+why)
	}
	if failure == nil {
		failure = bridge.Fails(bridge.Block, bridge.ByMITM, errUnseen)
	}
	r.push(why)
	return r.refuse(ctx, internalError, failure)
}

// refuse ends the flow with an alert to the client, who has received nothing yet.
func (r *relay) refuse(ctx context.Context, a Alert, why error) error {
	// That the client can't be told is no reason of its own.
	r.b.Write(ctx, bridge.Client, appendAlert(nil, r.hello, a))
	return bridge.Final(why)
}

// Refused is a Minter's error that ends the flow: the client is sent the alert.
type Refused struct {
	Alert Alert
	Err   error
}

func (r *Refused) Error() string { return r.Err.Error() }
func (r *Refused) Unwrap() error { return r.Err }

// Passed is a Minter's error that has the flow go through as it is, although it could be
// inspected: a rule says so that needs the server's certificate.
type Passed struct{ Rule string }

func (p *Passed) Error() string { return "passed on by " + p.Rule }

// serverFailed is what becomes of a flow whose server side did not come about: the
// client is shown what it would have seen without us, or rescued when the reason is
// ours.
func (r *relay) serverFailed(ctx context.Context, err error) error {
	if ctx.Err() != nil || r.b.Client.End() != bridge.Open {
		return err
	}
	var (
		failed *HandshakeError
		dial   *bridge.DialError
		cannot *Unbridgeable
		denied *Refused
		passed *Passed
	)
	isHandshake := errors.As(err, &failed)
	if errors.As(err, &passed) {
		r.info.Rule = passed.Rule
		if redialled := r.redial(ctx); redialled != nil {
			r.push("not passed on: the server was not reached again")
			return redialled
		}
		return r.pass(ctx, passed.Rule)
	}
	if why, ours := r.rescuable(err); ours && r.b.Limits().Fail != bridge.FailClosed {
		redialled := r.redial(ctx)
		if redialled == nil {
			r.Memory.learn(r.lessonKey(), lesson{rescue: why})
			return r.pass(ctx, rescued+why)
		}
		if gone := (*bridge.Failure)(nil); errors.As(redialled, &gone) && gone.By == bridge.ByClient {
			r.push("the client left before it was rescued")
			return redialled
		}
	}
	switch {
	case errors.As(err, &denied):
		r.push("refused: " + denied.Err.Error())
		return r.refuse(ctx, denied.Alert, bridge.Fails(bridge.Block, bridge.ByMITM, err))
	case isHandshake && failed.HasAlert:
		r.push("the server's alert: " + failed.Alert.String())
		return r.refuse(ctx, failed.Alert, failed.failure())
	case isHandshake && !failed.ours():
		r.push("no handshake with the server")
		return failed.failure()
	case isHandshake, errors.As(err, &cannot):
		r.push("no handshake with the server")
		return r.refuse(ctx, internalError, bridge.Fails(bridge.TLSServer, bridge.ByMITM, err))
	case errors.As(err, &dial):
		r.push("the server was not reached")
		return err
	}
	// A fault of ours must be visible.
	r.push("a fault of ours")
	return r.refuse(ctx, internalError, err)
}

// rescuable reports whether a server side failed for a reason that is ours, so that the
// client's own hello may fare better, and names the reason.
func (r *relay) rescuable(err error) (why string, ours bool) {
	var (
		cannot *Unbridgeable
		failed *HandshakeError
	)
	switch {
	case errors.As(err, &cannot):
		return cannot.Reason, true
	case errors.As(err, &failed) && failed.ours():
		return failed.Err.Error(), true
	case errors.As(err, &failed) && failed.HasAlert && r.lesson.changes != 0:
		// It speaks of a hello that the client has not sent.
		return "no common parameters", true
	}
	return "", false
}

// redial connects the server side again, for the client's own hello.
func (r *relay) redial(ctx context.Context) error {
	return r.b.While(ctx, bridge.Client, r.b.Redial)
}

// clientFailed is what becomes of a flow whose client did not finish its handshake,
// which crypto/tls has told it.
func (r *relay) clientFailed(err error) error {
	var failed *HandshakeError
	if !errors.As(err, &failed) {
		return err
	}
	r.push(failed.note())
	return failed.failure()
}

// note is what the frame says of a handshake that failed.
func (e *HandshakeError) note() string {
	if e.HasAlert {
		return fmt.Sprintf("the %s's alert: %s", e.Side, e.Alert)
	}
	return fmt.Sprintf("no handshake with the %s", e.Side)
}

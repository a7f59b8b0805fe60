package tlsbridge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/layers/tlsbridge/internal/flight"
)

// HandshakeError is a TLS handshake that failed, and what the peer had to do with it.
type HandshakeError struct {
	Side     bridge.Side // the peer
	Alert    Alert       // what the peer sent, when
	HasAlert bool        // it sent an alert
	End      bridge.End  // how the peer ended the transport; Open: it didn't
	TimedOut bool        // the peer did not send its next flight in time
	Err      error
}

func (e *HandshakeError) Error() string {
	if e.HasAlert {
		return fmt.Sprintf("handshake with the %s: its alert %d (%s)", e.Side, e.Alert, e.Alert)
	}
	return fmt.Sprintf("handshake with the %s: %v", e.Side, e.Err)
}

func (e *HandshakeError) Unwrap() error { return e.Err }

// failure returns e with the outcome that it leads to.
func (e *HandshakeError) failure() error {
	reason := bridge.TLSServer
	if e.Side == bridge.Client {
		reason = bridge.TLSClient
	}
	switch {
	case e.End == bridge.Reset:
		return bridge.Fails(bridge.Resets, bridge.By(e.Side), e)
	case e.TimedOut:
		return bridge.Fails(bridge.Timeout, bridge.By(e.Side), e)
	case e.ours():
		return bridge.Fails(reason, bridge.ByMITM, e)
	}
	return bridge.Fails(reason, bridge.By(e.Side), e)
}

// ours reports whether it was our TLS that refused to go on: the peer said nothing
// against it.
func (e *HandshakeError) ours() bool {
	return !e.HasAlert && e.End == bridge.Open && !e.TimedOut
}

// errTurn is a peer that let a turn of a handshake pass.
var errTurn = errors.New("the next flight did not come in time")

// handshake is what a transport does besides reading and writing while a handshake
// runs over it. It belongs to the goroutine of the handshake, and then to its owner.
type handshake struct {
	limiter *Limiter
	done    <-chan struct{} // closed when the handshake is to be given up
	turn    *time.Timer     // closes it
	limit   time.Duration   // of a turn
	spoke   bool            // we wrote since the last read: the peer's turn begins
	slot    bool            // we hold a slot of limiter
	peer    flight.Flight   // what it says in plaintext
}

// shake runs a handshake with one peer over s: f gets the conn to use for it. Each turn
// of the peer may take at most limit. When it fails, s is good for nothing but to be
// closed, and the error is a *HandshakeError, a *bridge.PanicError, or ctx's.
func shake[S Session](
	ctx context.Context, side bridge.Side, s *bridge.Stream, limiter *Limiter, limit time.Duration,
	f func(context.Context, net.Conn) (S, error),
) (*conn, S, error) {
	a := begin(ctx, side, s, limiter, limit, func(ctx context.Context, c net.Conn, _ asker) (S, error) { return f(ctx, c) })
	_, err := a.wait(ctx)
	if err != nil {
		return nil, a.session, err
	}
	return a.conn(), a.session, nil
}

// attempt is a handshake that is under way.
type attempt[S Session] struct {
	side    bridge.Side
	t       *transport
	h       *handshake
	session S // when it is over

	ctx    context.Context
	cancel context.CancelCauseFunc
	stop   func() bool
	asked  chan *question
	done   chan error
	over   bool // wait has seen the end
}

// question is what a handshake needs to know before it can go on.
type question struct {
	*CertificateRequest
	answer chan answer // has room for one
}

type answer struct {
	certificate *tls.Certificate
	err         error
}

// asker is how a handshake asks whoever waits for it.
type asker func(*CertificateRequest) (*tls.Certificate, error)

// begin starts a handshake on a goroutine of its own, which wait waits for. It is given
// up when ctx ends.
func begin[S Session](
	ctx context.Context, side bridge.Side, s *bridge.Stream, limiter *Limiter, limit time.Duration,
	f func(context.Context, net.Conn, asker) (S, error),
) *attempt[S] {
	a := &attempt[S]{side: side, asked: make(chan *question), done: make(chan error, 1)}
	a.ctx, a.cancel = context.WithCancelCause(ctx)
	turn := time.AfterFunc(limit, func() { a.cancel(errTurn) })
	a.h = &handshake{limiter: limiter, done: a.ctx.Done(), turn: turn, limit: limit}
	a.h.peer.Server = side == bridge.Server
	a.t = &transport{s: s, handshake: a.h}

	// A handshaker that does not look at its context is interrupted all the same.
	a.stop = context.AfterFunc(a.ctx, func() { a.t.Close() })
	go apart(a.done, func() (err error) {
		if err = a.h.compute(); err == nil {
			a.session, err = f(a.ctx, a.t, a.ask)
		}
		return err
	})
	return a
}

// wait returns when the handshake is over, or asks something: then it waits for the
// answer, and wait is to be called again. When ctx ends, the handshake is given up.
func (a *attempt[S]) wait(ctx context.Context) (*question, error) {
	var err error
	select {
	case q := <-a.asked:
		return q, nil
	case err = <-a.done:
	case <-ctx.Done():
		a.cancel(context.Cause(ctx))
		err = <-a.done
	}
	a.over = true
	a.h.rest()
	a.h.turn.Stop()
	if !a.stop() && err == nil {
		err = context.Cause(a.ctx)
	}
	late := context.Cause(a.ctx) == errTurn
	a.cancel(nil)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, a.h.failed(a.side, a.t, err, late)
	}
	a.t.handshake = nil
	return nil, nil
}

// abandon gives up a handshake that waits for an answer. One that is over stays as it is.
func (a *attempt[S]) abandon(why error) {
	if !a.over {
		a.cancel(why)
		a.wait(a.ctx) // that it fails is the purpose
	}
}

// ask hands a question to whoever waits, and waits for the answer. That is not the
// peer's turn.
func (a *attempt[S]) ask(r *CertificateRequest) (*tls.Certificate, error) {
	a.h.pause()
	if a.ctx.Err() != nil { // the turn had ended before it was stopped
		return nil, context.Cause(a.ctx)
	}
	q := &question{r, make(chan answer, 1)}
	select {
	case a.asked <- q:
	case <-a.ctx.Done():
		return nil, context.Cause(a.ctx)
	}
	select {
	case told := <-q.answer:
		return told.certificate, errors.Join(told.err, a.h.compute())
	case <-a.ctx.Done():
		return nil, context.Cause(a.ctx)
	}
}

// conn is the side of a Bridge that the handshake has led to.
func (a *attempt[S]) conn() *conn { return &conn{tls: a.session, t: a.t} }

// contained runs f and turns a panic into an error: a crafted message must not take
// more with it than its own flow.
func contained(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &bridge.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return f()
}

// apart runs f on a goroutine of its own, which its owner waits for: a handshake needs a
// large stack, which would stay with the flow for as long as that is idle.
func apart(done chan<- error, f func() error) { done <- contained(f) }

func (h *handshake) compute() error {
	if !h.slot {
		h.slot = h.limiter.acquire(h.done)
	}
	if !h.slot {
		return net.ErrClosed
	}
	return nil
}

func (h *handshake) rest() {
	if h.slot {
		h.slot = false
		h.limiter.release()
	}
}

// pause lets a time pass that is not the peer's.
func (h *handshake) pause() {
	h.rest()
	h.turn.Stop()
	h.spoke = true // the next read begins a turn
}

func (h *handshake) read(t *transport, p []byte) (int, error) {
	if h.spoke {
		h.spoke = false
		h.turn.Reset(h.limit)
	}
	h.rest()
	n, err := t.read(p)
	h.peer.Feed(p[:n])
	if err != nil {
		return n, err
	}
	return n, h.compute()
}

func (h *handshake) write(t *transport, p []byte) (int, error) {
	h.spoke = true
	h.rest()
	n, err := t.write(p)
	if err != nil {
		return n, err
	}
	return n, h.compute()
}

// failed says why the handshake did.
func (h *handshake) failed(side bridge.Side, t *transport, err error, late bool) error {
	if caught := (*bridge.PanicError)(nil); errors.As(err, &caught) {
		return err
	}
	e := &HandshakeError{Side: side, End: t.ended(), Err: err}
	e.Alert, e.HasAlert = alertOf(err)
	switch {
	case h.peer.HasAlert:
		e.Alert, e.HasAlert = Alert(h.peer.Alert), true
	case late:
		e.TimedOut, e.Err = true, errTurn
	case h.peer.Canceled:
		// RFC 8446 §6.1: the goodbye that follows adds nothing to it.
		e.Alert, e.HasAlert = userCanceled, true
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		e.End = bridge.Reset // a write was told of it
	case errors.Is(err, io.EOF) && e.End == bridge.Open:
		e.Alert, e.HasAlert = closeNotify, true
	}
	return e
}

package httpconnect

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

// noDeadline clears a deadline.
var noDeadline time.Time

// errClosed is a client that has ended its direction between requests.
var errClosed = errors.New("the client has closed")

// receive waits for the next request and takes it from the buffer. It is not a turn: a server side that ends or speaks
// meanwhile is an idle connection that has timed out, which is no reason to end the client's.
func (s *served) receive(ctx context.Context) (*request, error) {
	s.last, s.exchanged = nil, false
	limits := s.b.Limits()
	first := s.b.Server == nil && s.refusals == 0
	wait := waitFor{"the client said nothing", bridge.Timeout, limits.First}
	if !first {
		wait = waitFor{"no further request", bridge.Idle, limits.Idle}
	}
	deadline, begun := time.Now().Add(wait.limit), false
	for {
		buf := s.b.Client.Buffered()
		q, n, err := parseRequest(buf)
		switch {
		case err == nil:
			s.b.Take(bridge.Client, n)
			return q, nil
		case !errors.Is(err, bridge.ErrShort):
			return nil, err
		}
		// RFC 9112 §2.2: a server "SHOULD ignore at least one empty line (CRLF) received prior to the request-line".
		blank := len(bytes.TrimLeft(buf, "\r\n")) == 0
		if err := clientEnd(s.b.Client.End(), blank, first); err != nil {
			return nil, err
		}
		if !blank && !begun {
			begun = true
			wait = waitFor{"the head of the request is incomplete", bridge.Timeout, limits.Turn}
			deadline = time.Now().Add(wait.limit)
		}
		if err := s.wait(ctx, deadline, wait, begun); err != nil {
			return nil, err
		}
	}
}

// waitFor is what a wait is for.
type waitFor struct {
	missing string
	reason  bridge.Reason
	limit   time.Duration
}

// clientEnd reports how a client's end ends the flow.
func clientEnd(end bridge.End, blank, first bool) error {
	switch {
	case end == bridge.Open:
		return nil
	case end == bridge.Reset:
		return bridge.Fails(bridge.Resets, bridge.ByClient, errors.New("reset between requests"))
	case !blank:
		return bridge.Fails(bridge.PeerClosed, bridge.ByClient, errors.New("closed in the middle of a head"))
	case first:
		return bridge.Fails(bridge.PeerClosed, bridge.ByClient, errors.New("closed before a request"))
	}
	return errClosed
}

// wait waits for bytes of either side.
func (s *served) wait(ctx context.Context, deadline time.Time, w waitFor, begun bool) error {
	wctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	err := s.b.Wait(wctx)
	switch late := err != nil && wctx.Err() != nil && ctx.Err() == nil; {
	case late && begun:
		return refuse(statusRequestTimeout, w.reason, "The head of the request took too long.", errors.New(w.missing))
	case late:
		return bridge.Fails(w.reason, bridge.ByMITM, errors.New(w.missing))
	}
	return err
}

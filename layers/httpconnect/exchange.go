package httpconnect

import (
	"context"
	"errors"
	"fmt"

	"github.com/bridgeio/bridgeio/bridge"
)

// forward serves a request in absolute-form: by the server side that is there, when it is for the same destination and
// still up, else by a new one.
func (s *served) forward(ctx context.Context, q *request) (outcome, error) {
	server := s.b.Server
	reused := server != nil && s.asked == q.dst && server.End() == bridge.Open && len(server.Buffered()) == 0
	for {
		if !reused {
			if err := s.dial(ctx, q); err != nil {
				return ended, err
			}
		}
		o, x, err := exchangeWith(ctx, s.b, q)
		s.exchanged = x.begun
		// RFC 9112 §9.3.1: a server may close an idle connection at any time, also while a request is on its way to it.
		// One that has no effect may be sent again (RFC 9110 §9.2.2).
		if reused && q.isRepeatable() && x.isStale(err) {
			reused = false
			continue
		}
		return o, err
	}
}

// exchange is one request on its way to the server, and the response on its way back.
type exchange struct {
	b       *bridge.Bridge
	q       *request
	idle    *watch
	content *upload // the request's content, while it is under way
	unsent  bool    // the server did not take the rest of the request's content
	heard   bool    // the server has said something
	begun   bool    // a part of the final response was passed on
}

// exchangeWith passes on a request and its response. Meanwhile writes are bounded by the progress of both directions,
// and not each by itself: neither a client that pauses a download hangs, nor a server that is slow to take an upload.
func exchangeWith(ctx context.Context, b *bridge.Bridge, q *request) (outcome, *exchange, error) {
	limits := b.Limits()
	within := limits
	within.Turn = -1
	b.SetLimits(within)
	defer b.SetLimits(limits)

	ctx, idle := watchOver(ctx, b, limits.Idle)
	defer idle.stop()
	x := &exchange{b: b, q: q, idle: idle}
	defer x.abandon()
	o, err := x.run(ctx)
	return o, x, err
}

// abandon ends an upload that is still under way. The flow ends with it, so what still blocks is made to fail.
func (x *exchange) abandon() {
	if x.content != nil {
		x.idle.cut(errOver)
		<-x.content.done
	}
}

// errOver is the end of what goes on beside an exchange that has ended.
var errOver = errors.New("the exchange is over")

// isStale reports whether err is that of a server that has closed before it heard of the request.
func (x *exchange) isStale(err error) bool {
	reason, by := bridge.ReasonOf(err)
	return by == bridge.ByServer && (reason == bridge.PeerClosed || reason == bridge.Resets) &&
		!x.heard && len(x.b.Server.Buffered()) == 0
}

// run passes on the request and its response.
func (x *exchange) run(ctx context.Context) (outcome, error) {
	x.b.Tap()
	if err := x.b.Write(ctx, bridge.Server, x.q.forward); err != nil {
		return ended, gone(x.idle.cause(ctx, err))
	}
	if !x.q.body.Done() {
		x.content = startUpload(ctx, x.b, x.q.body, x.idle)
	}
	h, n, err := x.finalHead(ctx)
	if err != nil {
		return ended, err
	}
	if h.Status == statusSwitching {
		return x.switchProtocols(ctx, n)
	}
	body, err := x.frame(h)
	if err != nil {
		return ended, err
	}
	if err := x.pass(ctx, n); err != nil {
		return ended, err
	}
	if err := x.body(ctx, &body); err != nil {
		return ended, err
	}
	return x.after(ctx, h, &body)
}

const statusSwitching = 101

// finalHead passes on interim responses, and returns the head of the final one or of the 101. It consumes nothing of it.
func (x *exchange) finalHead(ctx context.Context) (*ResponseHead, int, error) {
	for range maxRequests {
		h, n, err := x.head(ctx)
		if err != nil || h.class() != 1 || h.Status == statusSwitching {
			return h, n, err
		}
		// RFC 9110 §15.2: "a server MUST NOT send a 1xx response to an HTTP/1.0 client".
		if x.q.minor == 0 || h.Fault != "" {
			x.b.Server.Discard(n)
			continue
		}
		if err := x.b.Pass(ctx, bridge.Server, n); err != nil {
			return nil, 0, x.idle.cause(ctx, err)
		}
		x.idle.touch()
	}
	return nil, 0, badGateway(bridge.Desynced, "The server does not come to its response.", nil)
}

// head waits for a response head.
func (x *exchange) head(ctx context.Context) (*ResponseHead, int, error) {
	for {
		buf := x.b.Server.Buffered()
		x.heard = x.heard || len(buf) > 0
		h, n, err := ParseResponseHead(buf)
		switch {
		case err == nil:
			return h, n, nil
		case !errors.Is(err, bridge.ErrShort):
			return nil, 0, badGateway(bridge.Desynced, "The server's response is malformed.", err)
		}
		if err := x.more(ctx); err != nil {
			return nil, 0, gone(err)
		}
	}
}

// gone says what a server that is gone, or that does not answer, is to the client.
func gone(err error) error {
	if _, ok := asRefusal(err); ok {
		return err
	}
	switch reason, by := bridge.ReasonOf(err); {
	case by == bridge.ByClient:
		return err
	case reason == bridge.Idle, reason == bridge.Timeout:
		return refuse(statusGatewayTimeout, bridge.Timeout, "The server does not answer.", err)
	case by == bridge.ByServer:
		return badGateway(reason, "The server closed the connection before it answered.", err)
	}
	return err
}

// frame returns the body of a final response. One that two recipients could read differently is refused.
func (x *exchange) frame(h *ResponseHead) (Body, error) {
	body, err := ResponseBody(h, x.q.method)
	switch {
	case h.Minor > 1:
		return Body{}, badGateway(bridge.Desynced, "The server's response is of an unknown version.", nil)
	case h.Fault != "":
		return Body{}, badGateway(bridge.Desynced, "The server's response is malformed.", malformed(h.Fault, 0))
	case err != nil:
		return Body{}, badGateway(bridge.Desynced, "The end of the server's response is ambiguous.", err)
	}
	return body, nil
}

// pass passes on n bytes of the final response. From here on no other response can take its place.
func (x *exchange) pass(ctx context.Context, n int) error {
	x.begun = true
	err := x.b.Pass(ctx, bridge.Server, n)
	x.idle.touch()
	return x.idle.cause(ctx, err)
}

// switchProtocols passes on a 101, behind which both speak another protocol. RFC 9110 §15.2.2: it answers an Upgrade.
func (x *exchange) switchProtocols(ctx context.Context, n int) (outcome, error) {
	if !x.q.upgrade {
		return ended, badGateway(bridge.Desynced, "The server switches protocols and was not asked to.", nil)
	}
	if err := x.join(ctx); err != nil || x.unsent {
		return ended, err
	}
	return switched, x.pass(ctx, n)
}

// body passes on the body of the response.
func (x *exchange) body(ctx context.Context, body *Body) error {
	for !body.Done() {
		buf := x.b.Server.Buffered()
		if len(buf) == 0 {
			err := x.more(ctx)
			if body.IsUntilClose() && x.b.Server.End() == bridge.Clean && len(x.b.Server.Buffered()) == 0 {
				return nil
			}
			if err != nil {
				return err
			}
			continue
		}
		n, err := body.Next(buf)
		if err != nil {
			return bridge.Fails(bridge.Desynced, bridge.ByServer, fmt.Errorf("response: %w", err))
		}
		if err := x.pass(ctx, n); err != nil {
			return err
		}
		if len(x.b.Server.Buffered()) == 0 && n >= bulkFrom {
			if err := bulk(ctx, x.b, bridge.Server, body, x.idle); err != nil {
				return x.idle.cause(ctx, err)
			}
		}
	}
	return nil
}

// more waits for more of the server than is buffered. While the request's content is under way its goroutine reads the
// client; before and after it is Expect that watches it.
func (x *exchange) more(ctx context.Context) error {
	if x.content != nil {
		err := x.b.Server.Fill(x.content.over)
		switch end := x.b.Server.End(); {
		case err == nil:
			x.idle.touch()
			return nil
		case end == bridge.Reset:
			return bridge.Fails(bridge.Resets, bridge.ByServer, err)
		case end != bridge.Open:
			return incomplete(err)
		}
		if err := x.join(ctx); err != nil {
			return err
		}
	}
	_, _, err := bridge.Expect(ctx, x.b, bridge.Server, moreThan(len(x.b.Server.Buffered())),
		bridge.Within(0), bridge.Max(2*MaxHead))
	x.idle.touch()
	if d := (*bridge.Desync)(nil); errors.As(err, &d) {
		return incomplete(d)
	}
	return x.idle.cause(ctx, err)
}

// incomplete is a server that ended its direction too early.
func incomplete(err error) error {
	return bridge.Fails(bridge.PeerClosed, bridge.ByServer, fmt.Errorf("the response is incomplete: %w", err))
}

// moreThan is a Parser of what is more than n bytes.
func moreThan(n int) bridge.Parser[struct{}] {
	return func(buf []byte) (struct{}, int, error) {
		if len(buf) <= n {
			return struct{}{}, 0, bridge.ErrShort
		}
		return struct{}{}, len(buf), nil
	}
}

// join waits for the end of the upload, if there is one. That the server did not take all of it is not an error: it may
// have answered before.
func (x *exchange) join(ctx context.Context) error {
	if x.content == nil {
		return nil
	}
	<-x.content.done
	err := x.content.err
	x.unsent, x.content = x.content.unsent, nil
	if x.unsent && ctx.Err() == nil {
		return nil
	}
	return x.idle.cause(ctx, err)
}

// after says what becomes of the connection after the response. A client that was answered early has the rest of its
// request's content taken from it, unless it may still wait to be asked for it: then nobody can tell whether what comes
// next is content or a request (RFC 9110 §10.1.1).
func (x *exchange) after(ctx context.Context, h *ResponseHead, body *Body) (outcome, error) {
	persists := x.q.persists() && !body.IsUntilClose() && h.Minor > 0 && !h.hasOption("close")
	withheld := x.q.expects && x.content != nil && !x.content.begun.Load()
	if !persists || withheld {
		return ended, nil
	}
	if err := x.join(ctx); err != nil || x.unsent {
		return ended, err
	}
	return kept, nil
}

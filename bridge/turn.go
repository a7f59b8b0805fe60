package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// ErrShort is what a Parser returns for a buffer that holds only the beginning of a
// message. It is io.ErrUnexpectedEOF, so that parsers of other packages can say it
// without importing this one.
var ErrShort = io.ErrUnexpectedEOF

// Parser finds one message at the start of buf and returns it with its length. It
// returns ErrShort when buf is a valid beginning, and any other error when it is
// malformed. It is pure: it keeps nothing of buf and changes nothing in it.
type Parser[M any] func(buf []byte) (m M, n int, err error)

// Why says what a Desync is.
type Why uint8

const (
	Malformed Why = iota // the parser refused the bytes
	OutOfTurn            // the other side spoke
	TooLong              // no message within the turn's limit
	TimedOut             // no message within the turn's time
	Ended                // the speaker ended before, or within, the message
)

func (w Why) String() string {
	return [...]string{"malformed", "out of turn", "too long", "timed out", "ended"}[w]
}

// Desync is a handshake that did not go on as its protocol says. The bytes that
// caused it are still buffered. A layer returns it as it is; Chain then goes on as
// a raw relay where that is allowed.
type Desync struct {
	Side Side // the peer that spoke, ended, or should have spoken
	Why  Why
	Err  error // the parser's error, or the one that ended the stream
}

func (d *Desync) Error() string {
	if d.Err == nil {
		return fmt.Sprintf("%s: %s", d.Side, d.Why)
	}
	return fmt.Sprintf("%s: %s: %v", d.Side, d.Why, d.Err)
}

func (d *Desync) Unwrap() error { return d.Err }

func (d *Desync) reason() Reason {
	switch d.Why {
	case TooLong:
		return Limit
	case TimedOut:
		return Timeout
	case Ended:
		return PeerClosed
	}
	return Desynced
}

// TurnOption changes a turn.
type TurnOption func(*turn)

type turn struct {
	max   int
	limit time.Duration
	dials bool
	class func(any) any
}

// Max bounds the length of the message; the default is 64 KiB, and 128 KiB is the most
// that a side's buffer holds.
func Max(n int) TurnOption { return func(t *turn) { t.max = n } }

// Within bounds the time of the turn; the default is Limits.Turn. Zero or less means
// no limit.
func Within(d time.Duration) TurnOption {
	return func(t *turn) { t.limit = either(d <= 0, forever, d) }
}

// AwaitsDial gives the turn the time of a dial, Limits.Dial: the speaker answers only
// when its own dial has succeeded or failed.
func AwaitsDial() TurnOption { return func(t *turn) { t.dials = true } }

// Class names what a server's message must have in common with the one that answers
// it after a Redial: the reply code of SOCKS, the first digit of an HTTP status. It
// must be comparable. The default is that the message parses.
func Class[M any](f func(M) any) TurnOption {
	return func(t *turn) { t.class = func(m any) any { return f(m.(M)) } }
}

func newTurn(l Limits, options []TurnOption) turn {
	t := turn{max: 64 << 10, limit: l.Turn}
	for _, o := range options {
		o(&t)
	}
	if t.dials {
		t.limit = l.Dial
	}
	t.max = min(t.max, bufferLimit)
	return t
}

// Expect waits for a message from one side and returns it with its length. It
// consumes nothing. To expect the server dials it first.
//
// While it waits for the server, what the client sends stays buffered, and the end
// of the client's direction is passed on once nothing of the client's is buffered.
// While it waits for the client, bytes or the end of the server are a Desync.
func Expect[M any](ctx context.Context, b *Bridge, from Side, p Parser[M], options ...TurnOption) (m M, n int, err error) {
	t := newTurn(b.Limits(), options)
	if from == Server {
		if err := b.Dial(ctx); err != nil {
			return m, 0, err
		}
	}
	tctx, cancel := context.WithTimeout(ctx, t.limit)
	defer cancel()
	s := b.side(from)
	for {
		buf := s.Buffered()
		if len(buf) > 0 {
			m, n, err = p(buf)
			var none M
			switch short := errors.Is(err, ErrShort); {
			case err == nil && n > t.max, short && len(buf) >= t.max:
				return none, 0, &Desync{from, TooLong, fmt.Errorf("over %d bytes", t.max)}
			case err == nil:
				return m, n, nil
			case !short:
				return none, 0, &Desync{from, Malformed, err}
			}
		}
		var none M
		if err := b.turnBroken(from); err != nil {
			return none, 0, err
		}
		if err := b.Wait(tctx); err != nil {
			if ctx.Err() == nil && tctx.Err() != nil {
				err = &Desync{from, TimedOut, nil}
			}
			return none, 0, err
		}
	}
}

// Turn relays one message: it expects it and passes it on. What it relayed is
// remembered for Redial.
func Turn[M any](ctx context.Context, b *Bridge, from Side, p Parser[M], options ...TurnOption) (M, error) {
	m, n, err := Expect(ctx, b, from, p, options...)
	if err != nil {
		return m, err
	}
	t := newTurn(b.Limits(), options)
	if from == Client {
		b.redo.said(b.Client.Buffered()[:n])
	} else {
		heard(&b.redo, p, m, t)
	}
	return m, b.pass(ctx, from, n)
}

// turnBroken reports why a turn that waits for the given side can't go on. A side that
// While watches is its affair.
func (b *Bridge) turnBroken(from Side) error {
	for _, side := range []Side{Client, Server} {
		if s := b.side(side); s != nil && !b.watched[side] && s.End() == Reset {
			return Fails(Resets, By(side), s.err)
		}
	}
	s, silent := b.side(from), b.side(from.Other())
	if s.End() != Open {
		return &Desync{from, Ended, s.err}
	}
	if silent == nil || b.watched[from.Other()] {
		return nil
	}
	switch {
	case from == Client && len(silent.Buffered()) > 0:
		return &Desync{Server, OutOfTurn, nil}
	case from == Client && silent.End() != Open:
		return &Desync{Server, Ended, silent.err}
	case from == Server && silent.End() != Open && len(silent.Buffered()) == 0 && !b.redo.running:
		b.passEnd(Client)
	}
	return nil
}

package tlsbridge

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"

	"github.com/bridgeio/bridgeio/bridge"
)

// serverSide is the handshake with the server: over, or waiting for an answer.
type serverSide struct {
	*attempt[Session]
	shown    *Snapshot
	question *question        // nil: it is over
	leaf     *tls.Certificate // what the client is shown
}

// climb shakes hands with the server, with one hello after the other until one works or
// none is left, the most faithful first. Each has a connection of its own.
func (r *relay) climb(ctx, while context.Context) (*serverSide, error) {
	known := r.lesson
	for {
		server, err := r.shakeServer(ctx, while, r.b.Server)
		if err == nil {
			if r.lesson != known {
				r.Memory.learn(r.lessonKey(), r.lesson)
			}
			return server, nil
		}
		retry := (*Retry)(nil)
		if !errors.As(err, &retry) || retry.Changes&^r.lesson.changes == 0 {
			return nil, err
		}
		r.lesson.changes |= retry.Changes
		if failed := r.b.Redial(while); failed != nil {
			return nil, errors.Join(err, failed)
		}
	}
}

// shakeServer shakes hands with the server over s, to the end or to a question.
func (r *relay) shakeServer(ctx, while context.Context, s *bridge.Stream) (*serverSide, error) {
	server := &serverSide{}
	var shown *Snapshot // of the handshake's goroutine until that is over
	offer := &Offer{
		Hello: r.hello, Changes: r.lesson.changes, Sessions: r.Sessions.of(r.b.Flow(), r.hello), KeyLog: r.KeyLog,
	}
	server.attempt = begin(ctx, bridge.Server, s, r.Limiter, r.b.Limits().Turn,
		func(ctx context.Context, under net.Conn, ask asker) (session Session, err error) {
			offer.Certificate = r.certificate(ask)
			session, shown, err = r.Hello.Handshake(ctx, under, offer)
			return session, err
		})
	question, err := server.wait(while)
	if err != nil {
		return nil, err
	}
	if server.question = question; question != nil {
		shown = question.Server
	}
	server.shown = shown
	if err := r.complete(server); err != nil {
		server.abandon(err)
		return nil, err
	}
	return server, nil
}

// complete looks at what the server has shown, and adds what is known here.
func (r *relay) complete(server *serverSide) error {
	shown := server.shown
	if len(shown.Chain) == 0 {
		return &Unbridgeable{Reason: "the server shows no certificate"}
	}
	shown.Name = r.name()
	if shown.Group == 0 {
		shown.Group = tls.CurveID(server.h.peer.Group)
	}
	if !canCheck(r.hello, shown) {
		return &Unbridgeable{Reason: "the client does not know the server's signature algorithm"}
	}
	return nil
}

// redo shakes hands with the server again, for Redial: with the same hello, and only if
// it shows the same certificate.
func (r *relay) redo(leaf []byte) func(context.Context, net.Conn) (net.Conn, error) {
	return func(ctx context.Context, c net.Conn) (net.Conn, error) {
		again, err := r.shakeServer(ctx, ctx, streamOf(c))
		if err == nil && again.question != nil {
			// What the client has answered, or it would not have come this far.
			again.question.answer <- answer{}
			_, err = again.wait(ctx)
		}
		switch {
		case err != nil:
			return nil, err
		case !bytes.Equal(again.shown.Chain[0].Raw, leaf):
			return nil, errors.New("the server shows another certificate now")
		}
		return again.conn(), nil
	}
}

// streamOf returns the stream that c is, or one of it.
func streamOf(c net.Conn) *bridge.Stream {
	if s, ok := c.(*bridge.Stream); ok {
		return s
	}
	return bridge.NewStream(c)
}

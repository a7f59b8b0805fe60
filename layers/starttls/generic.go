package starttls

import (
	"context"
	"errors"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// maxBeforeHello is how much may be said in either direction before a ClientHello. A mail, or a file, may contain one.
const maxBeforeHello = 64 << 10

// Generic returns the layer for a protocol that is not known, in which the server speaks first: it is for the last case
// of a switch. The conversation is relayed, and TLS begins where what the client sends begins with a whole ClientHello
// while nothing else is under way. Otherwise, and when the client speaks first, the conversation is named "raw".
//
// It does not see the verb, so it can't refuse what stands behind it.
func Generic() bridge.Layer { return layer("starttls", generic) }

func generic(ctx context.Context, s *session) error {
	s.frame.Proto = "raw"
	if err := s.b.Dial(ctx); err != nil {
		return err
	}
	s.noRedial()
	g := genericTalk{s: s}
	for {
		begun, err := g.step(ctx)
		switch {
		case err != nil:
			return err
		case begun:
			s.frame.Proto = "starttls"
			return nil
		}
	}
}

// genericTalk is a conversation that nobody understands.
type genericTalk struct {
	s     *session
	said  [2]int    // how much was passed on, by the side that sent it
	since time.Time // when what may become a hello began to be held back; zero: nothing is
}

// step passes on what has come, and waits for more. It reports whether a hello has come.
func (g *genericTalk) step(ctx context.Context) (hello bool, err error) {
	b := g.s.b
	served := len(b.Server.Buffered()) > 0
	if !served && g.said[bridge.Server] == 0 && len(b.Client.Buffered()) > 0 {
		return false, errPlain // the client has spoken first
	}
	if err := g.pass(ctx, bridge.Server); err != nil {
		return false, err
	}
	if sent := b.Client.Buffered(); len(sent) > 0 {
		_, _, err := detect.ParseClientHello(sent)
		held := errors.Is(err, bridge.ErrShort) && !(served && !g.since.IsZero())
		switch {
		case err == nil:
			return true, nil
		case !held:
			g.since = time.Time{}
			if err := g.pass(ctx, bridge.Client); err != nil {
				return false, err
			}
		case g.since.IsZero():
			g.since = time.Now()
		}
	}
	if max(g.said[bridge.Client], g.said[bridge.Server]) > maxBeforeHello {
		return false, errPlain
	}
	return false, g.s.wait(ctx, g.patience())
}

// patience is for how much longer the beginning of a hello is held back.
func (g *genericTalk) patience() time.Duration {
	return g.s.b.Limits().Detect - time.Since(g.since)
}

// pass passes on all that has come from a side.
func (g *genericTalk) pass(ctx context.Context, from bridge.Side) error {
	sent := g.s.b.Client
	if from == bridge.Server {
		sent = g.s.b.Server
	}
	n := len(sent.Buffered())
	if n == 0 {
		return nil
	}
	g.said[from] += n
	return g.s.b.Pass(ctx, from, n)
}

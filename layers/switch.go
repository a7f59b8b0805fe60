package layers

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// Case is one protocol that a Switch can choose.
type Case struct {
	Detector detect.Detector

	// When says whether the case counts for this bridge as it is now, which is asked
	// each time the switch begins; nil means always.
	When func(*bridge.Bridge) bool

	// Within bounds the detection, from its first byte, while this case alone is still
	// undecided: a large first message may come slowly. It counts when it is more than
	// Limits.Detect.
	Within time.Duration

	// Layers take the protocol off; then the switch begins again with what is inside.
	// Without any, the protocol is only named in the flow, and the switch ends.
	Layers []bridge.Layer
}

// Switch is a layer that chooses layers by the first bytes of the conversation.
// The zero value names nothing and passes everything on to the next handler.
type Switch struct {
	// Cases are in order of priority: a match counts once no case before it is
	// undecided.
	Cases []Case

	// Hold says for how long the client alone is waited for, of a bridge with a hop that is
	// not dialled yet: what it says may change the hop, or end the flow. When it says nothing
	// for that long, the next handler gets the conversation. Zero means that the hop is dialled
	// first, since the server may be the one to speak; so does a nil Hold. Where it is not zero,
	// and no case matches, naming the conversation is left to the next handler, too.
	Hold func(*bridge.Bridge) time.Duration

	// Depth bounds how often the switch begins again. Zero means 16.
	Depth int
}

// Layer returns the switch as a layer.
//
// It waits for both peers at once. What the client sends is shown to the detectors
// of all cases after each read, and one that says no is not asked again; when all
// have said no, the next handler gets the conversation. If the server speaks before
// the client does, only detectors of server-first protocols are asked, once, and the
// next handler passes the greeting on at once. Silence decides nothing: it is bounded
// by Limits.Idle, or by Limits.First while no hop is known. An undecided detection is
// bounded by Limits.Detect from its first byte, or by the Within of the one case that is left,
// after which the next handler gets it, where a hop is known.
//
// When a hop is known the switch dials it first, unless Hold says otherwise: the server may be
// the one to speak.
// Inside TLS with an application protocol that is not a proxy's, which ALPN has
// named, there is nothing to detect, and nor is there inside TLS that a protocol has changed
// to and goes on in (STARTTLS).
func (s Switch) Layer() bridge.Layer {
	if s.Depth <= 0 {
		s.Depth = 16
	}
	return s.at(0, nil)
}

// at is the switch in its nth round. Its outermost round is given the next handler by
// its chain, and hands it down.
func (s Switch) at(round int, last bridge.Handler) bridge.Layer {
	return bridge.Layer{Name: "switch", Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
		if last != nil {
			next = last
		}
		if round == s.Depth {
			return next(ctx, b)
		}
		c, proto, err := s.choose(ctx, b)
		switch {
		case err != nil:
			return err
		case c == nil && s.holds(b):
			return next(ctx, b) // which decides, and says then what it is
		case c == nil:
			name(b, "raw")
			return next(ctx, b)
		case len(c.Layers) == 0:
			name(b, proto)
			return next(ctx, b)
		}
		inner := append(slices.Clip(c.Layers), s.at(round+1, next))
		return bridge.Chain(inner...)(ctx, b)
	}}
}

// name says in the flow what the conversation is, unless ALPN or a protocol that goes on
// has said so.
func name(b *bridge.Bridge, proto string) {
	if alpn(b) == "" && !continued(b) {
		b.Push(bridge.Frame{Proto: proto, Verb: bridge.VerbRelay})
	}
}

// alpn returns the application protocol that the innermost layer has negotiated.
func alpn(b *bridge.Bridge) string {
	if frames := b.Flow().Frames(); len(frames) > 0 {
		return frames[len(frames)-1].ALPN
	}
	return ""
}

// continued reports whether inside the innermost layer goes on what was spoken outside of it.
func continued(b *bridge.Bridge) bool {
	frames := b.Flow().Frames()
	return len(frames) > 1 && frames[len(frames)-2].Continues
}

// choose waits until a case has matched, whose protocol it names, or none can, which is a
// nil case.
func (s Switch) choose(ctx context.Context, b *bridge.Bridge) (c *Case, proto string, err error) {
	// HTTP/1.1 may be spoken with a proxy, in which more is stacked.
	negotiated := alpn(b)
	if continued(b) || negotiated != "" && negotiated != "http/1.1" && negotiated != "http/1.0" {
		return nil, "", nil
	}
	limits := b.Limits()
	hold := s.hold(b)
	if hold > 0 {
		limits.First = hold
	} else if !b.Hop().IsZero() {
		if err := b.Dial(ctx); err != nil {
			return nil, "", err
		}
	}
	clientFirst, greetings := s.live(b)
	var began, deadline time.Time
	for {
		in := input(b)
		if err := reset(b); err != nil {
			return nil, "", err
		}
		serverSpoke := len(in.Server) > 0 || in.ServerEnded
		if len(in.Client) == 0 && serverSpoke {
			c, proto = greetings.chosen(detect.Choose(in, greetings.detectors))
			return c, proto, nil // once: a greeting is not delayed to know its name
		}
		i, v := detect.Choose(in, clientFirst.detectors)
		if v.Kind != detect.NeedMore {
			c, proto = clientFirst.chosen(i, v)
			return c, proto, nil
		}
		if began.IsZero() && len(in.Client) > 0 {
			began = time.Now()
		}
		if !began.IsZero() {
			deadline = began.Add(max(limits.Detect, clientFirst.patience(in)))
		}
		switch err := wait(ctx, b, deadline, limits); {
		case errors.Is(err, errUndecided) && limits.Fail == bridge.FailOpen && !b.Hop().IsZero():
			return nil, "", nil
		case errors.Is(err, errSilent) && hold > 0:
			return nil, "", nil
		case err != nil:
			return nil, "", err
		}
	}
}

// hold is for how long the client is waited for before the hop is dialled.
func (s Switch) hold(b *bridge.Bridge) time.Duration {
	if b.Server != nil || b.Hop().IsZero() || !s.holds(b) {
		return 0
	}
	return s.Hold(b)
}

// holds reports whether what no case matches is still to be decided on.
func (s Switch) holds(b *bridge.Bridge) bool { return s.Hold != nil && s.Hold(b) > 0 }

// group is the cases that look at one side's bytes.
type group struct {
	cases     []*Case
	detectors []detect.Detector
}

func (g *group) add(c *Case) {
	g.cases, g.detectors = append(g.cases, c), append(g.detectors, c.Detector)
}

// chosen is the case that Choose has found, and its protocol.
func (g *group) chosen(i int, v detect.Verdict) (*Case, string) {
	if i < 0 {
		return nil, ""
	}
	return g.cases[i], v.Info.Protocol
}

// patience is the Within of the one case that is undecided, if it is one.
func (g *group) patience(in detect.Input) time.Duration {
	var within time.Duration
	undecided := 0
	for i, d := range g.detectors {
		if d.Detect(in).Kind == detect.NeedMore {
			undecided++
			within = g.cases[i].Within
		}
	}
	if undecided == 1 {
		return within
	}
	return 0
}

// live returns the cases that count for the bridge as it is now, by who speaks first.
func (s Switch) live(b *bridge.Bridge) (clientFirst, serverFirst group) {
	for i := range s.Cases {
		switch c := &s.Cases[i]; {
		case c.When != nil && !c.When(b):
		case c.Detector.ServerFirst:
			serverFirst.add(c)
		default:
			clientFirst.add(c)
		}
	}
	return clientFirst, serverFirst
}

func input(b *bridge.Bridge) detect.Input {
	in := detect.Input{Client: b.Client.Buffered(), ClientEnded: b.Client.End() != bridge.Open}
	if b.Server != nil {
		in.Server, in.ServerEnded = b.Server.Buffered(), b.Server.End() != bridge.Open
	}
	return in
}

// reset reports that a peer reset its connection.
func reset(b *bridge.Bridge) error {
	switch {
	case b.Client.End() == bridge.Reset:
		return bridge.Fails(bridge.Resets, bridge.ByClient, errors.New("reset before the protocol was known"))
	case b.Server != nil && b.Server.End() == bridge.Reset:
		return bridge.Fails(bridge.Resets, bridge.ByServer, errors.New("reset before the protocol was known"))
	}
	return nil
}

var (
	// errUndecided is a detection that took too long.
	errUndecided = errors.New("the protocol is still undecided")

	// errSilent is a client that nobody else was waited for.
	errSilent = errors.New("the client said nothing")
)

// wait waits for more bytes: until the deadline of a detection that has begun, else
// as long as silence is allowed to last.
func wait(ctx context.Context, b *bridge.Bridge, deadline time.Time, limits bridge.Limits) error {
	var reason bridge.Reason
	var err error
	switch {
	case !deadline.IsZero():
		reason, err = bridge.Timeout, errUndecided
	case b.Server != nil:
		reason, err = bridge.Idle, errors.New("nothing was said")
		deadline = time.Now().Add(limits.Idle)
	default:
		reason, err = bridge.Timeout, errSilent
		deadline = time.Now().Add(limits.First)
	}
	wctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	waitErr := b.Wait(wctx)
	if waitErr != nil && wctx.Err() != nil && ctx.Err() == nil {
		return bridge.Fails(reason, bridge.ByMITM, err)
	}
	return waitErr
}

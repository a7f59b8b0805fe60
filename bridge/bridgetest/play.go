package bridgetest

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

// dialogue is a script and what is expected of it.
type dialogue struct {
	handler    bridge.Handler
	script     Script // expanded
	terminates bool
	sides      []bridge.Side // who may break it off
	hop        bridge.Addr
	limits     bridge.Limits
	observer   *bridge.Observer
	reason     bridge.Reason
	looks      []func(testing.TB, *bridge.Flow)
	inTurn     bool
	withholds  bool
	redials    bool
}

// play is one way to play a dialogue.
type play struct {
	name   string
	parts  [2]part // by bridge.Side
	expect expect
	conns  Faults // of the ends that the bridge has
	buffer int    // what the conns hold
}

// expect is what must be true when a play is over. That what a peer gets is a beginning of what the other one has sent,
// that the flow ends, and that it does so for a reason which is not our own fault, must always be true.
type expect uint8

const (
	anything   expect = iota
	delivered         // all that was sent has arrived, and both directions ended in order
	asScripted        // that, and what the options say
	wasReset          // the peer of the one that sent a RST has got one
)

// world is where conns come from.
type world struct {
	pair     func(buffer int, f Faults) (theirs, ours peerConn)
	patience time.Duration
}

// memory is the world in a synctest bubble. Its patience is longer than all limits that a flow has.
func memory() world {
	return world{patience: 1000 * time.Hour, pair: func(buffer int, f Faults) (theirs, ours peerConn) {
		a, b := Pipe(buffer)
		b.SetFaults(f)
		return a, b
	}}
}

// loopback is the world of real sockets.
func loopback(t testing.TB) world {
	return world{patience: 20 * time.Second, pair: func(int, Faults) (theirs, ours peerConn) {
		return TCPPair(t)
	}}
}

// performance is one run of a play.
type performance struct {
	testing.TB
	*dialogue
	play
	world

	client *peer

	mu     sync.Mutex
	server *peer   // nil until it is dialled
	left   []*peer // servers that were dialled before
	flows  []*bridge.Flow
	closed int
}

// perform runs a play and reports what is not as it must be.
func (d *dialogue) perform(t testing.TB, w world, p play) {
	t.Helper()
	r := &performance{TB: t, dialogue: d, play: p, world: w}
	theirs, ours := w.pair(p.buffer, p.conns)
	r.client = newPeer(p.parts[bridge.Client], theirs)
	proxy := &bridge.Proxy{
		Handler:  d.handler,
		Dial:     r.dial,
		Limits:   d.limits,
		Observer: bridge.Observers(d.observer, &bridge.Observer{Open: r.opened, Close: r.ended}),
	}
	if !d.hop.IsZero() {
		proxy.Hop = bridge.FixedHop(d.hop)
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), w.patience, errEndless)
	defer cancel()
	go r.client.play()
	out := proxy.ServeConn(ctx, ours)
	r.check(out, ctx.Err() != nil)
}

// errEndless is a flow that does not end.
var errEndless = errors.New("the flow did not end by itself")

// dial is the proxy's dialler: it puts the server's peer to work.
func (r *performance) dial(_ context.Context, hop bridge.Addr, _ *bridge.Flow) (c net.Conn, err error) {
	want := r.hop.String()
	if r.terminates {
		sent, step, ok := r.script.beforeDial()
		if want = step.hop; !ok || r.client.hasSent() < sent {
			r.Errorf("%s: dialled %s when the client had sent %d bytes, and it is not due", r.name, hop, r.client.hasSent())
		}
		err = step.err
	}
	if got := hop.String(); got != want {
		r.Errorf("%s: dialled %q, want %q", r.name, got, want)
	}
	if err != nil {
		return nil, err
	}
	theirs, ours := r.pair(r.buffer, r.conns)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.server != nil && !r.redials {
		r.Errorf("%s: dialled twice", r.name)
		theirs.Close()
		return ours, nil
	}
	if r.server != nil {
		r.left = append(r.left, r.server)
	}
	r.server = newPeer(r.parts[bridge.Server], theirs)
	go r.server.play()
	return ours, nil
}

func (r *performance) opened(f *bridge.Flow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flows = append(r.flows, f)
}

func (r *performance) ended(*bridge.Flow, bridge.Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed++
}

// check waits for the peers and compares.
func (r *performance) check(out bridge.Outcome, endless bool) {
	r.Helper()
	peers := append(r.left, r.client)
	if r.server != nil {
		peers = append(peers, r.server)
	}
	for _, p := range peers {
		p.dismiss()
		<-p.ended
	}
	if endless {
		r.Errorf("%s: %v after %v", r.name, errEndless, r.patience)
	}
	r.checkOutcome(out)
	for _, side := range []bridge.Side{bridge.Client, bridge.Server} {
		r.checkHeard(side)
		r.checkEnd(side)
	}
	if r.expect == asScripted {
		for _, look := range r.looks {
			look(r, r.flows[len(r.flows)-1])
		}
	}
	if len(r.flows) != r.closed {
		r.Errorf("%s: the observer saw %d flows open, and %d close", r.name, len(r.flows), r.closed)
	}
}

func (r *performance) checkOutcome(out bridge.Outcome) {
	r.Helper()
	known := slices.Contains(bridge.Reasons(), out.Reason)
	if !known || out.Reason == bridge.Internal || out.Reason == bridge.Panic {
		r.Errorf("%s: outcome %q by %s: %v", r.name, out.Reason, out.EndedBy, out.Err)
		return
	}
	if r.expect == asScripted && out.Reason != r.reason {
		r.Errorf("%s: outcome %q by %s: %v; want %q", r.name, out.Reason, out.EndedBy, out.Err, r.reason)
	}
}

func (r *performance) peer(s bridge.Side) *peer {
	if s == bridge.Client {
		return r.client
	}
	return r.server
}

// checkHeard compares what a peer has got with what it was to get.
func (r *performance) checkHeard(side bridge.Side) {
	r.Helper()
	var got []byte
	if p := r.peer(side); p != nil {
		var err error
		if got, _, err = p.report(); err != nil {
			r.Errorf("%s: the %s reads: %v", r.name, side, err)
		}
	}
	want := r.toHear(side)
	if r.expect == asScripted || r.expect == delivered && !r.withholds {
		if !bytes.Equal(got, want) {
			r.Errorf("%s: the %s got\n\t%q, want\n\t%q", r.name, side, got, want)
		}
		return
	}
	if side == bridge.Client && r.terminates {
		// Beyond what it waited for the client may have got a refusal.
		n := min(len(got), r.client.waitedFor())
		got = got[:n]
	}
	if !bytes.HasPrefix(want, got) {
		r.Errorf("%s: the %s got\n\t%q, which is no beginning of\n\t%q", r.name, side, got, want)
	}
}

// toHear returns what a side gets when all that the play sends arrives.
func (r *performance) toHear(side bridge.Side) []byte {
	if r.terminates && side == bridge.Client {
		return r.script.heard(side)
	}
	return hears(r.parts[side.Other()].acts)
}

// checkEnd checks how what a peer reads has ended.
func (r *performance) checkEnd(side bridge.Side) {
	r.Helper()
	p := r.peer(side)
	if p == nil || p.deaf || p.ending == resets {
		return
	}
	_, end, _ := p.report()
	want := end
	switch {
	case r.expect == asScripted && r.reason == bridge.EOF, r.expect == delivered && !r.withholds:
		want = bridge.Clean
	case r.expect == wasReset:
		want = bridge.Reset
	}
	if end != want {
		r.Errorf("%s: for the %s it ended %s, want %s", r.name, side, end, want)
	}
}

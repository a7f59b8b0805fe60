package bridgetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/bridgeio/bridgeio/bridge"
)

// Relay plays a script between a client and a server with handler in the middle, and checks that each peer gets
// exactly the bytes that the other one sent, in every way in which the dialogue can go. See the package's doc for them.
func Relay(t *testing.T, handler bridge.Handler, script Script, options ...Option) {
	t.Helper()
	newRelayed(handler, script, options).run(t)
}

// Terminate plays a script of Send, Recv, Dials or DialFails, and Tunnel steps, in every way in which the dialogue can
// go: the client speaks with us, and through us with the peer that we dialled for it.
func Terminate(t *testing.T, handler bridge.Handler, script Script, options ...Option) {
	t.Helper()
	newTerminated(handler, script, options).run(t)
}

func newRelayed(handler bridge.Handler, script Script, options []Option) *dialogue {
	d := newDialogue(handler, script, append([]Option{Hop("192.0.2.80:1080")}, options...))
	d.sides = []bridge.Side{bridge.Client, bridge.Server}
	return d
}

func newTerminated(handler bridge.Handler, script Script, options []Option) *dialogue {
	d := newDialogue(handler, script, options)
	d.terminates = true
	d.sides = []bridge.Side{bridge.Client}
	if d.serverSpeaks() {
		d.sides = append(d.sides, bridge.Server)
	}
	return d
}

func newDialogue(handler bridge.Handler, script Script, options []Option) *dialogue {
	d := &dialogue{handler: handler, script: script.expanded(), reason: bridge.EOF}
	for _, o := range options {
		o(d)
	}
	return d
}

// whole is the play in which each message is one write and the client ends first.
func (d *dialogue) whole(name string) play {
	p := play{name: name, buffer: 64 << 10, expect: asScripted}
	for side := range p.parts {
		p.parts[side] = part{
			acts:       d.script.acts(bridge.Side(side)),
			everything: len(d.script.heard(bridge.Side(side))),
			told:       d.script.fromUs(bridge.Side(side)),
			chunks:     always(1 << 20),
		}
	}
	p.parts[bridge.Client].ending = closes
	return p
}

// serverEnds turns the play into one in which the server ends first.
func (p play) serverEnds() play {
	p.parts[bridge.Client].ending, p.parts[bridge.Server].ending = follows, closes
	return p
}

// byteByByte turns the play into one of writes and reads of a byte.
func (p play) byteByByte() play {
	p.parts[bridge.Client].chunks, p.parts[bridge.Server].chunks = always(1), always(1)
	p.conns.MaxRead = 1
	return p
}

// chunked turns the play into one of random writes and reads.
func (p play) chunked(seed uint64) play {
	for side := range p.parts {
		p.parts[side].chunks = randomly(seed, uint64(side))
	}
	p.conns.MaxRead = randomly(seed, uint64(len(p.parts)))()()
	return p
}

func always(size int) func() func() int {
	return func() func() int {
		return func() int { return size }
	}
}

// randomly returns what makes random sizes, most of them small, for each peer anew.
func randomly(seed, stream uint64) func() func() int {
	return func() func() int {
		random := rand.New(rand.NewPCG(seed, stream))
		return func() int { return 1 + random.IntN(1<<random.IntN(12)) }
	}
}

// pipelined turns the play into one in which the client waits for nothing.
func (p play) pipelined() play {
	client, server := &p.parts[bridge.Client], &p.parts[bridge.Server]
	client.acts, server.acts = atOnce(client.acts), coalesced(server.acts)
	return p
}

// group is plays that are reported as one test.
type group struct {
	name  string
	plays []play
}

// run performs all plays.
func (d *dialogue) run(t *testing.T) {
	t.Helper()
	for _, g := range d.groups() {
		t.Run(g.name, func(t *testing.T) {
			t.Helper()
			for _, p := range g.plays {
				synctest.Test(t, func(t *testing.T) {
					t.Helper()
					d.perform(t, memory(), p)
				})
				if t.Failed() {
					return // the others are likely to say the same
				}
			}
		})
	}
	t.Run("on loopback", func(t *testing.T) {
		t.Helper()
		for _, p := range d.onSockets() {
			t.Run(p.name, func(t *testing.T) {
				t.Helper()
				Baseline(t)
				d.perform(t, loopback(t), p)
			})
		}
	})
}

// groups returns the plays in memory.
func (d *dialogue) groups() []group {
	all := d.complete()
	for _, side := range d.sides {
		all = append(all, d.brokenOff(side)...)
		all = append(all, d.silences(side))
	}
	if !d.terminates {
		all = append(all, d.outOfTurn())
	}
	return all
}

func (d *dialogue) serverSpeaks() bool { return len(d.script.acts(bridge.Server)) > 0 }

// complete is the plays in which nothing goes wrong.
func (d *dialogue) complete() []group {
	all := []group{
		{"whole", []play{d.whole("whole messages")}},
		{"byte by byte", []play{d.whole("one byte at a time").byteByByte()}},
		{"in random chunks", d.inChunks()},
	}
	if d.serverSpeaks() {
		all = append(all, group{"ended by the server", []play{d.whole("the server ends first").serverEnds()}})
	}
	if d.inTurn {
		return all
	}
	withEnd := d.whole("the client waits for nothing and ends at once").pipelined()
	withEnd.parts[bridge.Client].ending = cuts
	return append(all, group{"pipelined", []play{
		d.whole("the client waits for nothing").pipelined(),
		d.whole("the client waits for nothing, one byte at a time").pipelined().byteByByte(),
		withEnd,
	}})
}

// seeds of the random chunks. They are few and fixed: what fails once fails again.
const seeds = 8

func (d *dialogue) inChunks() []play {
	var plays []play
	for seed := range uint64(seeds) {
		plays = append(plays, d.whole(fmt.Sprintf("random chunks of seed %d", seed)).chunked(seed))
	}
	return plays
}

// offsets returns where a stream of n bytes is broken off: everywhere in the first few thousand bytes, and beyond
// them in steps, which are prime, to meet no boundary by rule.
func offsets(n int) []int {
	var all []int
	for i := 0; i < n; i++ {
		if all = append(all, i); i >= 2048 {
			i += 508
		}
	}
	return append(all, n)
}

// brokenOff is the plays in which a peer closes or resets, at each of its bytes.
func (d *dialogue) brokenOff(side bridge.Side) []group {
	ends := group{name: fmt.Sprintf("ended by the %s at every offset", side)}
	resets := group{name: fmt.Sprintf("reset by the %s at every offset", side)}
	for _, n := range offsets(len(sends(d.script.acts(side)))) {
		ends.plays = append(ends.plays, d.ended(side, n))
		resets.plays = append(resets.plays, d.reset(side, n))
	}
	return []group{ends, resets}
}

func (d *dialogue) ended(side bridge.Side, n int) play {
	p := d.whole(fmt.Sprintf("the %s ends after %d bytes", side, n))
	p.parts[side].acts, p.parts[side].ending = upTo(p.parts[side].acts, n), cuts
	p.parts[side.Other()].ending = follows
	if p.expect = delivered; d.terminates {
		p.expect = anything
	}
	return p.shortened()
}

func (d *dialogue) reset(side bridge.Side, n int) play {
	p := d.whole(fmt.Sprintf("the %s resets after %d bytes", side, n))
	p.parts[side].acts, p.parts[side].ending = upTo(p.parts[side].acts, n), resets
	p.parts[side.Other()].ending = follows
	if p.expect = wasReset; d.terminates {
		p.expect = anything
	}
	return p.shortened()
}

// shortened leaves out of the other peer's part what it can't do any more, because it waits for what is not sent.
func (p play) shortened() play {
	heard := [2]int{len(hears(p.parts[bridge.Server].acts)), len(hears(p.parts[bridge.Client].acts))}
	heard[bridge.Client] += p.parts[bridge.Client].told
	for changed := true; changed; {
		changed = false
		for side := range p.parts {
			acts := p.parts[side].acts
			if last := len(acts) - 1; last >= 0 && acts[last].after > heard[side] {
				heard[1-side] -= len(acts[last].heard)
				p.parts[side].acts = acts[:last]
				changed = true
			}
		}
	}
	return p
}

// silences is the plays in which a peer says nothing more, at each of its messages. It may read on, or not.
func (d *dialogue) silences(side bridge.Side) group {
	g := group{name: fmt.Sprintf("silence of the %s at every message", side)}
	for n := range d.script.acts(side) {
		p := d.whole(fmt.Sprintf("the %s is silent from its message %d", side, n+1))
		p.parts[side].acts, p.parts[side].ending = p.parts[side].acts[:n], follows
		p.parts[side.Other()].ending = follows
		p.expect = anything
		deaf := p
		deaf.name += ", and does not read"
		deaf.parts[side].deaf = true
		deaf.buffer = 1
		g.plays = append(g.plays, p.shortened(), deaf)
	}
	return g
}

// outOfTurn is the plays in which the server says something that it is not asked for, before each of its messages and
// after the last.
func (d *dialogue) outOfTurn() group {
	g := group{name: "out of turn"}
	extra := []byte("\x00\xffout of turn\r\n\r\n")
	server := d.script.acts(bridge.Server)
	for n := range len(server) + 1 {
		p := d.whole(fmt.Sprintf("the server speaks out of turn before its message %d", n+1))
		after := 0
		if n > 0 {
			after = server[n-1].after
		}
		p.parts[bridge.Server].acts = slices.Insert(slices.Clone(server), n, act{after, extra, extra})
		p.parts[bridge.Client].everything += len(extra)
		p.expect = delivered
		g.plays = append(g.plays, p)
	}
	return g
}

// onSockets is the most telling plays, for real sockets.
func (d *dialogue) onSockets() []play {
	plays := []play{d.whole("whole messages")}
	if d.serverSpeaks() {
		plays = append(plays, d.whole("the server ends first").serverEnds())
	}
	if !d.inTurn {
		plays = append(plays, d.whole("the client waits for nothing").pipelined())
	}
	for _, side := range d.sides {
		for _, n := range boundaries(d.script.acts(side)) {
			plays = append(plays, d.ended(side, n), d.reset(side, n))
		}
	}
	return plays
}

// boundaries returns the offsets at the end and in the middle of each message.
func boundaries(acts []act) []int {
	at := []int{}
	n := 0
	for _, a := range acts {
		at = append(at, n, n+len(a.data)/2)
		n += len(a.data)
	}
	return slices.Compact(append(at, n))
}

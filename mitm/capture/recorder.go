package capture

import (
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

// recorder turns the events of conversations into packets. It belongs to the writing
// goroutine.
type recorder struct {
	w       *Writer
	out     *output
	packets *packets

	// live are the conversations whose handshake is written and whose end is not:
	// those that need a mark when something could not be written.
	live   map[*conversation]struct{}
	outage int // conversations that were given up since writing fails
}

func newRecorder(w *Writer, out *output) *recorder {
	r := &recorder{w: w, out: out, live: map[*conversation]struct{}{}}
	r.packets = &packets{room: r.room}
	return r
}

// room makes room for the frame of a packet.
func (r *recorder) room(c *conversation, at time.Time, size int) []byte {
	r.w.count.packets.Add(1)
	return r.out.packet(c, at, size)
}

// page writes the events of a page. Nothing of it is left in memory afterwards, but for
// what could not be written.
func (r *recorder) page(p *page) {
	b := p.bytes
	for _, e := range p.events {
		var payload []byte
		if e.kind == kindData {
			payload, b = b[:e.size], b[e.size:]
		}
		r.event(e, payload)
		if r.out.full() {
			r.flush()
		}
	}
	r.flush()
}

func (r *recorder) event(e event, payload []byte) {
	t := &e.c.tcp
	switch {
	case t.closed:
		return
	case r.out.err != nil:
		r.lose(e)
		return
	case !t.open:
		r.open(e.c)
	}
	switch e.kind {
	case kindData:
		r.packets.write(e.c, e.at, e.from, payload)
		r.w.count.payload.Add(int64(e.size))
		return
	case kindGap:
		t.missing[e.from] += int64(e.size)
		r.reset(e.c, e.at, bridge.Server)
	case kindFIN:
		e.c.countCut()
		r.packets.finish(e.c, e.at, e.from)
	case kindRST:
		r.reset(e.c, e.at, e.from)
	}
	delete(r.live, e.c)
}

func (r *recorder) reset(c *conversation, at time.Time, from bridge.Side) {
	c.countCut()
	r.packets.reset(c, at, from)
}

// countCut adds what was cut off to what is missing.
func (c *conversation) countCut() {
	for side := range c.cut {
		c.tcp.missing[side] += c.cut[side].Swap(0)
	}
}

// open begins a conversation, at the time at which its flow began.
func (r *recorder) open(c *conversation) {
	c.tcp.begin(c.ends, r.w.terms.isn(c.start))
	r.packets.handshake(c, c.start)
	r.live[c] = struct{}{}
	if !c.story.counted {
		c.story.counted = true
		r.w.count.flows.Add(1)
	}
}

// lose gives up on the conversation of an event that came while writing fails.
func (r *recorder) lose(e event) {
	t := &e.c.tcp
	if e.c.giveUp() {
		r.outage++
	}
	t.missing[e.from] += int64(e.size)
	t.gap = t.open
	t.closed = !t.open
}

// flush writes what is ready, and reports whether that went well. The first failure,
// and the first success after it, are logged.
func (r *recorder) flush() bool {
	failed := r.out.err != nil
	err := r.out.flush()
	switch {
	case err != nil && !failed:
		r.w.config.Log.Error("capture: write fails; flows that move now are given up", "err", err)
	case err == nil && failed:
		r.w.config.Log.Warn("capture: writing works again", "lost flows", r.outage)
		r.outage = 0
		r.markGaps()
		return r.flush()
	case err == nil:
		r.out.turn()
	}
	return err == nil
}

// markGaps ends the conversations of which something was lost while writing failed.
func (r *recorder) markGaps() {
	for c := range r.live {
		if c.tcp.gap {
			r.reset(c, time.Now(), bridge.Server)
			delete(r.live, c)
		}
	}
}

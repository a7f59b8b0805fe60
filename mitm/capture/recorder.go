package capture

import (
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/google/gopacket/layers"
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
	r.packets = newPackets(r.emit)
	return r
}

func (r *recorder) emit(at time.Time, frame []byte) {
	r.out.packet(at, frame)
	r.w.count.packets.Add(1)
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
		r.packets.write(t, e.at, e.from, payload)
		r.w.count.payload.Add(int64(e.size))
		return
	case kindGap:
		t.missing[e.from] += uint32(e.size)
		r.packets.giveUp(t, e.at)
	case kindFIN:
		r.packets.finish(t, e.at, e.from)
	case kindRST:
		r.packets.reset(t, e.at, e.from)
	}
	delete(r.live, e.c)
}

// open begins a conversation, at the time at which its flow began.
func (r *recorder) open(c *conversation) {
	t := &c.tcp
	ends := c.ends
	for _, side := range []bridge.Side{bridge.Client, bridge.Server} {
		t.ip[side] = ends[side].Addr().AsSlice()
		t.port[side] = layers.TCPPort(ends[side].Port())
	}
	t.segment = segmentIPv6
	if ends[bridge.Client].Addr().Is4() {
		t.segment = segmentIPv4
	}
	isn := r.w.terms.isn(c.flow.Start())
	t.next = [2]uint32{bridge.Client: isn, bridge.Server: isn + 1<<31}
	r.packets.handshake(t, c.flow.Start())
	r.live[c] = struct{}{}
	r.w.count.flows.Add(1)
}

// lose gives up on the conversation of an event that came while writing fails.
func (r *recorder) lose(e event) {
	t := &e.c.tcp
	if e.c.giveUp() {
		r.outage++
	}
	t.missing[e.from] += uint32(e.size)
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
			r.packets.giveUp(&c.tcp, time.Now())
			delete(r.live, c)
		}
	}
}

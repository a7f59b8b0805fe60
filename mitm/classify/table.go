package classify

import (
	"container/list"
	"fmt"
	"net/netip"
	"slices"
)

// The two sides of a connection, until it is known which is the client's.
const nobody = -1

// key names a flow: its ends in the order of their addresses.
type key struct {
	udp  bool
	ends [2]netip.AddrPort
}

// conn is a flow of which packets may still come.
type conn struct {
	key     key
	number  int
	streams [2]stream // what each of the ends sent
	client  int       // which end opened it; or nobody
	first   int       // which end spoke first; or nobody
	reset   bool
	done    bool // reported; it stays, so that its last packets do not look like a flow of their own
	counted int  // what it holds of the table's memory
	place   *list.Element
}

// table is the flows of a capture that are known at present.
type table struct {
	families families
	report   func(Flow)
	summary  Summary

	maxFlows, maxMemory int

	conns  map[key]*conn
	byUse  *list.List // of *conn; the one that was silent for longest is first
	memory int        // bytes in the streams' buffers
}

func newTable(c Config, report func(Flow)) *table {
	t := &table{families: c.families(), report: report, maxFlows: c.Flows, maxMemory: c.Memory}
	if t.maxFlows <= 0 {
		t.maxFlows = 10_000
	}
	if t.maxMemory <= 0 {
		t.maxMemory = 256 << 20
	}
	t.conns, t.byUse = make(map[key]*conn), list.New()
	return t
}

// packet takes one into account.
func (t *table) packet(p packet) {
	t.summary.Packets++
	s, f := parseFrame(p)
	switch f {
	case fateOther:
		t.summary.Others++
	case fateFragment:
		t.summary.Fragments++
	case fateDamaged:
		t.summary.Damaged++
	case fateSegment:
		t.segment(s)
	}
}

// segment finds the flow and the end that sent the segment.
func (t *table) segment(s segment) {
	k, from := key{s.udp, [2]netip.AddrPort{s.src, s.dst}}, 0
	if s.src.Compare(s.dst) > 0 {
		k.ends[0], k.ends[1], from = s.dst, s.src, 1
	}
	c := t.conns[k]
	if c != nil && !s.udp && c.startsAnew(s, from) {
		t.drop(c)
		c = nil
	}
	if c == nil {
		c = t.open(k)
	}
	t.byUse.MoveToBack(c.place)
	switch {
	case c.done:
		return
	case s.udp:
		t.datagram(c, s, from)
	default:
		t.tcp(c, s, from)
	}
	t.count(c)
	for t.memory > t.maxMemory && t.byUse.Len() > 1 {
		t.evict()
	}
}

// count brings up to date what a flow holds.
func (t *table) count(c *conn) {
	held := cap(c.streams[0].buf) + cap(c.streams[1].buf)
	t.memory += held - c.counted
	c.counted = held
}

// startsAnew says whether a SYN is of another connection between the same ports.
func (c *conn) startsAnew(s segment, from int) bool {
	if !s.syn || s.hasAck {
		return false
	}
	known := &c.streams[from]
	return known.started && known.base != s.seq+1 || c.done && !known.started
}

// open makes a flow, and room for it.
func (t *table) open(k key) *conn {
	for len(t.conns) >= t.maxFlows {
		t.evict()
	}
	t.summary.Flows++
	c := &conn{key: k, number: t.summary.Flows, client: nobody, first: nobody}
	c.place = t.byUse.PushBack(c)
	t.conns[k] = c
	return c
}

// evict judges and forgets the flow that has been silent for longest.
func (t *table) evict() {
	c := t.byUse.Front().Value.(*conn)
	if !c.done {
		t.summary.Evicted++
		t.finish(c, true)
	}
	t.drop(c)
}

// drop forgets a flow, which is judged if it is not yet.
func (t *table) drop(c *conn) {
	t.finish(c, false)
	t.byUse.Remove(c.place)
	delete(t.conns, c.key)
}

// datagram judges a flow of UDP, by the first.
func (t *table) datagram(c *conn, s segment, from int) {
	c.client, c.first = from, from
	st := &c.streams[from]
	st.start(0, true)
	st.add(0, s.payload, s.wire, true)
	t.finish(c, false)
}

// tcp takes a segment of a connection into account, and judges that if nothing more is to come.
func (t *table) tcp(c *conn, s segment, from int) {
	mine, other := &c.streams[from], &c.streams[1-from]
	seq := s.seq
	switch {
	case s.syn && s.hasAck: // RFC 9293 section 3.5: it acknowledges the client's SYN and nothing else
		c.client = 1 - from
		other.start(s.ack, true)
	case s.syn:
		c.client = from
	}
	if s.syn {
		seq++
	}
	if !s.rst { // the sequence number of a reset may be made up
		mine.start(seq, s.syn)
		if mine.add(seq, s.payload, s.wire, s.fin) && c.first == nobody {
			c.first = from
		}
	}
	c.reset = c.reset || s.rst
	if c.reset || mine.ended() && other.ended() {
		t.finish(c, false)
	}
}

// finishAll judges what is left, in the order in which it began.
func (t *table) finishAll() {
	left := make([]*conn, 0, len(t.conns))
	for _, c := range t.conns {
		left = append(left, c)
	}
	slices.SortFunc(left, func(a, b *conn) int { return a.number - b.number })
	for _, c := range left {
		t.finish(c, false)
	}
}

// finish judges a flow and reports it, once, and lets go of its bytes.
func (t *table) finish(c *conn, evicted bool) {
	if c.done {
		return
	}
	c.done = true
	f := t.judge(c)
	f.Evicted = evicted
	if f.Matched() {
		t.summary.Matched++
	}
	if f.Panic != "" {
		t.summary.Panics++
	}
	t.report(f)
	for i := range c.streams {
		c.streams[i].buf, c.streams[i].have = nil, nil
	}
	t.count(c)
}

// judge asks the families about a flow.
func (t *table) judge(c *conn) Flow {
	f := Flow{Number: c.number, Network: "tcp", Midstream: c.client == nobody}
	if c.key.udp {
		f.Network = "udp"
	}
	for i := range c.streams {
		s := &c.streams[i]
		f.Midstream = f.Midstream || s.started && !s.synced
		f.Gap = f.Gap || s.gap()
	}
	client := c.client
	if client == nobody {
		client = t.likelyClient(&f, c)
	}
	f.Client, f.Server = c.peer(client), c.peer(1-client)
	switch c.first {
	case nobody:
	case client:
		f.First = Client
	default:
		f.First = Server
	}
	if c.key.udp {
		f.Client.family = t.families.datagrams
	} else {
		f.Client.family, f.Server.family = t.families.clients, t.families.servers
		f.Server.Answer = t.ask(&f, f.Server.family, f.Server)
	}
	f.Client.Answer = t.ask(&f, f.Client.family, f.Client)
	return f
}

// likelyClient is the end that is the client by what the two said; if that fits both ways, or neither, the one with the
// higher port.
func (t *table) likelyClient(f *Flow, c *conn) int {
	fit := func(client int) (n int) {
		for _, a := range []*Answer{
			t.ask(f, t.families.clients, c.peer(client)), t.ask(f, t.families.servers, c.peer(1-client)),
		} {
			if a.Verdict == Match {
				n++
			}
		}
		return n
	}
	switch d := fit(0) - fit(1); {
	case d > 0 || d == 0 && c.key.ends[0].Port() > c.key.ends[1].Port():
		return 0
	default:
		return 1
	}
}

// peer is an end of a flow, without an answer.
func (c *conn) peer(end int) Peer {
	s := &c.streams[end]
	data := s.prefix()
	return Peer{Addr: c.key.ends[end], Data: data, Ended: s.ended() || c.reset && !s.gap()}
}

// ask is Identify, for a detector that panics.
func (t *table) ask(f *Flow, family Family, p Peer) (a *Answer) {
	defer func() {
		if r := recover(); r != nil {
			f.Panic = fmt.Sprint(r)
			a = &Answer{From: family.From, Verdict: None, Bytes: len(p.Data)}
		}
	}()
	answer := family.Identify(p.Data, p.Ended)
	return &answer
}

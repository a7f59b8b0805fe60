package capture

import (
	"encoding/binary"
	"math"
	"net/netip"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

const (
	segmentIPv4 = 1460 // an Ethernet frame's 1500 bytes less IPv4's and TCP's headers
	segmentIPv6 = 1440

	ethernetHeader = 14
	ipv4Header     = 20
	ipv6Header     = 40
	tcpHeader      = 20
	synOptionsSize = 8

	typeIPv4    = 0x0800
	typeIPv6    = 0x86dd
	protocolTCP = 6
	hopLimit    = 64

	// windowShift (RFC 7323 §2) makes the window a gigabyte: one ACK a write means
	// that much may be under way, as far as readers can see.
	windowShift = 14

	// widestGap is how far a sequence number goes on at once: readers take one that
	// is 2^31 ahead for an old one (RFC 9293 §3.4).
	widestGap = 1 << 30
)

// tcpState is a conversation as a TCP connection.
type tcpState struct {
	head    [2]header // by the side that sends
	next    [2]uint32 // the sequence number of the side's next byte; wraps
	missing [2]int64  // bytes that are not written, and not yet marked
	segment int       // the largest segment

	open, closed bool // the handshake, the end are written
	gap          bool // a gap is to be written once that is possible
}

// header is what the segments of a side begin with: all that is the same in each.
type header struct {
	bytes [ethernetHeader + ipv6Header + tcpHeader]byte
	ip    int    // where the IP header begins
	tcp   int    // where the TCP header begins
	sum   uint64 // of the pseudo-header but for the length (RFC 9293 §3.1)
}

// newHeader fills in what segments from one end to the other begin with. The ends are
// of one family.
func newHeader(sender bridge.Side, from, to netip.AddrPort) header {
	h := header{ip: ethernetHeader, tcp: ethernetHeader + ipv6Header}
	b := h.bytes[:]
	copy(b[0:6], macOf(sender.Other()))
	copy(b[6:12], macOf(sender))
	src, dst := from.Addr().AsSlice(), to.Addr().AsSlice()
	if from.Addr().Is4() {
		h.tcp = ethernetHeader + ipv4Header
		binary.BigEndian.PutUint16(b[12:], typeIPv4)
		ip := b[h.ip:] // RFC 791 §3.1; of one length, and with the lowest identification
		ip[0] = 4<<4 | ipv4Header/4
		ip[6] = 1 << 6 // don't fragment
		ip[8], ip[9] = hopLimit, protocolTCP
		copy(ip[12:], src)
		copy(ip[16:], dst)
	} else {
		binary.BigEndian.PutUint16(b[12:], typeIPv6)
		ip := b[h.ip:] // RFC 8200 §3
		ip[0] = 6 << 4
		ip[6], ip[7] = protocolTCP, hopLimit
		copy(ip[8:], src)
		copy(ip[24:], dst)
	}
	tcp := b[h.tcp:]
	binary.BigEndian.PutUint16(tcp[0:], from.Port())
	binary.BigEndian.PutUint16(tcp[2:], to.Port())
	binary.BigEndian.PutUint16(tcp[14:], math.MaxUint16) // window
	h.sum = sumOf(sumOf(sumOf(0, src), dst), []byte{0, protocolTCP})
	return h
}

// macOf returns what stands for a side.
func macOf(s bridge.Side) []byte {
	if s == bridge.Client {
		return []byte{0x02, 0x00, 0x00, 0x11, 0x11, 0x11}
	}
	return []byte{0x02, 0x00, 0x00, 0x22, 0x22, 0x22}
}

// begin sets the ends of a connection, and the initial sequence numbers.
func (t *tcpState) begin(ends [2]netip.AddrPort, isn uint32) {
	t.segment = segmentIPv6
	if ends[bridge.Client].Addr().Is4() {
		t.segment = segmentIPv4
	}
	for side := range bridge.Side(2) {
		t.head[side] = newHeader(side, ends[side], ends[side.Other()])
	}
	t.next = [2]uint32{bridge.Client: isn, bridge.Server: isn + 1<<31}
}

// synOptions are the options of a SYN: the largest segment (RFC 9293 §3.7.1) and the
// window's scale (RFC 7323 §2.2).
func synOptions(segment int) [synOptionsSize]byte {
	return [synOptionsSize]byte{2, 4, byte(segment >> 8), byte(segment), 1, 3, 3, windowShift}
}

// flags of a segment, as RFC 9293 §3.1 names them.
type flags uint8

const (
	finFlag flags = 1 << iota
	synFlag
	rstFlag
	pshFlag
	ackFlag
)

// packets makes the frames of conversations, each where room says. A frame is a copy of
// its side's header in which little is filled in, and of the payload: that is what keeps
// a capture cheap.
type packets struct {
	room func(c *conversation, at time.Time, size int) (frame []byte)
}

// handshake opens a connection.
func (p *packets) handshake(c *conversation, at time.Time) {
	p.send(c, at, bridge.Client, synFlag, nil)
	p.send(c, at, bridge.Server, synFlag|ackFlag, nil)
	p.send(c, at, bridge.Client, ackFlag, nil)
	c.tcp.open = true
}

// write sends what one side wrote, and the other's ACK.
func (p *packets) write(c *conversation, at time.Time, from bridge.Side, b []byte) {
	for len(b) > c.tcp.segment {
		p.send(c, at, from, ackFlag, b[:c.tcp.segment])
		b = b[c.tcp.segment:]
	}
	p.send(c, at, from, pshFlag|ackFlag, b)
	p.send(c, at, from.Other(), ackFlag, nil)
}

// finish ends a connection in order; from ends first.
func (p *packets) finish(c *conversation, at time.Time, from bridge.Side) {
	p.markMissing(c, at)
	p.send(c, at, from, finFlag|ackFlag, nil)
	p.send(c, at, from.Other(), finFlag|ackFlag, nil)
	p.send(c, at, from, ackFlag, nil)
	c.tcp.closed = true
}

// reset ends a connection by an error.
func (p *packets) reset(c *conversation, at time.Time, from bridge.Side) {
	p.markMissing(c, at)
	p.send(c, at, from, rstFlag|ackFlag, nil)
	c.tcp.closed = true
}

// markMissing shows that bytes are missing. The end of the connection alone would not:
// readers do not look at its sequence number.
func (p *packets) markMissing(c *conversation, at time.Time) {
	t := &c.tcp
	for side := range bridge.Side(2) {
		for t.missing[side] > 0 {
			step := min(t.missing[side], widestGap)
			t.missing[side] -= step
			t.next[side] += uint32(step)
			p.send(c, at, side, ackFlag, nil)
		}
	}
}

// send makes one segment and moves its sender's sequence number on. SYN and FIN take
// one number each (RFC 9293 §3.4).
func (p *packets) send(c *conversation, at time.Time, from bridge.Side, f flags, payload []byte) {
	t := &c.tcp
	h := &t.head[from]
	options := 0
	if f&synFlag != 0 {
		options = synOptionsSize
	}
	frame := p.room(c, at, h.tcp+tcpHeader+options+len(payload))
	copy(frame, h.bytes[:h.tcp+tcpHeader])
	tcp := frame[h.tcp:]
	binary.BigEndian.PutUint32(tcp[4:], t.next[from])
	if f&ackFlag != 0 {
		binary.BigEndian.PutUint32(tcp[8:], t.next[from.Other()])
	}
	tcp[12] = byte(tcpHeader+options) / 4 << 4
	tcp[13] = byte(f)
	if options > 0 {
		o := synOptions(t.segment)
		copy(tcp[tcpHeader:], o[:])
	}
	copy(tcp[tcpHeader+options:], payload)
	h.seal(frame)
	t.next[from] += uint32(len(payload))
	if f&(synFlag|finFlag) != 0 {
		t.next[from]++
	}
}

// seal sets the lengths and the checksums of a frame.
func (h *header) seal(frame []byte) {
	ip, tcp := frame[h.ip:h.tcp], frame[h.tcp:]
	if len(ip) == ipv4Header {
		binary.BigEndian.PutUint16(ip[2:], uint16(ipv4Header+len(tcp)))
		putChecksum(ip[10:], sumOf(0, ip))
	} else {
		binary.BigEndian.PutUint16(ip[4:], uint16(len(tcp)))
	}
	var length [2]byte
	binary.BigEndian.PutUint16(length[:], uint16(len(tcp)))
	putChecksum(tcp[16:], sumOf(sumOf(h.sum, length[:]), tcp))
}

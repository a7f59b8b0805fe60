package capture

import (
	"encoding/binary"
	"math"
	"net"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

const (
	segmentIPv4 = 1460 // an Ethernet frame's 1500 bytes less IPv4's and TCP's headers
	segmentIPv6 = 1440

	ethernetHeader = 14
	ipv6Header     = 40

	// windowShift (RFC 7323 §2) makes the window a gigabyte: one ACK a write means
	// that much may be under way, as far as readers can see.
	windowShift = 14
)

// tcpState is a conversation as a TCP connection.
type tcpState struct {
	ip      [2]net.IP // by side; both of 4 bytes, or both of 16
	port    [2]layers.TCPPort
	next    [2]uint32 // the sequence number of the side's next byte; wraps
	missing [2]uint32 // bytes that were lost, modulo 2^32
	segment int       // the largest segment

	open, closed bool // the handshake, the end are written
	gap          bool // a gap is to be written once that is possible
}

// packets makes the frames of conversations. Everything that a frame needs is made once
// and filled in again for each, so that a segment costs no allocation.
type packets struct {
	emit func(at time.Time, frame []byte)

	buf     gopacket.SerializeBuffer
	eth     layers.Ethernet
	ip4     layers.IPv4
	ip6     layers.IPv6
	tcp     layers.TCP
	payload gopacket.Payload
	v4, v6  []gopacket.SerializableLayer
	mac     [2]net.HardwareAddr        // what stands for a side
	options map[int][]layers.TCPOption // of SYN segments, by the largest segment
}

func newPackets(emit func(time.Time, []byte)) *packets {
	p := &packets{
		emit: emit,
		buf:  gopacket.NewSerializeBufferExpectedSize(128, segmentIPv4),
		ip4:  layers.IPv4{Version: 4, Flags: layers.IPv4DontFragment, TTL: 64, Protocol: layers.IPProtocolTCP},
		ip6:  layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP},
		tcp:  layers.TCP{Window: math.MaxUint16},
		mac: [2]net.HardwareAddr{
			bridge.Client: {0x02, 0x00, 0x00, 0x11, 0x11, 0x11},
			bridge.Server: {0x02, 0x00, 0x00, 0x22, 0x22, 0x22},
		},
		options: map[int][]layers.TCPOption{
			segmentIPv4: synOptions(segmentIPv4),
			segmentIPv6: synOptions(segmentIPv6),
		},
	}
	p.v4 = []gopacket.SerializableLayer{&p.eth, &p.ip4, &p.tcp, &p.payload}
	p.v6 = []gopacket.SerializableLayer{&p.eth, &p.ip6, &p.tcp, &p.payload}
	return p
}

func synOptions(segment int) []layers.TCPOption {
	return []layers.TCPOption{
		{OptionType: layers.TCPOptionKindMSS, OptionData: binary.BigEndian.AppendUint16(nil, uint16(segment))},
		{OptionType: layers.TCPOptionKindNop},
		{OptionType: layers.TCPOptionKindWindowScale, OptionData: []byte{windowShift}},
	}
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

// handshake opens a connection.
func (p *packets) handshake(t *tcpState, at time.Time) {
	p.send(t, at, bridge.Client, synFlag, nil)
	p.send(t, at, bridge.Server, synFlag|ackFlag, nil)
	p.send(t, at, bridge.Client, ackFlag, nil)
	t.open = true
}

// write sends what one side wrote, and the other's ACK.
func (p *packets) write(t *tcpState, at time.Time, from bridge.Side, b []byte) {
	for len(b) > t.segment {
		p.send(t, at, from, ackFlag, b[:t.segment])
		b = b[t.segment:]
	}
	p.send(t, at, from, pshFlag|ackFlag, b)
	p.send(t, at, from.Other(), ackFlag, nil)
}

// finish ends a connection in order; from ends first.
func (p *packets) finish(t *tcpState, at time.Time, from bridge.Side) {
	p.send(t, at, from, finFlag|ackFlag, nil)
	p.send(t, at, from.Other(), finFlag|ackFlag, nil)
	p.send(t, at, from, ackFlag, nil)
	t.closed = true
}

// reset ends a connection by an error.
func (p *packets) reset(t *tcpState, at time.Time, from bridge.Side) {
	p.send(t, at, from, rstFlag|ackFlag, nil)
	t.closed = true
}

// giveUp marks that bytes are missing, and ends the connection. A RST alone would not
// show where: readers do not look at its sequence number.
func (p *packets) giveUp(t *tcpState, at time.Time) {
	for _, from := range []bridge.Side{bridge.Client, bridge.Server} {
		if t.missing[from] > 0 {
			t.next[from] += t.missing[from]
			p.send(t, at, from, ackFlag, nil)
		}
	}
	p.reset(t, at, bridge.Server)
}

// send makes one segment and moves its sender's sequence number on. SYN and FIN take
// one number each (RFC 9293 §3.4).
func (p *packets) send(t *tcpState, at time.Time, from bridge.Side, f flags, b []byte) {
	p.fill(t, from, f)
	p.payload = b
	p.emit(at, p.serialize(t))
	t.next[from] += uint32(len(b))
	if f&(synFlag|finFlag) != 0 {
		t.next[from]++
	}
}

// fill sets the fields of the headers that differ between segments.
func (p *packets) fill(t *tcpState, from bridge.Side, f flags) {
	to := from.Other()
	p.eth.SrcMAC, p.eth.DstMAC = p.mac[from], p.mac[to]
	p.tcp.SrcPort, p.tcp.DstPort = t.port[from], t.port[to]
	p.tcp.Seq, p.tcp.Ack = t.next[from], 0
	p.tcp.FIN, p.tcp.SYN, p.tcp.RST = f&finFlag != 0, f&synFlag != 0, f&rstFlag != 0
	p.tcp.PSH, p.tcp.ACK = f&pshFlag != 0, f&ackFlag != 0
	p.tcp.Options, p.tcp.Padding = nil, nil
	if p.tcp.ACK {
		p.tcp.Ack = t.next[to]
	}
	if p.tcp.SYN {
		p.tcp.Options = p.options[t.segment]
	}
	if t.segment == segmentIPv4 {
		p.eth.EthernetType = layers.EthernetTypeIPv4
		p.ip4.SrcIP, p.ip4.DstIP = t.ip[from], t.ip[to]
		p.tcp.SetNetworkLayerForChecksum(&p.ip4)
		return
	}
	p.eth.EthernetType = layers.EthernetTypeIPv6
	p.ip6.SrcIP, p.ip6.DstIP = t.ip[from], t.ip[to]
	p.tcp.SetNetworkLayerForChecksum(&p.ip6)
}

// serialize returns the frame, which is good until the next one is made.
func (p *packets) serialize(t *tcpState) []byte {
	stack := p.v6
	if t.segment == segmentIPv4 {
		stack = p.v4
	}
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(p.buf, opts, stack...); err != nil {
		panic(err) // it fails for values that no conversation has, as an address of 5 bytes
	}
	// gopacket fills short frames up to 60 bytes, as a network card does. A reader
	// that goes by the length of the frame would take that for payload.
	length := ipv6Header + int(p.ip6.Length)
	if t.segment == segmentIPv4 {
		length = int(p.ip4.Length)
	}
	return p.buf.Bytes()[:ethernetHeader+length]
}

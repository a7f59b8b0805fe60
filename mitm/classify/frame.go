package classify

import (
	"encoding/binary"
	"net/netip"
)

// The link types that are read.
const (
	linkNull      = 0   // BSD loopback: the address family in the byte order of the host
	linkEthernet  = 1   // Ethernet II
	linkRaw       = 101 // IPv4 or IPv6
	linkLoop      = 108 // OpenBSD loopback: the address family in network byte order
	linkSLL       = 113 // Linux cooked v1
	linkIPv4      = 228
	linkIPv6      = 229
	linkSLL2      = 276 // Linux cooked v2
	linkRawBSD    = 12  // what a raw file of OpenBSD and of other BSDs says
	linkRawBSDOld = 14
)

// The EtherTypes that are read.
const (
	etherIPv4 = 0x0800
	etherVLAN = 0x8100 // IEEE 802.1Q
	etherIPv6 = 0x86dd
	etherQinQ = 0x88a8 // IEEE 802.1ad
	etherOldQ = 0x9100 // what switches used before that
)

// fate is what becomes of a packet.
type fate uint8

const (
	fateSegment  fate = iota // a segment of TCP or a datagram of UDP
	fateOther                // another protocol, or a link type that is not read
	fateFragment             // a part of an IP packet
	fateDamaged              // headers that are cut off or cannot be
)

// A segment is what is of interest in a packet of TCP or UDP. Its payload aliases the packet.
type segment struct {
	udp      bool
	src, dst netip.AddrPort
	payload  []byte
	wire     int // how long the payload was on the wire

	seq, ack      uint32
	syn, fin, rst bool
	hasAck        bool
}

// parseFrame reads the headers of a packet down to the payload.
func parseFrame(p packet) (segment, fate) {
	ip, ether, f := parseLink(p.link, p.data)
	if f != fateSegment {
		return segment{}, f
	}
	for ether == etherVLAN || ether == etherQinQ || ether == etherOldQ {
		if len(ip) < 4 {
			return segment{}, fateDamaged
		}
		ether, ip = int(binary.BigEndian.Uint16(ip[2:])), ip[4:]
	}
	switch {
	case ether == etherIPv4:
		return parseIPv4(ip)
	case ether == etherIPv6:
		return parseIPv6(ip)
	}
	return segment{}, fateOther
}

// parseLink takes off the link layer's header and returns what is behind it, and of which EtherType that is.
func parseLink(link int, data []byte) (rest []byte, ether int, f fate) {
	size, typeAt := 0, 0
	switch link {
	case linkEthernet:
		size, typeAt = 14, 12
	case linkSLL:
		size, typeAt = 16, 14
	case linkSLL2:
		size, typeAt = 20, 0
	case linkNull, linkLoop:
		size, typeAt = 4, -1 // the numbers of address families differ between systems, so IP has to say it
	case linkRaw, linkRawBSD, linkRawBSDOld, linkIPv4, linkIPv6:
		typeAt = -1
	default:
		return nil, 0, fateOther
	}
	if len(data) < size+1 {
		return nil, 0, fateDamaged
	}
	if rest = data[size:]; typeAt >= 0 {
		return rest, int(binary.BigEndian.Uint16(data[typeAt:])), fateSegment
	}
	switch rest[0] >> 4 {
	case 4:
		return rest, etherIPv4, fateSegment
	case 6:
		return rest, etherIPv6, fateSegment
	}
	return nil, 0, fateOther
}

// parseIPv4 reads a header of RFC 791 section 3.1. A packet of length 0 was captured before the network card cut it up.
func parseIPv4(b []byte) (segment, fate) {
	if len(b) < 20 || b[0]>>4 != 4 {
		return segment{}, fateDamaged
	}
	head, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if total == 0 {
		total = len(b)
	}
	if head < 20 || total < head || len(b) < head {
		return segment{}, fateDamaged
	}
	src, dst := netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	// Section 2.3: more fragments, or the offset of this one.
	if binary.BigEndian.Uint16(b[6:])&0x3fff != 0 {
		return segment{}, fateFragment
	}
	return parseTransport(b[9], src, dst, b[head:min(total, len(b))], total-head)
}

// The extension headers of IPv6 that are passed over (RFC 8200 section 4, RFC 4302, RFC 6275).
const (
	nextHopByHop    = 0
	nextRouting     = 43
	nextFragment    = 44
	nextAuth        = 51
	nextDestination = 60
	nextMobility    = 135
)

// parseIPv6 reads a header of RFC 8200 section 3 and the extension headers behind it. A payload of length 0 is a
// jumbogram (RFC 2675), or was captured before the network card cut it up.
func parseIPv6(b []byte) (segment, fate) {
	if len(b) < 40 || b[0]>>4 != 6 {
		return segment{}, fateDamaged
	}
	next, wire := b[6], int(binary.BigEndian.Uint16(b[4:]))
	src, dst := netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	if b = b[40:]; wire == 0 {
		wire = len(b)
	}
	b = b[:min(wire, len(b))]
	for {
		size := 0
		switch next {
		case nextHopByHop, nextRouting, nextDestination, nextMobility, nextFragment, nextAuth:
			if len(b) < 8 {
				return segment{}, fateDamaged
			}
		default:
			return parseTransport(next, src, dst, b, wire)
		}
		switch next {
		case nextFragment:
			// Section 4.5: the offset, and the flag for more. Without either it is no fragment (RFC 6946).
			if binary.BigEndian.Uint16(b[2:])&0xfff9 != 0 {
				return segment{}, fateFragment
			}
			size = 8
		case nextAuth:
			size = (int(b[1]) + 2) * 4
		default:
			size = (int(b[1]) + 1) * 8
		}
		if size > len(b) {
			return segment{}, fateDamaged
		}
		next, b, wire = b[0], b[size:], wire-size
	}
}

// The protocols that are read.
const (
	protocolTCP = 6
	protocolUDP = 17
)

// parseTransport reads a header of TCP or UDP. Of the bytes behind the IP header b was captured, and wire was sent.
func parseTransport(protocol byte, src, dst netip.Addr, b []byte, wire int) (segment, fate) {
	var s segment
	head := 0
	switch protocol {
	case protocolTCP:
		if len(b) < 20 {
			return segment{}, fateDamaged
		}
		// RFC 9293 section 3.1.
		head = int(b[12]>>4) * 4
		s.seq, s.ack = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
		s.fin, s.syn, s.rst, s.hasAck = b[13]&1 != 0, b[13]&2 != 0, b[13]&4 != 0, b[13]&16 != 0
		if head < 20 {
			return segment{}, fateDamaged
		}
	case protocolUDP:
		if len(b) < 8 {
			return segment{}, fateDamaged
		}
		// RFC 768. A length of 0 is that of a jumbogram (RFC 2675 section 4).
		s.udp, head = true, 8
		if size := int(binary.BigEndian.Uint16(b[4:])); size != 0 {
			if size < head || size > wire {
				return segment{}, fateDamaged
			}
			wire, b = size, b[:min(size, len(b))]
		}
	default:
		return segment{}, fateOther
	}
	if head > len(b) {
		return segment{}, fateDamaged
	}
	s.src = netip.AddrPortFrom(src, binary.BigEndian.Uint16(b))
	s.dst = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(b[2:]))
	s.payload, s.wire = b[head:], wire-head
	return s, fateSegment
}

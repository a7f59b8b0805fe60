package classify

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// FuzzCapture reads files that nobody wrote: whatever they hold, reading ends with one of the errors that are promised,
// within the bounds, and does not depend on how the bytes arrive.
func FuzzCapture(f *testing.F) {
	frames := ssh(f).frames(ethernet(8, 0))
	f.Add(ssh(f).raw())
	f.Add(ssh(f).pcap(linkSLL2, before(8, 0, 0, 0, 0, 0, 0, 1, 3, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0)))
	f.Add(ssh(f).pcap(linkEthernet, ethernet(0x81, 0, 0, 5, 8, 0)))
	f.Add(written(f, frames))
	f.Add((&script{t: f}).open().seg(alice, bob, "A", 110, 500, request[10:]).seg(alice, bob, "FA", 100, 500, request[:10]).
		dgram(bob, alice, dnsQuery).raw())
	f.Add(crowd(f, 4, 40).raw())
	f.Fuzz(func(t *testing.T, file []byte) {
		c := Config{Flows: 3, Memory: 1 << 10}
		lines, summary, err := describe(t, file, c)
		var at *ReadError
		if err != nil && !errors.Is(err, ErrNotCapture) && !errors.As(err, &at) {
			t.Errorf("the error is %v", err)
		}
		if at != nil && (at.Packet != summary.Packets+1 || at.Offset > int64(len(file))) {
			t.Errorf("%v, after %d packets in %d bytes", at, summary.Packets, len(file))
		}
		if n := summary.Others + summary.Fragments + summary.Damaged; summary.Flows > summary.Packets-n || summary.Panics > 0 {
			t.Errorf("the summary is %+v", summary)
		}
		var again []string
		slowly, _ := Capture(iotest.OneByteReader(bytes.NewReader(file)), c, func(f Flow) { again = append(again, f.String()) })
		if slowly != summary || !slices.Equal(again, lines) {
			t.Errorf("byte by byte it is %+v with %q, at once %+v with %q", slowly, again, summary, lines)
		}
	})
}

// FuzzFrame compares with a packet library: what that reads as a segment is the same segment here.
func FuzzFrame(f *testing.F) {
	for _, s := range []*script{ssh(f), (&script{t: f}).dgram(alice, bob, dnsQuery), (&script{t: f}).dgram(
		netip.MustParseAddrPort("[2001:db8::1]:1"), netip.MustParseAddrPort("[2001:db8::2]:2"), dnsQuery)} {
		for _, frame := range s.frames(func(ip []byte) []byte { return ip }) {
			f.Add(frame)
		}
	}
	f.Fuzz(func(t *testing.T, ip []byte) {
		seg, fate := parseFrame(packet{linkRaw, ip})
		if fate != fateSegment {
			return
		}
		if n := len(seg.payload); n > len(ip) || n > seg.wire {
			t.Fatalf("%d bytes of payload, of %d, in a packet of %d", n, seg.wire, len(ip))
		}
		first := layers.LayerTypeIPv4
		if ip[0]>>4 == 6 {
			first = layers.LayerTypeIPv6
		}
		p := gopacket.NewPacket(ip, first, gopacket.Default)
		if p.ErrorLayer() != nil || p.TransportLayer() == nil || p.NetworkLayer() == nil {
			return // it reads options too
		}
		var src, dst uint16
		switch l := p.TransportLayer().(type) {
		case *layers.TCP:
			src, dst = uint16(l.SrcPort), uint16(l.DstPort)
			if seg.udp || l.Seq != seg.seq || l.Ack != seg.ack || l.SYN != seg.syn || l.FIN != seg.fin || l.RST != seg.rst || l.ACK != seg.hasAck {
				t.Errorf("the segment is %+v, and there %+v", seg, l)
			}
		case *layers.UDP:
			src, dst = uint16(l.SrcPort), uint16(l.DstPort)
		default:
			return
		}
		from, _ := netip.AddrFromSlice(p.NetworkLayer().NetworkFlow().Src().Raw())
		to, _ := netip.AddrFromSlice(p.NetworkLayer().NetworkFlow().Dst().Raw())
		if seg.src != netip.AddrPortFrom(from, src) || seg.dst != netip.AddrPortFrom(to, dst) {
			t.Errorf("from %v to %v, and there from %v %d to %v %d", seg.src, seg.dst, from, src, to, dst)
		}
		// There the extension headers count twice, so padding may stay.
		if payload := p.TransportLayer().LayerPayload(); !bytes.HasPrefix(payload, seg.payload) || first == layers.LayerTypeIPv4 && len(payload) != len(seg.payload) {
			t.Errorf("the payload is %q, and there %q", seg.payload, payload)
		}
	})
}

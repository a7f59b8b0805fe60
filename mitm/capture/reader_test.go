package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// segment is one packet of a capture, read back.
type segment struct {
	at       time.Time
	src, dst netip.AddrPort
	from     bridge.Side
	flags    string // a letter each, as tcpdump writes them
	seq, ack uint32
	payload  []byte
}

func (s segment) String() string {
	return fmt.Sprintf("%s %v > %v %s seq %d ack %d len %d",
		s.at.UTC().Format("15:04:05.000000"), s.src, s.dst, s.flags, s.seq, s.ack, len(s.payload))
}

// read parses a capture and checks of each packet what holds for all of them: lengths,
// addresses, checksums.
func read(tb testing.TB, pcap []byte) []segment {
	tb.Helper()
	r, err := pcapgo.NewReader(bytes.NewReader(pcap))
	if err != nil {
		tb.Fatalf("read capture header: %v", err)
	}
	if r.Snaplen() != 262144 || r.LinkType() != layers.LinkTypeEthernet {
		tb.Fatalf("snapshot length %d, link type %v", r.Snaplen(), r.LinkType())
	}
	var all []segment
	for {
		frame, info, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			tb.Fatalf("read packet %d: %v", len(all), err)
		}
		if info.CaptureLength != info.Length || info.Length != len(frame) {
			tb.Fatalf("packet %d: captured %d, length %d, frame of %d", len(all), info.CaptureLength, info.Length, len(frame))
		}
		s, err := parseFrame(frame)
		if err != nil {
			tb.Fatalf("packet %d: %v\n%x", len(all), err, frame)
		}
		s.at = info.Timestamp
		all = append(all, s)
	}
}

func parseFrame(frame []byte) (s segment, err error) {
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	if failure := p.ErrorLayer(); failure != nil {
		return s, failure.Error()
	}
	eth, tcp := p.LinkLayer().(*layers.Ethernet), p.Layer(layers.LayerTypeTCP).(*layers.TCP)
	switch eth.SrcMAC.String() + ">" + eth.DstMAC.String() {
	case "02:00:00:11:11:11>02:00:00:22:22:22":
		s.from = bridge.Client
	case "02:00:00:22:22:22>02:00:00:11:11:11":
		s.from = bridge.Server
	default:
		return s, fmt.Errorf("MACs %v > %v", eth.SrcMAC, eth.DstMAC)
	}
	var length int
	var pseudo []byte // RFC 9293 §3.1
	if ip, ok := p.NetworkLayer().(*layers.IPv4); ok {
		if onesComplement(ip.Contents) != 0xffff {
			return s, errors.New("wrong IPv4 checksum")
		}
		length = int(ip.Length) - 4*int(ip.IHL)
		pseudo = append(append(pseudo, ip.SrcIP...), ip.DstIP...)
	} else {
		ip := p.NetworkLayer().(*layers.IPv6)
		length = int(ip.Length)
		pseudo = append(append(pseudo, ip.SrcIP...), ip.DstIP...)
	}
	s.src = addrPort(pseudo[:len(pseudo)/2], uint16(tcp.SrcPort))
	s.dst = addrPort(pseudo[len(pseudo)/2:], uint16(tcp.DstPort))
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(length))
	pseudo = append(pseudo, 0, 0, 0, byte(layers.IPProtocolTCP))
	whole := frame[len(frame)-length:]
	if onesComplement(append(pseudo, whole...)) != 0xffff {
		return s, errors.New("wrong TCP checksum")
	}
	if got := len(eth.Contents) + len(p.NetworkLayer().LayerContents()) + length; got != len(frame) {
		return s, fmt.Errorf("headers and IP length add up to %d, frame of %d", got, len(frame))
	}
	s.seq, s.ack, s.payload = tcp.Seq, tcp.Ack, tcp.Payload
	for _, f := range []struct {
		set    bool
		letter string
	}{{tcp.FIN, "F"}, {tcp.SYN, "S"}, {tcp.RST, "R"}, {tcp.PSH, "P"}, {tcp.ACK, "."}} {
		if f.set {
			s.flags += f.letter
		}
	}
	return s, nil
}

func addrPort(ip []byte, port uint16) netip.AddrPort {
	a, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(a, port)
}

// onesComplement sums b as RFC 1071 §1 says; it is all ones over data that holds its
// own checksum.
func onesComplement(b []byte) uint16 {
	var sum uint64
	for i, v := range b {
		if i%2 == 0 {
			sum += uint64(v) << 8
		} else {
			sum += uint64(v)
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// connection is one TCP connection of a capture.
type connection struct {
	client, server netip.AddrPort
	begun          time.Time
	streams        [2][]byte // what each side sent
	writes         []write   // in the order of the capture
	end            string    // "", "fin by client", "rst by server", …
	missing        [2]uint32 // bytes that a marked gap stands for
}

// write is what one side sent up to the other's ACK.
type write struct {
	from bridge.Side
	text string
}

// follower holds a connection against the rules of the format, packet by packet.
type follower struct {
	connection
	next    [2]uint32
	pending []byte // sent, and not yet acknowledged by a packet of its own
	sender  bridge.Side
	packets int
	fins    []bridge.Side
}

// follow splits segments into connections, reassembles them, and fails the test when
// one of them breaks a rule of the format.
func follow(tb testing.TB, segments []segment) []connection {
	tb.Helper()
	var order []*follower
	live := map[[2]netip.AddrPort]*follower{}
	for i, s := range segments {
		client, server := s.src, s.dst
		if s.from == bridge.Server {
			client, server = s.dst, s.src
		}
		key := [2]netip.AddrPort{client, server}
		f := live[key]
		if s.flags == "S" {
			f = &follower{connection: connection{client: client, server: server, begun: s.at}}
			live[key], order = f, append(order, f)
		}
		if f == nil {
			tb.Fatalf("packet %d: %v: of no connection", i, s)
		}
		if err := f.take(s); err != nil {
			tb.Fatalf("packet %d: %v: %v", i, s, err)
		}
	}
	var all []connection
	for _, f := range order {
		if len(f.pending) > 0 {
			tb.Fatalf("%v: the last write was not acknowledged", f.client)
		}
		all = append(all, f.connection)
	}
	return all
}

func (f *follower) take(s segment) error {
	f.packets++
	if f.packets <= 3 {
		return f.handshake(s)
	}
	if f.end != "" {
		return errors.New("comes after the end")
	}
	if s.ack != f.next[s.from.Other()] {
		return fmt.Errorf("acknowledges %d, want %d", s.ack, f.next[s.from.Other()])
	}
	gap := s.seq - f.next[s.from]
	if gap != 0 && s.flags != "." {
		return fmt.Errorf("its sequence number is %d too high", gap)
	}
	f.next[s.from] = s.seq + uint32(len(s.payload))
	switch {
	case gap != 0:
		f.missing[s.from] += gap
		return nil
	case s.flags == "R.":
		f.end = "rst by " + s.from.String()
		return nil
	case s.flags == "F.":
		f.fins = append(f.fins, s.from)
		f.next[s.from]++
		return nil
	case len(f.fins) > 0:
		return f.lastACK(s)
	}
	return f.data(s)
}

func (f *follower) handshake(s segment) error {
	want := []struct {
		flags string
		from  bridge.Side
	}{{"S", bridge.Client}, {"S.", bridge.Server}, {".", bridge.Client}}[f.packets-1]
	if s.flags != want.flags || s.from != want.from || len(s.payload) > 0 || !s.at.Equal(f.begun) {
		return fmt.Errorf("want %s of the %v at %v", want.flags, want.from, f.begun)
	}
	if f.packets == 3 && (s.seq != f.next[bridge.Client] || s.ack != f.next[bridge.Server]) {
		return errors.New("numbers do not fit the handshake")
	}
	if f.packets == 2 && s.ack != f.next[bridge.Client] {
		return errors.New("does not acknowledge the SYN")
	}
	if f.packets < 3 {
		f.next[s.from] = s.seq + 1
	}
	return nil
}

// data takes segments of one side, of which only the last is not full, and one ACK of
// the other.
func (f *follower) data(s segment) error {
	limit := 1460
	if s.src.Addr().Is6() {
		limit = 1440
	}
	switch {
	case len(s.payload) > limit:
		return fmt.Errorf("longer than %d", limit)
	case len(s.payload) == 0:
		if len(f.pending) == 0 || s.from == f.sender || s.flags != "." {
			return errors.New("is not the ACK of a write")
		}
		f.writes = append(f.writes, write{f.sender, string(f.pending)})
		f.pending = f.pending[:0]
		return nil
	case len(f.pending) > 0 && (f.sender != s.from || len(f.pending)%limit != 0):
		return errors.New("comes before the ACK of a write that was complete")
	case s.flags != "." && s.flags != "P.":
		return errors.New("has flags that data has not")
	case s.flags == "." && len(s.payload) < limit:
		return errors.New("is not full, and not the last of a write")
	}
	f.sender, f.pending = s.from, append(f.pending, s.payload...)
	f.streams[s.from] = append(f.streams[s.from], s.payload...)
	return nil
}

func (f *follower) lastACK(s segment) error {
	if len(f.fins) != 2 || f.fins[0] == f.fins[1] || s.from != f.fins[0] || s.flags != "." || len(s.payload) > 0 {
		return errors.New("is not the last ACK")
	}
	f.end = "fin by " + f.fins[0].String()
	return nil
}

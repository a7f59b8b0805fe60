package classify

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/bridgeio/bridgeio/detect"
)

const (
	request = "GET / HTTP/1.1\r\nHost: up.test\r\n\r\n"
	banner  = "SSH-2.0-OpenSSH_9.2\r\n"
	ourID   = "SSH-2.0-PuTTY_0.78\r\n"
)

// The two ends of the scripted conversations.
var (
	alice = netip.MustParseAddrPort("192.0.2.1:40000")
	bob   = netip.MustParseAddrPort("192.0.2.2:443")
)

// script makes the IP packets of conversations.
type script struct {
	t       testing.TB
	packets [][]byte
}

// seg is a segment of TCP; the flags are letters of S, A, F, R.
func (s *script) seg(from, to netip.AddrPort, flags string, seq, ack uint32, payload string) *script {
	s.t.Helper()
	tcp := &layers.TCP{
		SrcPort: layers.TCPPort(from.Port()), DstPort: layers.TCPPort(to.Port()), Seq: seq, Ack: ack, Window: 1000,
		SYN: strings.Contains(flags, "S"), ACK: strings.Contains(flags, "A"),
		FIN: strings.Contains(flags, "F"), RST: strings.Contains(flags, "R"),
	}
	return s.ip(from.Addr(), to.Addr(), layers.IPProtocolTCP, tcp, payload)
}

// dgram is a datagram of UDP.
func (s *script) dgram(from, to netip.AddrPort, payload string) *script {
	s.t.Helper()
	udp := &layers.UDP{SrcPort: layers.UDPPort(from.Port()), DstPort: layers.UDPPort(to.Port())}
	return s.ip(from.Addr(), to.Addr(), layers.IPProtocolUDP, udp, payload)
}

// transport is a layer that IP carries.
type transport interface {
	gopacket.SerializableLayer
	SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
}

func (s *script) ip(from, to netip.Addr, protocol layers.IPProtocol, above transport, payload string) *script {
	s.t.Helper()
	var stack []gopacket.SerializableLayer
	if from.Is4() {
		ip := &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: protocol, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
		stack = append(stack, ip)
		above.SetNetworkLayerForChecksum(ip)
	} else {
		ip := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: protocol, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
		stack = append(stack, ip)
		above.SetNetworkLayerForChecksum(ip)
	}
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, append(stack, above, gopacket.Payload(payload))...); err != nil {
		s.t.Fatal(err)
	}
	s.packets = append(s.packets, bytes.Clone(buf.Bytes()))
	return s
}

// open is the handshake, with the sequence numbers 100 and 500.
func (s *script) open() *script {
	s.t.Helper()
	return s.seg(alice, bob, "S", 99, 0, "").seg(bob, alice, "SA", 499, 100, "").seg(alice, bob, "A", 100, 500, "")
}

// raw is the script as a pcap file of raw IP.
func (s *script) raw() []byte { return s.pcap(linkRaw, func(ip []byte) []byte { return ip }) }

// pcap is the script as a pcap file, with each packet in a frame.
func (s *script) pcap(link int, frame func([]byte) []byte) []byte {
	return classic(binary.LittleEndian, magicMicroseconds, link, s.frames(frame))
}

func (s *script) frames(frame func([]byte) []byte) [][]byte {
	frames := make([][]byte, len(s.packets))
	for i, p := range s.packets {
		frames[i] = frame(p)
	}
	return frames
}

// classic writes a pcap file.
func classic(order binary.AppendByteOrder, magic uint32, link int, frames [][]byte) []byte {
	b := order.AppendUint32(nil, magic)
	b = order.AppendUint16(order.AppendUint16(b, 2), 4)
	b = append(b, make([]byte, 8)...)
	b = order.AppendUint32(order.AppendUint32(b, 262144), uint32(link))
	for _, f := range frames {
		b = append(b, make([]byte, 8)...)
		b = order.AppendUint32(order.AppendUint32(b, uint32(len(f))), uint32(len(f)))
		b = append(b, f...)
	}
	return b
}

// describe reads a capture and returns a line for each flow.
func describe(t testing.TB, file []byte, c Config) ([]string, Summary, error) {
	t.Helper()
	var lines []string
	summary, err := Capture(bytes.NewReader(file), c, func(f Flow) { lines = append(lines, f.String()) })
	if len(lines) != summary.Flows {
		t.Errorf("%d flows were reported, and %d counted", len(lines), summary.Flows)
	}
	return lines, summary, err
}

const aliceToBob = "tcp 192.0.2.1:40000 > 192.0.2.2:443 "

// ssh is a conversation that the server begins.
func ssh(t testing.TB) *script {
	s := &script{t: t}
	return s.open().seg(bob, alice, "A", 500, 100, banner).seg(alice, bob, "A", 100, 521, ourID).
		seg(alice, bob, "FA", 120, 521, "").seg(bob, alice, "FA", 521, 121, "")
}

const sshLine = aliceToBob + `first=server client: ssh version="2.0" software="PuTTY_0.78" server: ssh version="2.0" software="OpenSSH_9.2"`

func TestFlowsAreJudged(t *testing.T) {
	carol, dave := netip.MustParseAddrPort("[2001:db8::1]:5353"), netip.MustParseAddrPort("[2001:db8::2]:53")
	const http = `client: http version="1.1" verb="GET"`
	near := uint32(math.MaxUint32 - 4) // wraps within the request
	tests := []struct {
		name   string
		script func(s *script) *script
		want   []string
	}{
		{"a server speaks first", func(*script) *script { return ssh(t) }, []string{sshLine}},
		{"a client speaks first", func(s *script) *script {
			return s.open().seg(alice, bob, "A", 100, 500, request).seg(bob, alice, "A", 500, 134, "HTTP/1.1 200 OK\r\n\r\n")
		}, []string{aliceToBob + "first=client " + http}},
		{"nobody speaks", func(s *script) *script { return s.open().seg(bob, alice, "RA", 500, 100, "") }, []string{aliceToBob + "client: silent"}},
		{"nobody listens", func(s *script) *script {
			return s.seg(alice, bob, "S", 99, 0, "").seg(bob, alice, "RA", 0, 100, "")
		}, []string{aliceToBob + "client: silent"}},
		{"IPv6", func(s *script) *script {
			return s.seg(carol, dave, "S", 99, 0, "").seg(dave, carol, "SA", 499, 100, "").seg(carol, dave, "A", 100, 500, request)
		}, []string{"tcp [2001:db8::1]:5353 > [2001:db8::2]:53 first=client " + http}},
		{"segments out of order", func(s *script) *script {
			return s.open().seg(alice, bob, "A", 110, 500, request[10:]).seg(alice, bob, "A", 100, 500, request[:10])
		}, []string{aliceToBob + "first=client " + http}},
		{"segments before the handshake", func(s *script) *script {
			return s.seg(alice, bob, "A", 100, 500, request).seg(alice, bob, "S", 99, 0, "").seg(bob, alice, "SA", 499, 100, "")
		}, []string{aliceToBob + "first=client " + http}},
		{"retransmissions, of which the first counts", func(s *script) *script {
			return s.open().seg(alice, bob, "A", 100, 500, request[:10]).seg(alice, bob, "A", 104, 500, "XXXXXX"+request[10:]).
				seg(alice, bob, "A", 100, 500, strings.Repeat("Y", len(request)))
		}, []string{aliceToBob + "first=client " + http}},
		{"each byte a segment, backwards", func(s *script) *script {
			s.open()
			for i := len(request) - 1; i >= 0; i-- {
				s.seg(alice, bob, "A", uint32(100+i), 500, request[i:i+1])
			}
			return s
		}, []string{aliceToBob + "first=client " + http}},
		{"sequence numbers that wrap", func(s *script) *script {
			return s.seg(alice, bob, "S", near-1, 0, "").seg(bob, alice, "SA", 499, near, "").
				seg(alice, bob, "A", near+10, 500, request[10:]).seg(alice, bob, "A", near, 500, request[:10])
		}, []string{aliceToBob + "first=client " + http}},
		{"data in the SYN", func(s *script) *script {
			return s.seg(alice, bob, "S", 99, 0, request).seg(bob, alice, "SA", 499, 134, "")
		}, []string{aliceToBob + "first=client " + http}},
		{"a SYN-ACK without the SYN", func(s *script) *script {
			return s.seg(bob, alice, "SA", 499, 100, "").seg(alice, bob, "A", 100, 500, request)
		}, []string{aliceToBob + "first=client " + http}},
		{"a gap before the verdict", func(s *script) *script {
			return s.open().seg(alice, bob, "A", 100, 500, "GET /").seg(alice, bob, "A", 106, 500, "HTTP/1.1\r\n")
		}, []string{aliceToBob + "first=client gap client: undecided bytes=5 need="}},
		{"a gap at the beginning", func(s *script) *script {
			return s.open().seg(alice, bob, "A", 105, 500, request[5:])
		}, []string{aliceToBob + "first=client gap client: silent"}},
		{"the first segment is missing, and its end comes", func(s *script) *script {
			return s.open().seg(alice, bob, "FA", 134, 500, "")
		}, []string{aliceToBob + "gap client: silent"}},
		{"an end makes up one's mind", func(s *script) *script {
			return s.open().seg(alice, bob, "A", 100, 500, "GET /").seg(alice, bob, "FA", 105, 500, "").seg(bob, alice, "FA", 500, 106, "")
		}, []string{aliceToBob + "first=client client: unknown"}},
		{"midstream, the client first", func(s *script) *script {
			return s.seg(alice, bob, "A", 100, 500, request).seg(bob, alice, "A", 500, 134, "HTTP/1.1 200 OK\r\n\r\n")
		}, []string{aliceToBob + "first=client midstream " + http}},
		{"midstream, the server first", func(s *script) *script {
			return s.seg(bob, alice, "A", 500, 100, banner).seg(alice, bob, "A", 100, 521, ourID)
		}, []string{strings.Replace(sshLine, "first=server", "first=server midstream", 1)}},
		{"midstream, a greeting alone", func(s *script) *script {
			return s.seg(bob, alice, "A", 500, 100, "220 up.test ESMTP Postfix\r\n")
		}, []string{aliceToBob + `first=server midstream client: silent server: smtp`}},
		{"a reset alone", func(s *script) *script { return s.seg(alice, bob, "R", 100, 0, "") }, []string{aliceToBob + "midstream client: silent"}},
		{"a second connection of the same ports", func(s *script) *script {
			ssh := ssh(t)
			s.packets = ssh.packets
			return s.seg(alice, bob, "S", 7099, 0, "").seg(bob, alice, "SA", 8499, 7100, "").seg(alice, bob, "A", 7100, 8500, request)
		}, []string{sshLine, aliceToBob + "first=client " + http}},
		{"the same, without an end of the first", func(s *script) *script {
			s.open().seg(bob, alice, "A", 500, 100, banner)
			return s.seg(alice, bob, "S", 7099, 0, "").seg(bob, alice, "SA", 8499, 7100, "").seg(alice, bob, "A", 7100, 8500, request)
		}, []string{aliceToBob + `first=server client: silent server: ssh version="2.0" software="OpenSSH_9.2"`, aliceToBob + "first=client " + http}},
		{"what comes after the end is no flow", func(s *script) *script {
			s.packets = ssh(t).packets
			return s.seg(alice, bob, "A", 121, 522, "").seg(alice, bob, "R", 121, 0, "")
		}, []string{sshLine}},
		{"datagrams, of which the first counts", func(s *script) *script {
			return s.dgram(carol, dave, dnsQuery).dgram(dave, carol, "what is answered").dgram(carol, dave, "something else")
		}, []string{"udp [2001:db8::1]:5353 > [2001:db8::2]:53 first=client client: dns"}},
		{"a datagram of nothing known", func(s *script) *script {
			return s.dgram(alice, bob, "the quick brown fox")
		}, []string{"udp 192.0.2.1:40000 > 192.0.2.2:443 first=client client: unknown"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, summary, err := describe(t, tt.script(&script{t: t}).raw(), Config{})
			begins := func(line, want string) bool { return strings.HasPrefix(line, want) }
			if err != nil || !slices.EqualFunc(got, tt.want, begins) {
				t.Errorf("the flows are\n%s\nwant\n%s\n%v", strings.Join(got, "\n"), strings.Join(tt.want, "\n"), err)
			}
			if losses := summary.Losses(); losses != "" {
				t.Errorf("losses: %s", losses)
			}
		})
	}
}

// dnsQuery asks for up.test.
const dnsQuery = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02up\x04test\x00\x00\x01\x00\x01"

func ethernet(types ...byte) func([]byte) []byte {
	return func(ip []byte) []byte { return slices.Concat(make([]byte, 12), types, ip) }
}

func before(head ...byte) func([]byte) []byte {
	return func(ip []byte) []byte { return slices.Concat(head, ip) }
}

func TestLinkTypesAreRead(t *testing.T) {
	tests := []struct {
		name  string
		link  int
		frame func([]byte) []byte
	}{
		{"raw", linkRaw, before()},
		{"raw, as OpenBSD has it", linkRawBSDOld, before()},
		{"raw, as other BSDs have it", linkRawBSD, before()},
		{"IPv4", linkIPv4, before()},
		{"Ethernet", linkEthernet, ethernet(8, 0)},
		{"Ethernet with padding", linkEthernet, func(ip []byte) []byte { return append(ethernet(8, 0)(ip), "padding"...) }},
		{"Ethernet with frame check sequences", linkEthernet | 0x24<<24, ethernet(8, 0)},
		{"Ethernet with a VLAN", linkEthernet, ethernet(0x81, 0, 0, 5, 8, 0)},
		{"Ethernet with two VLANs", linkEthernet, ethernet(0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 8, 0)},
		{"Linux cooked", linkSLL, before(0, 0, 3, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0)},
		{"Linux cooked with a VLAN", linkSLL, before(0, 0, 3, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0x81, 0, 0, 5, 8, 0)},
		{"Linux cooked v2", linkSLL2, before(8, 0, 0, 0, 0, 0, 0, 1, 3, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0)},
		{"loopback, little endian", linkNull, before(2, 0, 0, 0)},
		{"loopback, big endian", linkNull, before(0, 0, 0, 2)},
		{"loopback of OpenBSD", linkLoop, before(0, 0, 0, 2)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, summary, err := describe(t, ssh(t).pcap(tt.link, tt.frame), Config{})
			if err != nil || !slices.Equal(got, []string{sshLine}) || summary.Losses() != "" {
				t.Errorf("the flows are %q, %v, %+v", got, err, summary)
			}
		})
	}
}

func TestFilesAreRead(t *testing.T) {
	frames := ssh(t).frames(ethernet(8, 0))
	section := func(order binary.AppendByteOrder, blocks ...[]byte) []byte {
		head := order.AppendUint32(nil, byteOrderMagic)
		head = order.AppendUint16(order.AppendUint16(head, 1), 0)
		head = append(head, "\xff\xff\xff\xff\xff\xff\xff\xff"...)
		return slices.Concat(append([][]byte{block(order, blockSection, head)}, blocks...)...)
	}
	tests := []struct {
		name string
		file []byte
	}{
		{"pcap, little endian", classic(binary.LittleEndian, magicMicroseconds, linkEthernet, frames)},
		{"pcap, big endian", classic(binary.BigEndian, magicMicroseconds, linkEthernet, frames)},
		{"pcap with nanoseconds", classic(binary.BigEndian, magicNanoseconds, linkEthernet, frames)},
		{"pcapng as a library writes it", written(t, frames)},
		{"pcapng, big endian", section(binary.BigEndian, slices.Concat(ifaceBlock(binary.BigEndian, linkEthernet, 0), enhanced(binary.BigEndian, 0, frames)))},
		{"simple packets", section(binary.LittleEndian, slices.Concat(ifaceBlock(binary.LittleEndian, linkEthernet, 65535), simple(binary.LittleEndian, frames)))},
		{"obsolete packets", section(binary.LittleEndian, slices.Concat(ifaceBlock(binary.LittleEndian, linkEthernet, 0), obsolete(binary.LittleEndian, frames)))},
		{"interfaces of two link types", section(
			binary.LittleEndian, ifaceBlock(binary.LittleEndian, linkRaw, 0), ifaceBlock(binary.LittleEndian, linkEthernet, 0),
			enhanced(binary.LittleEndian, 1, frames[:3]), enhanced(binary.LittleEndian, 0, ssh(t).packets[3:]),
		)},
		{"blocks that are not known", section(
			binary.LittleEndian, block(binary.LittleEndian, 0x4d42, []byte("whatever")), ifaceBlock(binary.LittleEndian, linkEthernet, 0),
			block(binary.LittleEndian, 5, make([]byte, 12)), enhanced(binary.LittleEndian, 0, frames),
		)},
		{"sections of two byte orders", slices.Concat(
			section(binary.LittleEndian, ifaceBlock(binary.LittleEndian, linkEthernet, 0), enhanced(binary.LittleEndian, 0, frames[:3])),
			section(binary.BigEndian, ifaceBlock(binary.BigEndian, linkRaw, 0), enhanced(binary.BigEndian, 0, ssh(t).packets[3:])),
		)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, summary, err := describe(t, tt.file, Config{})
			if err != nil || !slices.Equal(got, []string{sshLine}) || summary.Packets != len(frames) || summary.Losses() != "" {
				t.Errorf("the flows are %q, %v, %+v", got, err, summary)
			}
			truncations(t, tt.file)
		})
	}
}

// truncations reads every beginning of a file: it never panics, finds no more in less, and says where it stopped unless
// that is where a packet ends.
func truncations(t *testing.T, file []byte) {
	packets, few := 0, Config{Clients: []detect.Detector{detect.SSH()}, Servers: []detect.Detector{detect.SSHServer()}}
	for n := range file {
		_, summary, err := describe(t, file[:n], few)
		if summary.Packets < packets {
			t.Fatalf("%d bytes have %d packets, and fewer have %d", n, summary.Packets, packets)
		}
		packets = summary.Packets
		var at *ReadError
		switch {
		case n < 4:
			if !errors.Is(err, ErrNotCapture) {
				t.Fatalf("%d bytes: %v, want %v", n, err, ErrNotCapture)
			}
		case errors.As(err, &at):
			if at.Packet != packets+1 || at.Offset > int64(n) || err == io.EOF {
				t.Fatalf("%d bytes with %d packets: %v", n, packets, err)
			}
		case err != nil:
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
}

// written is what another program makes of frames.
func written(t testing.TB, frames [][]byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := pcapgo.NewNgWriter(&buf, layers.LinkTypeEthernet)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range frames {
		info := gopacket.CaptureInfo{Timestamp: time.Unix(1, 0), CaptureLength: len(f), Length: len(f)}
		if err := w.WritePacket(info, f); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// block is a block of a pcapng file.
func block(order binary.AppendByteOrder, kind uint32, body []byte) []byte {
	body = append(slices.Clone(body), make([]byte, -len(body)&3)...)
	size := uint32(len(body) + 12)
	b := order.AppendUint32(order.AppendUint32(nil, kind), size)
	return order.AppendUint32(append(b, body...), size)
}

func ifaceBlock(order binary.AppendByteOrder, link uint16, snapLen uint32) []byte {
	body := order.AppendUint16(order.AppendUint16(nil, link), 0)
	return block(order, blockInterface, order.AppendUint32(body, snapLen))
}

func enhanced(order binary.AppendByteOrder, id uint32, frames [][]byte) (blocks []byte) {
	for _, f := range frames {
		body := append(order.AppendUint32(nil, id), make([]byte, 8)...)
		body = order.AppendUint32(order.AppendUint32(body, uint32(len(f))), uint32(len(f)))
		blocks = append(blocks, block(order, blockEnhanced, append(body, f...))...)
	}
	return blocks
}

func obsolete(order binary.AppendByteOrder, frames [][]byte) (blocks []byte) {
	for _, f := range frames {
		body := order.AppendUint16(order.AppendUint16(nil, 0), 7) // and packets that were dropped
		body = append(body, make([]byte, 8)...)
		body = order.AppendUint32(order.AppendUint32(body, uint32(len(f))), uint32(len(f)))
		blocks = append(blocks, block(order, blockObsolete, append(body, f...))...)
	}
	return blocks
}

func simple(order binary.AppendByteOrder, frames [][]byte) (blocks []byte) {
	for _, f := range frames {
		blocks = append(blocks, block(order, blockSimple, append(order.AppendUint32(nil, uint32(len(f))), f...))...)
	}
	return blocks
}

func TestDamageIsNamed(t *testing.T) {
	whole := ssh(t).raw()
	third := int64(24 + 16 + 40 + 16 + 40) // where the third record begins
	changed := func(at int64, b ...byte) []byte {
		file := bytes.Clone(whole)
		copy(file[at:], b)
		return file
	}
	ng := func(blocks ...[]byte) []byte {
		head := "\x0a\x0d\x0d\x0a\x1c\x00\x00\x00\x4d\x3c\x2b\x1a\x01\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x1c\x00\x00\x00"
		return slices.Concat(append([][]byte{[]byte(head)}, blocks...)...)
	}
	order := binary.LittleEndian
	tests := []struct {
		name string
		file []byte
		want string
	}{
		{"a record that is cut", whole[:third+20], "reading stopped at packet 3, offset 136: packet data: unexpected EOF"},
		{"a record header that is cut", whole[:third+3], "reading stopped at packet 3, offset 136: record header: unexpected EOF"},
		{"a record of four gigabytes", changed(third+8, 0xff, 0xff, 0xff, 0xff), "reading stopped at packet 3, offset 136: a packet of 4294967295 bytes"},
		{"a file header that is cut", whole[:20], "reading stopped at packet 1, offset 0: file header: unexpected EOF"},
		{"a version of the future", changed(4, 9), "reading stopped at packet 1, offset 0: file header: version 9"},
		{"no capture", []byte("GET / HTTP/1.1\r\n\r\n"), "neither pcap nor pcapng"},
		{"nothing", nil, "neither pcap nor pcapng"},
		{"a packet of no interface", ng(enhanced(order, 0, [][]byte{{1}})), "reading stopped at packet 1, offset 28: packet block: interface 0 of 0"},
		{"a simple packet of no interface", ng(simple(order, [][]byte{{1}})), "reading stopped at packet 1, offset 28: simple packet block: too short, or without an interface"},
		{"a block of four gigabytes", ng([]byte("\x06\x00\x00\x00\xfc\xff\xff\xff")), "reading stopped at packet 1, offset 28: a block of 4294967292 bytes"},
		{"a block of an odd length", ng([]byte("\x06\x00\x00\x00\x0d\x00\x00\x00")), "reading stopped at packet 1, offset 28: block header: a block of 13 bytes"},
		{"a block that ends as another", ng([]byte("\x01\x00\x00\x00\x14\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x15\x00\x00\x00")), "reading stopped at packet 1, offset 28: a block of 20 bytes ends as one of 21"},
		{"a packet larger than its block", ng(ifaceBlock(order, 1, 0), block(order, blockEnhanced, []byte("\x00\x00\x00\x00tttttttt\x99\x00\x00\x00\x99\x00\x00\x00"))), "reading stopped at packet 1, offset 48: packet block: a packet of 153 bytes in 0"},
		{"an interface that is cut", ng(block(order, blockInterface, []byte{1, 0, 0, 0})), "reading stopped at packet 1, offset 28: interface description: too short, or too many"},
		{"a section of another version", changedSection(ng(), 12, 2), "reading stopped at packet 1, offset 0: section header: version 2"},
		{"a section in no byte order", changedSection(ng(), 8, 0), "reading stopped at packet 1, offset 0: block header: byte-order magic 003c2b1a"},
		{"a section without room", changedSection(ng(), 4, 12), "reading stopped at packet 1, offset 0: section header: a block of 12 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, _, err := describe(t, tt.file, Config{}); err == nil || err.Error() != tt.want {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
}

func changedSection(file []byte, at int, b byte) []byte {
	file[at] = b
	return file
}

// An error of the reader is reported as it is, after what was read.
func TestReadersMayFail(t *testing.T) {
	broken := errors.New("broken")
	var lines []string
	r := io.MultiReader(bytes.NewReader(ssh(t).raw()), iotest.ErrReader(broken))
	if _, err := Capture(r, Config{}, func(f Flow) { lines = append(lines, f.String()) }); !errors.Is(err, broken) {
		t.Errorf("%v, want %v", err, broken)
	}
	if !slices.Equal(lines, []string{sshLine}) {
		t.Errorf("the flows are %q", lines)
	}
	if _, err := Capture(iotest.ErrReader(broken), Config{}, nil); !errors.Is(err, broken) {
		t.Errorf("%v, want %v", err, broken)
	}
}

func TestWhatIsNotReadIsCounted(t *testing.T) {
	s := ssh(t)
	arp := ethernet(8, 6)(make([]byte, 28))
	icmp := bytes.Clone(s.packets[0])
	icmp[9] = 1
	fragment := bytes.Clone(s.packets[0])
	fragment[6] = 0x20
	last := bytes.Clone(s.packets[0])
	last[7] = 9
	frames := s.frames(ethernet(8, 0))
	for _, ip := range [][]byte{icmp, fragment, last, s.packets[0][:30], s.packets[0][:10]} {
		frames = append(frames, ethernet(8, 0)(ip))
	}
	frames = append(frames, arp, []byte("short"), nil, ethernet(0x81, 0, 0)(nil))
	got, summary, err := describe(t, classic(binary.LittleEndian, magicMicroseconds, linkEthernet, frames), Config{})
	want := Summary{Packets: len(frames), Flows: 1, Matched: 1, Others: 2, Fragments: 2, Damaged: 5}
	if err != nil || !slices.Equal(got, []string{sshLine}) || summary != want {
		t.Errorf("the flows are %q, %v, %+v, want %+v", got, err, summary, want)
	}
	if got := summary.Losses(); got != "2 packets of other protocols, 2 IP fragments passed over, 5 packets with damaged headers" {
		t.Errorf("losses: %s", got)
	}
	_, summary, _ = describe(t, s.pcap(105, before()), Config{}) // IEEE 802.11
	if summary.Others != len(s.packets) || summary.Flows != 0 {
		t.Errorf("of a link type that is not read: %+v", summary)
	}
}

// Behind the extension headers of IPv6 is the same.
func TestExtensionHeadersArePassedOver(t *testing.T) {
	s := &script{t: t}
	from, to := netip.MustParseAddrPort("[2001:db8::1]:1"), netip.MustParseAddrPort("[2001:db8::2]:2")
	s.seg(from, to, "S", 99, 0, request)
	plain := s.packets[0]
	tests := []struct {
		name string
		ext  string // its first byte is the next header, which is TCP
		kind byte
		fate fate
	}{
		{"hop by hop", "\x06\x00......", nextHopByHop, fateSegment},
		{"destination options", "\x06\x01..............", nextDestination, fateSegment},
		{"routing", "\x06\x00......", nextRouting, fateSegment},
		{"authentication", "\x06\x04......................", nextAuth, fateSegment},
		{"a fragment of which there is only one", "\x06\x00\x00\x00....", nextFragment, fateSegment},
		{"a first fragment", "\x06\x00\x00\x01....", nextFragment, fateFragment},
		{"a later fragment", "\x06\x00\x01\x00....", nextFragment, fateFragment},
		{"one that is larger than the packet", "\x06\xff......", nextDestination, fateDamaged},
		{"no more headers", "", 59, fateOther},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ip := slices.Concat(plain[:40], []byte(tt.ext), plain[40:])
			ip[6] = tt.kind
			binary.BigEndian.PutUint16(ip[4:], uint16(len(ip)-40))
			seg, f := parseFrame(packet{linkIPv6, ip})
			if f != tt.fate || f == fateSegment && string(seg.payload) != request {
				t.Errorf("the fate is %d, want %d, with %q", f, tt.fate, seg.payload)
			}
			for n := range ip {
				parseFrame(packet{linkIPv6, ip[:n:n]}) // it must not panic
			}
		})
	}
}

// Packets of which only the beginning was captured leave a gap behind it.
func TestPacketsMayBeCut(t *testing.T) {
	s := &script{t: t}
	s.open().seg(alice, bob, "A", 100, 500, request).seg(alice, bob, "A", 134, 500, "and more").dgram(alice, bob, dnsQuery)
	s.packets[3], s.packets[5] = s.packets[3][:44], s.packets[5][:40]
	got, _, err := describe(t, s.raw(), Config{})
	if err != nil || len(got) != 2 || !strings.HasPrefix(got[1], aliceToBob+"first=client gap client: undecided bytes=4 ") ||
		!strings.HasPrefix(got[0], "udp 192.0.2.1:40000 > 192.0.2.2:443 first=client gap client: ") {
		t.Errorf("the flows are %q, %v", got, err)
	}
}

// Segments that the network card has yet to cut up have no length of their own.
func TestSegmentsBeforeOffloadHaveNoLength(t *testing.T) {
	for _, addr := range []string{"192.0.2.1:1", "[2001:db8::1]:1"} {
		s := &script{t: t}
		from := netip.MustParseAddrPort(addr)
		s.seg(from, from, "S", 99, 0, request)
		at := 2
		if from.Addr().Is6() {
			at = 4
		}
		copy(s.packets[0][at:], []byte{0, 0})
		if seg, f := parseFrame(packet{linkRaw, s.packets[0]}); f != fateSegment || string(seg.payload) != request {
			t.Errorf("%s: fate %d, %q", addr, f, seg.payload)
		}
	}
}

// crowd is a script of n clients, each of which sends size bytes that nothing knows.
func crowd(t testing.TB, n, size int) *script {
	s := &script{t: t}
	for i := range n {
		from := netip.AddrPortFrom(alice.Addr(), uint16(1000+i))
		s.seg(from, bob, "S", 99, 0, "").seg(from, bob, "A", 100, 500, strings.Repeat("?", size))
	}
	return s
}

func TestTheOldestFlowMakesRoom(t *testing.T) {
	s := crowd(t, 5, 1)
	first := netip.AddrPortFrom(alice.Addr(), 1000)
	s.seg(first, bob, "A", 101, 500, "again") // a second flow of the first client, since that was evicted
	got, summary, err := describe(t, s.raw(), Config{Flows: 3})
	if err != nil || summary.Flows != 6 || summary.Evicted != 3 {
		t.Fatalf("%+v, %v", summary, err)
	}
	for i, want := range []string{":1000 > ", ":1001 > ", ":1002 > ", ":1003 > ", ":1004 > ", ":1000 > "} {
		evicted, midstream := strings.Contains(got[i], " evicted "), strings.Contains(got[i], " midstream ")
		if !strings.Contains(got[i], want) || evicted != (i < 3) || midstream != (i == 5) {
			t.Errorf("flow %d is %s", i+1, got[i])
		}
	}
	// Use makes young: the first client speaks before the others come.
	s = crowd(t, 2, 1)
	s.seg(first, bob, "A", 101, 500, "?")
	s.packets = append(s.packets, crowd(t, 4, 1).packets[4:]...)
	if got, _, _ = describe(t, s.raw(), Config{Flows: 2}); !strings.Contains(got[0], ":1001 > ") {
		t.Errorf("the first to make room is %s", got[0])
	}
}

func TestMemoryIsBounded(t *testing.T) {
	const flows, size = 100, 10_000
	var most int
	table := newTable(Config{Memory: 8 * size}, func(Flow) {})
	for _, p := range crowd(t, flows, size).packets {
		table.packet(packet{linkRaw, p})
		most = max(most, table.memory)
	}
	if most > 8*size || most < 4*size || table.summary.Evicted < flows-8 {
		t.Errorf("%d bytes were held, of %d, and %d flows evicted", most, 8*size, table.summary.Evicted)
	}
	table.finishAll()
	if table.memory != 0 || table.summary.Flows != flows {
		t.Errorf("at the end %d bytes are held, and %+v", table.memory, table.summary)
	}
}

// Of a direction only the window is kept, and what is behind it is not missing.
func TestTheWindowIsKept(t *testing.T) {
	s := (&script{t: t}).open()
	const size = 8000
	for at := 0; at < 3*window; at += size {
		s.seg(alice, bob, "A", uint32(100+at), 500, strings.Repeat("?", size))
	}
	s.seg(alice, bob, "A", 100+1<<30, 500, "far behind")
	Capture(bytes.NewReader(s.raw()), Config{}, func(f Flow) {
		if len(f.Client.Data) != window || f.Gap || f.Client.Ended {
			t.Errorf("%d bytes are kept, gap %v, ended %v", len(f.Client.Data), f.Gap, f.Client.Ended)
		}
	})
}

// A direction of more than four gigabytes does not come back to its beginning.
func TestLongStreamsDoNotWrapIntoTheWindow(t *testing.T) {
	var s stream
	s.start(0, true)
	for at := uint64(0); at < 5<<32; at += 1 << 30 {
		s.add(uint32(at)+10, []byte("x"), 1, false)
	}
	if s.have[0].to != 11 || len(s.have) != 1 {
		t.Errorf("what is kept is %v", s.have)
	}
}

func TestHolesAreBounded(t *testing.T) {
	var s stream
	s.start(0, true)
	for at := window - 2; at > 0; at -= 2 {
		s.add(uint32(at), []byte("x"), 1, false)
	}
	if len(s.have) > maxHoles+1 {
		t.Errorf("there are %d spans", len(s.have))
	}
	s.add(0, bytes.Repeat([]byte("y"), window), window, false)
	if len(s.prefix()) != window || s.buf[window-2] != 'x' || s.buf[window-1] != 'y' {
		t.Errorf("of %d bytes the last are %q", len(s.prefix()), s.buf[window-2:])
	}
}

func TestPanicsCostTheAnswerOnly(t *testing.T) {
	c := Config{Clients: []detect.Detector{detect.Func("bad", 1, func([]byte) detect.Verdict { panic("bad\ndetector") })}}
	got, summary, err := describe(t, ssh(t).raw(), c)
	want := aliceToBob + `first=server client: unknown server: ssh version="2.0" software="OpenSSH_9.2" panic="bad\ndetector"`
	if err != nil || !slices.Equal(got, []string{want}) || summary.Panics != 1 {
		t.Errorf("the flows are %q, %v, %+v", got, err, summary)
	}
}

// What is printed of a flow cannot leave its line.
func TestLinesStayLines(t *testing.T) {
	s := (&script{t: t}).open().seg(alice, bob, "A", 100, 500, "PR\x00I * \x1b\r\n\r\n")
	got, _, err := describe(t, s.raw(), Config{})
	if err != nil || len(got) != 1 || strings.ContainsAny(got[0], "\x00\x1b\r\n") {
		t.Errorf("the flows are %q, %v", got, err)
	}
}

// Memory goes by what is there and not by what is claimed.
func TestClaimsAllocateNothing(t *testing.T) {
	file := ssh(t).raw()
	binary.LittleEndian.PutUint32(file[24+8:], maxRecord+1)
	ng := slices.Concat([]byte("\x0a\x0d\x0d\x0a\x1c\x00\x00\x00\x4d\x3c\x2b\x1a\x01\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x1c\x00\x00\x00"),
		[]byte("\x99\x00\x00\x00\xfc\xff\xff\xff"))
	for _, f := range [][]byte{file, ng} {
		p, err := newPackets(bytes.NewReader(f))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.read(); err == nil || len(p.buf) > 128 {
			t.Errorf("%v, with a buffer of %d bytes", err, len(p.buf))
		}
	}
}

func ExampleCapture() {
	file := bytes.NewReader(ssh(&testing.T{}).raw())
	summary, err := Capture(file, Config{}, func(f Flow) { fmt.Println(f.Network, f.Client.Addr, f.Client.Protocol, f.Server.Software) })
	fmt.Println(summary.Flows, err)
	// Output:
	// tcp 192.0.2.1:40000 ssh OpenSSH_9.2
	// 1 <nil>
}

package proxyproto

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"

	foreign "github.com/pires/go-proxyproto"
)

// FuzzHeader holds that a header which is accepted is written and parsed back the same, and that the foreign library
// reads the same out of it.
func FuzzHeader(f *testing.F) {
	for _, h := range headers {
		f.Add(wireOf(f, h.wire))
	}
	f.Add([]byte("PROXY UNKNOWN ffff::1 whatever\r\n"))
	f.Add(unhex(f, signatureHex+"20 11 000c c0000207 c6336407 c3ca 01bb"))
	f.Add(unhex(f, signatureHex+"20 ff 0003 040000"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		h, n, err := detect.ParseProxyHeader(wire)
		if err != nil {
			return
		}
		written, err := AppendHeader(nil, h)
		if err != nil {
			t.Fatalf("AppendHeader(%+v): %v", h, err)
		}
		back, m, err := detect.ParseProxyHeader(written)
		if err != nil || m != len(written) || !reflect.DeepEqual(back, h) {
			t.Errorf("%+v comes back as %+v, %d, %v", h, back, m, err)
		}
		if !isForeignTo(h, wire) {
			theirs, err := foreign.Read(bufio.NewReaderSize(bytes.NewReader(wire[:n:n]), n+1))
			if err != nil {
				t.Fatalf("%x: we read %+v, they say %v", wire[:n], h, err)
			}
			checkSame(t, h, theirs)
		}
	})
}

// isForeignTo reports headers that we take and the foreign library does not: PROXY without addresses, of which "the
// receiver may choose to accept or reject" (§2.2), and LOCAL of a family that is none, which is "ignored".
func isForeignTo(h *detect.ProxyHeader, wire []byte) bool {
	if h.Version == 1 {
		return false
	}
	switch wire[13] {
	case 0x00:
		return h.Command == detect.ProxyProxied
	case 0x11, 0x12, 0x21, 0x22, 0x31, 0x32:
		return false
	}
	return true
}

func checkSame(t *testing.T, ours *detect.ProxyHeader, theirs *foreign.Header) {
	t.Helper()
	if int(theirs.Version) != ours.Version {
		t.Errorf("version %d, they say %d", ours.Version, theirs.Version)
	}
	// They say LOCAL for UNKNOWN, too.
	if local := ours.Command == detect.ProxyLocal || ours.Version == 1 && ours.Family == detect.ProxyUnspec; local != theirs.Command.IsLocal() {
		t.Errorf("%+v, they say %+v", ours, theirs)
	}
	if ours.Src.IsValid() {
		if src, dst := endpointOf(theirs.SourceAddr), endpointOf(theirs.DestinationAddr); src != unmap(ours.Src) || dst != unmap(ours.Dst) {
			t.Errorf("%s to %s, they say %s to %s", ours.Src, ours.Dst, src, dst)
		}
	}
	if tlvs, err := theirs.TLVs(); ours.Version == 2 && ours.Command == detect.ProxyProxied && (err == nil) != (len(ours.Tail) == 0) {
		t.Errorf("TLVs %v with the rest %x, they say %v, %v", ours.TLVs, ours.Tail, tlvs, err)
	} else if err == nil && len(tlvs) != len(ours.TLVs) && ours.Command == detect.ProxyProxied {
		t.Errorf("%d TLVs, they say %d", len(ours.TLVs), len(tlvs))
	}
}

func endpointOf(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case *net.TCPAddr:
		return unmap(a.AddrPort())
	case *net.UDPAddr:
		return unmap(a.AddrPort())
	}
	return netip.AddrPort{}
}

// unmap undoes what net.IP does not tell apart.
func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// FuzzForeignHeader holds that we read what the foreign library writes.
func FuzzForeignHeader(f *testing.F) {
	f.Add(byte(1), byte(0), []byte{192, 0, 2, 7}, []byte{198, 51, 100, 7}, uint16(1), uint16(2), byte(0), []byte{})
	f.Add(byte(2), byte(1), make([]byte, 16), make([]byte, 16), uint16(1), uint16(2), byte(1), []byte("h2"))
	f.Add(byte(2), byte(2), []byte{192, 0, 2, 7}, []byte{198, 51, 100, 7}, uint16(1), uint16(2), byte(5), []byte("id"))
	f.Add(byte(2), byte(3), []byte{1}, []byte{2}, uint16(1), uint16(2), byte(0), []byte{})
	transports := []foreign.AddressFamilyAndProtocol{foreign.TCPv4, foreign.TCPv6, foreign.UDPv4, foreign.UDPv6}
	f.Fuzz(func(t *testing.T, version, transport byte, src, dst []byte, srcPort, dstPort uint16, tlv byte, value []byte) {
		theirs := &foreign.Header{
			Version: version, Command: foreign.PROXY, TransportProtocol: transports[int(transport)%len(transports)],
		}
		if theirs.TransportProtocol.IsStream() {
			theirs.SourceAddr = &net.TCPAddr{IP: src, Port: int(srcPort)}
			theirs.DestinationAddr = &net.TCPAddr{IP: dst, Port: int(dstPort)}
		} else {
			theirs.SourceAddr = &net.UDPAddr{IP: src, Port: int(srcPort)}
			theirs.DestinationAddr = &net.UDPAddr{IP: dst, Port: int(dstPort)}
		}
		if version == 2 && tlv != TypeCRC32C {
			if err := theirs.SetTLVs([]foreign.TLV{{Type: foreign.PP2Type(tlv), Value: value}}); err != nil {
				return
			}
		}
		wire, err := theirs.Format()
		if err != nil {
			return
		}
		h, n, err := detect.ParseProxyHeaderMax(wire, maxLen)
		if err != nil || n != len(wire) {
			t.Fatalf("%x, which they wrote: %d, %v", wire, n, err)
		}
		if h.Family == detect.ProxyUnspec {
			return // UDP in version 1 is UNKNOWN
		}
		checkSame(t, h, theirs)
		if version == 2 && tlv != TypeCRC32C && (len(h.TLVs) != 1 || h.TLVs[0].Type != tlv || !bytes.Equal(h.TLVs[0].Value, value)) {
			t.Errorf("TLVs %v, they wrote %02x %x", h.TLVs, tlv, value)
		}
	})
}

// FuzzIntroduction holds that the foreign library reads, of the headers that we begin connections with, what we meant.
func FuzzIntroduction(f *testing.F) {
	v4, v6 := []byte{192, 0, 2, 7}, netip.MustParseAddr("2001:db8::7").AsSlice()
	f.Add(byte(1), v4, v4, v4, uint16(1), byte(0), []byte{})
	f.Add(byte(2), v6, v4, v6, uint16(443), byte(TypeAuthority), []byte("a.de"))
	f.Add(byte(2), v4, v6, v6, uint16(443), byte(TypeCRC32C), make([]byte, 4))
	f.Add(byte(2), []byte{}, v6, v6, uint16(443), byte(TypeUniqueID), []byte("id"))
	f.Fuzz(func(t *testing.T, version byte, client, target, local []byte, port uint16, kind byte, value []byte) {
		c := DialConfig{Version: 1 + int(version)%2, TLVs: func(context.Context, *bridge.Flow) []detect.TLV {
			return []detect.TLV{{Type: kind, Value: value}}
		}}
		flow := flowBetween(client, local, port)
		var wire bytes.Buffer
		next := func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) { return sink{Buffer: &wire}, nil }
		hop := addrOf(target, port)
		if _, err := Dial(next, c)(t.Context(), hop, flow); err != nil {
			if kind == TypeCRC32C && len(value) != 4 || len(value) > 60000 {
				return
			}
			t.Fatalf("dial %s: %v", hop, err)
		}
		ours, n, err := detect.ParseProxyHeaderMax(wire.Bytes(), maxLen)
		if err != nil || n != wire.Len() {
			t.Fatalf("%x parses as %+v, %d, %v", wire.Bytes(), ours, n, err)
		}
		if ours.Src.IsValid() && (bridge.AddrFrom(ours.Src) != flow.Client() || ours.Src.Addr().Is4() != ours.Dst.Addr().Is4()) {
			t.Errorf("%s to %s, of the client %s", ours.Src, ours.Dst, flow.Client())
		}
		if !isForeignTo(ours, wire.Bytes()) {
			theirs, err := foreign.Read(bufio.NewReaderSize(&wire, wire.Len()+1))
			if err != nil {
				t.Fatalf("we wrote %+v, they say %v", ours, err)
			}
			checkSame(t, ours, theirs)
		}
	})
}

// addrOf is the address, or a name where there is none.
func addrOf(ip []byte, port uint16) bridge.Addr {
	if a, ok := netip.AddrFromSlice(ip); ok {
		return bridge.AddrFrom(netip.AddrPortFrom(a, port))
	}
	return bridge.Addr{Host: "name.example", Port: port}
}

// flowBetween is a flow with the addresses as those of its client's socket, as far as they are some.
func flowBetween(client, local []byte, port uint16) *bridge.Flow {
	at := func(ip []byte) net.Addr {
		a, ok := netip.AddrFromSlice(ip)
		if !ok {
			return &net.UnixAddr{Net: "unix"}
		}
		return net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, port))
	}
	return (&bridge.Bridge{Client: bridge.NewStream(sink{remote: at(client), local: at(local)})}).Flow()
}

// sink is a connection that keeps what is written to it.
type sink struct {
	net.Conn
	*bytes.Buffer
	remote, local net.Addr
}

func (s sink) Write(p []byte) (int, error)      { return s.Buffer.Write(p) }
func (s sink) Read([]byte) (int, error)         { return 0, io.EOF }
func (s sink) Close() error                     { return nil }
func (s sink) SetWriteDeadline(time.Time) error { return nil }
func (s sink) LocalAddr() net.Addr              { return s.local }

func (s sink) RemoteAddr() net.Addr {
	if s.remote == nil {
		return &net.TCPAddr{IP: net.IPv4(203, 0, 113, 9), Port: 1}
	}
	return s.remote
}

// FuzzRewritten holds that what the foreign library writes is, rewritten, the same to it, with our TLV added.
func FuzzRewritten(f *testing.F) {
	f.Add(byte(1), byte(0), []byte{192, 0, 2, 7}, []byte{198, 51, 100, 7}, uint16(1), byte(0xe0), []byte{})
	f.Add(byte(2), byte(1), make([]byte, 16), make([]byte, 16), uint16(1), byte(1), []byte("h2"))
	f.Add(byte(2), byte(2), []byte{192, 0, 2, 7}, []byte{198, 51, 100, 7}, uint16(1), byte(5), []byte("id"))
	f.Fuzz(func(t *testing.T, version, family byte, src, dst []byte, port uint16, kind byte, value []byte) {
		theirs := &foreign.Header{
			Version: version, Command: foreign.PROXY, TransportProtocol: []foreign.AddressFamilyAndProtocol{foreign.TCPv4, foreign.TCPv6}[family%2],
			SourceAddr: &net.TCPAddr{IP: src, Port: int(port)}, DestinationAddr: &net.TCPAddr{IP: dst, Port: int(port)},
		}
		if version == 2 && kind != TypeCRC32C {
			if err := theirs.SetTLVs([]foreign.TLV{{Type: foreign.PP2Type(kind), Value: value}}); err != nil {
				return
			}
		}
		wire, err := theirs.Format()
		if err != nil {
			return
		}
		h, _, err := detect.ParseProxyHeaderMax(wire, maxLen)
		if err != nil {
			t.Fatalf("%x, which they wrote: %v", wire, err)
		}
		again, err := AppendHeader(nil, rewritten(h, addresses{}, []detect.TLV{{Type: TypeCRC32C, Value: make([]byte, crc32cLen)}}))
		if err != nil {
			if len(value) > 60000 {
				return
			}
			t.Fatalf("%+v: %v", h, err)
		}
		back, err := foreign.Read(bufio.NewReaderSize(bytes.NewReader(again), len(again)+1))
		if err != nil {
			t.Fatalf("%x, which was %x: they say %v", again, wire, err)
		}
		if back.Version != 2 || back.TransportProtocol != theirs.TransportProtocol ||
			endpointOf(back.SourceAddr) != endpointOf(theirs.SourceAddr) || endpointOf(back.DestinationAddr) != endpointOf(theirs.DestinationAddr) {
			t.Errorf("they wrote %+v, and read %+v", theirs, back)
		}
		was, _ := theirs.TLVs()
		is, err := back.TLVs()
		if err != nil || len(is) != len(was)+1 || is[len(is)-1].Type != foreign.PP2_TYPE_CRC32C || len(was) > 0 && !bytes.Equal(is[0].Value, was[0].Value) {
			t.Errorf("TLVs %v came to be %v, %v", was, is, err)
		}
		if h, n, err := detect.ParseProxyHeaderMax(again, maxLen); err != nil || n != len(again) {
			t.Errorf("%x is %+v, %d, %v", again, h, n, err) // the checksum is wrong
		}
	})
}

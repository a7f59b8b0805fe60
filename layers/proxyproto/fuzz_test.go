package proxyproto

import (
	"bufio"
	"bytes"
	"net"
	"net/netip"
	"reflect"
	"testing"

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
		if src, dst := addrPort(theirs.SourceAddr), addrPort(theirs.DestinationAddr); src != unmap(ours.Src) || dst != unmap(ours.Dst) {
			t.Errorf("%s to %s, they say %s to %s", ours.Src, ours.Dst, src, dst)
		}
	}
	if tlvs, err := theirs.TLVs(); ours.Version == 2 && ours.Command == detect.ProxyProxied && (err == nil) != (len(ours.Tail) == 0) {
		t.Errorf("TLVs %v with the rest %x, they say %v, %v", ours.TLVs, ours.Tail, tlvs, err)
	} else if err == nil && len(tlvs) != len(ours.TLVs) && ours.Command == detect.ProxyProxied {
		t.Errorf("%d TLVs, they say %d", len(ours.TLVs), len(tlvs))
	}
}

func addrPort(a net.Addr) netip.AddrPort {
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

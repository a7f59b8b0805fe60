package detect

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"net/netip"
)

// parseProxyV2 parses the binary header (§2.2).
func parseProxyV2(buf []byte, limit int) (*ProxyHeader, int, error) {
	r := scanProxyV2(buf, limit)
	if !r.isComplete() {
		return nil, 0, r.err("proxy2")
	}
	h := &ProxyHeader{Version: 2, Command: ProxyCommand(buf[12] & 0x0f)}
	addresses, vectors := splitProxyV2(buf[:r.n])
	if h.Command == ProxyProxied {
		h.Family, h.Transport = ProxyFamily(buf[13]>>4), ProxyTransport(buf[13]&0x0f)
		h.setAddresses(addresses)
	}
	h.setTLVs(vectors)
	if sum := h.checkCRC32C(buf[:r.n], r.n-len(vectors)); !sum.isComplete() {
		return nil, 0, sum.err("proxy2")
	}
	return h, r.n, nil
}

// scanProxyV2 checks the fixed part and waits for the rest.
func scanProxyV2(b []byte, limit int) result {
	for i := range min(len(b), len(proxyV2Signature)) {
		if b[i] != proxyV2Signature[i] {
			return bad("signature", i)
		}
	}
	switch {
	case len(b) > 12 && b[12]>>4 != 2:
		return bad("version", 12)
	case len(b) > 12 && b[12]&0x0f > byte(ProxyProxied):
		return bad("command", 12)
	case len(b) > 13 && b[12]&0x0f == byte(ProxyProxied) && proxyAddressLen(b[13]) < 0:
		return bad("address family", 13)
	case len(b) < proxyV2HeaderLen:
		return short(proxyV2HeaderLen)
	}
	n := be16(b[14:])
	switch {
	case n > limit, b[12]&0x0f == byte(ProxyProxied) && n < proxyAddressLen(b[13]):
		return bad("length", 14)
	case len(b) < proxyV2HeaderLen+n:
		return short(proxyV2HeaderLen + n)
	}
	return complete(proxyV2HeaderLen + n)
}

// proxyAddressLen is the length of the addresses by byte 14, which holds family and transport, or -1: "other values …
// must be rejected as invalid by receivers" (§2.2).
func proxyAddressLen(familyAndTransport byte) int {
	switch familyAndTransport {
	case 0x00:
		return 0
	case 0x11, 0x12:
		return 2*4 + 2*2
	case 0x21, 0x22:
		return 2*16 + 2*2
	case 0x31, 0x32:
		return 2 * 108
	}
	return -1
}

// splitProxyV2 splits what follows the fixed part into addresses and TLVs. For LOCAL, addresses of an unknown family or
// cut short take all of it.
func splitProxyV2(header []byte) (addresses, vectors []byte) {
	rest := header[proxyV2HeaderLen:]
	n := proxyAddressLen(header[13])
	if n < 0 || n > len(rest) {
		n = len(rest)
	}
	return rest[:n], rest[n:]
}

func (h *ProxyHeader) setAddresses(b []byte) {
	switch h.Family {
	case ProxyInet:
		h.Src = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[0:])), binary.BigEndian.Uint16(b[8:]))
		h.Dst = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:])), binary.BigEndian.Uint16(b[10:]))
	case ProxyInet6:
		h.Src = netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[0:])), binary.BigEndian.Uint16(b[32:]))
		h.Dst = netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[16:])), binary.BigEndian.Uint16(b[34:]))
	case ProxyUnix:
		h.SrcUnix, h.DstUnix = bytes.Clone(b[:108]), bytes.Clone(b[108:])
	}
}

// setTLVs splits the vectors, and leaves in Tail what is none.
func (h *ProxyHeader) setTLVs(b []byte) {
	b = bytes.Clone(b)
	for len(b) >= 3 && len(b)-3 >= be16(b[1:]) {
		end := 3 + be16(b[1:])
		h.TLVs = append(h.TLVs, TLV{Type: b[0], Value: b[3:end:end]})
		b = b[end:]
	}
	if len(b) > 0 {
		h.Tail = b
	}
}

// checkCRC32C verifies the checksum over the header, if it has one, as §2.2.3 obliges a receiver to. The sum is taken
// with the checksum's own four bytes as zeros. The vectors begin at the offset first.
func (h *ProxyHeader) checkCRC32C(header []byte, first int) result {
	at, found := first, -1
	for _, v := range h.TLVs {
		if v.Type == TLVCRC32C {
			if found >= 0 || len(v.Value) != 4 {
				return bad("PP2_TYPE_CRC32C", at)
			}
			found = at + 3
		}
		at += 3 + len(v.Value)
	}
	if found < 0 {
		return result{}
	}
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, castagnoli, header[:found])
	sum = crc32.Update(sum, castagnoli, make([]byte, 4))
	sum = crc32.Update(sum, castagnoli, header[found+4:])
	if sum != binary.BigEndian.Uint32(header[found:]) {
		return bad("PP2_TYPE_CRC32C", found)
	}
	return result{}
}

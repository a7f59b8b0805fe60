package proxyproto

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"

	"github.com/bridgeio/bridgeio/detect"
)

const (
	signature    = "\r\n\r\n\x00\r\nQUIT\n" // specification §2.2
	headerLen    = 16                       // the fixed part of version 2
	version2     = 2 << 4
	unixLen      = 108
	maxLen       = 1<<16 - 1 // of what follows the fixed part, and of a TLV
	crc32cLen    = 4
	tlvHeaderLen = 3
)

// AppendHeader appends a header of version 1 or 2. What of h does not apply is not written: the addresses of LOCAL and
// UNKNOWN, the TLVs of version 1. The value of a PP2_TYPE_CRC32C is computed anew.
//
// It fails when h could not be parsed again: addresses that are not of its family, a combination of family and
// transport that the specification does not have, TLVs that are too long.
func AppendHeader(b []byte, h *detect.ProxyHeader) ([]byte, error) {
	switch h.Version {
	case 1:
		return appendV1(b, h)
	case 2:
		return appendV2(b, h)
	}
	return nil, fmt.Errorf("PROXY version %d, want 1 or 2", h.Version)
}

// appendV1 appends the line of §2.1.
func appendV1(b []byte, h *detect.ProxyHeader) ([]byte, error) {
	protocol := ""
	switch h.Family {
	case detect.ProxyUnspec:
		return append(b, "PROXY UNKNOWN\r\n"...), nil
	case detect.ProxyInet:
		protocol = "TCP4"
	case detect.ProxyInet6:
		protocol = "TCP6"
	}
	if protocol == "" || h.Transport != detect.ProxyStream {
		return nil, fmt.Errorf("PROXY version 1 has no family %d with transport %d", h.Family, h.Transport)
	}
	if err := checkFamily(h); err != nil {
		return nil, err
	}
	return fmt.Appendf(b, "PROXY %s %s %s %d %d\r\n", protocol, h.Src.Addr(), h.Dst.Addr(), h.Src.Port(), h.Dst.Port()), nil
}

// checkFamily reports addresses that are not of the header's family.
func checkFamily(h *detect.ProxyHeader) error {
	for _, a := range []netip.Addr{h.Src.Addr(), h.Dst.Addr()} {
		if !a.IsValid() || a.Is4() != (h.Family == detect.ProxyInet) || a.Zone() != "" {
			return fmt.Errorf("address %s is not of the PROXY family %d", a, h.Family)
		}
	}
	return nil
}

// appendV2 appends the header of §2.2.
func appendV2(b []byte, h *detect.ProxyHeader) ([]byte, error) {
	familyAndTransport := byte(h.Family)<<4 | byte(h.Transport)
	if h.Command == detect.ProxyLocal {
		familyAndTransport = 0
	}
	start := len(b)
	b = append(b, signature...)
	b = append(b, version2|byte(h.Command), familyAndTransport, 0, 0)
	b, err := appendAddresses(b, h, familyAndTransport)
	if err != nil {
		return nil, err
	}
	b, sum, err := appendTLVs(b, h.TLVs)
	if err != nil {
		return nil, err
	}
	b = append(b, h.Tail...)
	n := len(b) - start - headerLen
	if n > maxLen {
		return nil, fmt.Errorf("PROXY header of %d bytes, at most %d fit", n, maxLen)
	}
	header := b[start:]
	binary.BigEndian.PutUint16(header[headerLen-2:], uint16(n))
	if sum > 0 {
		// §2.2.3: the checksum is computed with its own field as zero, which it still is.
		at := sum - start
		binary.BigEndian.PutUint32(header[at:], crc32.Checksum(header, crc32.MakeTable(crc32.Castagnoli)))
	}
	return b, nil
}

// appendAddresses appends the addresses of the combinations that §2.2 has.
func appendAddresses(b []byte, h *detect.ProxyHeader, familyAndTransport byte) ([]byte, error) {
	if h.Command > detect.ProxyProxied {
		return nil, fmt.Errorf("PROXY command %d", h.Command)
	}
	switch familyAndTransport {
	case 0x00:
		return b, nil
	case 0x11, 0x12, 0x21, 0x22:
		if err := checkFamily(h); err != nil {
			return nil, err
		}
		b = append(b, h.Src.Addr().AsSlice()...)
		b = append(b, h.Dst.Addr().AsSlice()...)
		b = binary.BigEndian.AppendUint16(b, h.Src.Port())
		return binary.BigEndian.AppendUint16(b, h.Dst.Port()), nil
	case 0x31, 0x32:
		if len(h.SrcUnix) != unixLen || len(h.DstUnix) != unixLen {
			return nil, fmt.Errorf("addresses of a Unix socket of %d and %d bytes, want %d", len(h.SrcUnix), len(h.DstUnix), unixLen)
		}
		return append(append(b, h.SrcUnix...), h.DstUnix...), nil
	}
	return nil, fmt.Errorf("PROXY family %d with transport %d", h.Family, h.Transport)
}

// appendTLVs appends the vectors, and returns the offset of the checksum's value, zeroed, or 0 when there is none.
func appendTLVs(b []byte, tlvs []detect.TLV) (_ []byte, sum int, err error) {
	for _, v := range tlvs {
		if len(v.Value) > maxLen {
			return nil, 0, tooLong(v)
		}
		if v.Type == TypeCRC32C {
			if sum > 0 || len(v.Value) != crc32cLen {
				return nil, 0, errors.New("PP2_TYPE_CRC32C twice, or not of 4 bytes")
			}
			sum = len(b) + tlvHeaderLen
			v.Value = make([]byte, crc32cLen)
		}
		b = appendTLV(b, v)
	}
	return b, sum, nil
}

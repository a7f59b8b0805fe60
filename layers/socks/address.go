package socks

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"unicode"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// The address types (ATYP, RFC 1928 §5).
const (
	atypIPv4   byte = 0x01
	atypDomain byte = 0x03
	atypIPv6   byte = 0x04
)

// Addr is DST.ADDR and DST.PORT, or BND.ADDR and BND.PORT (RFC 1928 §4, §6). On the wire the zero Addr is the empty
// name.
type Addr struct {
	IP   netip.Addr // ATYP 01 and 04; not valid when the address is a name
	Name string     // ATYP 03: up to 255 bytes, raw. It may be an IP address in text
	Port uint16
}

// unspecified is the BND of a reply that has nothing to say there.
var unspecified = Addr{IP: netip.IPv4Unspecified()}

// addrOf returns the Addr of a TCP socket's address, and unspecified for any other.
func addrOf(a net.Addr) Addr {
	t, ok := a.(*net.TCPAddr)
	if !ok || !t.AddrPort().IsValid() {
		return unspecified
	}
	return Addr{IP: t.AddrPort().Addr().Unmap().WithZone(""), Port: t.AddrPort().Port()}
}

// Addr returns the address for frames and logs: in a name, what cannot be printed is replaced by U+FFFD. It is zero
// when there is neither IP address nor name.
func (a Addr) Addr() bridge.Addr {
	switch {
	case a.IP.IsValid():
		return bridge.AddrFrom(netip.AddrPortFrom(a.IP, a.Port))
	case a.Name == "":
		return bridge.Addr{}
	}
	return bridge.Addr{Host: printable(a.Name), Port: a.Port}
}

// printable replaces control characters, invisible ones, and what is not UTF-8.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// parseAddr parses ATYP, address and port, which begin at the given offset of a message.
func parseAddr(buf []byte, at int) (Addr, int, error) {
	if len(buf) <= at {
		return Addr{}, 0, bridge.ErrShort
	}
	start, length := at+1, 0
	switch buf[at] {
	case atypIPv4:
		length = 4
	case atypIPv6:
		length = 16
	case atypDomain:
		if len(buf) <= start {
			return Addr{}, 0, bridge.ErrShort
		}
		length = int(buf[start])
		start++
	default:
		return Addr{}, 0, malformed("socks5", "ATYP", at)
	}
	end := start + length
	if len(buf) < end+2 {
		return Addr{}, 0, bridge.ErrShort
	}
	a := Addr{Port: binary.BigEndian.Uint16(buf[end:])}
	if buf[at] == atypDomain {
		a.Name = string(buf[start:end])
	} else {
		a.IP, _ = netip.AddrFromSlice(buf[start:end])
	}
	return a, end + 2, nil
}

// appendAddr is the inverse of parseAddr.
func appendAddr(b []byte, a Addr) ([]byte, error) {
	switch {
	case a.IP.Is4():
		b = append(b, atypIPv4)
		b = append(b, a.IP.AsSlice()...)
	case a.IP.Is6():
		b = append(b, atypIPv6)
		b = append(b, a.IP.AsSlice()...)
	case len(a.Name) > 255:
		return nil, fmt.Errorf("host name of %d bytes, at most 255 fit", len(a.Name))
	default:
		b = append(b, atypDomain, byte(len(a.Name)))
		b = append(b, a.Name...)
	}
	return binary.BigEndian.AppendUint16(b, a.Port), nil
}

func malformed(protocol, field string, at int) error {
	return &detect.MalformedError{Protocol: protocol, Field: field, Offset: at}
}

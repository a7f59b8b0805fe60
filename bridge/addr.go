package bridge

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// Side is one of the two peers of a Bridge.
type Side uint8

const (
	Client Side = iota // the peer that connected to us
	Server             // the peer that we connected to
)

// Other returns the peer of s.
func (s Side) Other() Side { return s ^ 1 }

func (s Side) String() string {
	if s == Client {
		return "client"
	}
	return "server"
}

// End says how a peer ended its direction of a stream.
type End uint8

const (
	Open  End = iota // not ended
	Clean            // FIN on TCP (RFC 9293 §3.6), close_notify in TLS (RFC 8446 §6.1)
	Cut              // end of the transport without the protocol's own goodbye: TLS truncation
	Reset            // RST
)

func (e End) String() string {
	return [...]string{"open", "clean", "cut", "reset"}[e]
}

// Addr is a destination: a host, which is a name or an IP address, and a port. The
// zero Addr means "none".
type Addr struct {
	Host string
	Port uint16
}

// AddrFrom returns the Addr of ap, with an IPv4-mapped address as IPv4.
func AddrFrom(ap netip.AddrPort) Addr {
	if !ap.IsValid() {
		return Addr{}
	}
	return Addr{ap.Addr().Unmap().String(), ap.Port()}
}

// AddrOf returns the Addr of a socket address, or the zero Addr when a has no host
// and port.
func AddrOf(a net.Addr) Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return AddrFrom(t.AddrPort())
	}
	if a == nil {
		return Addr{}
	}
	addr, _ := ParseAddr(a.String())
	return addr
}

// ParseAddr parses "host:port" and "[ipv6]:port".
func ParseAddr(s string) (Addr, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return Addr{}, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || host == "" {
		return Addr{}, fmt.Errorf("address %q: want host:port", s)
	}
	return Addr{host, uint16(n)}, nil
}

// IP returns the address when the host is an IP address.
func (a Addr) IP() (netip.Addr, bool) {
	ip, err := netip.ParseAddr(a.Host)
	return ip.Unmap(), err == nil
}

// IsZero reports whether a is "none".
func (a Addr) IsZero() bool { return a == Addr{} }

// String returns "host:port", with brackets around an IPv6 address, and "" for the
// zero Addr.
func (a Addr) String() string {
	if a.IsZero() {
		return ""
	}
	return net.JoinHostPort(a.Host, strconv.Itoa(int(a.Port)))
}

// MarshalText makes an Addr a string in JSON.
func (a Addr) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (a *Addr) UnmarshalText(text []byte) (err error) {
	*a = Addr{}
	if len(text) > 0 {
		*a, err = ParseAddr(string(text))
	}
	return err
}

package socks

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/bridgeio/bridgeio/bridge"
)

// errHostName is a host that a client asked for and that cannot be one.
var errHostName = errors.New("not a valid host name")

// destination returns what a request asks for, to be dialled: an IP address, also one that came as text, or a valid
// host name.
func destination(a Addr) (bridge.Addr, error) {
	ip := a.IP
	if !ip.IsValid() {
		ip, _ = netip.ParseAddr(a.Name)
	}
	switch {
	case ip.IsValid() && ip.Zone() == "":
		return bridge.AddrFrom(netip.AddrPortFrom(ip, a.Port)), nil
	case isHostName(a.Name):
		return bridge.Addr{Host: a.Name, Port: a.Port}, nil
	}
	return bridge.Addr{}, bridge.Fails(bridge.DNS, bridge.ByMITM, fmt.Errorf("%q: %w", a.Name, errHostName))
}

// isHostName reports whether a name is what RFC 1123 §2.1 makes of RFC 952, with underscores, which are in use, and
// perhaps the root's dot. A name that is not ASCII must come as A-labels (RFC 5890 §2.3.2.1): SOCKS does not say
// which encoding another one is in.
func isHostName(name string) bool {
	name = strings.TrimSuffix(name, ".")
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if !isLabel(label) {
			return false
		}
	}
	return true
}

func isLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for i := range len(label) {
		switch c := label[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

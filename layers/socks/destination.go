package socks

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/bridgeio/bridgeio/bridge"
)

// errHostName is a host that a client asked for and that cannot be one.
var errHostName = errors.New("not a valid host name")

// destination returns what a request asks for, to be dialled: an IP address, also one that came as text, or a valid
// host name: SOCKS does not say which encoding one is in that is not ASCII.
func destination(a Addr) (bridge.Addr, error) {
	ip := a.IP
	if !ip.IsValid() {
		ip, _ = netip.ParseAddr(a.Name)
	}
	switch {
	case ip.IsValid() && ip.Zone() == "":
		return bridge.AddrFrom(netip.AddrPortFrom(ip, a.Port)), nil
	case bridge.IsHostName(a.Name):
		return bridge.Addr{Host: a.Name, Port: a.Port}, nil
	}
	return bridge.Addr{}, bridge.Fails(bridge.DNS, bridge.ByMITM, fmt.Errorf("%q: %w", a.Name, errHostName))
}

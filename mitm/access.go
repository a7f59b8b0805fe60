package mitm

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/netip"

	"github.com/bridgeio/bridgeio/bridge"
)

// privateNetworks is who may use a proxy that says nothing else: an open proxy is
// abused within hours.
func privateNetworks() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/8"),
		netip.MustParsePrefix("::1/128"),
		netip.MustParsePrefix("10.0.0.0/8"), // RFC 1918
		netip.MustParsePrefix("172.16.0.0/12"),
		netip.MustParsePrefix("192.168.0.0/16"),
		netip.MustParsePrefix("169.254.0.0/16"), // RFC 3927
		netip.MustParsePrefix("fe80::/10"),
		netip.MustParsePrefix("fc00::/7"), // RFC 4193
	}
}

func contains(prefixes []netip.Prefix, ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	for _, p := range prefixes {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// authorize returns the check of credentials, or nil when none are asked for. It
// takes the same time whether or not a user exists.
func (s *Server) authorize() func(user, password string) bool {
	if len(s.config.Auth) == 0 {
		return nil
	}
	return func(user, password string) bool {
		ok := 0
		for _, c := range s.config.Auth {
			ok |= same(c.User, user) & same(c.Password, password)
		}
		return ok == 1
	}
}

func same(a, b string) int {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:])
}

// denied reports whether the client of a flow may not reach ip. An allowed target
// beats a denied one.
func (s *Server) denied(f *bridge.Flow, ip netip.Addr) bool {
	switch {
	case contains(s.config.AllowTarget, ip):
		return false
	case contains(s.config.DenyTarget, ip):
		return true
	}
	if isLocal(f.Client()) && isLocal(f.Peer()) {
		return false
	}
	// What a remote client could reach through us and not by itself: this machine,
	// and the metadata services of clouds, which are on link-local addresses.
	return ip.IsLoopback() || ip.IsUnspecified() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || isOurs(ip)
}

// isLocal reports whether an address is on this machine's loopback, when it is that of
// both the client and its socket: the loopback that a balancer elsewhere names is its own.
func isLocal(a bridge.Addr) bool {
	ip, ok := a.IP()
	return ok && ip.IsLoopback()
}

// isOurs reports whether ip is an address of this machine.
func isOurs(ip netip.Addr) bool {
	if ip.IsLoopback() || ip.IsUnspecified() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return true // when it can't be told, it is not allowed
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if own, ok := netip.AddrFromSlice(n.IP); ok && own.Unmap() == ip.WithZone("") {
				return true
			}
		}
	}
	return false
}

package mitm

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/bridgeio/bridgeio/bridge"
)

// dialUpstream connects a flow to its hop through the upstream proxy. The name is handed
// on as it is to be resolved, so that the proxy is asked for nothing but a host.
func (s *Server) dialUpstream(ctx context.Context, hop bridge.Addr, f *bridge.Flow, operators bool) (net.Conn, error) {
	host, err := hostName(hop.Host)
	if err != nil {
		return nil, bridge.Fails(bridge.DNS, bridge.ByMITM, err)
	}
	if ip, ok := addressOf(host); ok && !operators && s.denied(f, ip) {
		return nil, bridge.Fails(bridge.Denied, bridge.ByMITM, fmt.Errorf("%s may not reach %s", f.Client().Host, host))
	}
	return s.upstream(ctx, bridge.Addr{Host: host, Port: hop.Port}, f)
}

// dialProxy connects to the upstream proxy, which the operator has named.
func (s *Server) dialProxy(ctx context.Context, proxy bridge.Addr, f *bridge.Flow) (net.Conn, error) {
	return s.dialTCP(ctx, proxy, f, true)
}

// addressOf returns the address that a host is known to have without asking anybody:
// where the proxy is next to us, its loopback is ours. RFC 6761 section 6.3: names under
// "localhost." are those of the loopback address.
func addressOf(host string) (netip.Addr, bool) {
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}), true
	}
	ip, err := netip.ParseAddr(host)
	return ip.Unmap(), err == nil
}

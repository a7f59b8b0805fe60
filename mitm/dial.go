package mitm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/idna"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
	"github.com/bridgeio/bridgeio/mitm/intercept"
	"github.com/bridgeio/bridgeio/mitm/policy"
)

// dial connects a flow to its hop.
func (s *Server) dial(ctx context.Context, hop bridge.Addr, f *bridge.Flow) (net.Conn, error) {
	// What was asked for may be redirected, and something else dialled: a balancer's header names a
	// destination, too, and a hello another one.
	target, redirected := s.config.Rules.Redirected(f.Target().Host)
	redirected = redirected && target.Host == hop.Host
	operators := !s.config.Connect.IsZero() || redirected || ctx.Value(operatorsKey{}) != nil
	if isForwarded(f) {
		return s.dialForward(ctx, hop, f, operators)
	}
	return s.dialHop(ctx, hop, f, operators)
}

func (s *Server) dialHop(ctx context.Context, hop bridge.Addr, f *bridge.Flow, operators bool) (net.Conn, error) {
	dial := s.dialTCP
	if s.upstream != nil {
		dial = s.dialUpstream
	}
	return s.sendProxy(func(ctx context.Context, hop bridge.Addr, f *bridge.Flow) (net.Conn, error) {
		return dial(ctx, hop, f, operators)
	})(ctx, hop, f)
}

// dialForward connects a flow whose requests the HTTP proxy forwards by itself: no handler is
// asked about them, so what becomes of a flow that is not TLS is decided here.
func (s *Server) dialForward(ctx context.Context, hop bridge.Addr, f *bridge.Flow, operators bool) (net.Conn, error) {
	d := s.decidePlain(ctx.Value(listenerKey{}).(*listener), f, hop)
	if d.Action == policy.Block {
		return nil, blockedBy(d)
	}
	if !d.Target.IsZero() {
		hop = bridge.Addr{Host: d.Target.Host, Port: cmp.Or(d.Target.Port, hop.Port)}
		operators = true
	}
	dial := func(ctx context.Context, hop bridge.Addr, f *bridge.Flow) (net.Conn, error) {
		return s.dialHop(ctx, hop, f, operators)
	}
	if d.Action == policy.Encrypt {
		dial = tlsbridge.Dial(dial, s.origination(f, hop))
	}
	c, err := dial(ctx, hop, f)
	if err != nil || d.Throttle == 0 {
		return c, err
	}
	return policy.Throttle(c, d.Throttle), nil
}

// dialTCP connects to an address itself. Names are resolved here, once a flow, by the
// system's resolver; what may be reached is checked on the address that is about to be
// connected, so that a name can't be made to resolve to something else in between.
func (s *Server) dialTCP(ctx context.Context, hop bridge.Addr, f *bridge.Flow, operators bool) (net.Conn, error) {
	if server := f.Server(); !server.IsZero() {
		hop = server // a redial reaches the very same address
	}
	host, err := hostName(hop.Host)
	if err != nil {
		return nil, bridge.Fails(bridge.DNS, bridge.ByMITM, err)
	}
	egress, err := s.egress(f)
	if err != nil {
		return nil, bridge.Fails(bridge.Unreachable, bridge.ByMITM, err)
	}
	dial := s.own.dial(f)
	d := net.Dialer{Resolver: s.resolver, KeepAlive: s.keepAlive(), Control: func(network, address string, c syscall.RawConn) error {
		to, err := s.mayReach(f, address, operators)
		if err != nil {
			return err
		}
		s.own.connects(dial, c, to)
		return egress.Control(network, address, c)
	}}
	to := bridge.Addr{Host: host, Port: hop.Port}.String()
	c, err := d.DialContext(ctx, "tcp", to)
	if err != nil && egress.Source.Port() != 0 && isPortTaken(err) {
		egress.Source = netip.AddrPortFrom(egress.Source.Addr(), 0)
		c, err = d.DialContext(ctx, "tcp", to)
	}
	if err != nil {
		s.own.forget(f)
	}
	if mixed := (*intercept.FamilyError)(nil); errors.As(err, &mixed) {
		return nil, bridge.Fails(bridge.Unreachable, bridge.ByMITM, err)
	}
	if err != nil {
		return nil, err
	}
	if s.own.connected(dial, c) {
		c.Close()
		return nil, bridge.Fails(bridge.Loop, bridge.ByMITM, errCameBack)
	}
	return s.config.Wire.ServerLeg(c, f), nil
}

// keepAlive is off, as for net.Dialer, while the idle limit finds dead peers: probes cost
// several system calls a connection.
func (s *Server) keepAlive() time.Duration {
	if s.config.Limits.Idle < 0 {
		return 0 // the default of package net
	}
	return -1
}

// mayReach returns a resolved address. It refuses one that is one of our listeners, or that
// the client may not reach.
func (s *Server) mayReach(f *bridge.Flow, address string, operators bool) (netip.AddrPort, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return to, fmt.Errorf("address %q: %w", address, err)
	}
	ip := to.Addr().Unmap()
	if s.isListener(ip, to.Port()) {
		s.logLoop(address)
		return to, bridge.Fails(bridge.Loop, bridge.ByMITM, fmt.Errorf("%s is one of our own listeners", address))
	}
	if !operators && s.denied(f, ip) {
		return to, bridge.Fails(bridge.Denied, bridge.ByMITM, fmt.Errorf("%s may not reach %s", f.Client().Host, address))
	}
	return to, nil
}

// isListener reports whether a connection to ip and port would come back to us.
func (s *Server) isListener(ip netip.Addr, port uint16) bool {
	for _, l := range s.listeners {
		own := l.addr()
		switch {
		case own.Port() != port:
		case own.Addr().Unmap() == ip:
			return true
		case ip.IsUnspecified(): // the kernel takes it for loopback
			return own.Addr().IsLoopback() || own.Addr().IsUnspecified()
		case own.Addr().IsUnspecified() && isOurs(ip):
			return true
		}
	}
	return false
}

func (s *Server) logLoop(address string) {
	if _, logged := s.loops.LoadOrStore(address, true); !logged {
		s.config.Log.Warn("refused to dial ourselves", "addr", address)
	}
}

// errHostName is a name that can't be that of a host.
var errHostName = errors.New("not a host name")

// hostName returns host as it is to be resolved: an IP address as it is, a name in
// its ASCII form (RFC 5891). Underscores are let through: they are in use.
func hostName(host string) (string, error) {
	if _, err := netip.ParseAddr(host); err == nil {
		return host, nil
	}
	profile := idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(false))
	ascii, err := profile.ToASCII(host)
	if err != nil {
		return "", fmt.Errorf("%q: %w: %w", host, errHostName, err)
	}
	name := strings.TrimSuffix(ascii, ".")
	if name == "" || len(name) > 253 {
		return "", fmt.Errorf("%q: %w", host, errHostName)
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.IndexFunc(label, notInHostName) >= 0 {
			return "", fmt.Errorf("%q: %w", host, errHostName)
		}
	}
	return ascii, nil
}

func notInHostName(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_')
}

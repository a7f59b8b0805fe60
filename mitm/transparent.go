package mitm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/mitm/intercept"
)

// Source says which address servers see.
type Source uint8

const (
	SourceOwn      Source = iota // the host's, as it chooses
	SourceClientIP               // the client's, with a port of its own
	SourceClient                 // the client's, and its port
	SourceAddr                   // Config.SourceAddr
)

// isTransparent reports whether the kernel brings a kind of listener what clients mean for
// others.
func (c Config) isTransparent(k kind) bool {
	return c.Transparent != intercept.None && (k == auto || k == tlsOnly)
}

// intercepted sets the hop of a flow to what its client meant to reach. A connection that was
// made to us leads nowhere: to dial it would come back, for ever.
func (s *Server) intercepted(l *listener) bridge.Layer {
	return bridge.Layer{Name: "transparent", Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
		c, err := socketOf(b.Client.Unwrap())
		if err != nil {
			return err
		}
		to, err := s.config.Transparent.Destination(c)
		if err == nil && s.isListener(to.Addr(), to.Port()) {
			err = intercept.ErrDirect
		}
		switch {
		case errors.Is(err, intercept.ErrDirect):
			s.logLoop(c.LocalAddr().String())
			return bridge.Fails(bridge.Loop, bridge.ByMITM, err)
		case err != nil:
			return fmt.Errorf("original destination: %w", err)
		}
		if s.isOwnDial(b.Flow(), c, to) {
			return bridge.Fails(bridge.Loop, bridge.ByMITM, errCameBack)
		}
		meant := bridge.AddrFrom(to)
		b.SetHop(s.meantHop(l, meant))
		ctx = context.WithValue(ctx, meantKey{}, meant)
		return next(context.WithValue(ctx, operatorsKey{}, true), b)
	}}
}

// meantHop is what is dialled for a destination that the kernel has told. The port is the one that
// the operator has named for the listener, if he has.
func (s *Server) meantHop(l *listener, meant bridge.Addr) bridge.Addr {
	meant.Port = cmp.Or(l.external, meant.Port)
	return s.hop(meant)
}

// errCameBack is a dial of ours that nobody but we has accepted.
var errCameBack = errors.New("our own connection to a server has come back to us")

// accepted ends flows that are our own connections to servers, where clients connect to us.
func (s *Server) accepted() bridge.Layer {
	return bridge.Layer{Name: "accept", Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
		c, err := socketOf(b.Client.Unwrap())
		if err == nil && s.isOwnDial(b.Flow(), c, addrPortOf(c.LocalAddr())) {
			return bridge.Fails(bridge.Loop, bridge.ByMITM, errCameBack)
		}
		return next(ctx, b)
	}}
}

// isOwnDial reports whether an accepted connection, which was meant for that address, is one of
// ours to a server. Where clients connect to us a firewall may have redirected it nevertheless,
// which the kernel is asked for only if we have a connection from the same address.
func (s *Server) isOwnDial(f *bridge.Flow, c *net.TCPConn, to netip.AddrPort) bool {
	from := addrPortOf(c.RemoteAddr())
	back, shared := s.own.accepted(f, from, to)
	if shared && !back {
		if meant, err := intercept.Redirect.Destination(c); err == nil {
			to = meant
			back, _ = s.own.accepted(f, from, to)
		}
	}
	if back {
		s.cameBack.Do(func() {
			s.config.Log.Warn("our own connection to a server has come back to us: the kernel's rules must leave alone what we connect to (see --mark)", "addr", to.String())
		})
	}
	return back
}

// socketOf returns the socket below what watches it.
func socketOf(c net.Conn) (*net.TCPConn, error) {
	for {
		switch inner := c.(type) {
		case *net.TCPConn:
			return inner, nil
		case interface{ NetConn() net.Conn }:
			c = inner.NetConn()
		default:
			return nil, fmt.Errorf("%T is no TCP socket", c)
		}
	}
}

// checkEgress finds out at the start what each flow would die of: that we may not.
func (c Config) checkEgress() error {
	e := intercept.Egress{Mark: c.Mark}
	if c.Source != SourceOwn {
		e.Source = netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	}
	if err := e.Check(); err != nil {
		return fmt.Errorf("connections to servers: %w", err)
	}
	return nil
}

// resolver is the system's. With a mark its queries have it, too, as long as it is Go that asks:
// which one it is, Go's or libc's, is as the system's configuration has it, and libc knows of no
// marks.
func (c Config) resolver() *net.Resolver {
	if c.Mark == 0 {
		return net.DefaultResolver
	}
	d := net.Dialer{Control: intercept.Egress{Mark: c.Mark}.Control}
	return &net.Resolver{Dial: d.DialContext}
}

// egress is how a flow's server is connected to.
func (s *Server) egress(f *bridge.Flow) (intercept.Egress, error) {
	e := intercept.Egress{Mark: s.config.Mark}
	switch s.config.Source {
	case SourceOwn:
		return e, nil
	case SourceAddr:
		e.Source = netip.AddrPortFrom(s.config.SourceAddr, 0)
		return e, nil
	}
	client := f.Client()
	ip, ok := client.IP()
	if !ok {
		return e, fmt.Errorf("the client's address, %q, is not known", client)
	}
	e.Source = netip.AddrPortFrom(ip, 0)
	if s.config.Source == SourceClient {
		e.Source = netip.AddrPortFrom(ip, client.Port)
	}
	return e, nil
}

// isPortTaken reports whether a server can't be connected to since the client's own port is
// in use with it: by a connection that was there before, and is remembered.
func isPortTaken(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EADDRNOTAVAIL)
}

package mitm

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
	"github.com/bridgeio/bridgeio/mitm/ca"
	"github.com/bridgeio/bridgeio/mitm/capture"
)

// Server is a running configuration: its listeners and their flows.
type Server struct {
	config    Config
	authority *ca.Authority
	opened    bool   // the authority is ours to close
	secret    []byte // of session tickets; replicas with the same authority share it
	listeners []*listener
	proxy     *bridge.Proxy
	upstream  bridge.DialFunc // through Config.Upstream; nil without
	loops     sync.Map        // addresses of refused dials to ourselves, each logged once
	own       *ownDials       // nil where connections have the same ends on purpose
	cameBack  sync.Once       // logs that one of them did
	resolver  *net.Resolver   // the system's; nil is that, too

	limiter  *tlsbridge.Limiter
	minter   *Minter
	mirrored tlsbridge.Config // but for what depends on the flow
}

// kind is what a listener speaks.
type kind string

const (
	auto        kind = "auto"
	socksOnly   kind = "socks"
	connectOnly kind = "httpconnect"
	tlsOnly     kind = "tls"
	haproxyOnly kind = "haproxy"
)

type listener struct {
	net.Listener
	kind    kind
	handler bridge.Handler
	port    uint16 // what a server name goes with, and a Connect without port

	external uint16 // a TLSListener's Port; 0: none was named
}

func (l *listener) addr() netip.AddrPort {
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// New checks the configuration, opens the authority and binds the listeners. It
// serves nothing yet. A Server that is not wanted any more is closed with Close.
func New(config Config) (*Server, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	config.warnOfProxyTLVs()
	s := &Server{config: config}
	if err := s.openAuthority(); err != nil {
		return nil, err
	}
	s.mirror()
	s.own = newOwnDials(config.Source)
	s.resolver = config.resolver()
	if config.Upstream != nil {
		s.upstream = config.Upstream.Dialer(s.dialProxy, config.Roots, config.Limits)
	}
	s.proxy = &bridge.Proxy{
		Handler:  s.handle,
		Dial:     s.dial,
		Limits:   config.Limits,
		Observer: bridge.Observers(s.own.observer(), config.Observer, config.Bypass.Observer()),
	}
	if err := s.listen(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Server) openAuthority() error {
	if s.authority = s.config.CA; s.authority == nil {
		dir, err := ca.DefaultDir()
		if err != nil {
			return err
		}
		if s.authority, err = ca.Open(dir); err != nil {
			return err
		}
		s.opened = true
	}
	var err error
	if s.secret, err = s.authority.Secret("session tickets"); err != nil {
		return err
	}
	for _, authority := range []*ca.Authority{s.authority, s.config.OtherCA} {
		if authority != nil && authority.ExpiresSoon(time.Now()) {
			s.config.Log.Warn("the certificate authority expires soon", "sha256", authority.Fingerprint(), "not_after", authority.Certificate().NotAfter)
		}
	}
	return nil
}

// listen binds all listeners. The chains are made afterwards, when it is known on which
// ports a kernel that was asked for any has put them.
func (s *Server) listen() error {
	for _, wanted := range s.wanted() {
		l, err := s.bind(wanted)
		if err != nil {
			return err // it says "listen" and the address
		}
		bound := &listener{Listener: l, kind: wanted.kind, port: tlsPort}
		if wanted.kind == tlsOnly {
			bound.port, bound.external = cmp.Or(wanted.Port, bound.addr().Port()), wanted.Port
		}
		s.listeners = append(s.listeners, bound)
	}
	for _, l := range s.listeners {
		l.handler = s.chain(l)
	}
	return nil
}

// wantedListener is one that is to be bound.
type wantedListener struct {
	TLSListener
	kind kind
}

func (s *Server) wanted() []wantedListener {
	var all []wantedListener
	for _, list := range []struct {
		kind  kind
		addrs []string
	}{{auto, s.config.Listen}, {socksOnly, s.config.SOCKS}, {connectOnly, s.config.HTTPConnect}, {haproxyOnly, s.config.HAProxy}} {
		for _, addr := range list.addrs {
			all = append(all, wantedListener{TLSListener{Addr: addr}, list.kind})
		}
	}
	for _, l := range s.config.TLS {
		all = append(all, wantedListener{l, tlsOnly})
	}
	return all
}

// bind listens on plain TCP: a multipath socket lacks options that the layers below
// may want, and our peers are seldom multipath.
func (s *Server) bind(wanted wantedListener) (net.Listener, error) {
	lc := net.ListenConfig{KeepAlive: s.keepAlive()}
	if s.config.isTransparent(wanted.kind) {
		lc.Control = s.config.Transparent.Control
	}
	lc.SetMultipathTCP(false)
	return lc.Listen(context.Background(), "tcp", wanted.Addr)
}

// Listening is one address that a Server listens on.
type Listening struct {
	Kind string // "auto", "socks", "httpconnect", "tls" or "haproxy"
	Addr net.Addr
}

// Listening returns the addresses that the Server listens on.
func (s *Server) Listening() []Listening {
	all := make([]Listening, len(s.listeners))
	for i, l := range s.listeners {
		all[i] = Listening{string(l.kind), l.Addr()}
	}
	return all
}

// Authority returns the authority that signs what clients see.
func (s *Server) Authority() *ca.Authority { return s.authority }

// listenerKey is the context key of the listener that accepted a flow.
type listenerKey struct{}

// Serve serves all listeners until ctx ends, and then as Shutdown does. It returns
// nil unless a listener failed.
func (s *Server) Serve(ctx context.Context) error {
	failed := make(chan error, len(s.listeners))
	for _, l := range s.listeners {
		go s.serve(context.WithValue(context.WithoutCancel(ctx), listenerKey{}, l), l, failed)
	}
	var err error
	left := len(s.listeners)
	select {
	case <-ctx.Done():
	case err = <-failed:
		left--
	}
	if cut := s.proxy.Shutdown(context.WithoutCancel(ctx)); cut != nil {
		s.config.Log.Warn("flows were cut at shutdown")
	}
	for ; left > 0; left-- {
		err = errors.Join(err, <-failed)
	}
	return err
}

func (s *Server) serve(ctx context.Context, l *listener, failed chan<- error) {
	failed <- s.proxy.Serve(ctx, wiredListener{l, s.config.Wire})
}

// wiredListener shows what the sockets carry that it accepts.
type wiredListener struct {
	net.Listener
	wire *capture.Wire
}

func (l wiredListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.wire.ClientLeg(c), nil
}

// handle runs the chain of the listener that accepted the flow.
func (s *Server) handle(ctx context.Context, b *bridge.Bridge) error {
	return ctx.Value(listenerKey{}).(*listener).handler(ctx, b)
}

// Close closes the listeners and what New opened. Flows are not waited for; Serve
// does that.
func (s *Server) Close() error {
	for _, l := range s.listeners {
		l.Close()
	}
	if s.opened {
		return s.authority.Close()
	}
	return nil
}

package mitm

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/mitm/ca"
)

// Server is a running configuration: its listeners and their flows.
type Server struct {
	config    Config
	authority *ca.Authority
	opened    bool   // the authority is ours to close
	secret    []byte // of session tickets; replicas with the same authority share it
	listeners []*listener
	proxy     *bridge.Proxy
	loops     sync.Map // addresses of refused dials to ourselves, each logged once
}

// kind is what a listener speaks.
type kind string

const (
	auto        kind = "auto"
	socksOnly   kind = "socks"
	connectOnly kind = "httpconnect"
)

type listener struct {
	net.Listener
	kind    kind
	handler bridge.Handler
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
	s := &Server{config: config}
	if err := s.openAuthority(); err != nil {
		return nil, err
	}
	s.proxy = &bridge.Proxy{
		Handler:  s.handle,
		Dial:     s.dial,
		Limits:   config.Limits,
		Observer: bridge.Observers(config.Observer, config.Bypass.Observer()),
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
	if s.authority.ExpiresSoon(time.Now()) {
		s.config.Log.Warn("the certificate authority expires soon", "not_after", s.authority.Certificate().NotAfter)
	}
	return nil
}

func (s *Server) listen() error {
	handlers := map[kind]bridge.Handler{
		auto:        s.automatic(),
		socksOnly:   s.socksOnly(),
		connectOnly: s.connectOnly(),
	}
	for _, wanted := range []struct {
		kind  kind
		addrs []string
	}{{auto, s.config.Listen}, {socksOnly, s.config.SOCKS}, {connectOnly, s.config.HTTPConnect}} {
		for _, addr := range wanted.addrs {
			l, err := s.bind(addr)
			if err != nil {
				return err // it says "listen" and the address
			}
			s.listeners = append(s.listeners, &listener{l, wanted.kind, handlers[wanted.kind]})
		}
	}
	return nil
}

// bind listens on plain TCP: a multipath socket lacks options that the layers below
// may want, and our peers are seldom multipath.
func (s *Server) bind(addr string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAlive: s.keepAlive()}
	lc.SetMultipathTCP(false)
	return lc.Listen(context.Background(), "tcp", addr)
}

// Listening is one address that a Server listens on.
type Listening struct {
	Kind string // "auto", "socks" or "httpconnect"
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
	failed <- s.proxy.Serve(ctx, l)
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

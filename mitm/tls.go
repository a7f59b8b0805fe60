package mitm

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"strings"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
	"github.com/bridgeio/bridgeio/mitm/policy"
)

// tlsPort is the port that is dialled for a server name that nobody gave a port for.
const tlsPort = 443

// tls is the layer for a ClientHello that came to a listener. With a hop it is for that
// server. Without one it is either addressed to us, and what is inside is asked again, or to
// the server that it names.
func (s *Server) tls(l *listener) bridge.Layer {
	return bridge.Layer{Name: "tls", Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
		if hasHop(b) && detect.SSLv2().Detect(detect.Input{Client: b.Client.Buffered()}).Kind == detect.Match {
			if s.nonTLS(l) == NonTLSBlock {
				return bridge.Fails(bridge.Block, bridge.ByMITM, errNotTLS)
			}
			return s.bridged(b.Flow(), l.port, decision{}).Handle(ctx, b, next) // there is nothing to decide by
		}
		hello, err := s.expectHello(ctx, b)
		if err != nil {
			return err
		}
		switch {
		case !noHop(b):
		case s.isForUs(ctx, hello, l.port):
			return s.ours(b.Flow()).Handle(ctx, b, next)
		case len(s.config.Auth) > 0:
			return bridge.Fails(bridge.Auth, bridge.ByMITM, errors.New("a client that only names a server shows no credentials"))
		}
		ctx = withServerName(ctx, hello)
		d := s.decide(b.Flow(), b.Hop(), hello)
		if ctx, err = s.reroute(ctx, b, d.Target, l.port); err != nil {
			return err
		}
		slow(b, d.Throttle)
		return s.decided(b.Flow(), l, hello, d).Handle(ctx, b, next)
	}}
}

// expectHello waits for the hello that decides: the inner one where it was made for us.
func (s *Server) expectHello(ctx context.Context, b *bridge.Bridge) (*detect.ClientHello, error) {
	hello, _, err := bridge.Expect(ctx, b, bridge.Client, detect.ParseClientHello, bridge.Max(detect.MaxClientHello))
	if err != nil {
		return nil, err
	}
	if inner := tlsbridge.OpenECH(hello, s.config.ECHKeys); inner != nil {
		hello = inner
	}
	return hello, nil
}

// decided is the layer that does what was decided about a hello.
func (s *Server) decided(f *bridge.Flow, l *listener, hello *detect.ClientHello, d decision) bridge.Layer {
	if d.Action != policy.Terminate {
		return s.bridged(f, l.port, d)
	}
	return tlsbridge.Terminate(tlsbridge.TerminateConfig{
		ALPN:        s.toldALPN(hello),
		Certificate: s.serverCertificate,
		Server:      bridge.Addr{Host: cmp.Or(hello.ServerName, s.config.NoSNI), Port: l.port},
		ClientCAs:   s.config.ClientCAs,
		Limiter:     s.limiter,
		KeyLog:      s.keyLog(f),
	})
}

// ours is the layer for TLS with ourselves, as an HTTPS proxy.
func (s *Server) ours(f *bridge.Flow) bridge.Layer {
	return tlsbridge.Terminate(tlsbridge.TerminateConfig{
		Certificate: s.ownCertificate,
		ALPN:        []string{"http/1.1"},
		Limiter:     s.limiter,
		KeyLog:      s.keyLog(f),
	})
}

// serverCertificate is the one of a server whose TLS ends here: the operator's own, or one
// that we make for its name.
func (s *Server) serverCertificate(ctx context.Context, f *bridge.Flow, hello *detect.ClientHello) (*tls.Certificate, error) {
	name := cmp.Or(hello.ServerName, s.config.NoSNI, f.Target().Host)
	if own := s.config.serverCertificate(name); own != nil {
		return own, nil
	}
	return s.authority.MintName(ctx, name)
}

// ownCertificate is the one of TLS that is addressed to us: for the name that the client
// asks for, else the address that it connected to.
func (s *Server) ownCertificate(ctx context.Context, f *bridge.Flow, hello *detect.ClientHello) (*tls.Certificate, error) {
	name := cmp.Or(hello.ServerName, f.Local().Host)
	if own := s.config.serverCertificate(name); own != nil {
		return own, nil
	}
	return s.authority.MintName(ctx, name)
}

// isForUs reports whether a client that speaks TLS while no hop is known means us, as
// an HTTPS proxy: it names no server, or one of our own names, or a name that would
// bring us back to ourselves.
func (s *Server) isForUs(ctx context.Context, hello *detect.ClientHello, port uint16) bool {
	name := strings.ToLower(strings.TrimSuffix(cmp.Or(hello.ServerName, s.config.NoSNI), "."))
	if name == "" || slices.ContainsFunc(s.config.Names, func(own string) bool { return strings.EqualFold(own, name) }) {
		return true
	}
	if s.config.Upstream != nil {
		return false // it resolves the name, and nobody else is to hear of it
	}
	if !slices.ContainsFunc(s.listeners, func(l *listener) bool { return l.addr().Port() == port }) {
		return false // no name leads back to us
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.Limits.WithDefaults().Dial)
	defer cancel()
	host, err := hostName(name)
	if err != nil {
		return false
	}
	addrs, err := s.resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return false // the dial will say so
	}
	for _, ip := range addrs {
		if s.isListener(ip.Unmap(), port) {
			return true
		}
	}
	return false
}

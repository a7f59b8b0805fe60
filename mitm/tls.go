package mitm

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strings"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
)

// tlsPort is the port that is dialled for a server name that nobody gave a port for.
const tlsPort = 443

// tls is the layer for a ClientHello. With a hop it is bridged. Without one it is either
// addressed to us, and what is inside is asked again, or to the server that it names.
func (s *Server) tls() bridge.Layer {
	limiter := tlsbridge.NewLimiter(0)
	bridged := tlsbridge.Relay(s.mirror(limiter))
	ours := tlsbridge.Terminate(tlsbridge.TerminateConfig{
		Certificate: s.ownCertificate,
		ALPN:        []string{"http/1.1"},
		Limiter:     limiter,
	})
	return bridge.Layer{Name: "tls", Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
		if !noHop(b) {
			return bridged.Handle(ctx, b, next)
		}
		hello, _, err := bridge.Expect(ctx, b, bridge.Client, detect.ParseClientHello, bridge.Max(detect.MaxClientHello))
		switch {
		case err != nil:
			return err
		case s.isForUs(ctx, hello):
			return ours.Handle(ctx, b, next)
		case len(s.config.Auth) > 0:
			return bridge.Fails(bridge.Auth, bridge.ByMITM, errors.New("a client that only names a server shows no credentials"))
		}
		return bridged.Handle(ctx, b, next)
	}}
}

// ownCertificate is the one of TLS that is addressed to us: for the name that the client
// asks for, else the address that it connected to.
func (s *Server) ownCertificate(ctx context.Context, f *bridge.Flow, hello *detect.ClientHello) (*tls.Certificate, error) {
	name := hello.ServerName
	if name == "" {
		name = f.Local().Host
	}
	return s.authority.MintName(ctx, name)
}

// isForUs reports whether a client that speaks TLS while no hop is known means us, as
// an HTTPS proxy: it names no server, or one of our own names, or a name that would
// bring us back to ourselves.
func (s *Server) isForUs(ctx context.Context, hello *detect.ClientHello) bool {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if name == "" || slices.ContainsFunc(s.config.Names, func(own string) bool { return strings.EqualFold(own, name) }) {
		return true
	}
	if !slices.ContainsFunc(s.listeners, func(l *listener) bool { return l.addr().Port() == tlsPort }) {
		return false // no name leads back to us
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.Limits.WithDefaults().Dial)
	defer cancel()
	host, err := hostName(name)
	if err != nil {
		return false
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return false // the dial will say so
	}
	for _, ip := range addrs {
		if s.isListener(ip.Unmap(), tlsPort) {
			return true
		}
	}
	return false
}

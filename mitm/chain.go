package mitm

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/layers"
	"github.com/bridgeio/bridgeio/layers/httpconnect"
	"github.com/bridgeio/bridgeio/layers/proxyproto"
	"github.com/bridgeio/bridgeio/layers/socks"
	"github.com/bridgeio/bridgeio/layers/starttls"
)

// automatic is the chain of a listener that takes whatever comes.
func (s *Server) automatic() bridge.Handler {
	return bridge.ChainTo(s.last, append(s.entrance(), s.detection(s.tls()))...)
}

// socksOnly is the chain of a listener that is a SOCKS server.
func (s *Server) socksOnly() bridge.Handler {
	return bridge.ChainTo(s.last, append(s.entrance(), s.socksServer(), s.detection(s.tls()))...)
}

// connectOnly is the chain of a listener that is an HTTP proxy.
func (s *Server) connectOnly() bridge.Handler {
	return bridge.ChainTo(s.last, append(s.entrance(), s.httpProxy(), s.detection(s.tls()))...)
}

// entrance is what each flow passes first: the PROXY header, where one may come, and
// then, when it is known who the client is, the access rules.
func (s *Server) entrance() []bridge.Layer {
	c := s.config
	if len(c.AcceptProxy)+len(c.AutoProxy) == 0 && !c.RejectUntrustedProxy {
		return []bridge.Layer{s.access()}
	}
	untrusted := proxyproto.Ignore
	if c.RejectUntrustedProxy {
		untrusted = proxyproto.Reject
	}
	return []bridge.Layer{
		proxyproto.Terminate(proxyproto.Config{Trust: c.AcceptProxy, Auto: c.AutoProxy, Untrusted: untrusted}),
		s.access(),
	}
}

// access lets in whom Allow allows, where the client may say what is dialled, and
// sets the hop where the operator has named one.
func (s *Server) access() bridge.Layer {
	return bridge.Layer{Name: "access", Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
		if !s.config.Connect.IsZero() {
			if ctx.Value(listenerKey{}).(*listener).kind == auto {
				b.SetHop(s.config.Connect)
			}
			return next(ctx, b)
		}
		client, ok := b.Flow().Client().IP()
		if !ok || !contains(s.config.Allow, client) {
			return bridge.Fails(bridge.Denied, bridge.ByMITM, errors.New("this client may not use the proxy"))
		}
		return next(ctx, b)
	}}
}

// detection is the switch between all protocols, by the rule of the hop: without one
// a protocol is terminated, with one it is relayed. TLS is left to the given layer.
func (s *Server) detection(tls bridge.Layer) bridge.Layer {
	var (
		socksServer = []bridge.Layer{s.socksServer()}
		socksRelay  = []bridge.Layer{socks.Relay()}
		httpProxy   = []bridge.Layer{s.httpProxy()}
		httpRelay   = []bridge.Layer{httpconnect.Relay()}
	)
	patience := s.config.Limits.WithDefaults().Turn
	if patience < time.Hour { // else there is next to no limit
		patience *= helloTurns
	}
	cases := []layers.Case{
		{Detector: detect.TLS(), Within: patience, Layers: []bridge.Layer{tls}},
		{Detector: detect.SSLv2(), Layers: []bridge.Layer{tls}},
		{Detector: detect.SOCKS5(), When: noHop, Layers: socksServer},
		{Detector: detect.SOCKS5(), Layers: socksRelay},
		{Detector: detect.SOCKS4(), When: noHop, Layers: socksServer},
		{Detector: detect.SOCKS4(), Layers: socksRelay},
		{Detector: detect.Connect(), When: noHop, Layers: httpProxy},
		{Detector: detect.Connect(), Layers: httpRelay},
		{Detector: detect.HTTP1(), When: noHop, Layers: httpProxy},
	}
	unknown := layers.Case{Detector: serverFirst(), When: isPlain, Layers: []bridge.Layer{starttls.Generic()}}
	return layers.Switch{Cases: slices.Concat(cases, upgrades(), named(), []layers.Case{unknown})}.Layer()
}

// helloTurns is how many turns' time a ClientHello may take to come: one with keys of
// post-quantum groups is long, and lines are slow.
const helloTurns = 6

// upgrades are the protocols that may change to TLS once they have begun. Inside of TLS
// none does.
func upgrades() []layers.Case {
	var cases []layers.Case
	for _, c := range []struct {
		detector detect.Detector
		layer    bridge.Layer
	}{
		{detect.SMTPServer(), starttls.SMTP()},
		{detect.FTPServer(), starttls.FTP()},
		{detect.POP3Server(), starttls.POP3()},
		{detect.IMAPServer(), starttls.IMAP()},
		{detect.NNTPServer(), starttls.NNTP()},
		{detect.SieveServer(), starttls.ManageSieve()},
		{detect.MySQLServer(), starttls.MySQL()},
		{detect.Reply220(), starttls.Reply220()},
		{detect.Postgres(), starttls.PostgreSQL()},
		{detect.LDAP(), starttls.LDAP()},
		{detect.XMPP(), starttls.XMPP()},
		{detect.IRC(), starttls.IRC()},
		{detect.IRCServer(), starttls.IRC()},
		{detect.RDP(), starttls.RDP()},
		{detect.TDS(), starttls.TDS()},
	} {
		cases = append(cases, layers.Case{Detector: c.detector, When: isPlain, Layers: []bridge.Layer{c.layer}})
	}
	return cases
}

// serverFirst is any server that speaks first.
func serverFirst() detect.Detector {
	return detect.Detector{Name: "server first", Limit: 1, ServerFirst: true, Func: func(in detect.Input) detect.Verdict {
		if len(in.Server) == 0 {
			return detect.More(1)
		}
		return detect.Yes(detect.Info{Protocol: "raw"})
	}}
}

// isPlain reports whether a server is known, and nothing was encrypted so far.
func isPlain(b *bridge.Bridge) bool { return hasHop(b) && !b.Flow().Decrypted() }

// named are the protocols that are only named, and passed on: to a server, so one must be
// known. The PROXY protocol is not among them: who may speak it is for the entrance to say.
func named() []layers.Case {
	var cases []layers.Case
	for _, d := range slices.Concat(detect.Clients()[2:], detect.Servers()) {
		if d.Name != "tls" && d.Name != "sslv2" && d.Name != "socks5" && d.Name != "socks4" && d.Name != "connect" {
			cases = append(cases, layers.Case{Detector: d, When: hasHop})
		}
	}
	return cases
}

func hasHop(b *bridge.Bridge) bool { return !noHop(b) }

func noHop(b *bridge.Bridge) bool { return b.Hop().IsZero() && b.Server == nil }

func (s *Server) socksServer() bridge.Layer {
	return socks.Terminate(socks.Config{Auth: s.authorize(), Hop: s.hop})
}

func (s *Server) httpProxy() bridge.Layer {
	return httpconnect.Terminate(httpconnect.Config{Auth: s.authorize(), Hop: s.hop})
}

// hop is what is dialled for a destination that a client asked for.
func (s *Server) hop(asked bridge.Addr) bridge.Addr {
	if !s.config.Connect.IsZero() {
		return s.config.Connect
	}
	return asked
}

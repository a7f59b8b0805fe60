package mitm

import (
	"cmp"
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

// chain is what takes the flows of a listener: what its kind speaks, and then whatever comes.
func (s *Server) chain(l *listener) bridge.Handler {
	front := s.entrance(l)
	switch l.kind {
	case socksOnly:
		front = append(front, s.socksServer())
	case connectOnly:
		front = append(front, s.httpProxy())
	}
	tls := s.tls(l)
	inner := s.detection(tls, nil)
	if !s.isGated(l) {
		return bridge.ChainTo(s.last, append(front, inner)...)
	}
	return bridge.ChainTo(s.plain(l, inner), append(front, s.detection(tls, s.hold(l)))...)
}

// entrance is what each flow passes first: the PROXY header, where one may come, and
// then, when it is known who the client is, the access rules.
func (s *Server) entrance(l *listener) []bridge.Layer {
	c := s.config
	header := proxyproto.Config{Trust: c.AcceptProxy, Auto: c.AutoProxy, Forward: c.ProxyHeader}
	// Where servers are sent no other header than those that were believed, one from elsewhere
	// would reach them as payload, first on the stream, and they would believe it.
	if c.RejectUntrustedProxy || c.ProxyHeader != ProxyStrip && c.SendProxy == 0 {
		header.Untrusted = proxyproto.Reject
	}
	if l.kind == haproxyOnly {
		header.SetHop, header.Untrusted = true, proxyproto.Reject
		if len(c.AcceptProxy)+len(c.AutoProxy) == 0 {
			header.Trust = c.Allow
		}
	}
	var first []bridge.Layer
	switch hop := s.fixedHop(l); {
	case c.isTransparent(l.kind):
		first = append(first, s.intercepted(l))
	case !hop.IsZero():
		first = append(first, s.accepted(), goesTo(hop))
	default:
		first = append(first, s.accepted())
	}
	if len(header.Trust)+len(header.Auto) > 0 || header.Untrusted != proxyproto.Ignore {
		first = append(first, proxyproto.Terminate(header))
	}
	return append(first, s.access(l))
}

// fixedHop is the hop that the operator has named for all flows of a listener.
func (s *Server) fixedHop(l *listener) bridge.Addr {
	connect := s.config.Connect
	switch {
	case connect.IsZero():
		return bridge.Addr{}
	case l.kind == tlsOnly:
		return bridge.Addr{Host: connect.Host, Port: cmp.Or(connect.Port, l.port)}
	case l.kind == auto && connect.Port != 0:
		return connect
	}
	return bridge.Addr{}
}

// goesTo sets the hop. It is known before a PROXY header is looked at: where a balancer speaks
// for itself, it is not asked what it wants, but may be waiting for the server's greeting.
func goesTo(hop bridge.Addr) bridge.Layer {
	return bridge.Layer{Name: "connect", Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
		b.SetHop(hop)
		return next(ctx, b)
	}}
}

// access lets in whom Allow allows, where the client may say what is dialled.
func (s *Server) access(l *listener) bridge.Layer {
	fixed := s.config.Connect.Port != 0 || !s.fixedHop(l).IsZero()
	return bridge.Layer{Name: "access", Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
		client, ok := b.Flow().Client().IP()
		switch {
		case l.kind == haproxyOnly && noHop(b):
			return bridge.Fails(bridge.Unreachable, bridge.ByClient, errors.New("the PROXY header names no destination"))
		case l.kind == haproxyOnly:
			// Its sender was believed, and speaks for clients from anywhere.
			b.SetHop(s.hop(b.Hop()))
		case s.config.isTransparent(l.kind):
			// The kernel has said where it goes, and the operator who comes here.
		case !fixed && (!ok || !contains(s.config.Allow, client)):
			return bridge.Fails(bridge.Denied, bridge.ByMITM, errors.New("this client may not use the proxy"))
		}
		return next(ctx, b)
	}}
}

// detection is the switch between all protocols, by the rule of the hop: without one
// a protocol is terminated, with one it is relayed. With hold, what is not TLS is left to the
// next handler as soon as a hop is known, and until TLS was seen. TLS is left to the given layer.
func (s *Server) detection(tls bridge.Layer, hold func(*bridge.Bridge) time.Duration) bridge.Layer {
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
		{Detector: detect.SOCKS5(), When: hasHop, Layers: socksRelay},
		{Detector: detect.SOCKS4(), When: noHop, Layers: socksServer},
		{Detector: detect.SOCKS4(), When: hasHop, Layers: socksRelay},
		{Detector: detect.Connect(), When: noHop, Layers: httpProxy},
		{Detector: detect.Connect(), When: hasHop, Layers: httpRelay},
		{Detector: detect.HTTP1(), When: noHop, Layers: httpProxy},
	}
	cases = slices.Concat(cases, upgrades(), named())
	if s.config.Limits.Fail != bridge.FailClosed { // else nobody is to say anything that may never become TLS
		cases = append(cases, layers.Case{Detector: serverFirst(), When: isPlain, Layers: []bridge.Layer{starttls.Generic()}})
	}
	if hold != nil {
		for i := range cases {
			cases[i].When = decidedFirst(cases[i])
		}
	}
	return layers.Switch{Cases: cases, Hold: hold}.Layer()
}

// decidedFirst is the condition of a case that does not count while it is still to be decided
// what becomes of a flow that is not TLS.
func decidedFirst(c layers.Case) func(*bridge.Bridge) bool {
	if c.Detector.Name == "tls" {
		return c.When
	}
	return func(b *bridge.Bridge) bool { return !isUndecided(b) && (c.When == nil || c.When(b)) }
}

// isUndecided reports whether a server is known, and TLS with it was not seen.
func isUndecided(b *bridge.Bridge) bool { return hasHop(b) && !isTLS(b.Flow().Frames()) }

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
	if target, ok := s.config.Rules.Redirected(asked.Host); ok {
		return bridge.Addr{Host: target.Host, Port: cmp.Or(target.Port, asked.Port)}
	}
	return bridge.Addr{
		Host: cmp.Or(s.config.Connect.Host, asked.Host),
		Port: cmp.Or(s.config.Connect.Port, asked.Port),
	}
}

package mitm

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
	"github.com/bridgeio/bridgeio/mitm/policy"
)

// What becomes of flows in which the client speaks no TLS, where that is not simply to relay
// them: it is decided once the client has shown what it speaks, and before anything is said
// to the server.

// silence is how long a client may say nothing before it counts as one that speaks no TLS.
const silence = time.Second

// isGated reports whether the flows of a listener are decided upon first.
func (s *Server) isGated(l *listener) bool {
	return l.kind == tlsOnly || s.config.Terminate || s.config.ClientCAs != nil || s.config.Rules != nil || s.config.tellsAuthority() ||
		s.config.NonTLS == NonTLSEncrypt || s.config.NonTLS == NonTLSRedirect
}

// hold is how long a client is waited for before the server is dialled. Where nothing but TLS
// is let through there is no hurry.
func (s *Server) hold(l *listener) func(*bridge.Bridge) time.Duration {
	limit := min(silence, s.config.Limits.WithDefaults().First)
	if s.config.Rules == nil && s.nonTLS(l) == NonTLSBlock {
		limit = s.config.Limits.WithDefaults().First
	}
	return func(b *bridge.Bridge) time.Duration {
		if isUndecided(b) {
			return limit
		}
		return 0
	}
}

// nonTLS is the option as it counts for a listener.
func (s *Server) nonTLS(l *listener) NonTLS {
	switch {
	case s.config.NonTLS != NonTLSDefault:
		return s.config.NonTLS
	case l.kind == tlsOnly, s.config.Terminate, s.config.ClientCAs != nil:
		return NonTLSBlock
	}
	return NonTLSAllow
}

// decidedKey is the context key of a flow without TLS that was decided on.
type decidedKey struct{}

// plain decides about flows that are not TLS, and gives those that go on to the inner
// detection.
func (s *Server) plain(l *listener, inner bridge.Layer) bridge.Handler {
	return func(ctx context.Context, b *bridge.Bridge) error {
		if ctx.Value(decidedKey{}) != nil || !isUndecided(b) {
			return s.last(ctx, b)
		}
		ctx = context.WithValue(ctx, decidedKey{}, true)
		d := s.decidePlain(l, b.Flow(), b.Hop())
		if d.Action == policy.Block {
			return blockedBy(d)
		}
		ctx, err := s.reroute(ctx, b, d.Target, 0)
		if err != nil {
			return err
		}
		slow(b, d.Throttle)
		if d.Action == policy.Encrypt {
			return bridge.ChainTo(s.last, tlsbridge.Originate(s.origination(b.Flow(), b.Hop())), inner)(ctx, b)
		}
		return bridge.ChainTo(s.last, inner)(ctx, b)
	}
}

// decidePlain says what becomes of a flow to the hop that is not TLS.
func (s *Server) decidePlain(l *listener, f *bridge.Flow, hop bridge.Addr) policy.Decision {
	d := s.config.Rules.Decide(factsOf(f, hop, nil))
	if d.Action == policy.Block || d.Action == policy.Encrypt || d.Action == policy.PassOn {
		return d
	}
	switch s.nonTLS(l) {
	case NonTLSBlock:
		return policy.Decision{Action: policy.Block}
	case NonTLSEncrypt:
		d.Action = policy.Encrypt
	case NonTLSRedirect:
		d.Action, d.Target = policy.PassOn, s.config.NonTLSTarget
	default:
		d.Action = policy.PassOn
	}
	return d
}

func blockedBy(d policy.Decision) error {
	if d.Rule != "" {
		return bridge.Fails(bridge.Block, bridge.ByMITM, fmt.Errorf("blocked by the rule %q", d.Rule))
	}
	return bridge.Fails(bridge.Block, bridge.ByMITM, errNotTLS)
}

// origination is TLS with the server of a client that speaks none. It can't be shown that a
// certificate does not verify, so the flow ends then, unless that is ignored.
func (s *Server) origination(f *bridge.Flow, hop bridge.Addr) tlsbridge.DialConfig {
	name := hop.Host
	if _, isIP := hop.IP(); isIP && s.config.NoSNI != "" {
		name = s.config.NoSNI
	}
	return tlsbridge.DialConfig{
		TLS: &tls.Config{
			RootCAs:            s.config.Roots,
			ServerName:         name,
			InsecureSkipVerify: s.config.Verify == VerifyIgnore,
			KeyLogWriter:       s.keyLog(f),
			MinVersion:         tls.VersionTLS10,
		},
		Timeout: s.config.Limits.Turn,
		Limiter: s.limiter,
	}
}

// slow bounds how fast the flow may go, in bytes a second in each direction; 0: as it can.
func slow(b *bridge.Bridge, rate int64) {
	if rate == 0 {
		return
	}
	throttle := func(_ context.Context, c net.Conn) (net.Conn, error) { return policy.Throttle(c, rate), nil }
	b.Replace(bridge.Client, policy.Throttle(b.Client, rate), nil)
	if b.Server != nil {
		b.Replace(bridge.Server, policy.Throttle(b.Server, rate), throttle)
		return
	}
	dial := b.DialFunc
	b.DialFunc = func(ctx context.Context, hop bridge.Addr, f *bridge.Flow) (net.Conn, error) {
		c, err := dial(ctx, hop, f)
		if err != nil {
			return nil, err
		}
		return throttle(ctx, c)
	}
}

// operatorsKey is the context key of a hop that the operator has named, or the kernel.
type operatorsKey struct{}

// reroute has the flow go to the target that was decided, if there is one.
func (s *Server) reroute(ctx context.Context, b *bridge.Bridge, target bridge.Addr, port uint16) (context.Context, error) {
	if target.IsZero() {
		return ctx, nil
	}
	if target.Port == 0 {
		target.Port = b.Hop().Port
	}
	if target.Port == 0 {
		target.Port = port
	}
	ctx = context.WithValue(ctx, operatorsKey{}, true)
	if target == b.Hop() {
		return ctx, nil
	}
	return ctx, b.Reroute(ctx, target)
}

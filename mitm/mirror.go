package mitm

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
	"github.com/bridgeio/bridgeio/mitm/ca"
	"github.com/bridgeio/bridgeio/mitm/policy"
)

// Fingerprint says which hello servers are sent.
type Fingerprint uint8

const (
	FingerprintMirror Fingerprint = iota // the client's own
	FingerprintGo                        // Go's, cut down to what the client offers
)

// MutualTLS says what becomes of flows whose servers ask for a client certificate that
// the operator has not got.
type MutualTLS = tlsbridge.MutualTLS

// The ways to treat them.
const (
	MutualRescue = tlsbridge.MutualRescue // they go through undecrypted
	MutualAsk    = tlsbridge.MutualAsk    // the client is asked: one that has none stays inspected
	MutualNone   = tlsbridge.MutualNone   // the server is told that there is none
)

// ECH says what becomes of hellos with an encrypted_client_hello (RFC 9849), be it real
// or GREASE: nobody but the server can tell.
type ECH uint8

const (
	// ECHReject mirrors the hello with one that nobody can decrypt. The server answers
	// for its public name, so that a real client is told to come back without, unless
	// it was made for one of the Config's ECHKeys: then it is decrypted, and the server
	// is sent what was in it.
	ECHReject ECH = iota
	ECHPass       // they go through undecrypted
)

// LoadECHKeys reads the keys of an ECH server from a file in the PEM of RFC 9934.
func LoadECHKeys(file string) ([]tls.EncryptedClientHelloKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	keys, err := tlsbridge.ParseECHKeys(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return keys, nil
}

// mirror sets how TLS between a client and a server is bridged.
func (s *Server) mirror() {
	s.limiter = tlsbridge.NewLimiter(0)
	s.minter = &Minter{
		Authority: s.authority, Other: s.config.OtherCA,
		Roots: s.config.Roots, Verify: s.config.Verify, LeafCert: s.config.LeafCert,
	}
	s.mirrored = tlsbridge.Config{
		Hello:     tlsbridge.Mirror(),
		Memory:    tlsbridge.NewMemory(),
		NoSNI:     s.config.NoSNI,
		Limiter:   s.limiter,
		MutualTLS: s.config.MutualTLS,
		ClientCertificate: func(server *tlsbridge.Snapshot) *tls.Certificate {
			return s.clientCertificate(server, s.minter)
		},
		Tickets:  tlsbridge.NewTickets(s.secret),
		Sessions: tlsbridge.NewSessions(),
		ECHKeys:  s.config.ECHKeys,
	}
	if s.config.Fingerprint == FingerprintGo {
		s.mirrored.Hello = tlsbridge.GoHello()
	}
}

// bridged is the layer that does what was decided.
func (s *Server) bridged(f *bridge.Flow, port uint16, d decision) bridge.Layer {
	c := s.mirrored
	c.Port, c.KeyLog = port, s.keyLog(f)
	c.Minter = &decidedMinter{Server: s, decision: d.Decision}
	c.Refused = func(f *bridge.Flow, hello *detect.ClientHello, info tlsbridge.Info, how tlsbridge.Refusal) {
		s.config.Rules.Failed(d.facts, how)
		s.refused(f, hello, info, how)
	}
	c.Policy = func(*bridge.Flow, *detect.ClientHello) (tlsbridge.Action, string) {
		switch d.Action {
		case policy.Block:
			return tlsbridge.Block, d.Rule
		case policy.PassOn, policy.Encrypt: // it is encrypted already
			return tlsbridge.Pass, d.Rule
		}
		return tlsbridge.Inspect, d.Rule
	}
	return tlsbridge.Relay(c)
}

// keyLog is where the secrets of a flow's TLS go; nil: nowhere.
func (s *Server) keyLog(f *bridge.Flow) io.Writer {
	file, wire := s.config.KeyLog, s.config.Wire.KeyLog(f)
	switch {
	case file == nil:
		return wire
	case wire == nil:
		return file
	}
	return io.MultiWriter(file, wire)
}

// decidedMinter mints for a flow whose fate may depend on the server's certificate, and
// shows the operator's own certificate where there is one for the name.
type decidedMinter struct {
	*Server
	decision policy.Decision
}

// Mint implements tlsbridge.Minter.
func (m *decidedMinter) Mint(ctx context.Context, server *tlsbridge.Snapshot, hello *detect.ClientHello) (*tls.Certificate, string, error) {
	var verdict string
	own := m.config.serverCertificate(server.Name)
	if own != nil || m.decision.Awaits {
		verdict = m.minter.judge(server).Verdict.String()
	}
	switch d := m.decision.WithServerCert(verdict); d.Action {
	case policy.PassOn:
		return nil, verdict, &tlsbridge.Passed{Rule: d.Rule}
	case policy.Block:
		return nil, verdict, &tlsbridge.Refused{Alert: accessDenied, Err: fmt.Errorf("blocked by %s", d.Rule)}
	}
	if own != nil && m.mayShow(verdict) {
		return own, verdict, nil
	}
	return m.minter.Mint(ctx, server, hello)
}

// mayShow reports whether clients may be shown the operator's own certificate, which verifies,
// in the place of a server's with this verdict: where it does not verify, only if it was the
// operator who named the server.
func (m *decidedMinter) mayShow(verdict string) bool {
	named := !m.config.Connect.IsZero() || !m.decision.Target.IsZero()
	return verdict == ca.OK.String() || m.config.Verify == VerifyIgnore || named && m.config.Verify != VerifyRefuse
}

// accessDenied is what a client is told that a rule keeps out (RFC 8446 §6.2).
const accessDenied tlsbridge.Alert = 49

// decision is what becomes of a flow, and what that was decided by.
type decision struct {
	policy.Decision
	facts policy.Facts
}

// factsOf is what is known of a flow that is to go to the hop, and begins with a hello or, when that is nil, with
// something else. Its destination is what is dialled, or what a proxy behind that is asked for. What a balancer says
// about its client is neither, and what the client says to us only as far as the hop is.
func factsOf(f *bridge.Flow, hop bridge.Addr, hello *detect.ClientHello) policy.Facts {
	facts := policy.FactsOf(f, hello)
	facts.Destination = hop
	for _, frame := range slices.Backward(f.Frames()) {
		_, isHeader := frame.Detail.(*detect.ProxyHeader)
		if frame.Verb == bridge.VerbRelay && !isHeader && !frame.Dst.IsZero() {
			facts.Destination = frame.Dst
			break
		}
	}
	return facts
}

// decide says what becomes of a flow to the hop that begins with this hello.
func (s *Server) decide(f *bridge.Flow, hop bridge.Addr, hello *detect.ClientHello) decision {
	facts := factsOf(f, hop, hello)
	if facts.SNI == "" {
		facts.SNI = s.config.NoSNI
	}
	d := decision{s.config.Rules.Decide(facts), facts}
	changes := changesToTLS(f)
	if changes {
		// The server was spoken to, at the pace that was decided, and waits for TLS.
		d.Target, d.Throttle = bridge.Addr{}, 0
		if d.Action == policy.Terminate {
			d.Action = policy.Inspect
		}
	}
	if d.Action != policy.Inspect && d.Action != "" {
		return d
	}
	switch {
	case s.config.Terminate && !changes:
		d.Action = policy.Terminate
	case s.config.ECH == ECHPass && hello.HasECH:
		d.Action, d.Rule = policy.PassOn, "ech"
	case s.config.Limits.Fail != bridge.FailClosed && s.config.Bypass.Bypassed(policy.KeyOf(f, hello)):
		d.Action, d.Rule = policy.PassOn, "bypassonfail"
	}
	return d
}

// changesToTLS reports whether a protocol has been spoken with the server in plaintext so far.
func changesToTLS(f *bridge.Flow) bool {
	frames := f.Frames()
	return len(frames) > 0 && frames[len(frames)-1].Continues
}

// refused remembers a client that does not accept what it was shown.
func (s *Server) refused(f *bridge.Flow, hello *detect.ClientHello, info tlsbridge.Info, how tlsbridge.Refusal) {
	key := policy.KeyOf(f, hello)
	if s.config.Bypass.Refused(key, how, info.Verdict) {
		s.config.Log.Info("a client that does not accept our certificate is let through", "client", key.Client, "ja4", key.JA4, "name", key.Name, "refusal", string(how))
	}
}

package mitm

import (
	"crypto/tls"
	"fmt"
	"os"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
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

// mirror is how TLS between a client and a server is bridged.
func (s *Server) mirror(limiter *tlsbridge.Limiter) tlsbridge.Config {
	minter := &Minter{Authority: s.authority, Roots: s.config.Roots, Verify: s.config.Verify, LeafCert: s.config.LeafCert}
	c := tlsbridge.Config{
		Minter:    minter,
		Policy:    s.policy,
		Port:      tlsPort,
		Limiter:   limiter,
		MutualTLS: s.config.MutualTLS,
		ClientCertificate: func(server *tlsbridge.Snapshot) *tls.Certificate {
			return s.clientCertificate(server, minter)
		},
		Refused:  s.refused,
		Tickets:  tlsbridge.NewTickets(s.secret),
		Sessions: tlsbridge.NewSessions(),
		ECHKeys:  s.config.ECHKeys,
		KeyLog:   s.config.KeyLog,
	}
	if s.config.Fingerprint == FingerprintGo {
		c.Hello = tlsbridge.GoHello()
	}
	return c
}

// policy says which hellos pass undecrypted, and by which option.
func (s *Server) policy(f *bridge.Flow, hello *detect.ClientHello) (tlsbridge.Action, string) {
	switch {
	case s.config.ECH == ECHPass && hello.HasECH:
		return tlsbridge.Pass, "ech"
	case s.config.Bypass.Bypassed(policy.KeyOf(f, hello)):
		return tlsbridge.Pass, "bypassonfail"
	}
	return tlsbridge.Inspect, ""
}

// refused remembers a client that does not accept what it was shown.
func (s *Server) refused(f *bridge.Flow, hello *detect.ClientHello, info tlsbridge.Info, how tlsbridge.Refusal) {
	key := policy.KeyOf(f, hello)
	if s.config.Bypass.Refused(key, how, info.Verdict) {
		s.config.Log.Info("a client that does not accept our certificate is let through", "client", key.Client, "ja4", key.JA4, "name", key.Name, "refusal", string(how))
	}
}

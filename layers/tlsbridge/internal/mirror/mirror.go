// Package mirror sends a client's own ClientHello to a server, and finishes the handshake.
//
// The hello that the server is sent has every extension of the client's, in the client's order and with the client's
// bytes, but for what only the client can know or what must not be used twice: the random, the session identifier, the
// key shares, tickets, and what is random in a GREASE ECH. So its JA3 and JA4 are the client's, and so is its length.
//
// utls does the cryptography. It does not do everything that a client may offer; where a server takes that up, the
// error is a [Retry] that says what to change in the next hello.
package mirror

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"runtime/debug"

	utls "github.com/refraction-networking/utls"

	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/layers/tlsbridge/internal/flight"
)

// Config is how Handshake works. The zero value mirrors faithfully, resumes nothing and shows no certificate.
type Config struct {
	Changes Changes

	// Sessions has the tickets of earlier sessions, for this handshake alone; nil: none is resumed. It is used when the
	// client tries to resume a session of its own.
	Sessions utls.ClientSessionCache

	// Certificate is asked when the server wants a client certificate, after the server has shown what it chose. A nil
	// certificate means that there is none. Nil: the handshake fails with ErrClientCertificate.
	Certificate func(*Request) (*tls.Certificate, error)

	KeyLog io.Writer // gets the secrets (RFC 9850); nil: nobody does
}

// Request is a server's CertificateRequest.
type Request struct {
	State   Result
	CAs     [][]byte // DER of names
	Schemes []tls.SignatureScheme
}

// Result is what the handshake came to.
type Result struct {
	Version     uint16
	CipherSuite uint16
	Group       uint16 // NamedGroup of the key exchange; 0: it had none
	ALPN        string
	Chain       []*x509.Certificate // as sent, leaf first; not verified
	OCSPStaple  []byte
	Resumed     bool
	Retried     bool   // there was a HelloRetryRequest
	Sent        []byte // the first hello, a handshake message
}

// Handshake sends the server the client's hello over c and finishes the handshake. It does not verify the chain. Errors
// are *Retry, *Unbridgeable, *Panic, what Config.Certificate said, or those of utls.
func Handshake(ctx context.Context, c net.Conn, hello *detect.ClientHello, config Config) (*Session, *Result, error) {
	h := &handshake{config: config, tap: newTap(c, hello)}
	err := contained(func() (err error) {
		if h.spec, err = build(hello, config); err != nil {
			return err
		}
		return h.run(ctx)
	})
	if err != nil {
		return nil, nil, h.explain(ctx, err)
	}
	result := h.result(h.conn.ConnectionState())
	session := &Session{h.conn, 0}
	if offersLimit(hello) {
		session.most = h.most()
	}
	h.release()
	return session, result, nil
}

// release lets go of what only the handshake needed: the hello, its keys, 8 KB of them for a hybrid share, and whatever
// the caller's functions hold. It would stay as long as the connection, whose Config leads back here.
func (h *handshake) release() {
	h.conn.SetUnderlyingConn(h.tap.Conn)
	h.conn.HandshakeState = utls.PubClientHandshakeState{}
	h.conn.Extensions = nil
	h.utls.KeyLogWriter, h.utls.VerifyConnection, h.utls.GetClientCertificate = nil, nil, nil
	if h.spec.ticket != nil {
		*h.spec.ticket = utls.SessionTicketExtension{}
	}
	if h.spec.psk != nil {
		*h.spec.psk = utls.UtlsPreSharedKeyExtension{}
	}
}

// contained turns a panic of f into an error: a crafted hello must not take more with it than its own flow.
func contained(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &Panic{v, debug.Stack()}
		}
	}()
	return f()
}

// handshake is one that is under way.
type handshake struct {
	config Config
	spec   *spec
	tap    *tap
	conn   *utls.UConn
	utls   *utls.Config
	state  utls.ConnectionState // when the server's flight was read
	asked  bool                 // the server wants a certificate

	secrets secrets
}

func (h *handshake) run(ctx context.Context) error {
	h.tap.heard = h.heard
	h.utls = h.utlsConfig()
	h.conn = utls.UClient(h.tap, h.utls, utls.HelloCustom)
	if err := h.apply(); err != nil {
		return err
	}
	return h.conn.HandshakeContext(ctx)
}

// errEncryptThenMAC is a server that has taken up encrypt_then_mac. utls would find its first record wrong, and it
// ours, after much more of the handshake.
var errEncryptThenMAC = errors.New("the server has agreed to encrypt_then_mac")

// heard looks at what the server has said so far, before utls does.
func (h *handshake) heard(f *flight.Flight) error {
	if f.EncryptThenMAC && isCBC(f.Suite) {
		return errEncryptThenMAC
	}
	// utls keeps the key of the first share only, and asks for it after this.
	if keys := h.conn.HandshakeState.State13.KeyShareKeys; keys != nil && f.Answered && !f.Retried {
		keys.Ecdhe = h.spec.shares.keys(f.Group).Ecdhe
	}
	return nil
}

// utlsConfig is for one connection: utls changes it.
func (h *handshake) utlsConfig() *utls.Config {
	return &utls.Config{
		InsecureSkipVerify:     true, // the chain is judged, and mirrored, by the caller
		SessionTicketsDisabled: h.config.Sessions == nil,
		ClientSessionCache:     h.sessions(),
		OmitEmptyPsk:           true,
		// A hello without the extension for a ticket that there is would be a panic.
		PreferSkipResumptionOnNilExtension: true,

		Renegotiation:        utls.RenegotiateNever,
		KeyLogWriter:         h.keyLog(),
		VerifyConnection:     func(state utls.ConnectionState) error { h.state = state; return nil },
		GetClientCertificate: h.certificate,
	}
}

// keyLog is the caller's, and ours where the server's limit is to be found.
func (h *handshake) keyLog() io.Writer {
	if !offersLimit(h.spec.hello) {
		return h.config.KeyLog
	}
	h.secrets.next = h.config.KeyLog
	h.tap.keep = true
	return &h.secrets
}

// sessions are those that may be resumed, to which new ones are added.
func (h *handshake) sessions() utls.ClientSessionCache {
	if h.config.Sessions == nil {
		return nil
	}
	_, byTicket := h.spec.hello.Extension(extSessionTicket)
	return fitting{
		ClientSessionCache: h.config.Sessions,
		byPSK:              h.spec.psk != nil,
		// Without an identifier of the session to be echoed, utls does not notice that the server resumes it (RFC 5077 §3.4).
		byTicket: byTicket && len(h.spec.hello.SessionID) > 0 && h.config.Changes&WithoutResumption == 0,
	}
}

// fitting is a cache out of which only those sessions are taken that the hello can name. Others are a panic of utls, and
// so are those of TLS 1.0 and 1.1.
type fitting struct {
	utls.ClientSessionCache
	byTicket, byPSK bool
}

func (f fitting) Get(key string) (*utls.ClientSessionState, bool) {
	if !f.byTicket && !f.byPSK {
		return nil, false
	}
	session, ok := f.ClientSessionCache.Get(key)
	if !ok || session == nil {
		return nil, false
	}
	switch session.Vers() {
	case utls.VersionTLS13:
		return session, f.byPSK
	case utls.VersionTLS12:
		return session, f.byTicket
	}
	return nil, false
}

// apply has utls take the spec, and puts back what it makes up itself.
func (h *handshake) apply() error {
	s := h.spec
	err := h.conn.ApplyPreset(&utls.ClientHelloSpec{
		TLSVersMin: s.min, TLSVersMax: s.max,
		CipherSuites: s.suites, CompressionMethods: s.hello.CompressionMethods, Extensions: s.extensions,
	})
	if err != nil {
		return &Unbridgeable{Reason: "the hello can't be mirrored", Err: err}
	}
	to := h.conn.HandshakeState.Hello
	to.Vers = s.hello.LegacyVersion
	to.CipherSuites = s.suites
	to.CompressionMethods = s.hello.CompressionMethods
	to.SessionId = nil
	if n := len(s.hello.SessionID); n > 0 {
		to.SessionId = make([]byte, n)
		random(to.SessionId)
	}
	_, to.TicketSupported = s.hello.Extension(extSessionTicket)
	// utls has put GREASE values of its own in the place of the client's, which must be the same everywhere.
	if s.versions != nil {
		copy(s.versions.Versions, s.hello.SupportedVersions)
	}
	if s.keyShare != nil {
		s.keyShare.KeyShares = s.shares.public
	}
	h.conn.HandshakeState.State13.KeyShareKeys = s.shares.keys(0)
	return nil
}

func (h *handshake) certificate(wanted *utls.CertificateRequestInfo) (*utls.Certificate, error) {
	h.asked = true
	if h.config.Certificate == nil {
		return nil, ErrClientCertificate
	}
	ours, err := h.config.Certificate(&Request{*h.result(h.state), wanted.AcceptableCAs, convertSchemes(wanted.SignatureSchemes)})
	if err != nil || ours == nil {
		return &utls.Certificate{}, err
	}
	return &utls.Certificate{Certificate: ours.Certificate, PrivateKey: ours.PrivateKey, Leaf: ours.Leaf}, nil
}

func convertSchemes(list []utls.SignatureScheme) []tls.SignatureScheme {
	all := make([]tls.SignatureScheme, len(list))
	for i, s := range list {
		all[i] = tls.SignatureScheme(s)
	}
	return all
}

func (h *handshake) result(state utls.ConnectionState) *Result {
	return &Result{
		Version: state.Version, CipherSuite: state.CipherSuite, Group: h.tap.server.Group, ALPN: state.NegotiatedProtocol,
		Chain: state.PeerCertificates, OCSPStaple: state.OCSPResponse,
		Resumed: state.DidResume, Retried: h.tap.server.Retried, Sent: h.tap.sent,
	}
}

package tlsbridge

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/tls"
	"net"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

// pinned returns the Config of a client's handshake that can end only as the server's
// did. The one thing that cannot be pinned is the cipher suite of TLS 1.3, which
// crypto/tls chooses by itself.
func pinned(server *Snapshot, leaf *tls.Certificate) *tls.Config {
	c := &tls.Config{
		Certificates:           []tls.Certificate{*leaf},
		MinVersion:             server.Version,
		MaxVersion:             server.Version,
		CurvePreferences:       curves(server.Leg),
		SessionTicketsDisabled: true, // but for those of Tickets
	}
	if server.ALPN != "" {
		c.NextProtos = []string{server.ALPN}
	}
	if server.Version < tls.VersionTLS13 {
		// Named explicitly, RSA key exchange and 3DES are allowed too.
		c.CipherSuites = []uint16{suiteFor(server.CipherSuite, leaf)}
	}
	return c
}

// suiteFor returns the server's cipher suite, or the one that differs from it in the
// signature alone (RFC 5289 §3.1, RFC 7905 §2) where the key of the leaf is of the other
// kind: that of a leaf which was not made for the server's.
func suiteFor(suite uint16, leaf *tls.Certificate) uint16 {
	signer, ok := leaf.PrivateKey.(crypto.Signer)
	if !ok {
		return suite
	}
	_, isRSA := signer.Public().(*rsa.PublicKey)
	for withECDSA, withRSA := range map[uint16]uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA:          tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA:          tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256:       tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256:       tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:       tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	} {
		switch {
		case isRSA && suite == withECDSA:
			return withRSA
		case !isRSA && suite == withRSA:
			return withECDSA
		}
	}
	return suite
}

// curves returns the server's group alone, so that a client that sent no share for it is
// asked to retry as the server has asked us. A group that crypto/tls does not know, and
// none at all, leave the choice to it.
func curves(l Leg) []tls.CurveID {
	switch l.Group {
	case tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521:
		return []tls.CurveID{l.Group}
	case tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024:
		// The hybrid groups are for TLS 1.3 only: below, they would leave nothing.
		if l.Version == tls.VersionTLS13 {
			return []tls.CurveID{l.Group}
		}
	}
	return nil
}

// serve is the handshake with a client: we are its server. The Leg of one that has failed is
// what it had come to.
func serve(ctx context.Context, b *bridge.Bridge, limiter *Limiter, limit time.Duration, config *tls.Config) (*conn, Leg, error) {
	c, session, err := shake(ctx, bridge.Client, b.Client, limiter, limit,
		func(ctx context.Context, under net.Conn) (*tls.Conn, error) {
			session := tls.Server(under, config)
			return session, session.HandshakeContext(ctx)
		})
	if session == nil {
		return nil, Leg{}, err // it panicked, or never began
	}
	return c, legOf(session.ConnectionState()), err
}

func legOf(state tls.ConnectionState) Leg {
	return Leg{state.Version, state.CipherSuite, state.CurveID, state.NegotiatedProtocol, state.DidResume}
}

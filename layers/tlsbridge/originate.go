package tlsbridge

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

// DialConfig is how Dial and Originate work. The zero value verifies servers against the system's
// roots. It is not changed after first use.
type DialConfig struct {
	// TLS is the base of each handshake's Config; nil means the zero one. Where it
	// has no ServerName, the host that is dialled is verified.
	TLS *tls.Config

	// Timeout bounds each turn of the handshake: zero means 10 s, negative no limit.
	Timeout time.Duration

	// Limiter bounds the handshakes that compute at once; nil means NewLimiter(0) for
	// this dialler alone.
	Limiter *Limiter
}

func (c DialConfig) withDefaults() DialConfig {
	if c.Limiter == nil {
		c.Limiter = NewLimiter(0)
	}
	if c.TLS == nil {
		c.TLS = &tls.Config{}
	}
	c.Timeout = bridge.Limits{Turn: c.Timeout}.WithDefaults().Turn
	return c
}

// Dial returns the dialler that puts TLS on what next dials: plain comes in, and TLS
// goes out. Nil for next means a net.Dialer.
func Dial(next bridge.DialFunc, c DialConfig) bridge.DialFunc {
	if next == nil {
		next = dialTCP
	}
	c = c.withDefaults()
	return func(ctx context.Context, hop bridge.Addr, f *bridge.Flow) (net.Conn, error) {
		raw, err := next(ctx, hop, f)
		if err != nil {
			return nil, err
		}
		session, _, err := c.shake(ctx, bridge.NewStream(raw), hop.Host)
		if err != nil {
			raw.Close()
			return nil, err
		}
		return session, nil
	}
}

// Originate returns the layer that does on a bridge what Dial does when it dials: the client
// speaks plainly and goes on to do so, the server is spoken TLS with. It is dialled when it
// is not yet.
func Originate(c DialConfig) bridge.Layer {
	c = c.withDefaults()
	return bridge.Layer{Name: protoTLS, Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
		if err := b.Dial(ctx); err != nil {
			return bridge.Final(err)
		}
		frame := bridge.Frame{Proto: protoTLS, Verb: bridge.VerbOriginate, SNI: c.name(b.Hop().Host), Decrypted: true}
		session, info, err := c.shake(ctx, b.Server, b.Hop().Host)
		if err != nil {
			b.Push(frame)
			return bridge.Final(err)
		}
		b.Replace(bridge.Server, session, func(ctx context.Context, again net.Conn) (net.Conn, error) {
			session, _, err := c.shake(ctx, streamOf(again), b.Hop().Host)
			return session, err
		})
		frame.ALPN, frame.Detail = info.Server.ALPN, info
		b.Push(frame)
		return next(ctx, b)
	}}
}

// name is whom the certificate is verified for, and the server_name where it is none.
func (c DialConfig) name(host string) string { return cmp.Or(c.TLS.ServerName, host) }

// shake is the handshake with a server: we are its client.
func (c DialConfig) shake(ctx context.Context, s *bridge.Stream, host string) (net.Conn, *Info, error) {
	config := c.TLS.Clone()
	config.ServerName = c.name(host)
	session, state, err := shake(ctx, bridge.Server, s, c.Limiter, c.Timeout,
		func(ctx context.Context, under net.Conn) (*tls.Conn, error) {
			session := tls.Client(under, config)
			return session, session.HandshakeContext(ctx)
		})
	if failed := (*HandshakeError)(nil); errors.As(err, &failed) {
		err = failed.failure()
	}
	if err != nil {
		return nil, nil, err
	}
	agreed := state.ConnectionState()
	return session, &Info{Server: legOf(agreed), ServerLeaf: sha256.Sum256(agreed.PeerCertificates[0].Raw)}, nil
}

func dialTCP(ctx context.Context, hop bridge.Addr, f *bridge.Flow) (net.Conn, error) {
	if reached := f.Server(); !reached.IsZero() {
		hop = reached
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", hop.String())
}

package tlsbridge

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

// DialConfig is how Dial works. The zero value verifies servers against the system's
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

// Dial returns the dialler that puts TLS on what next dials: plain comes in, and TLS
// goes out. Nil for next means a net.Dialer.
func Dial(next bridge.DialFunc, c DialConfig) bridge.DialFunc {
	if next == nil {
		next = dialTCP
	}
	if c.Limiter == nil {
		c.Limiter = NewLimiter(0)
	}
	if c.TLS == nil {
		c.TLS = &tls.Config{}
	}
	limit := bridge.Limits{Turn: c.Timeout}.WithDefaults().Turn
	return func(ctx context.Context, hop bridge.Addr, f *bridge.Flow) (net.Conn, error) {
		raw, err := next(ctx, hop, f)
		if err != nil {
			return nil, err
		}
		config := c.TLS.Clone()
		if config.ServerName == "" {
			config.ServerName = hop.Host
		}
		c, _, err := shake(ctx, bridge.Server, bridge.NewStream(raw), c.Limiter, limit,
			func(ctx context.Context, under net.Conn) (*tls.Conn, error) {
				session := tls.Client(under, config)
				return session, session.HandshakeContext(ctx)
			})
		if err != nil {
			raw.Close()
			if failed := (*HandshakeError)(nil); errors.As(err, &failed) {
				err = failed.failure()
			}
			return nil, err
		}
		return c, nil
	}
}

func dialTCP(ctx context.Context, hop bridge.Addr, f *bridge.Flow) (net.Conn, error) {
	if reached := f.Server(); !reached.IsZero() {
		hop = reached
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", hop.String())
}

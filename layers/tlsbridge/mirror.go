package tlsbridge

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/layers/tlsbridge/internal/mirror"
)

// Changes are what a mirrored hello has different from the client's own. 0 is nothing.
type Changes = mirror.Changes

// Retry is a handshake with a server that failed for a reason that is ours, and that
// Changes to the hello may cure.
type Retry = mirror.Retry

// Mirror returns the ServerHandshaker that sends the client's own hello, in which only
// what must be fresh is.
func Mirror() ServerHandshaker { return mirrored{} }

type mirrored struct{}

func (mirrored) Handshake(ctx context.Context, c net.Conn, o *Offer) (Session, *Snapshot, error) {
	config := mirror.Config{Changes: o.Changes, Sessions: o.Sessions, KeyLog: o.KeyLog}
	if o.Certificate != nil {
		config.Certificate = func(r *mirror.Request) (*tls.Certificate, error) {
			return o.Certificate(&CertificateRequest{Server: mirrorSnapshot(&r.State, o.Changes), CAs: r.CAs, Schemes: r.Schemes})
		}
	}
	session, result, err := mirror.Handshake(ctx, c, o.Hello, config)
	if err != nil {
		return nil, nil, mirrorError(err)
	}
	return session, mirrorSnapshot(result, o.Changes), nil
}

func mirrorSnapshot(r *mirror.Result, changes Changes) *Snapshot {
	return &Snapshot{
		Leg: Leg{
			Version: r.Version, CipherSuite: r.CipherSuite, Group: tls.CurveID(r.Group), ALPN: r.ALPN, Resumed: r.Resumed,
		},
		Chain:      r.Chain,
		OCSPStaple: r.OCSPStaple,
		Sent:       r.Sent,
		Rung:       changes.String(),
	}
}

// mirrorError gives what mirror tells the types of this package.
func mirrorError(err error) error {
	if caught := (*mirror.Panic)(nil); errors.As(err, &caught) {
		return &Unbridgeable{Reason: "the mirror panicked", Err: &bridge.PanicError{Value: caught.Value, Stack: caught.Stack}}
	}
	if cannot := (*mirror.Unbridgeable)(nil); errors.As(err, &cannot) {
		return &Unbridgeable{Reason: cannot.Reason, Err: cannot.Err}
	}
	return err
}

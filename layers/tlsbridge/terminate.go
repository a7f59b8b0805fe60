package tlsbridge

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// TerminateConfig is how Terminate works. Only Certificate is required. It is not
// changed after first use.
type TerminateConfig struct {
	// Certificate returns the certificate to show, with its key. The flow knows the
	// address that the client connected to. It is called on the flow's goroutine.
	Certificate func(context.Context, *bridge.Flow, *detect.ClientHello) (*tls.Certificate, error)

	// ALPN lists the protocols that are spoken inside, best first. A client that
	// offers others only is refused (RFC 7301 §3.2). Nil means that ALPN is ignored.
	ALPN []string

	// Limiter bounds the handshakes that compute at once; nil means NewLimiter(0) for
	// this layer alone.
	Limiter *Limiter
}

// Terminate returns the layer that is the TLS server of the client. Nothing is dialled;
// the next layer finds the decrypted stream on the client's side.
func Terminate(c TerminateConfig) bridge.Layer {
	if c.Limiter == nil {
		c.Limiter = NewLimiter(0)
	}
	return bridge.Layer{Name: "tls", Handle: c.handle}
}

func (c TerminateConfig) handle(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
	if err := c.terminate(ctx, b); err != nil {
		return bridge.Final(err)
	}
	return next(ctx, b)
}

func (c TerminateConfig) terminate(ctx context.Context, b *bridge.Bridge) error {
	hello, err := expectHello(ctx, b, detect.ParseClientHello)
	if desync := (*bridge.Desync)(nil); errors.As(err, &desync) && desync.Why == bridge.Malformed {
		b.Write(ctx, bridge.Client, appendAlert(nil, nil, decodeError))
	}
	if err != nil {
		return err
	}
	frame := bridge.Frame{Proto: "tls", Verb: bridge.VerbTerminate, SNI: hello.ServerName, Decrypted: true}
	leaf, err := c.Certificate(ctx, b.Flow(), hello)
	if err != nil {
		b.Write(ctx, bridge.Client, appendAlert(nil, hello, internalError))
		return fmt.Errorf("certificate: %w", err)
	}
	client, leg, err := serve(ctx, b, c.Limiter, b.Limits().Turn, &tls.Config{
		Certificates:           []tls.Certificate{*leaf},
		NextProtos:             c.ALPN,
		SessionTicketsDisabled: true,
	})
	if failed := (*HandshakeError)(nil); errors.As(err, &failed) {
		return failed.failure()
	}
	if err != nil {
		return err
	}
	b.Replace(bridge.Client, client, nil)
	frame.ALPN = leg.ALPN
	frame.Detail = &Info{Client: leg, MintedLeaf: sha256.Sum256(leaf.Certificate[0])}
	b.Push(frame)
	return nil
}

package tlsbridge

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// TerminateConfig is how Terminate works. Only Certificate is required. It is not
// changed after first use.
type TerminateConfig struct {
	// Certificate returns the certificate to show, with its key. The flow knows the
	// address that the client connected to. It is called on the flow's goroutine.
	Certificate func(context.Context, *bridge.Flow, *detect.ClientHello) (*tls.Certificate, error)

	// Server is the one that the client means. It becomes the hop of a bridge that has none;
	// zero: there is none, or it is told inside.
	Server bridge.Addr

	// ALPN lists the protocols that are spoken inside, best first. A client that
	// offers others only is refused (RFC 7301 §3.2). Nil means that ALPN is ignored.
	ALPN []string

	// ClientCAs are what clients' certificates are verified against: a client must show
	// one for client authentication that does (RFC 8446 §4.3.2), or its handshake fails
	// with the alert that says why. Its subject is in the Info of the frame. Nil: clients
	// are not asked for one.
	ClientCAs *x509.CertPool

	// KeyLog gets the secrets (RFC 9850), a line with each Write, which is called from many
	// goroutines; nil: nobody does.
	KeyLog io.Writer

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
	return bridge.Layer{Name: protoTLS, Handle: c.handle}
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
	frame := bridge.Frame{Proto: protoTLS, Verb: bridge.VerbTerminate, SNI: hello.ServerName, Decrypted: true}
	if b.Hop().IsZero() && !c.Server.IsZero() {
		frame.Dst = c.Server
		b.SetHop(c.Server)
	}
	leaf, err := c.Certificate(ctx, b.Flow(), hello)
	if err != nil {
		frame.Decrypted, frame.Note = false, "no certificate to show"
		b.Push(frame)
		b.Write(ctx, bridge.Client, appendAlert(nil, hello, internalError))
		return fmt.Errorf("certificate: %w", err)
	}
	info := &Info{MintedLeaf: sha256.Sum256(leaf.Certificate[0])}
	client, leg, err := serve(ctx, b, c.Limiter, b.Limits().Turn, c.config(leaf, info))
	info.Client, frame.Detail = leg, info
	if failed := (*HandshakeError)(nil); errors.As(err, &failed) {
		frame.Decrypted, frame.Note = false, failed.note()
		b.Push(frame)
		return failed.failure()
	}
	if err != nil {
		return err
	}
	b.Replace(bridge.Client, client, nil)
	frame.ALPN = leg.ALPN
	b.Push(frame)
	return nil
}

// config is that of one handshake, which notes the client's subject in info.
func (c TerminateConfig) config(leaf *tls.Certificate, info *Info) *tls.Config {
	config := &tls.Config{
		Certificates: []tls.Certificate{*leaf},
		NextProtos:   c.ALPN,
		KeyLogWriter: c.KeyLog,
		// With them a client would come back without its certificate, which may have
		// been revoked or have expired since.
		SessionTicketsDisabled: true,
	}
	if c.ClientCAs != nil {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, c.ClientCAs
		config.VerifyConnection = func(state tls.ConnectionState) error {
			info.ClientSubject = state.PeerCertificates[0].Subject.String()
			return nil
		}
	}
	return config
}

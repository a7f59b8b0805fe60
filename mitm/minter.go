package mitm

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"time"

	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
	"github.com/bridgeio/bridgeio/mitm/ca"
)

// Minter makes the certificates that clients are shown in the place of the servers'. What
// does not verify gets a leaf that does not verify either. It is a tlsbridge.Minter.
type Minter struct {
	Authority *ca.Authority
	Roots     *x509.CertPool // what servers are verified against; nil means the system's
}

// Mint implements tlsbridge.Minter.
func (m *Minter) Mint(ctx context.Context, server *tlsbridge.Snapshot, _ *detect.ClientHello) (*tls.Certificate, string, error) {
	verdict := ca.Classify(server.Chain, m.Roots, server.Name, time.Now())
	leaf, err := m.Authority.Mint(ctx, server.Chain[0], ca.Judgment{Verdict: verdict})
	return leaf, verdict.String(), err
}

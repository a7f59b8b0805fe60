package mitm

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"

	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
	"github.com/bridgeio/bridgeio/mitm/ca"
)

// Verify says what becomes of a flow whose server has a certificate that does not verify.
type Verify uint8

const (
	VerifyMirror Verify = iota // the client is shown one that does not verify either
	VerifyRefuse               // it ends, with an alert that says why
	VerifyIgnore               // the client's is signed by the authority it trusts; copied faults stay
)

// LeafCert says what the client's certificate is made of.
type LeafCert uint8

const (
	LeafClone   LeafCert = iota // of the server's
	LeafSign                    // likewise, and signed as with VerifyIgnore unless the flow is refused
	LeafNoClone                 // of the name that the client asks for
)

// Minter makes the certificates that clients are shown in the place of the servers'. What
// does not verify gets a leaf that does not verify either, unless Verify or LeafCert say
// otherwise. It is a tlsbridge.Minter. The zero value of each field but Authority is a
// default; none is changed after first use.
//
// The word that Mint returns is what verifying came to, whatever was made of it: "ok" or
// what is wrong.
type Minter struct {
	Authority *ca.Authority
	Other     *ca.Authority  // for clients that can't check the signatures of the first; nil: none is
	Roots     *x509.CertPool // what servers are verified against; nil means the system's
	Verify    Verify
	LeafCert  LeafCert

	once     sync.Once
	verifier *ca.Verifier
}

// Mint implements tlsbridge.Minter. It waits only for an RSA key, in the first seconds of
// an Authority, and no longer than ctx; without one, the flow ends with internal_error.
// Its error is a *tlsbridge.Refused when VerifyRefuse ends the flow, and a
// *tlsbridge.Unbridgeable when the client says that it can't check a signature like those of
// the authorities.
func (m *Minter) Mint(ctx context.Context, server *tlsbridge.Snapshot, hello *detect.ClientHello) (*tls.Certificate, string, error) {
	if len(server.Chain) == 0 {
		return nil, "", errors.New("the server has shown no certificate")
	}
	judgment := m.judge(server)
	word := judgment.Verdict.String()
	switch {
	case m.Verify == VerifyRefuse && judgment.Verdict != ca.OK:
		return nil, word, &tlsbridge.Refused{
			Alert: alertFor(judgment.Verdict),
			Err:   fmt.Errorf("the server's certificate does not verify: %s", word),
		}
	case m.Verify == VerifyIgnore, m.LeafCert == LeafSign:
		judgment = judgment.AsIfValid()
	}
	if _, asked := hello.Extension(statusRequest); !asked {
		// A hello of ours has asked for the client that has not.
		judgment.Status = nil
	}
	for _, authority := range []*ca.Authority{m.Authority, m.Other} {
		if authority == nil {
			continue
		}
		leaf, err := m.mint(ctx, authority, server, judgment)
		if err != nil || judgment.Verdict == ca.SelfSigned || canCheck(hello, leaf.Leaf) {
			return leaf, word, err
		}
	}
	return nil, word, &tlsbridge.Unbridgeable{Reason: "the client can't check the authority's signatures"}
}

func (m *Minter) judge(server *tlsbridge.Snapshot) ca.Judgment {
	m.once.Do(func() { m.verifier = ca.NewVerifier(m.Roots) })
	return m.verifier.Verify(server.Chain, server.OCSPStaple, server.Name)
}

// trusts reports whether a server is who it says, or the operator does not ask.
func (m *Minter) trusts(server *tlsbridge.Snapshot) bool {
	return m.Verify == VerifyIgnore || m.judge(server).Verdict == ca.OK
}

// alertFor is what a client would say to a server with such a certificate (RFC 8446 §6.2).
func alertFor(verdict ca.Verdict) tlsbridge.Alert {
	const (
		badCertificate     tlsbridge.Alert = 42
		certificateRevoked tlsbridge.Alert = 44
		certificateExpired tlsbridge.Alert = 45
		unknownCA          tlsbridge.Alert = 48
	)
	switch verdict {
	case ca.BadSignature, ca.WrongHost, ca.WeakKey:
		return badCertificate
	case ca.Revoked:
		return certificateRevoked
	case ca.Expired:
		return certificateExpired
	}
	return unknownCA
}

// statusRequest is the extension with which a client asks for a staple (RFC 6066 §8).
const statusRequest = 5

func (m *Minter) mint(ctx context.Context, by *ca.Authority, server *tlsbridge.Snapshot, judgment ca.Judgment) (*tls.Certificate, error) {
	if m.LeafCert == LeafNoClone {
		leaf, err := by.MintNamed(ctx, server.Name, server.Chain[0], judgment)
		if !errors.Is(err, ca.ErrNotAName) {
			return leaf, err
		}
		// The client asks for nothing that a certificate could be for.
	}
	return by.Mint(ctx, server.Chain[0], judgment)
}

// Package ca is the certificate authority of the proxy: it mints, for each server, the leaf that the client is shown.
//
// An [Authority] is made on first use in a directory of its own, or loaded from a PEM or PKCS #12 file:
//
//	authority, err := ca.Open(dir)                               // or ca.Load("company-ca.pem")
//	verifier := ca.NewVerifier(roots)
//	judgment := verifier.Verify(serverChain, staple, "example.com")
//	leaf, err := authority.Mint(ctx, serverChain[0], judgment)   // a *tls.Certificate, cached
//	defer authority.Close()
//
// # Mirroring
//
// A minted leaf repeats the server's leaf (RFC 5280 section 4): subject bytes, SubjectAltName bytes, validity, key
// algorithm and size, usages, policies and unknown non-critical extensions. Nothing is widened, so a client that
// would have refused the server refuses the leaf, for the same reason. Left out is what only the real issuer can
// stand behind: CRL and OCSP addresses, must-staple, signed certificate timestamps, name constraints.
//
// # No laundering
//
// The [Verdict] picks the signer. A certificate that verifies, or fails only by its dates or its name (which are
// copied and fail again), is signed by the authority that the operator installed. Any other is signed by a second
// authority that is nowhere installed, and a self-signed one by its own forged key, so that the client fails too.
// Where the server's signature is bad, the second authority signs in the name of the first, which is a bad
// signature again.
//
// # Stapled status
//
// When the server staples an OCSP response (RFC 6960, RFC 6066 section 8) that its issuer stands behind, the leaf
// gets one that says the same about the leaf, for the same time, by the leaf's own issuer. Any other staple is
// dropped.
//
// # Determinism
//
// The bytes of a leaf are a function of the authority's key and certificate and of the server's leaf, those of a
// staple of the server's staple too: not of time, not of chance. Serials are hashes of the content, ECDSA signatures are those of RFC 6979, and the leaf
// keys are derived from the authority's key by HKDF (RFC 5869). Replicas that share ca.pem and ca.key mint
// byte-identical leaves, and a restart changes nothing. RSA keys cannot be derived: they are generated once, in
// the background, and kept in files beside the authority, which replicas share as well if their RSA leaves are to
// be identical.
//
// # What it does not do
//
// It revokes nothing, answers no OCSP requests and knows no hardware keys.
package ca

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	// cachedLeaves bounds the cache: at two to four kilobytes each, some 30 MB when it is full, and ten times
	// that when all servers have certificates of [largestLeaf].
	cachedLeaves = 10_000
	// soon is how long before its end an authority is worth a warning: installing a new one takes people time.
	soon = 30 * 24 * time.Hour
)

// Authority signs leaves. It holds the authority that clients trust, the one that none does, and the keys of the
// leaves. It is safe for concurrent use. Close it.
type Authority struct {
	trusted   *issuer
	untrusted *issuer
	pretender *issuer // signs badly, in the name of trusted
	keys      *leafKeys
	leaves    *cache
	flight    singleflight.Group
}

// newAuthority starts an authority whose RSA leaf keys live in d, if they live anywhere.
func newAuthority(trusted, untrusted *issuer, d directory, writable bool) (*Authority, error) {
	keys, err := newLeafKeys(trusted.key, d, writable)
	if err != nil {
		return nil, err
	}
	return &Authority{
		trusted:   trusted,
		untrusted: untrusted,
		pretender: newPretender(trusted, untrusted),
		keys:      keys,
		leaves:    newCache(cachedLeaves),
	}, nil
}

// Close ends the background generation of RSA leaf keys and waits for the key in work, which cannot be interrupted
// (up to a few seconds in the first run of an authority). The error tells of keys that could not be stored; they
// served from memory. Leaves can be minted after Close unless they need an RSA key that is missing. Close may be
// called again.
func (a *Authority) Close() error {
	return a.keys.rsa.close()
}

// Certificate is the certificate for clients to trust: the authority's own, or the last of the loaded chain if
// the authority is an intermediate. It must not be modified.
func (a *Authority) Certificate() *x509.Certificate {
	return a.trusted.anchor
}

// Fingerprint is the SHA-256 of [Authority.Certificate] in the notation of certificate viewers: AB:CD:…
func (a *Authority) Fingerprint() string {
	sum := sha256.Sum256(a.trusted.anchor.Raw)
	pairs := make([]string, len(sum))
	for i, b := range sum {
		pairs[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(pairs, ":")
}

// ExpiresSoon reports whether the authority, or a certificate of its chain, ends within 30 days of now.
func (a *Authority) ExpiresSoon(now time.Time) bool {
	return now.Add(soon).After(a.trusted.notAfter)
}

func certificatePEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

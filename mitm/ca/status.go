package ca

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/ocsp"
)

// ocspSkew is how far the clocks of responders and clients may be apart. It is that of OpenSSL's users. Nothing is
// gained by it: the times are copied, and each client looks at them again.
const ocspSkew = 5 * time.Minute

// Status is what an OCSP response says of a server's leaf (RFC 6960 section 4.2.1), once it is verified. It is
// copied into the response for the mirrored leaf.
type Status struct {
	Code       int       // ocsp.Good, ocsp.Revoked or ocsp.Unknown of golang.org/x/crypto/ocsp
	RevokedAt  time.Time // of the revoked
	Reason     int       // likewise; CRLReason of RFC 5280 section 5.3.1
	ProducedAt time.Time
	ThisUpdate time.Time
	NextUpdate time.Time // zero: there is newer information at all times
}

// readStatus verifies a response that a server stapled: what it is about, who signed it, and when.
func readStatus(staple []byte, leaf, issuer *x509.Certificate, now time.Time) (*Status, error) {
	// Without an issuer, since the one who signs may be it, and send its own certificate along: the package
	// takes each certificate in a response for one that the issuer has signed.
	r, err := ocsp.ParseResponseForCert(staple, leaf, nil)
	if err != nil {
		return nil, err
	}
	if err := checkSubject(r, leaf, issuer); err != nil {
		return nil, err
	}
	if err := checkResponder(r, issuer, now); err != nil {
		return nil, err
	}
	if now.Add(ocspSkew).Before(r.ThisUpdate) {
		return nil, fmt.Errorf("not valid before %v", r.ThisUpdate)
	}
	if !r.NextUpdate.IsZero() && now.Add(-ocspSkew).After(r.NextUpdate) {
		return nil, fmt.Errorf("expired at %v", r.NextUpdate)
	}
	// The package calls a response revoked that says nothing at all.
	if r.Status == ocsp.Revoked && r.RevokedAt.IsZero() {
		return nil, errors.New("no status")
	}
	for _, date := range []time.Time{r.RevokedAt, r.ProducedAt, r.ThisUpdate, r.NextUpdate} {
		// In other zones, which RFC 5280 section 4.1.2.5.2 forbids, there are years that UTC cannot write.
		if year := date.UTC().Year(); year < 0 || year > 9999 {
			return nil, fmt.Errorf("dated %v", date)
		}
	}
	return &Status{r.Status, r.RevokedAt, r.RevocationReason, r.ProducedAt, r.ThisUpdate, r.NextUpdate}, nil
}

// checkSubject checks that the response which the package has picked by its serial number speaks of the leaf, and
// not of another issuer's of the same number.
func checkSubject(r *ocsp.Response, leaf, issuer *x509.Certificate) error {
	name, key, err := issuerHashes(r.IssuerHash, issuer)
	if err != nil {
		return err
	}
	ids, err := ocspCertIDs(r.TBSResponseData)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(ids, func(id ocspCertID) bool { return id.SerialNumber.Cmp(leaf.SerialNumber) == 0 })
	if at < 0 || !bytes.Equal(ids[at].IssuerName, name) || !bytes.Equal(ids[at].IssuerKey, key) {
		return errors.New("about a certificate of another issuer")
	}
	return nil
}

// checkResponder checks who signed: the issuer of the leaf, or whom the issuer has appointed to.
//
// RFC 6960 section 4.2.2.2: "Systems relying on OCSP responses MUST […] reject the response if the certificate
// required to validate the signature on the response does not meet at least one of" these criteria.
func checkResponder(r *ocsp.Response, issuer *x509.Certificate, now time.Time) error {
	responder := r.Certificate
	if responder == nil {
		return checkSignature(r, issuer)
	}
	// The signature by the certificate that is in the response has been checked with it.
	if bytes.Equal(responder.RawSubjectPublicKeyInfo, issuer.RawSubjectPublicKeyInfo) {
		return nil
	}
	if err := responder.CheckSignatureFrom(issuer); err != nil {
		return fmt.Errorf("responder: %w", err)
	}
	if !slices.Contains(responder.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning) {
		return errors.New("responder: not appointed to sign OCSP")
	}
	return checkDates(responder, now)
}

// checkSignature knows Ed25519 (RFC 8410), which the package does not.
func checkSignature(r *ocsp.Response, signer *x509.Certificate) error {
	key, ok := signer.PublicKey.(ed25519.PublicKey)
	if !ok {
		return r.CheckSignatureFrom(signer)
	}
	if !ed25519.Verify(key, r.TBSResponseData, r.Signature) {
		return errors.New("bad Ed25519 signature")
	}
	return nil
}

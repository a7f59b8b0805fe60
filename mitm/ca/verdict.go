package ca

import (
	"crypto/x509"
	"errors"
	"time"
)

// Verdict is what verifying a server's chain came to. It decides who signs the mirrored leaf. The zero value is
// the least trusting one.
type Verdict uint8

// The verdicts. The first two take the trust away from the leaf, the others leave it to the copied fields.
const (
	// UnknownIssuer is a chain that leads to no root, or does not verify for a reason that a copied field cannot
	// repeat: a bad signature, an expired intermediate, a wrong usage. The untrusted authority signs.
	UnknownIssuer Verdict = iota
	// SelfSigned is a leaf that is its own issuer and no root of ours. The mirrored one signs itself.
	SelfSigned
	// Expired is a chain that is good but for the leaf's dates: it is past, or not yet valid. The dates are copied.
	Expired
	// WrongHost is a chain that is good for other names. The names are copied.
	WrongHost
	// OK is a chain that verifies.
	OK
)

// String is the form for logs.
func (v Verdict) String() string {
	switch v {
	case UnknownIssuer:
		return "unknown issuer"
	case SelfSigned:
		return "self-signed"
	case Expired:
		return "expired"
	case WrongHost:
		return "wrong host"
	case OK:
		return "ok"
	}
	return "invalid verdict"
}

// Classify verifies what a server sent, the leaf first, as a TLS client would (RFC 5280 section 6). No roots means
// the system's. An empty name is not checked; it may be an IP address. If a leaf has several faults, the verdict
// is the one that takes the most trust away; the others are copied into the mirrored leaf all the same.
func Classify(chain []*x509.Certificate, roots *x509.CertPool, dnsName string, now time.Time) Verdict {
	if len(chain) == 0 {
		return UnknownIssuer
	}
	leaf := chain[0]
	intermediates := x509.NewCertPool()
	for _, cert := range chain[1:] {
		intermediates.AddCert(cert)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: intermediates,
		CurrentTime:   withinLife(leaf, now),
	})
	switch {
	case err != nil && signsItself(leaf):
		return SelfSigned
	case err != nil:
		return UnknownIssuer
	case now.Before(leaf.NotBefore) || now.After(leaf.NotAfter):
		return Expired
	case dnsName != "" && leaf.VerifyHostname(dnsName) != nil:
		return WrongHost
	}
	return OK
}

// withinLife is now, or the moment of the leaf's life nearest to it. There, only what is wrong besides the leaf's
// own dates makes the verification fail. For a live leaf with an expired intermediate it stays now: the mirrored
// leaf would not show that fault, so it must not have a trusted signer.
func withinLife(leaf *x509.Certificate, now time.Time) time.Time {
	switch {
	case now.After(leaf.NotAfter):
		return leaf.NotAfter.Add(-time.Second)
	case now.Before(leaf.NotBefore):
		return leaf.NotBefore
	}
	return now
}

// signsItself reports whether clients see a self-signed certificate. A signature by an algorithm too old to be
// checked counts, since they look at the names first.
func signsItself(leaf *x509.Certificate) bool {
	if !selfIssued(leaf) {
		return false
	}
	err := leaf.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature)
	return err == nil || errors.As(err, new(x509.InsecureAlgorithmError))
}

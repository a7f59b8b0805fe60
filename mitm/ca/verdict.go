package ca

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"reflect"
	"time"
)

// Verdict is what verifying a server's chain came to. It decides who signs the mirrored leaf. The zero value is
// the least trusting one.
type Verdict uint8

// The verdicts. The first five take the trust away from the leaf, the others leave it to the copied fields.
const (
	// UnknownIssuer is a chain that leads to no root, or does not verify for a reason that a copied field cannot
	// repeat: an expired intermediate, a wrong usage. The untrusted authority signs.
	UnknownIssuer Verdict = iota
	// BadSignature is a chain of issuers that are known, one of which has not made the signature that is said to
	// be its own. The untrusted authority signs in the name of the trusted one, which is as bad.
	BadSignature
	// SelfSigned is a leaf that is its own issuer and no root of ours. The mirrored one signs itself.
	SelfSigned
	// Revoked is a chain that is good but for what its issuer says of the leaf in the response that the server
	// stapled. The untrusted authority signs.
	Revoked
	// WeakKey is a chain that is good, of a leaf with a shorter RSA key than any that we have. The untrusted authority
	// signs: clients that want longer keys would else be shown one.
	WeakKey
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
	case BadSignature:
		return "bad signature"
	case SelfSigned:
		return "self-signed"
	case Revoked:
		return "revoked"
	case WeakKey:
		return "weak key"
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
//
// It is never Revoked: that is for a [Verifier] to find, which sees what the server stapled.
func Classify(chain []*x509.Certificate, roots *x509.CertPool, dnsName string, now time.Time) Verdict {
	verdict, _ := classify(chain, roots, dnsName, now)
	return verdict
}

// classify returns the chains to a root, too, if there are any.
func classify(chain []*x509.Certificate, roots *x509.CertPool, dnsName string, now time.Time) (Verdict, [][]*x509.Certificate) {
	if len(chain) == 0 {
		return UnknownIssuer, nil
	}
	leaf := chain[0]
	options := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool(), CurrentTime: withinLife(leaf, now)}
	for _, cert := range chain[1:] {
		options.Intermediates.AddCert(cert)
	}
	verified, err := leaf.Verify(options)
	switch {
	case err != nil && signsItself(leaf):
		return SelfSigned, nil
	case err != nil && failsBySignature(err, options):
		return BadSignature, nil
	case err != nil:
		return UnknownIssuer, nil
	case hasWeakKey(leaf):
		return WeakKey, verified
	case now.Before(leaf.NotBefore) || now.After(leaf.NotAfter):
		return Expired, verified
	case dnsName != "" && leaf.VerifyHostname(dnsName) != nil:
		return WrongHost, verified
	}
	return OK, verified
}

func hasWeakKey(leaf *x509.Certificate) bool {
	key, ok := leaf.PublicKey.(*rsa.PublicKey)
	return ok && key.N.BitLen() < minRSABits
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

// signsItself reports whether clients see a self-signed certificate. They look at the names and the key identifiers
// (RFC 5280 section 4.2.1.1), and do not come to its signature when it is no root of theirs.
func signsItself(leaf *x509.Certificate) bool {
	if !selfIssued(leaf) {
		return false
	}
	err := leaf.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature)
	return err == nil || len(leaf.AuthorityKeyId) == 0 || bytes.Equal(leaf.AuthorityKeyId, leaf.SubjectKeyId)
}

// failsBySignature reports whether a verification failed because an issuer that is trusted itself, or comes down
// from one that is, has not made a signature that is said to be its own. Then clients complain of the signature, and
// not of an issuer that they do not know.
func failsBySignature(err error, options x509.VerifyOptions) bool {
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &unknown) {
		return false
	}
	issuer := candidate(unknown)
	if issuer == nil || len(unknown.Cert.AuthorityKeyId) > 0 && len(issuer.SubjectKeyId) > 0 &&
		!bytes.Equal(unknown.Cert.AuthorityKeyId, issuer.SubjectKeyId) {
		return false // another one of that name is meant
	}
	signature := unknown.Cert.CheckSignatureFrom(issuer)
	if signature == nil || errors.As(signature, new(x509.ConstraintViolationError)) ||
		errors.As(signature, new(x509.InsecureAlgorithmError)) || errors.Is(signature, x509.ErrUnsupportedAlgorithm) {
		return false // it is not the signature that is wrong
	}
	options.KeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
	_, err = issuer.Verify(options)
	return err == nil
}

// candidate returns the certificate that would have been the issuer, but for its signature. It may be a root, which
// no pool gives out; crypto/x509 keeps it in a field for the text of the error. Without such a field there is no
// candidate, and the verdict is the less telling one, UnknownIssuer.
func candidate(unknown x509.UnknownAuthorityError) *x509.Certificate {
	hint := reflect.ValueOf(unknown).FieldByName("hintCert")
	if !hint.IsValid() || hint.Type() != reflect.TypeFor[*x509.Certificate]() || hint.IsNil() {
		return nil
	}
	cert, err := x509.ParseCertificate(hint.Elem().FieldByName("Raw").Bytes())
	if err != nil {
		return nil
	}
	return cert
}

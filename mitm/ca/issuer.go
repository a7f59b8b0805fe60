package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"math/big"
	"time"
	"unicode/utf8"
)

const (
	organization = "bridgeio"
	// maxCommonName is ub-common-name of RFC 5280 appendix A.1.
	maxCommonName = 64
	// backdate lets clients whose clock is behind accept a new authority at once.
	backdate = time.Hour
)

// issuer is a certificate that signs leaves, with its key.
type issuer struct {
	cert     *x509.Certificate
	chain    []*x509.Certificate // cert and what is known above it
	key      crypto.Signer
	mark     []byte            // part of serials, besides cert.Raw
	id       [sha256.Size]byte // part of cache keys
	sent     [][]byte          // DER of the intermediates that follow a leaf; never the root
	anchor   *x509.Certificate // what clients trust: the top of the known chain
	notAfter time.Time         // the earliest end in the chain
}

// newIssuer joins a key and its chain, the issuing certificate first.
func newIssuer(key crypto.Signer, chain []*x509.Certificate) *issuer {
	i := &issuer{cert: chain[0], chain: chain, key: key, id: sha256.Sum256(chain[0].Raw), notAfter: chain[0].NotAfter}
	for _, cert := range chain {
		i.anchor = cert
		if cert.NotAfter.Before(i.notAfter) {
			i.notAfter = cert.NotAfter
		}
		// A root in the handshake changes OpenSSL's error from "unable to get local issuer certificate" to
		// "self-signed certificate in certificate chain", and RFC 8446 section 4.4.2 lets it be left out.
		if !selfIssued(cert) {
			i.sent = append(i.sent, cert.Raw)
		}
	}
	return i
}

// newPretender makes an issuer that signs in the name of one with the key of another, which no client accepts. Its
// serials are not those of the real one's leaves. It never is the other way round, with a good signature that is
// damaged: whoever repairs that has a trusted leaf.
func newPretender(name, key *issuer) *issuer {
	p := *name
	p.key, p.mark = key.key, key.cert.Raw
	p.id = sha256.Sum256(append(bytes.Clone(p.cert.Raw), p.mark...))
	return &p
}

// serial is that of the leaf with the content and the key.
func (i *issuer) serial(content []byte, key *leafKey) *big.Int {
	return contentSerial(content, i.cert.Raw, key.spki, i.mark)
}

// sign completes the template and signs it. A nil source of chance makes ECDSA deterministic (RFC 6979); RSA with
// PKCS #1 v1.5 and Ed25519 are so by themselves.
func (i *issuer) sign(template *x509.Certificate, pub crypto.PublicKey) ([]byte, error) {
	// Without a SubjectKeyId in the parent CreateCertificate adds no AuthorityKeyId of its own: the template
	// says whether there is one.
	parent := &x509.Certificate{RawSubject: i.cert.RawSubject, PublicKey: i.key.Public()}
	return x509.CreateCertificate(nil, template, parent, pub, i.key)
}

// newRootKey makes the key of an authority: P-256, the cheapest to sign with that every client verifies.
func newRootKey() (crypto.Signer, error) {
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// newRoot makes the authority's certificate, valid for ten years. Its name ends in a hash of its key: two
// authorities of one name confuse the certificate databases of browsers.
func newRoot(key crypto.Signer, now time.Time) ([]byte, error) {
	_, ski, err := publicKeyID(key.Public())
	if err != nil {
		return nil, err
	}
	subject := pkix.Name{
		Organization: []string{organization},
		CommonName:   "bridgeio CA " + hex.EncodeToString(ski[:4]),
	}
	now = now.UTC().Truncate(time.Second)
	return selfIssue(key, subject, now.Add(-backdate), now.AddDate(10, 0, 0))
}

// newUntrustedRoot makes the certificate of the authority that nobody trusts: the look and the dates of the
// trusted one, but a name of its own. With the same name, clients would try the trusted key on its signatures and
// complain of those, instead of an issuer that they do not know.
func newUntrustedRoot(key crypto.Signer, trusted *x509.Certificate) ([]byte, error) {
	const suffix = " untrusted"
	subject := trusted.Subject
	subject.ExtraNames = nil
	subject.CommonName = truncate(subject.CommonName, maxCommonName-len(suffix)) + suffix
	return selfIssue(key, subject, trusted.NotBefore, trusted.NotAfter)
}

// truncate cuts s to at most n bytes, between runes: half a rune is no UTF8String.
func truncate(s string, n int) string {
	for len(s) > n {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}

// selfIssue makes a root: RFC 5280 section 4.2.1 wants SubjectKeyIdentifier, and BasicConstraints and KeyUsage
// critical. With path length 0 it signs leaves only: no other authority can come from it.
func selfIssue(key crypto.Signer, subject pkix.Name, notBefore, notAfter time.Time) ([]byte, error) {
	spki, ski, err := publicKeyID(key.Public())
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		// The dates count too: a certificate that is made anew for an old key must not reuse its serial.
		SerialNumber:          contentSerial(spki, []byte(notBefore.UTC().String()), []byte(notAfter.UTC().String())),
		Subject:               subject,
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		SubjectKeyId:          ski,
	}
	return x509.CreateCertificate(nil, template, template, key.Public(), key)
}

// contentSerial is a serial number of 16 bytes, positive and of constant length. It hashes the content because
// NSS refuses a second certificate with the same issuer and serial but other content (RFC 5280 section 4.1.2.2).
func contentSerial(content ...[]byte) *big.Int {
	h := sha256.New()
	for _, part := range content {
		h.Write(part)
	}
	serial := h.Sum(nil)[:16]
	serial[0] = serial[0]&0x3f | 0x40
	return new(big.Int).SetBytes(serial)
}

// publicKeyID encodes a public key and hashes it to a SubjectKeyIdentifier by method 1 of RFC 7093 section 2, the
// one that crypto/x509 uses.
func publicKeyID(pub crypto.PublicKey) (spki, ski []byte, err error) {
	spki, err = x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, nil, fmt.Errorf("encode public key: %w", err)
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		PublicKey asn1.BitString
	}
	if _, err := asn1.Unmarshal(spki, &info); err != nil {
		return nil, nil, fmt.Errorf("decode public key: %w", err)
	}
	sum := sha256.Sum256(info.PublicKey.Bytes)
	return spki, sum[:20], nil
}

// selfIssued is the term of RFC 5280 section 6.1: subject and issuer are the same name.
func selfIssued(cert *x509.Certificate) bool {
	return bytes.Equal(cert.RawSubject, cert.RawIssuer)
}

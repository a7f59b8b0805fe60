package ca

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/bridgeio/bridgeio/internal/expiring"
)

const (
	// keptJudgments bounds a Verifier: some hundred bytes each.
	keptJudgments = 10_000
	// keptFor bounds how long a judgment stands. No date of a certificate that the server sent passes unnoticed;
	// of what does not verify, the roots' may, and of a staple, the responder's.
	keptFor = 10 * time.Minute
)

// Judgment is what verifying a server came to. The zero value is the least trusting one.
type Judgment struct {
	Verdict Verdict

	// Status is what the server's issuer says of the leaf in the response that the server stapled; nil when
	// it stapled none, or none that counts. It must not be modified.
	Status *Status
}

// AsIfValid is the judgment of the same server by someone who does not mind what is wrong with it.
func (j Judgment) AsIfValid() Judgment {
	j.Verdict = OK
	if j.Status != nil && j.Status.Code != ocsp.Good {
		j.Status = &Status{
			Code:       ocsp.Good,
			ProducedAt: j.Status.ProducedAt,
			ThisUpdate: j.Status.ThisUpdate,
			NextUpdate: j.Status.NextUpdate,
		}
	}
	return j
}

// Verifier classifies what servers show, and remembers that for a while: verifying a chain of two costs more than
// all else that is done for a leaf which is cached. It is safe for concurrent use. Make it with [NewVerifier].
type Verifier struct {
	roots *x509.CertPool
	seen  *expiring.Cache[judgedID, Judgment]
}

// judgedID names what was judged by a hash of all that the judgment depends on, besides the roots and the time.
type judgedID [sha256.Size]byte

// NewVerifier returns a Verifier that trusts the roots, which must not change any more; nil means the system's.
func NewVerifier(roots *x509.CertPool) *Verifier {
	return &Verifier{roots, expiring.New[judgedID, Judgment](keptJudgments)}
}

// Verify judges the chain that a server sent, the leaf first, and the OCSP response that it stapled, as [Classify]
// does for the present time. A staple that does not parse, is not about the leaf, or is not by its issuer or not of
// this time, counts as none.
func (v *Verifier) Verify(chain []*x509.Certificate, staple []byte, dnsName string) Judgment {
	id := judged(chain, staple, dnsName)
	if j, ok := v.seen.Get(id); ok {
		return j
	}
	j, until := judge(chain, staple, v.roots, dnsName, time.Now())
	v.seen.Put(id, j, time.Until(until))
	return j
}

// judged hashes each part with its length, so that no two lists of parts are the same bytes.
func judged(chain []*x509.Certificate, staple []byte, dnsName string) judgedID {
	h := sha256.New()
	var length [8]byte
	add := func(part []byte) {
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write(part)
	}
	add([]byte(dnsName))
	add(staple)
	for _, cert := range chain {
		add(cert.Raw)
	}
	return judgedID(h.Sum(nil))
}

// judge returns the judgment, and a time up to which it stands.
func judge(chain []*x509.Certificate, staple []byte, roots *x509.CertPool, dnsName string, now time.Time) (Judgment, time.Time) {
	verdict, verified := classify(chain, roots, dnsName, now)
	j, until := Judgment{Verdict: verdict}, now.Add(keptFor)
	for _, certs := range append(verified, chain) {
		for _, cert := range certs {
			// Both ends belong to the life of a certificate (RFC 5280 section 4.1.2.5).
			until = nearest(until, now, cert.NotBefore, cert.NotAfter.Add(1))
		}
	}
	issuer := issuerOf(chain, verified)
	if len(staple) == 0 || issuer == nil {
		return j, until
	}
	status, err := readStatus(staple, chain[0], issuer, now)
	if err != nil {
		return j, until
	}
	j.Status = status
	if status.Code == ocsp.Revoked && len(verified) > 0 {
		j.Verdict = Revoked
	}
	if !status.NextUpdate.IsZero() {
		until = nearest(until, now, status.NextUpdate.Add(ocspSkew+1))
	}
	return j, until
}

// nearest is until, or the first of the dates that is earlier and still to come.
func nearest(until, now time.Time, dates ...time.Time) time.Time {
	for _, date := range dates {
		if date.After(now) && date.Before(until) {
			until = date
		}
	}
	return until
}

// issuerOf returns the certificate that signed the leaf, or nil when it is not known. If the chain does not verify,
// one that was sent is good enough: what it says of the leaf is passed on by an authority that nobody trusts.
func issuerOf(chain []*x509.Certificate, verified [][]*x509.Certificate) *x509.Certificate {
	if len(verified) > 0 {
		if len(verified[0]) > 1 {
			return verified[0][1]
		}
		return nil // the leaf is a root itself
	}
	if len(chain) > 1 && chain[0].CheckSignatureFrom(chain[1]) == nil {
		return chain[1]
	}
	return nil
}

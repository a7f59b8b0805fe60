package ca

import (
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"time"
)

// withStaple returns the leaf with an OCSP response of that status by its signer, nil being the leaf itself. It is
// a second tls.Certificate around the same leaf, and cached as leaves are: a status stands for hours or days.
func (a *Authority) withStaple(id leafID, leaf *tls.Certificate, signer *issuer, status *Status) (*tls.Certificate, error) {
	id = stapledKey(id, status)
	if stapled, ok := a.leaves.get(id); ok {
		return stapled, nil
	}
	return a.once(id, func() (*tls.Certificate, error) {
		if signer == nil {
			signer = &issuer{cert: leaf.Leaf, key: leaf.PrivateKey.(crypto.Signer)}
		}
		response, err := newStaple(status, leaf.Leaf, signer)
		if err != nil {
			return nil, fmt.Errorf("staple status: %w", err)
		}
		stapled := *leaf
		stapled.OCSPStaple = response
		if signer == a.trusted {
			stapled.Certificate = withIssuer(leaf.Certificate, signer.cert)
		}
		return &stapled, nil
	})
}

// withIssuer adds the root that signed the leaf. The only time that a root is sent is with a staple: curl
// (--cert-status) looks for the leaf's issuer in the handshake, and nowhere else, to know what the staple is about.
func withIssuer(sent [][]byte, root *x509.Certificate) [][]byte {
	if len(sent) > 1 {
		return sent // the issuer is an intermediate, and there
	}
	return [][]byte{sent[0], root.Raw}
}

// newStaple makes the response (RFC 6960 section 4.2.1).
func newStaple(status *Status, leaf *x509.Certificate, signer *issuer) ([]byte, error) {
	data, err := appendOCSPData(nil, status, leaf, signer.cert)
	if err != nil {
		return nil, err
	}
	algorithm, signature, err := signLike(leaf, signer.key, data)
	if err != nil {
		return nil, err
	}
	return appendOCSPResponse(nil, data, algorithm, signature)
}

// stapledKey names a leaf with a staple by all that the staple says.
func stapledKey(id leafID, s *Status) leafID {
	key := append([]byte("staple"), id[:]...)
	key = binary.BigEndian.AppendUint64(key, uint64(s.Code))
	key = binary.BigEndian.AppendUint64(key, uint64(s.Reason))
	for _, date := range []time.Time{s.RevokedAt, s.ProducedAt, s.ThisUpdate, s.NextUpdate} {
		key = binary.BigEndian.AppendUint64(key, uint64(date.Unix()))
	}
	return sha256.Sum256(key)
}

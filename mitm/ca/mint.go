package ca

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
)

// Mint returns a leaf that mirrors the server's, signed as the judgment has it, with its key and the intermediates
// to send. The bytes depend on the server's leaf and the authority alone. Leaves are cached, and concurrent calls
// for one server sign once. The certificate is shared: it must not be modified. Leaf is set, and OCSPStaple if the
// judgment has a status.
//
// Mint waits only for an RSA key that is still being generated, which happens in the first seconds of an
// authority, and no longer than ctx: it never generates one itself. It fails if there is no key like the server's,
// as for DSA.
func (a *Authority) Mint(ctx context.Context, server *x509.Certificate, j Judgment) (*tls.Certificate, error) {
	signer := a.signer(j.Verdict)
	return a.mint(ctx, server.PublicKey, server.Raw, signer, j.Status, func(key *leafKey) (*tls.Certificate, error) {
		if signer == nil {
			return mintSelfSigned(server, key)
		}
		return mintMirrored(server, key, signer)
	})
}

// signer is nil for a leaf that signs itself.
func (a *Authority) signer(verdict Verdict) *issuer {
	switch verdict {
	case OK, Expired, WrongHost:
		return a.trusted
	case BadSignature:
		return a.pretender
	case SelfSigned:
		return nil
	default:
		return a.untrusted
	}
}

// mint returns the leaf with the content, and with a key like pub: from the cache, or as fresh makes it.
func (a *Authority) mint(ctx context.Context, pub crypto.PublicKey, content []byte, signer *issuer, status *Status,
	fresh func(*leafKey) (*tls.Certificate, error),
) (*tls.Certificate, error) {
	id := cacheKey(content, signer)
	leaf, ok := a.leaves.get(id)
	if !ok {
		// The one wait comes before the single flight: a flow that gives up must not take the others with it.
		key, err := a.keys.like(ctx, pub)
		if err != nil {
			return nil, fmt.Errorf("mint leaf: %w", err)
		}
		leaf, err = a.once(id, func() (*tls.Certificate, error) { return fresh(key) })
		if err != nil {
			return nil, err
		}
	}
	if status == nil {
		return leaf, nil
	}
	return a.withStaple(id, leaf, signer, status)
}

// once mints a leaf unless it is cached, for all callers that want it now.
func (a *Authority) once(id leafID, mint func() (*tls.Certificate, error)) (*tls.Certificate, error) {
	leaf, err, _ := a.flight.Do(string(id[:]), func() (any, error) {
		// An earlier flight may have landed between the caller's look and this one.
		if leaf, ok := a.leaves.get(id); ok {
			return leaf, nil
		}
		leaf, err := mint()
		if err != nil {
			return nil, fmt.Errorf("mint leaf: %w", err)
		}
		a.leaves.add(id, leaf)
		return leaf, nil
	})
	if err != nil {
		return nil, err
	}
	return leaf.(*tls.Certificate), nil
}

// cacheKey names a leaf by its content and its signer. The name that the client asked for is not part of it: the
// leaf is what the server showed, not what was asked.
func cacheKey(content []byte, signer *issuer) leafID {
	h := sha256.New()
	h.Write(content)
	if signer != nil {
		h.Write(signer.id[:])
	} else {
		h.Write(make([]byte, sha256.Size))
	}
	return leafID(h.Sum(nil))
}

func mintMirrored(server *x509.Certificate, key *leafKey, signer *issuer) (*tls.Certificate, error) {
	template, err := mirror(server, key, signer.cert.SubjectKeyId, false)
	if err != nil {
		return nil, err
	}
	template.SerialNumber = signer.serial(server.Raw, key)
	return finish(template, key, signer)
}

func mintSelfSigned(server *x509.Certificate, key *leafKey) (*tls.Certificate, error) {
	template, err := mirror(server, key, key.ski, true)
	if err != nil {
		return nil, err
	}
	template.SerialNumber = contentSerial(server.Raw, key.spki)
	return finish(template, key, &issuer{cert: template, key: key.signer})
}

// finish signs the template and lays out what goes over the wire.
func finish(template *x509.Certificate, key *leafKey, signer *issuer) (*tls.Certificate, error) {
	der, err := signer.sign(template, key.signer.Public())
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{
		Certificate: append([][]byte{der}, signer.sent...),
		PrivateKey:  key.signer,
		Leaf:        leaf,
	}, nil
}

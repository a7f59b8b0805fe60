package ca

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"strconv"
)

// The info strings of HKDF. A new version of them changes every leaf key, which replicas would notice.
const (
	leafKeyInfo      = "mitm leaf key v1 "
	untrustedKeyInfo = "mitm untrusted ca key v1 "
)

// leafKey is a private key that many leaves share, with what every leaf says about it.
type leafKey struct {
	signer crypto.Signer
	spki   []byte
	ski    []byte
}

func newLeafKey(signer crypto.Signer) (*leafKey, error) {
	spki, ski, err := publicKeyID(signer.Public())
	if err != nil {
		return nil, err
	}
	return &leafKey{signer, spki, ski}, nil
}

// isRSA reports whether the key can be that of TLS_RSA_… cipher suites.
func (k *leafKey) isRSA() bool {
	_, ok := k.signer.Public().(*rsa.PublicKey)
	return ok
}

// leafKeys has one key of each kind that a server may have. One for all hosts is enough: whoever steals it has
// stolen the authority's key with it.
type leafKeys struct {
	derived map[string]*leafKey // by kind; complete when made, never changed
	rsa     *rsaKeys
}

func newLeafKeys(issuer crypto.Signer, d directory, writable bool) (*leafKeys, error) {
	derived, err := deriveLeafKeys(issuer)
	if err != nil {
		return nil, err
	}
	pool, err := newRSAKeys(d, writable)
	if err != nil {
		return nil, err
	}
	return &leafKeys{derived, pool}, nil
}

// like returns the key of the same algorithm, and the same curve or size, as a server's: a cipher suite of
// TLS 1.2 and the client's signature_algorithms were chosen to fit it. It waits, until ctx ends, for an RSA key
// that is still being generated.
func (k *leafKeys) like(ctx context.Context, pub crypto.PublicKey) (*leafKey, error) {
	var kind string
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		kind = pub.Curve.Params().Name
	case ed25519.PublicKey:
		kind = kindEd25519
	case *rsa.PublicKey:
		return k.rsa.get(ctx, pub.N.BitLen())
	}
	if key, ok := k.derived[kind]; ok {
		return key, nil
	}
	return nil, fmt.Errorf("no leaf key like the server's %T", pub)
}

// The kinds of derived keys that code names; curves have the names of FIPS 186.
const (
	kindP256    = "P-256"
	kindEd25519 = "Ed25519"
)

// deriveLeafKeys makes the keys that need nothing but the authority's key: well under a millisecond for all.
func deriveLeafKeys(issuer crypto.Signer) (map[string]*leafKey, error) {
	secret, err := x509.MarshalPKCS8PrivateKey(issuer)
	if err != nil {
		return nil, fmt.Errorf("derive leaf keys: %w", err)
	}
	keys := make(map[string]*leafKey)
	add := func(kind string, signer crypto.Signer, err error) error {
		if err == nil {
			keys[kind], err = newLeafKey(signer)
		}
		if err != nil {
			return fmt.Errorf("derive %s leaf key: %w", kind, err)
		}
		return nil
	}
	for _, curve := range []elliptic.Curve{elliptic.P224(), elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		kind := curve.Params().Name
		key, err := deriveECDSA(secret, leafKeyInfo+kind, curve)
		if err := add(kind, key, err); err != nil {
			return nil, err
		}
	}
	seed, err := hkdf.Key(sha256.New, secret, nil, leafKeyInfo+kindEd25519, ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("derive %s leaf key: %w", kindEd25519, err)
	}
	return keys, add(kindEd25519, ed25519.NewKeyFromSeed(seed), nil)
}

// untrustedKey derives the key of the untrusted authority, so that replicas with the same authority agree on it.
func untrustedKey(trusted crypto.Signer) (crypto.Signer, error) {
	secret, err := x509.MarshalPKCS8PrivateKey(trusted)
	if err != nil {
		return nil, fmt.Errorf("derive untrusted CA key: %w", err)
	}
	curve := elliptic.P256()
	return deriveECDSA(secret, untrustedKeyInfo+curve.Params().Name, curve)
}

// deriveECDSA takes as private key the first output of HKDF that is one: from 1 to the order of the curve minus 1.
// The first is refused once in 2^32 for P-256, and about never for the others.
func deriveECDSA(secret []byte, info string, curve elliptic.Curve) (*ecdsa.PrivateKey, error) {
	const attempts = 64
	bits := curve.Params().BitSize
	try := info
	var failure error
	for n := 1; n <= attempts; n++ {
		raw, err := hkdf.Key(sha256.New, secret, nil, try, (bits+7)/8)
		if err != nil {
			return nil, err
		}
		// The order of P-521 has a single bit in its first byte: unmasked, one output in 128 would do.
		raw[0] &= 0xff >> (len(raw)*8 - bits)
		key, err := ecdsa.ParseRawPrivateKey(curve, raw)
		if err == nil {
			return key, nil
		}
		failure = err
		try = info + " " + strconv.Itoa(n)
	}
	return nil, failure
}

package ca

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
)

// Secret derives 32 bytes for a purpose from the authority's key, the same in all replicas that share it.
func (a *Authority) Secret(purpose string) ([]byte, error) {
	key, err := x509.MarshalPKCS8PrivateKey(a.trusted.key)
	if err != nil {
		return nil, fmt.Errorf("derive secret: %w", err)
	}
	return hkdf.Key(sha256.New, key, nil, "mitm secret v1 "+purpose, sha256.Size)
}

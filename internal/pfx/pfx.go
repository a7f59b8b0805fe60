// Package pfx reads a private key and its certificates from a PKCS #12 file (RFC 7292), as OpenSSL, keytool and
// PolarProxy make them, old (RC2, triple DES) and new (PBES2 with AES).
//
//	key, certs, err := pfx.Decode(content, password)
//
// It adds to the decoder what its callers need: the key's own certificate comes first wherever it was in the file, a
// key that belongs to none of them is refused, and the errors are for the operator who has named the file. It reads
// DER only, and writes nothing.
package pfx

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	pkcs12 "software.sslmate.com/src/go-pkcs12"
)

// The errors that an operator can do something about without looking into the file.
var (
	ErrPassword   = errors.New("the password is not the one of this PKCS #12 file")
	ErrNoPassword = errors.New("this PKCS #12 file needs a password")
	ErrKey        = errors.New("the key is not that of the certificate")
)

// IsPEM reports whether content is text with PEM blocks (RFC 7468) rather than DER. What stands around the blocks
// does not matter, as it does not for a decoder.
func IsPEM(content []byte) bool { return bytes.Contains(content, []byte("-----BEGIN ")) }

// Decode returns the private key, and its certificate followed by the others of the file, in their order.
//
// An empty password is one that files may have; it also opens those without encryption.
func Decode(content []byte, password string) (crypto.Signer, []*x509.Certificate, error) {
	key, first, rest, err := pkcs12.DecodeChain(content, password)
	switch {
	case errors.Is(err, pkcs12.ErrIncorrectPassword), errors.Is(err, pkcs12.ErrDecryption):
		if password == "" {
			return nil, nil, ErrNoPassword
		}
		return nil, nil, ErrPassword
	case err != nil:
		return nil, nil, errors.New(strings.TrimPrefix(err.Error(), "pkcs12: "))
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, nil, fmt.Errorf("a %T does not sign", key)
	}
	certs := append([]*x509.Certificate{first}, rest...)
	at := slices.IndexFunc(certs, func(c *x509.Certificate) bool { return matches(signer, c) })
	if at < 0 {
		return nil, nil, ErrKey
	}
	own := certs[at]
	return signer, slices.Insert(slices.Delete(certs, at, at+1), 0, own), nil
}

func matches(key crypto.Signer, cert *x509.Certificate) bool {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(cert.PublicKey)
}

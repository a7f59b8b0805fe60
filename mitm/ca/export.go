package ca

import (
	"bytes"
	"errors"
	"fmt"

	pkcs12 "software.sslmate.com/src/go-pkcs12"
)

// ExportDER returns a copy of [Authority.Certificate] as DER, the form of .cer and .der files.
func (a *Authority) ExportDER() []byte {
	return bytes.Clone(a.trusted.anchor.Raw)
}

// ExportPEM returns [Authority.Certificate] as PEM (RFC 7468). It holds no key.
func (a *Authority) ExportPEM() []byte {
	return certificatePEM(a.trusted.anchor.Raw)
}

// ExportPKCS12 returns [Authority.Certificate] without a key as a PKCS #12 file (RFC 7292) that Java takes for a
// trust store. Java wants a password even for that; it protects nothing but the file against changes.
func (a *Authority) ExportPKCS12(password string) ([]byte, error) {
	content, err := pkcs12.Modern2023.EncodeTrustStoreEntries([]pkcs12.TrustStoreEntry{
		{Cert: a.trusted.anchor, FriendlyName: a.trusted.anchor.Subject.CommonName},
	}, password)
	if err != nil {
		return nil, fmt.Errorf("export CA: %w", err)
	}
	return content, nil
}

// keyIterations makes guessing a password fifty times as dear as OpenSSL's default does. .NET, in which PolarProxy is
// written, reads no more than 300,000 by default.
const keyIterations = 100_000

// ExportWithKey returns the authority with its private key, and the chain above it, as a PKCS #12 file that
// [LoadWithPassword] reads, as do OpenSSL from 1.1.1, Java from 12 and PolarProxy. Whoever has it and its password can
// read the traffic of all clients that trust the authority; an empty password is refused.
func (a *Authority) ExportWithKey(password string) ([]byte, error) {
	if password == "" {
		return nil, errors.New("export CA with its key: the password is empty")
	}
	content, err := pkcs12.Modern2023.WithIterations(keyIterations).Encode(a.trusted.key, a.trusted.cert, a.trusted.chain[1:], password)
	if err != nil {
		return nil, fmt.Errorf("export CA with its key: %w", err)
	}
	return content, nil
}

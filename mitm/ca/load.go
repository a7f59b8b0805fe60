package ca

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bridgeio/bridgeio/internal/pfx"
)

// Load reads an authority from a file that holds a certificate and its key: PEM (PKCS #8, SEC 1 or PKCS #1, in any
// order) or PKCS #12 without a password. If the authority is an intermediate, certificates up to its root may be in
// the file: they follow each leaf in the handshake, without the root. The file must be readable by its owner only.
//
// Nothing is written. RSA leaf keys are read from leaf-rsa.key beside the file (and from the larger ones, see
// [Open]), if they are there; the others are generated anew, in memory. The untrusted authority is derived.
func Load(file string) (*Authority, error) {
	return LoadWithPassword(file, "")
}

// LoadWithPassword is [Load] for PKCS #12 files (RFC 7292), old and new, with a password, which must not be empty
// then. One that is encrypted may be readable by others. Whether a file is PEM is told by its content.
func LoadWithPassword(file, password string) (*Authority, error) {
	text, open, err := readAny(file)
	if err != nil {
		return nil, fmt.Errorf("load CA: %w", err)
	}
	if open != nil && (password == "" || pfx.IsPEM(text)) {
		return nil, fmt.Errorf("load CA: %w", open)
	}
	a, err := parse(text, password, directory(filepath.Dir(file)))
	if err != nil {
		return nil, fmt.Errorf("load CA: %s: %w", file, err)
	}
	return a, nil
}

// Parse is [Load] for content that does not come from a file. All RSA leaf keys are generated in memory.
func Parse(content []byte) (*Authority, error) {
	a, err := parse(content, "", "")
	if err != nil {
		return nil, fmt.Errorf("parse CA: %w", err)
	}
	return a, nil
}

func parse(content []byte, password string, d directory) (*Authority, error) {
	trusted, err := parseFile(content, password, time.Now())
	if err != nil {
		return nil, err
	}
	key, err := untrustedKey(trusted.key)
	if err != nil {
		return nil, err
	}
	der, err := newUntrustedRoot(key, trusted.cert)
	if err != nil {
		return nil, fmt.Errorf("make untrusted CA: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make untrusted CA: %w", err)
	}
	return newAuthority(trusted, newIssuer(key, []*x509.Certificate{cert}), d, false)
}

// parseFile is parseIssuer for what may be PKCS #12 as well.
func parseFile(content []byte, password string, now time.Time) (*issuer, error) {
	// DER begins with the tag of a SEQUENCE, which text does not.
	if pfx.IsPEM(content) || len(content) == 0 || content[0] != 0x30 {
		return parseIssuer(content, now)
	}
	key, certs, err := pfx.Decode(content, password)
	if err != nil {
		return nil, fmt.Errorf("read PKCS #12: %w", err)
	}
	return checkedIssuer(key, certs, now)
}

// parseIssuer finds in the text a key, the certificate of that key, and the chain above it.
func parseIssuer(text []byte, now time.Time) (*issuer, error) {
	key, err := parseKey(text)
	if err != nil {
		return nil, err
	}
	certs, err := parseCertificates(text)
	if err != nil {
		return nil, err
	}
	return checkedIssuer(key, certs, now)
}

// checkedIssuer joins a key with its certificate among others, and the chain above it.
func checkedIssuer(key crypto.Signer, certs []*x509.Certificate, now time.Time) (*issuer, error) {
	at := slices.IndexFunc(certs, func(c *x509.Certificate) bool { return matches(key, c.PublicKey) })
	if at < 0 {
		return nil, pfx.ErrKey
	}
	chain := chainFrom(certs[at], certs)
	if err := checkIssuer(chain[0]); err != nil {
		return nil, err
	}
	for _, cert := range chain {
		if err := checkDates(cert, now); err != nil {
			return nil, err
		}
	}
	return newIssuer(key, chain), nil
}

func parseCertificates(text []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for block := range blocks(text) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parse certificate: %w", err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("holds no PEM certificate")
	}
	return certs, nil
}

// parseKey finds the one private key of the text.
func parseKey(text []byte) (crypto.Signer, error) {
	var found crypto.Signer
	for block := range blocks(text) {
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
			return nil, errors.New("the key is encrypted: decrypt it with openssl pkey")
		}
		if found != nil {
			return nil, errors.New("holds more than one private key")
		}
		key, err := parseKeyBlock(block)
		if err != nil {
			return nil, fmt.Errorf("parse private key: %w", err)
		}
		found = key
	}
	if found == nil {
		return nil, errors.New("holds no PEM private key")
	}
	return found, nil
}

func parseKeyBlock(block *pem.Block) (crypto.Signer, error) {
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY": // RFC 5208
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY": // RFC 5915
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY": // RFC 8017 appendix A.1.2
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("unknown type %q", block.Type)
	}
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a %T does not sign", key)
	}
	return signer, nil
}

// blocks yields the PEM blocks of the text; what stands between them is comment.
func blocks(text []byte) func(yield func(*pem.Block) bool) {
	return func(yield func(*pem.Block) bool) {
		for {
			var block *pem.Block
			block, text = pem.Decode(text)
			if block == nil || !yield(block) {
				return
			}
		}
	}
}

// chainFrom follows the issuers from cert upwards, as far as they are known. No certificate is taken twice, so
// that cross-signed ones cannot make a circle.
func chainFrom(cert *x509.Certificate, certs []*x509.Certificate) []*x509.Certificate {
	chain := []*x509.Certificate{cert}
	for !selfIssued(cert) {
		at := slices.IndexFunc(certs, func(c *x509.Certificate) bool {
			return !slices.ContainsFunc(chain, c.Equal) && cert.CheckSignatureFrom(c) == nil
		})
		if at < 0 {
			break
		}
		cert = certs[at]
		chain = append(chain, cert)
	}
	return chain
}

// checkIssuer refuses what clients would refuse in an issuer (RFC 5280 section 4.2.1.3 and 4.2.1.9).
func checkIssuer(cert *x509.Certificate) error {
	if !cert.BasicConstraintsValid || !cert.IsCA {
		return fmt.Errorf("certificate %q is not a CA", cert.Subject)
	}
	if cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageCertSign == 0 {
		return fmt.Errorf("certificate %q may not sign certificates", cert.Subject)
	}
	if pub, ok := cert.PublicKey.(*rsa.PublicKey); ok && pub.N.BitLen() < minRSABits {
		return fmt.Errorf("certificate %q has an RSA key of %d bits, clients want %d", cert.Subject, pub.N.BitLen(), minRSABits)
	}
	return nil
}

func checkDates(cert *x509.Certificate, now time.Time) error {
	if now.After(cert.NotAfter) {
		return fmt.Errorf("certificate %q expired on %s", cert.Subject, cert.NotAfter.UTC().Format(time.DateOnly))
	}
	if now.Before(cert.NotBefore) {
		return fmt.Errorf("certificate %q is not valid before %s", cert.Subject, cert.NotBefore.UTC().Format(time.DateOnly))
	}
	return nil
}

func matches(key crypto.Signer, pub crypto.PublicKey) bool {
	own, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && own.Equal(pub)
}

func sameKey(a, b crypto.Signer) bool {
	return matches(a, b.Public())
}

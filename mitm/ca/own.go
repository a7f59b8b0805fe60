package ca

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

// ownValidity is what the strictest clients accept of a leaf: Apple's, 398 days; one less for their rounding.
const ownValidity = 397 * 24 * time.Hour

// ErrNotAName is the error of minting for what is neither a DNS name nor an IP address.
var ErrNotAName = errors.New("neither a DNS name nor an IP address")

// MintName returns a leaf for a name or an IP address of our own, for TLS that ends here: an HTTPS proxy, or a
// server whose certificate is not known. Its key is P-256, so that it never waits for a key.
//
// The leaf is valid from the last day of the month before this one (UTC), for 397 days, as far as the authority
// is: replicas mint the same leaf within a month. It is cached and shared as those of [Authority.Mint] are.
func (a *Authority) MintName(_ context.Context, name string) (*tls.Certificate, error) {
	leaf, _, err := a.mintName(name, time.Now(), a.keys.derived[kindP256], a.trusted)
	if err != nil {
		return nil, fmt.Errorf("mint leaf for %q: %w", name, err)
	}
	return leaf, nil
}

// MintNamed returns a leaf like those of [Authority.MintName], to show in the place of the server's. All that it has
// of that is the kind of its key, since cipher suites and signature algorithms were chosen to fit it, and the
// status; so it may wait for a key as Mint does.
//
// The name and the dates are good whatever was wrong with the server's, so the untrusted authority signs unless the
// verdict is OK.
func (a *Authority) MintNamed(ctx context.Context, name string, server *x509.Certificate, j Judgment) (*tls.Certificate, error) {
	key, err := a.keys.like(ctx, server.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("mint leaf for %q: %w", name, err)
	}
	signer := a.untrusted
	if j.Verdict == OK {
		signer = a.trusted
	}
	leaf, id, err := a.mintName(name, time.Now(), key, signer)
	if err == nil && j.Status != nil {
		leaf, err = a.withStaple(id, leaf, signer, j.Status)
	}
	if err != nil {
		return nil, fmt.Errorf("mint leaf for %q: %w", name, err)
	}
	return leaf, nil
}

func (a *Authority) mintName(name string, now time.Time, key *leafKey, signer *issuer) (*tls.Certificate, leafID, error) {
	name, err := canonicalName(name)
	if err != nil {
		return nil, leafID{}, err
	}
	notBefore, notAfter, err := ownDates(signer.cert, now)
	if err != nil {
		return nil, leafID{}, err
	}
	// No DER begins with a letter in this way: the leaf of a name is never taken for the mirror of a server's.
	content := []byte("own leaf " + name + notBefore.Format(" 2006-01-02T15:04:05"))
	id := cacheKey(append(content, key.spki...), signer)
	if leaf, ok := a.leaves.get(id); ok {
		return leaf, id, nil
	}
	leaf, err := a.once(id, func() (*tls.Certificate, error) {
		template := ownTemplate(name)
		if key.isRSA() {
			template.KeyUsage |= x509.KeyUsageKeyEncipherment // for the RSA key exchange of TLS 1.2
		}
		template.NotBefore, template.NotAfter = notBefore, notAfter
		template.SubjectKeyId, template.AuthorityKeyId = key.ski, signer.cert.SubjectKeyId
		template.SerialNumber = signer.serial(content, key)
		return finish(template, key, signer)
	})
	return leaf, id, err
}

// ownTemplate is a TLS server's certificate in the profile of RFC 9525: what counts is the SubjectAltName.
func ownTemplate(name string) *x509.Certificate {
	template := &x509.Certificate{
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if addr, err := netip.ParseAddr(name); err == nil {
		template.IPAddresses = []net.IP{addr.AsSlice()}
	} else {
		template.DNSNames = []string{name}
	}
	if len(name) <= maxCommonName {
		template.Subject = pkix.Name{CommonName: name}
	}
	return template
}

// ownDates starts at a date that stays the same for a month, a day early for clocks that are behind.
func ownDates(issuer *x509.Certificate, now time.Time) (notBefore, notAfter time.Time, err error) {
	now = now.UTC()
	if err := checkDates(issuer, now); err != nil {
		return time.Time{}, time.Time{}, err
	}
	notBefore = time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC).Add(-24 * time.Hour)
	// RFC 5280 section 4.1.2.5: NotAfter belongs to the period, so 397 days end a second earlier.
	notAfter = notBefore.Add(ownValidity - time.Second)
	if notBefore.Before(issuer.NotBefore) {
		notBefore = issuer.NotBefore
	}
	if notAfter.After(issuer.NotAfter) {
		notAfter = issuer.NotAfter
	}
	return notBefore, notAfter, nil
}

// canonicalName gives each name one form, so that it has one leaf: an address without zone, or a DNS name in lower
// case without the final dot. International names come as A-labels (RFC 5890).
func canonicalName(name string) (string, error) {
	if addr, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return addr.WithZone("").Unmap().String(), nil
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if len(name) > 253 { // RFC 1035 section 3.1: 255 octets on the wire
		return "", fmt.Errorf("%w: longer than a DNS name may be", ErrNotAName)
	}
	if !bridge.IsHostName(name) {
		return "", ErrNotAName
	}
	return name, nil
}

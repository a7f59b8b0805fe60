package mitm

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/bridgeio/bridgeio/internal/pfx"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
)

// ClientCertificate is the certificate to show to servers with these names when they ask
// for one.
type ClientCertificate struct {
	// Names are server names. "*.example.com" stands for all below example.com, not
	// for itself; "*" for every server.
	Names []string

	Certificate tls.Certificate
}

// ParseClientCertificate loads what "NAMES:FILE" or "NAMES:FILE:PASS" says. NAMES are
// separated by commas; the rest is as SplitFile and ReadSecret take it. An error does not
// hold the password.
func ParseClientCertificate(v string) (ClientCertificate, error) {
	names, file, pass, err := splitNamesFile(v)
	if err != nil {
		return ClientCertificate{}, err
	}
	if pass, err = ReadSecret(pass); err != nil {
		return ClientCertificate{}, err
	}
	c, err := LoadCertificate(file, pass)
	return ClientCertificate{Names: names, Certificate: c}, err
}

// splitNamesFile takes "NAMES:FILE:PASS" apart.
func splitNamesFile(v string) (names []string, file, pass string, err error) {
	list, rest, ok := strings.Cut(v, ":")
	file, pass = SplitFile(rest)
	if !ok || file == "" {
		return nil, "", "", errors.New("want NAMES:FILE or NAMES:FILE:PASS, like example.com,*.example.org:cert.p12:env:PASSWORD")
	}
	names = strings.Split(list, ",")
	for _, name := range names {
		suffix, isWild := strings.CutPrefix(name, "*")
		if name == "" || strings.ContainsAny(suffix, "*/ ") || isWild && suffix != "" && suffix[0] != '.' {
			return nil, "", "", fmt.Errorf("%q is not a name like example.com, *.example.com or *", name)
		}
	}
	return names, file, pass, nil
}

// matchesName reports whether one of the patterns is for the name.
func matchesName(patterns []string, name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	for _, pattern := range patterns {
		suffix, isWild := strings.CutPrefix(strings.ToLower(pattern), "*")
		if isWild && suffix != "" && suffix[0] != '.' {
			continue // it would be for names of others
		}
		if !isWild && suffix == name || isWild && strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// clientCertificate returns the first one that is for the server, or nil.
func (c *Config) clientCertificate(name string) *tls.Certificate {
	for i := range c.ClientCertificates {
		if matchesName(c.ClientCertificates[i].Names, name) {
			return &c.ClientCertificates[i].Certificate
		}
	}
	return nil
}

// clientCertificate is the one to show to a server. One that does not verify is told that
// there is none: who we are is for the server alone whose certificate is for its name.
func (s *Server) clientCertificate(server *tlsbridge.Snapshot, minter *Minter) *tls.Certificate {
	ours := s.config.clientCertificate(server.Name)
	if ours != nil && !minter.trusts(server) {
		return &tls.Certificate{}
	}
	return ours
}

// LoadCertificate reads a certificate with its key, and the intermediates that go with
// it, from a file in PEM or PKCS #12 (RFC 7292). The password is for the latter.
func LoadCertificate(file, password string) (tls.Certificate, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return tls.Certificate{}, err
	}
	if pfx.IsPEM(content) {
		c, err := tls.X509KeyPair(content, content)
		if err != nil {
			return c, fmt.Errorf("%s: %s", file, strings.TrimPrefix(err.Error(), "tls: "))
		}
		return c, nil
	}
	key, certs, err := pfx.Decode(content, password)
	switch {
	case errors.Is(err, pfx.ErrPassword), errors.Is(err, pfx.ErrNoPassword), errors.Is(err, pfx.ErrKey):
		return tls.Certificate{}, fmt.Errorf("%s: %w", file, err)
	case err != nil:
		return tls.Certificate{}, fmt.Errorf("%s: neither PEM with a certificate and its key nor PKCS #12 (%w)", file, err)
	}
	c := tls.Certificate{PrivateKey: key, Leaf: certs[0]}
	for _, certificate := range certs {
		c.Certificate = append(c.Certificate, certificate.Raw)
	}
	return c, nil
}

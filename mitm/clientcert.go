package mitm

import (
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"strings"

	pkcs12 "software.sslmate.com/src/go-pkcs12"

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

// matches reports whether it is for the server with this name.
func (c *ClientCertificate) matches(name string) bool {
	name = strings.ToLower(name)
	for _, pattern := range c.Names {
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
		if c.ClientCertificates[i].matches(name) {
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
	if strings.Contains(string(content), "-----BEGIN ") {
		c, err := tls.X509KeyPair(content, content)
		if err != nil {
			return c, fmt.Errorf("%s: %s", file, strings.TrimPrefix(err.Error(), "tls: "))
		}
		return c, nil
	}
	key, leaf, rest, err := pkcs12.DecodeChain(content, password)
	switch {
	case errors.Is(err, pkcs12.ErrIncorrectPassword):
		return tls.Certificate{}, fmt.Errorf("%s: the password is not the one of this PKCS #12 file", file)
	case err != nil:
		return tls.Certificate{}, fmt.Errorf("%s: neither PEM with a certificate and its key nor PKCS #12 (%s)", file, strings.TrimPrefix(err.Error(), "pkcs12: "))
	}
	signer, ok := key.(interface{ Public() crypto.PublicKey })
	if public, comparable := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !comparable || !public.Equal(signer.Public()) {
		return tls.Certificate{}, fmt.Errorf("%s: the key is not the certificate's", file)
	}
	c := tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
	for _, intermediate := range rest {
		c.Certificate = append(c.Certificate, intermediate.Raw)
	}
	return c, nil
}

package main

import (
	"crypto/tls"
	"fmt"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// certificates are those of the origins, and of the proxies that are given one. All
// keys are of P-256.
type certificates struct {
	root   *peers.Authority // of the origins
	origin tls.Certificate
	edge   peers.Leaf // what a proxy shows that does not make its own
	other  peers.Leaf // of a server that is in the proxy's own process
}

const serverName = "localhost"

func newCertificates() (certificates, error) {
	root, err := peers.NewAuthority()
	if err != nil {
		return certificates{}, err
	}
	c := certificates{root: root}
	if c.origin, err = c.issue(serverName); err != nil {
		return certificates{}, err
	}
	other, err := peers.NewAuthority()
	if err != nil {
		return certificates{}, err
	}
	if c.edge, err = other.Leaf(serverName); err != nil {
		return certificates{}, err
	}
	c.other, err = root.Leaf(serverName)
	return c, err
}

// issue makes an origin's certificate for one name.
func (c certificates) issue(name string) (tls.Certificate, error) {
	leaf, err := c.root.Leaf(name)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair([]byte(leaf.Cert), []byte(leaf.Key))
}

// originConfig is that of an origin that has one name, and one key exchange.
func (c certificates) originConfig(group tls.CurveID) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{c.origin}, CurvePreferences: []tls.CurveID{group}}
}

// anyName is that of an origin that has every name, and makes a certificate each
// time that it is asked: nobody asks twice.
func (c certificates) anyName(group tls.CurveID) *tls.Config {
	return &tls.Config{
		CurvePreferences: []tls.CurveID{group},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			leaf, err := c.issue(hello.ServerName)
			if err != nil {
				return nil, fmt.Errorf("certificate of %s: %w", hello.ServerName, err)
			}
			return &leaf, nil
		},
	}
}

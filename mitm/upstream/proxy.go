package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/layers/httpconnect"
	"github.com/bridgeio/bridgeio/layers/socks"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
)

// Scheme is what a proxy speaks.
type Scheme string

const (
	SOCKS5 Scheme = "socks5" // RFC 1928
	SOCKS4 Scheme = "socks4" // SOCKS4 for IPv4 addresses, SOCKS4A for names
	HTTP   Scheme = "http"   // CONNECT, RFC 9110 §9.3.6
	HTTPS  Scheme = "https"  // the same over TLS
)

// Proxy is a proxy server that connections are made through. It is not changed after first use.
type Proxy struct {
	Scheme Scheme
	Addr   bridge.Addr

	// User and Password are shown to a proxy that takes them: to a SOCKS5 server by RFC 1929 when it asks, to an HTTP
	// proxy as Basic credentials with each request, and the user to a SOCKS4 server.
	User, Password string
}

// String returns the proxy's URL with the password replaced by "xxxxx".
func (p Proxy) String() string {
	u := url.URL{Scheme: string(p.Scheme), Host: p.Addr.String()}
	switch {
	case p.Password != "":
		u.User = url.UserPassword(p.User, "xxxxx")
	case p.User != "":
		u.User = url.User(p.User)
	}
	return u.String()
}

// MarshalText is String, so that no log and no JSON shows the password.
func (p Proxy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Dialer returns the dialler that reaches hops through the proxy, which next connects to; nil means a net.Dialer. Roots
// are what the certificate of an HTTPS proxy is verified against; nil means the system's. Limits bounds the handshakes
// with the proxy.
func (p Proxy) Dialer(next bridge.DialFunc, roots *x509.CertPool, limits bridge.Limits) bridge.DialFunc {
	switch p.Scheme {
	case SOCKS5, SOCKS4:
		version := byte(5)
		if p.Scheme == SOCKS4 {
			version = 4
		}
		return socks.Dial(next, socks.DialConfig{Proxy: p.Addr, Version: version, User: p.User, Password: p.Password, Limits: limits})
	case HTTPS:
		next = tlsbridge.Dial(next, tlsbridge.DialConfig{
			TLS:     &tls.Config{RootCAs: roots, NextProtos: []string{"http/1.1"}},
			Timeout: limits.Turn,
		})
	}
	return httpconnect.Dial(next, httpconnect.DialConfig{Proxy: p.Addr, User: p.User, Password: p.Password, Limits: limits})
}

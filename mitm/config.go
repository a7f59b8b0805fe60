package mitm

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/mitm/ca"
	"github.com/bridgeio/bridgeio/mitm/capture"
	"github.com/bridgeio/bridgeio/mitm/intercept"
	"github.com/bridgeio/bridgeio/mitm/policy"
	"github.com/bridgeio/bridgeio/mitm/upstream"
)

// NonTLS says what becomes of flows that are not TLS.
type NonTLS uint8

const (
	NonTLSDefault  NonTLS = iota // as NonTLSAllow, and on listeners for TLS as NonTLSBlock
	NonTLSAllow                  // they are relayed as they are
	NonTLSBlock                  // they are ended
	NonTLSEncrypt                // they are relayed, and the server is spoken TLS with
	NonTLSRedirect               // they are relayed to NonTLSTarget
)

// TLSListener is a listener for TLS.
type TLSListener struct {
	Addr string // host:port

	// Port is dialled: where Connect has none, and where the client names the server, or the
	// kernel does (Transparent). Zero means that of Addr, or the one that the kernel names.
	Port uint16

	// Decrypted is the port of what is inside, which captures show instead.
	Decrypted uint16
}

// Config says what a Server does. The zero value listens on 127.0.0.1:8080 with the
// automatic chain and the authority in the user's configuration directory. It is not
// changed after New.
type Config struct {
	// Listen, SOCKS and HTTPConnect are the addresses to listen on, as host:port.
	// Listen takes whatever comes: SOCKS4, 4a and 5, requests for an HTTP proxy, and
	// TLS, nested to any depth. SOCKS and HTTPConnect speak one protocol only, and
	// always terminate it. When all are empty, Listen is 127.0.0.1:8080.
	Listen, SOCKS, HTTPConnect []string

	// TLS are listeners for TLS: it goes to Connect, or where its server_name says.
	TLS []TLSListener

	// HAProxy are the addresses of listeners to which each connection comes with a PROXY
	// header, whose destination is dialled. Who may send one is AcceptProxy, or Allow when
	// that is empty.
	HAProxy []string

	// Connect is one server for everything. With it the automatic chain relays all
	// protocols; the other listeners terminate theirs and replace the destination. Its Port
	// may be zero where each listener knows one or is told it by the client.
	Connect bridge.Addr

	// Upstream is a proxy through which everything is dialled; nil means that nothing is.
	// It is no destination: without Connect clients say what they want. Names are handed
	// on to it, and resolved there.
	Upstream *upstream.Proxy

	// Allow is who may use listeners that dial where the client says; nil means
	// loopback, private, link-local and unique-local addresses. It does not count
	// where Connect is set.
	Allow []netip.Prefix

	// Auth lists who may use the proxy; nil means everybody whom Allow allows.
	Auth []Credential

	// DenyTarget is what may not be reached, on top of what is denied to clients that
	// are not on loopback: loopback, our own addresses, link-local, unspecified and
	// multicast ones. AllowTarget beats both. They are checked on the resolved
	// address, and do not count for Connect. With Upstream, which resolves names, they
	// are checked where clients ask for an address; they do not count for the proxy.
	DenyTarget, AllowTarget []netip.Prefix

	// Names are our own names: TLS for one of them is for us. Nil means the host's
	// name and localhost.
	Names []string

	// AcceptProxy are the sources that must send a PROXY header, AutoProxy those that
	// may. From others it is payload, unless RejectUntrustedProxy.
	AcceptProxy, AutoProxy []netip.Prefix
	RejectUntrustedProxy   bool

	// ProxyHeader says what becomes of a PROXY header that was believed. Where it is passed
	// on and SendProxy is 0, flows without one that is believed end. Servers of other
	// flows are sent one of version SendProxy, 1 or 2; 0 is none. Its destination is what the
	// client has asked for, by SOCKS or HTTP or a balancer, or else has connected to, which
	// with Transparent is the server that it meant: Connect does not count. ProxyTLVs are in
	// those of version 2 that are written here.
	ProxyHeader ProxyHeader
	SendProxy   int
	ProxyTLVs   ProxyTLVs

	// NonTLS says what becomes of flows that are not TLS. Where they are not simply relayed,
	// the client is waited for first: one that is silent for a second counts as none that
	// speaks TLS.
	NonTLS       NonTLS
	NonTLSTarget bridge.Addr

	// NoSNI is the name of the server where the client sends no server_name.
	NoSNI string

	// Terminate has TLS end here: the server is spoken to plainly.
	Terminate bool

	// Transparent is how the kernel brings Listen and TLS what clients mean for others; a
	// flow's hop is what its client meant then. Other connections to these listeners end.
	Transparent intercept.Mode

	// Mark is the SO_MARK of connections to servers, by which the kernel's rules know ours;
	// 0 is none. Queries for names have it where Go's resolver makes them. Source is the address that servers see, and SourceAddr what it is for
	// that word. All of that is for Linux.
	Mark       uint32
	Source     Source
	SourceAddr netip.Addr

	// Rules say what becomes of flows, before all other options do; nil: nothing.
	Rules *policy.Rules

	// CA signs the certificates that clients see; nil means the authority that Open
	// finds or makes in ca.DefaultDir. The Server does not close one that it was given.
	CA *ca.Authority

	// OtherCA signs for clients that say that they can't check the signatures of CA, as
	// old ones do that know RSA alone; nil: they are let through. The Server does not
	// close it.
	OtherCA *ca.Authority

	// Roots are what servers' certificates are verified against; nil means the
	// system's.
	Roots *x509.CertPool

	// Fingerprint says which hello servers are sent.
	Fingerprint Fingerprint

	// ClientCertificates are shown to servers that ask for one: the first that is for
	// the server's name. MutualTLS says what becomes of flows for which there is none.
	ClientCertificates []ClientCertificate
	MutualTLS          MutualTLS

	// ServerCertificates are shown to clients in the place of ours: the first that is
	// for the name that the client asks for.
	ServerCertificates []*ServerCertificate

	// ClientCAs are what clients' certificates are verified against where TLS is
	// terminated; nil: clients are not asked for one.
	ClientCAs *x509.CertPool

	// ECH says what becomes of hellos with an Encrypted Client Hello; those that were
	// made for one of ECHKeys are decrypted in any case.
	ECH     ECH
	ECHKeys []tls.EncryptedClientHelloKey

	// Bypass remembers clients that do not accept our certificates, and has them let
	// through; nil: none is.
	Bypass *policy.Bypass

	// KeyLog gets the secrets of both sides of TLS (RFC 9850), a line with each Write;
	// nil: nobody does.
	KeyLog io.Writer

	// Wire is shown what sockets carry, for captures that want more than what is inside
	// of TLS; nil: nobody is.
	Wire *capture.Wire

	// Verify says what becomes of flows whose server's certificate does not verify, and
	// LeafCert what clients are shown in the place of the servers' certificates.
	Verify   Verify
	LeafCert LeafCert

	// Limits bounds flows. Its Turn also bounds a turn of a TLS handshake.
	Limits bridge.Limits

	// Observer sees all flows.
	Observer *bridge.Observer

	// Log gets what is not about one flow; nil means slog.Default.
	Log *slog.Logger
}

// Credential is a user name and a password.
type Credential struct{ User, Password string }

// ParseCredential parses "user:password".
func ParseCredential(s string) (Credential, error) {
	user, password, ok := strings.Cut(s, ":")
	if !ok || user == "" || len(user) > 255 || len(password) > 255 {
		return Credential{}, errors.New("want USER:PASSWORD, each of at most 255 bytes")
	}
	return Credential{user, password}, nil
}

// ParsePrefixes parses a list of prefixes and addresses, separated by commas.
func ParsePrefixes(list string) ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	for item := range strings.SplitSeq(list, ",") {
		p, err := parsePrefix(strings.TrimSpace(item))
		if err != nil {
			return nil, err
		}
		prefixes = append(prefixes, p)
	}
	return prefixes, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		return netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not an address or a prefix like 10.0.0.0/8", s)
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// defaultListen is where a Server without any listener listens.
const defaultListen = "127.0.0.1:8080"

// defaultTransparent is the same where the kernel brings connections: it does not bring those
// of other hosts to loopback.
const defaultTransparent = ":8080"

// withDefaults returns c as New uses it, or says what is wrong with it.
func (c Config) withDefaults() (Config, error) {
	if len(c.Listen)+len(c.SOCKS)+len(c.HTTPConnect)+len(c.TLS)+len(c.HAProxy) == 0 {
		c.Listen = []string{defaultListen}
		if c.Transparent != intercept.None {
			c.Listen = []string{defaultTransparent}
		}
	}
	tls := make([]string, len(c.TLS))
	for i, l := range c.TLS {
		tls[i] = l.Addr
	}
	for _, list := range [][]string{c.Listen, c.SOCKS, c.HTTPConnect, tls, c.HAProxy} {
		for _, addr := range list {
			if err := checkListen(addr); err != nil {
				return c, err
			}
		}
	}
	if err := c.checkConnect(); err != nil {
		return c, err
	}
	if err := c.checkProxy(); err != nil {
		return c, err
	}
	if to := c.NonTLSTarget; c.NonTLS == NonTLSRedirect && (!isHost(to.Host) || to.Port == 0) {
		return c, fmt.Errorf("flows that are not TLS: %q: want a host and a port from 1 to 65535 for them", to)
	}
	if c.NoSNI != "" && !isHost(c.NoSNI) {
		return c, fmt.Errorf("the name for clients that send none: %q: want a host name in ASCII", c.NoSNI)
	}
	if (c.Transparent != intercept.None || c.Mark != 0 || c.Source != SourceOwn) && runtime.GOOS != "linux" {
		return c, fmt.Errorf("transparent proxying, marks and source addresses: %w on %s", errors.ErrUnsupported, runtime.GOOS)
	}
	if err := c.checkEgress(); err != nil {
		return c, err
	}
	if c.Source == SourceAddr && !c.SourceAddr.IsValid() {
		return c, errors.New("the source address: want an IP address")
	}
	if c.Allow == nil {
		c.Allow = privateNetworks()
	}
	if c.Names == nil {
		c.Names = []string{"localhost"}
		if name, err := os.Hostname(); err == nil {
			c.Names = append(c.Names, name)
		}
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c, nil
}

// checkConnect wants one port to connect to, no less and no more.
func (c Config) checkConnect() error {
	to := c.Connect
	switch {
	case to.IsZero():
		return nil
	case !isHost(to.Host):
		return fmt.Errorf("connect %q: want a host name in ASCII, or an IP address", to.Host)
	case to.Port == 0 && len(c.Listen) > 0 && c.Transparent == intercept.None:
		return fmt.Errorf("connect %s: want a port from 1 to 65535, nothing else says which", to.Host)
	case to.Port == 0:
		return nil
	}
	for _, l := range c.TLS {
		if l.Port != 0 && l.Port != to.Port {
			return fmt.Errorf("connect %s: listen %q names another port, %d: leave one of them out", to, l.Addr, l.Port)
		}
	}
	return nil
}

func isHost(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil || bridge.IsHostName(s)
}

func checkListen(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("listen %q: want HOST:PORT", addr)
	}
	if n, err := net.LookupPort("tcp", port); err != nil || n < 0 {
		return fmt.Errorf("listen %q: want a port from 0 to 65535", addr)
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && host != "localhost" {
		return fmt.Errorf("listen %q: want an IP address, localhost, or nothing for all addresses", addr)
	}
	return nil
}

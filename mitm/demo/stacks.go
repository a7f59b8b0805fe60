package demo

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"golang.org/x/net/proxy"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/mitm"
)

// stack is one way from a client to the origin.
type stack struct {
	name      string
	path      string                     // what the flow must record
	h2        bool                       // whether the client offers HTTP/2
	configure func(*mitm.Config, *peers) // what the proxy is told
	steps     steps                      // what the client says, outermost first
	to        func(*peers) bridge.Addr   // what it connects to; nil: the proxy
	seen      string                     // whom the origin must have seen; "": anybody
}

type steps []func(*demo, net.Conn) (net.Conn, error)

func stacks() []stack {
	forward := func(*mitm.Config, *peers) {}
	toSOCKS := func(c *mitm.Config, p *peers) { c.Connect = p.socks }
	toProxy := func(c *mitm.Config, p *peers) { c.Connect = p.proxy }
	behindBalancer := func(c *mitm.Config, p *peers) {
		c.Connect = p.socks
		c.AcceptProxy = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}
	return []stack{
		{"SOCKS5, served", "socks5>tls(h2)", true, forward, steps{saySOCKS5}, nil, ""},
		{"CONNECT, served", "connect>tls(http/1.1)", false, forward, steps{sayConnect}, nil, ""},
		{"SOCKS5, relayed", "socks5>tls(h2)", true, toSOCKS, steps{saySOCKS5}, nil, ""},
		{"CONNECT, relayed", "connect>tls(http/1.1)", false, toProxy, steps{sayConnect}, nil, ""},
		{"HTTPS proxy", "tls(http/1.1)>connect>tls(h2)", true, forward, steps{sayTLS, sayConnect}, nil, ""},
		{"PROXY and SOCKS5", "proxy1>socks5>tls(h2)", true, behindBalancer, steps{sayProxy, saySOCKS5}, nil, ""},
		{"SOCKS5 in CONNECT in SOCKS5", "socks5>connect>socks5>tls(h2)", true, forward, steps{
			throughSOCKS5((*peers).proxyAddr), throughConnect((*peers).socksAddr), saySOCKS5,
		}, nil, ""},
	}
}

func (p *peers) proxyAddr() bridge.Addr { return p.proxy }
func (p *peers) socksAddr() bridge.Addr { return p.socks }

// originAddr is the origin as the clients name it.
func (p *peers) originAddr() bridge.Addr { return bridge.Addr{Host: "localhost", Port: p.origin.Port} }

// fetch asks the origin for a page through the stack and checks what comes.
func (d *demo) fetch(ctx context.Context, s stack, entry string) error {
	transport := &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return d.dial(ctx, s, entry) },
		TLSClientConfig:   &tls.Config{RootCAs: d.clientRoots(), NextProtos: []string{s.alpn()}},
		ForceAttemptHTTP2: s.h2,
	}
	defer transport.CloseIdleConnections()
	url := "https://" + d.peers.originAddr().String() + s.page()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	issuer := response.TLS.PeerCertificates[0].RawIssuer
	switch {
	case string(body) != s.answer():
		return fmt.Errorf("the origin answered %q, want %q", body, s.answer())
	case response.TLS.NegotiatedProtocol != s.alpn():
		return fmt.Errorf("the application protocol is %q, want %q", response.TLS.NegotiatedProtocol, s.alpn())
	case !bytes.Equal(issuer, d.authority.Certificate().RawSubject):
		return fmt.Errorf("the certificate was issued by %s, want our authority", response.TLS.PeerCertificates[0].Issuer)
	}
	return nil
}

// page is what the stack's client asks for: it tells the flows apart in the capture.
func (s stack) page() string {
	return "/" + strings.ReplaceAll(strings.ReplaceAll(strings.ToLower(s.name), ",", ""), " ", "-")
}

func (s stack) answer() string {
	if s.h2 {
		return greeting(s.page(), "HTTP/2.0")
	}
	return greeting(s.page(), "HTTP/1.1")
}

// alpn is what the client offers, and the origin speaks.
func (s stack) alpn() string {
	if s.h2 {
		return "h2"
	}
	return "http/1.1"
}

// dial connects to the proxy and takes the steps of the stack.
func (d *demo) dial(ctx context.Context, s stack, entry string) (net.Conn, error) {
	c, err := d.clients.dial(ctx, "tcp", entry)
	if err != nil {
		return nil, err
	}
	for _, step := range s.steps {
		next, err := step(d, c)
		if err != nil {
			c.Close()
			return nil, err
		}
		c = next
	}
	return c, nil
}

func saySOCKS5(d *demo, c net.Conn) (net.Conn, error) {
	return throughSOCKS5((*peers).originAddr)(d, c)
}

func sayConnect(d *demo, c net.Conn) (net.Conn, error) {
	return throughConnect((*peers).originAddr)(d, c)
}

// throughSOCKS5 asks a SOCKS5 server for a destination.
func throughSOCKS5(to func(*peers) bridge.Addr) func(*demo, net.Conn) (net.Conn, error) {
	return func(d *demo, c net.Conn) (net.Conn, error) {
		socks, err := proxy.SOCKS5("tcp", "the other end", nil, made{c})
		if err != nil {
			return nil, err
		}
		return socks.Dial("tcp", to(d.peers).String())
	}
}

// made is a dialler that has connected already.
type made struct{ c net.Conn }

func (m made) Dial(string, string) (net.Conn, error) { return m.c, nil }

// throughConnect asks an HTTP proxy for a destination.
func throughConnect(to func(*peers) bridge.Addr) func(*demo, net.Conn) (net.Conn, error) {
	return func(d *demo, c net.Conn) (net.Conn, error) {
		authority := to(d.peers).String()
		if _, err := fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", authority, authority); err != nil {
			return nil, err
		}
		// Nothing follows the head before we speak, so nothing is lost in the reader.
		response, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: http.MethodConnect})
		if err != nil {
			return nil, err
		}
		if response.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("CONNECT %s: %s", authority, response.Status)
		}
		return c, nil
	}
}

// sayTLS speaks TLS with the proxy itself.
func sayTLS(d *demo, c net.Conn) (net.Conn, error) {
	secure := tls.Client(c, &tls.Config{ServerName: "localhost", RootCAs: d.clientRoots(), NextProtos: []string{"http/1.1"}})
	return secure, secure.Handshake()
}

// sayProxy is a balancer that names the client behind it.
func sayProxy(_ *demo, c net.Conn) (net.Conn, error) {
	_, err := io.WriteString(c, "PROXY TCP4 198.51.100.7 198.51.100.80 50000 1080\r\n")
	return c, err
}

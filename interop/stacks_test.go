package interop

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/internal/peers"
	"golang.org/x/net/proxy"
)

// A step takes a connection one protocol further in.
type step func(c net.Conn) (net.Conn, error)

// socks5 asks a SOCKS5 server for an address, with a client that is not ours.
func socks5(addr string) step {
	return func(c net.Conn) (net.Conn, error) {
		d, err := proxy.SOCKS5("tcp", "", nil, connected{c})
		if err != nil {
			return nil, err
		}
		return d.Dial("tcp", addr)
	}
}

// connected is a dialler that has its connection already.
type connected struct{ c net.Conn }

func (d connected) Dial(string, string) (net.Conn, error) { return d.c, nil }

// connect asks an HTTP proxy for an address.
func connect(addr string) step {
	return func(c net.Conn) (net.Conn, error) {
		if _, err := fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", addr); err != nil {
			return nil, err
		}
		r := bufio.NewReader(c)
		res, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
		if err != nil {
			return nil, err
		}
		if res.StatusCode != http.StatusOK || r.Buffered() > 0 {
			return nil, fmt.Errorf("CONNECT %s: %s, and %d bytes after it", addr, res.Status, r.Buffered())
		}
		return c, nil
	}
}

// fetch takes the steps to a site, and asks it for its status by HTTP/2 over TLS.
func fetch(t *testing.T, s site, m *mitm, steps ...step) map[string]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
	defer cancel()
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return walk(ctx, m.addrs[0], steps)
		},
		TLSClientConfig:   &tls.Config{RootCAs: pool(t, m.root)},
		ForceAttemptHTTP2: true,
	}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.https("/status"), nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fields(t, string(page))
}

func walk(ctx context.Context, addr string, steps []step) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(runTimeout)); err != nil {
		return nil, err
	}
	for _, step := range steps {
		next, err := step(c)
		if err != nil {
			c.Close()
			return nil, err
		}
		c = next
	}
	return c, nil
}

// proxies are the real ones that a stack leads through.
type proxies struct{ socks, second, web, secure int }

func startProxies(t *testing.T, s site) proxies {
	t.Helper()
	p := proxies{reserve(t), reserve(t), reserve(t), reserve(t)}
	start(t, peers.Microsocks(p.socks, "", ""))
	start(t, peers.Microsocks(p.second, "", ""))
	start(t, peers.Tinyproxy(p.web))
	start(t, peers.HAProxy(peers.HAProxyConfig{Listen: p.secure, Server: at(p.web), Leaf: &s.leaf}))
	return p
}

func at(port int) string { return fmt.Sprintf("localhost:%d", port) }

// Stacks in which the client speaks each protocol with a server of its own; mitm
// stands in front of the first, or is the first.
func TestStacks(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	p := startProxies(t, s)
	origin := s.target()
	tests := []struct {
		name  string
		hop   int // the server that mitm stands in front of; 0: it is one itself
		steps []step
		path  string
	}{
		{"CONNECT, SOCKS5, TLS, relayed", p.web, []step{connect(at(p.socks)), socks5(origin)}, "connect>socks5>tls(h2)"},
		{"CONNECT, SOCKS5, TLS, the first one terminated", 0, []step{connect(at(p.socks)), socks5(origin)}, "connect>socks5>tls(h2)"},
		{"SOCKS5, SOCKS5, CONNECT, TLS, relayed", p.socks, []step{socks5(at(p.second)), socks5(at(p.web)), connect(origin)}, "socks5>socks5>connect>tls(h2)"},
		{"SOCKS5, SOCKS5, CONNECT, TLS, the first one terminated", 0, []step{socks5(at(p.second)), socks5(at(p.web)), connect(origin)}, "socks5>socks5>connect>tls(h2)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := s.infront(t, tt.hop)
			if got := fetch(t, s, m, tt.steps...); got["protocol"] != "HTTP/2.0" || got["sni"] != "localhost" {
				t.Errorf("nginx saw %v, want HTTP/2", got)
			}
			inspected(tt.path, origin, "h2").check(t, m.flow(t))
		})
	}
}

// infront starts a mitm in front of the server on port hop, or without one.
func (s site) infront(t *testing.T, hop int, more ...string) *mitm {
	t.Helper()
	if hop == 0 {
		return startMitm(t, s.listen(more...)...)
	}
	return s.behind(t, hop, more...)
}

// Stacks that curl builds by itself.
func TestStacksOfCurl(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	p := startProxies(t, s)
	tests := []struct {
		name string
		hop  int
		args func(m *mitm) []string
		path string
	}{
		{"an HTTPS proxy, which we are", 0, overTLS, "tls(http/1.1)>connect>tls(h2)"},
		{"an HTTPS proxy, relayed", p.secure, overTLS, "tls(http/1.1)>connect>tls(h2)"},
		{"a SOCKS5 server before an HTTP proxy", p.socks, func(m *mitm) []string {
			return []string{"--preproxy", "socks5h://" + m.addrs[0], "-x", "http://" + at(p.web)}
		}, "socks5>connect>tls(h2)"},
		{"a SOCKS5 server before an HTTPS proxy", 0, func(m *mitm) []string {
			return []string{"--preproxy", "socks5h://" + m.addrs[0], "-x", "https://" + at(p.secure), "--proxy-cacert", m.root}
		}, "socks5>tls(http/1.1)>connect>tls(h2)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := s.infront(t, tt.hop)
			args := append(tt.args(m), "--cacert", m.root, "-w", "code=%{http_code} version=%{http_version}", s.https("/status"))
			if got := fields(t, curl(t, args...)); got["protocol"] != "HTTP/2.0" || got["version"] != "2" || got["code"] != "200" {
				t.Errorf("nginx and curl saw %v, want HTTP/2", got)
			}
			inspected(tt.path, s.target(), "h2").check(t, m.flow(t))
		})
	}
}

// overTLS makes curl speak TLS with its proxy, by a name that is ours.
func overTLS(m *mitm) []string {
	_, port, _ := strings.Cut(m.addrs[0], ":")
	return []string{"-x", "https://localhost:" + port, "--proxy-cacert", m.root}
}

// A balancer tells of its client, and then the client's own stack follows.
func TestAStackBehindABalancer(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	p := startProxies(t, s)
	m := s.behind(t, p.socks, "--accept-proxy", "127.0.0.1")
	balancer := reserve(t)
	start(t, peers.HAProxy(peers.HAProxyConfig{Listen: balancer, Server: m.addrs[0], Send: "send-proxy-v2"}))
	got := fields(t, curl(t, "--preproxy", fmt.Sprintf("socks5h://127.0.0.1:%d", balancer), "-x", "https://"+at(p.secure),
		"--proxy-cacert", m.root, "--cacert", m.root, "-w", "local=%{local_port}", s.https("/status")))
	if got["protocol"] != "HTTP/2.0" {
		t.Errorf("nginx saw %v, want HTTP/2", got)
	}
	f := m.flow(t)
	inspected("proxy2>socks5>tls(http/1.1)>connect>tls(h2)", s.target(), "h2").check(t, f)
	if want := "127.0.0.1:" + got["local"]; f.Client != want {
		t.Errorf("client %s, want curl's %s", f.Client, want)
	}
}

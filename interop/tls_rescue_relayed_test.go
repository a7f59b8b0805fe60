package interop

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// A rescue takes the server side back to where the TLS began, whatever was around it.
func TestTLSRescuesBelowAnything(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	p := startProxies(t, s)
	u := newMutual(t)
	port := u.nginx(t, "on")
	balanced := s.behind(t, p.socks, "--accept-proxy", "127.0.0.1")
	balancer := reserve(t)
	start(t, peers.HAProxy(peers.HAProxyConfig{Listen: balancer, Server: balanced.addrs[0], Send: "send-proxy-v2"}))
	for _, tt := range []struct {
		name, path string
		m          *mitm
		args       func(m *mitm) []string
	}{
		{"SOCKS5, relayed", "socks5", s.behind(t, p.socks), func(m *mitm) []string { return []string{"-x", "socks5h://" + m.addrs[0]} }},
		{"CONNECT, relayed", "connect", s.behind(t, p.web), func(m *mitm) []string { return []string{"-x", "http://" + m.addrs[0]} }},
		{"SOCKS5 and CONNECT, relayed", "socks5>connect", s.behind(t, p.socks), func(m *mitm) []string {
			return []string{"--preproxy", "socks5h://" + m.addrs[0], "-x", "http://" + at(p.web)}
		}},
		{"an HTTPS proxy, relayed", "tls(http/1.1)>connect", s.behind(t, p.secure), overTLS},
		{"PROXY and SOCKS5, relayed", "proxy2>socks5", balanced, func(*mitm) []string {
			return []string{"-x", fmt.Sprintf("socks5h://127.0.0.1:%d", balancer)}
		}},
	} {
		for range 2 { // the second one is remembered
			page := curl(t, append(append(u.show(), "--cacert", u.root, "https://"+at(port)+"/"), tt.args(tt.m)...)...)
			if !strings.HasPrefix(page, "verify=SUCCESS client=CN=alice") {
				t.Errorf("%s: the page is %q", tt.name, page)
			}
			if f := tt.m.flow(t); f.Path != tt.path+">tls(pass)" || f.Action != "rescue" {
				t.Errorf("%s: flow %+v, want a rescue below %s", tt.name, f, tt.path)
			}
		}
	}
}

package interop

import (
	"fmt"
	"net"
	"slices"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// onRouter starts a mitm on the router, with nothing said for it.
func (l routed) onRouter(t *testing.T, args ...string) *mitm {
	t.Helper()
	return startMitmAs(t, func(p peers.Program) peers.Program {
		p.Namespace = string(l.router)
		return p
	}, args...)
}

// byHand are rules of an operator who does not know that the proxy's own connections must go
// past: they take all that the router's root connects to.
func (l routed) byHand(t *testing.T, mode string, port int) {
	t.Helper()
	if mode == "redirect" {
		l.router.nft(t, fmt.Sprintf(`table inet byhand {
	chain out {
		type nat hook output priority -100
		meta skuid 0 tcp dport %d redirect to :9000
	}
}
`, port))
		return
	}
	for _, family := range []string{"-4", "-6"} {
		l.router.succeed(t, "ip", family, "rule", "add", "fwmark", "1", "lookup", "100")
		l.router.succeed(t, "ip", family, "route", "add", "local", "default", "dev", "lo", "table", "100")
	}
	l.router.nft(t, fmt.Sprintf(`table inet byhand {
	chain out {
		type route hook output priority mangle
		meta skuid 0 tcp dport %[1]d meta mark set 1
	}
	chain in {
		type filter hook prerouting priority mangle
		iifname lo meta nfproto ipv4 tcp dport %[1]d tproxy ip to :9000 meta mark set 1
		iifname lo meta nfproto ipv6 tcp dport %[1]d tproxy ip6 to :9000 meta mark set 1
	}
}
`, port))
}

// endInALoop wants one more client's connection to have made n of ours, each for the one before, of
// which the last one has come back and ended.
func (m *mitm) endInALoop(t *testing.T, n int) {
	t.Helper()
	flows := m.flows(t, m.read+1+n)[m.read:]
	m.read += 1 + n
	if !slices.ContainsFunc(flows, func(f peers.Flow) bool { return f.Reason == "loop" }) {
		t.Errorf("flows %+v, want a loop", flows)
	}
}

// Rules that bring the proxy's own connections back to it cost one of them, and not all there are.
func TestTransparentRulesThatLeadBack(t *testing.T) {
	inBothModes(t, func(t *testing.T, l routed, mode string) {
		const web = 8001
		shop := l.serve(t, web)
		l.byHand(t, mode, web)
		for _, tt := range []struct {
			name  string
			args  []string
			dials int
		}{
			{"to the destination", []string{"--listen", ":9000", "--transparent", mode}, 1},
			{"to the operator's server", []string{"--listen", ":9000", "--transparent", mode, "--connect", net.JoinHostPort("203.0.113.2", fmt.Sprint(web))}, 1},
			{"with an address of its own choice", []string{"--listen", ":9000", "--transparent", mode, "--usesrc", "198.51.100.1"}, 1},
			{"with the client's address, where ports may be the same by chance", []string{"--listen", ":9000", "--transparent", mode, "--usesrc", "clientip"}, 3},
		} {
			t.Run(tt.name, func(t *testing.T) {
				m := l.onRouter(t, tt.args...)
				for range 3 {
					if page := l.router.curl(t, protocolFamilies()[0].status(web)); page.Code == 0 {
						t.Errorf("curl has got %q", page.Stdout)
					}
					m.endInALoop(t, tt.dials)
				}
			})
		}
		t.Run("by IPv6", func(t *testing.T) {
			m := l.onRouter(t, "--listen", ":9000", "--transparent", mode)
			if page := l.router.curl(t, protocolFamilies()[1].status(web)); page.Code == 0 {
				t.Errorf("curl has got %q", page.Stdout)
			}
			m.endInALoop(t, 1)
		})
		if mode == "redirect" {
			t.Run("to a listener that knows of no rules", func(t *testing.T) {
				m := l.onRouter(t, "--listen", "127.0.0.1:9000", "--connect", net.JoinHostPort("203.0.113.2", fmt.Sprint(web)))
				if page := l.router.curl(t, "http://127.0.0.1:9000/status"); page.Code == 0 {
					t.Errorf("curl has got %q", page.Stdout)
				}
				m.endInALoop(t, 1)
			})
		}
		if from := shop.last(); from.IsValid() {
			t.Errorf("the server was reached from %s", from)
		}
		// The mark is what it takes.
		m := l.onRouter(t, "--listen", ":9000", "--transparent", mode, "--mark", "0x4000000")
		l.router.nft(t, "insert rule inet byhand out meta mark 0x4000000 accept\n")
		for _, f := range protocolFamilies() {
			if page := l.router.curl(t, f.status(web)); page.Code != 0 {
				t.Errorf("%s: curl: exit code %d\n%s", f.name, page.Code, page.Stderr)
			}
			if flow := m.flow(t); flow.Reason != "eof" {
				t.Errorf("%s: flow %+v", f.name, flow)
			}
		}
	})
}

// Addresses that a route alone makes the router's own lead back, too.
func TestRoutesThatLeadBack(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	l := newRouted(t)
	l.router.succeed(t, "ip", "route", "add", "local", "198.18.7.0/24", "dev", "lo")
	l.router.succeed(t, "ip", "-6", "route", "add", "local", "2001:db8:7::/64", "dev", "lo")
	for _, any := range []string{"198.18.7.7:9000", "[2001:db8:7::7]:9000"} {
		for _, tt := range []struct {
			name string
			args []string
			url  string
			via  []string
		}{
			{"the operator's server", []string{"--listen", "[::]:9000", "--connect", any}, "http://198.51.100.1:9000/", nil},
			{"what a client asks for", []string{"--listen", "[::]:9000", "--allow", "198.51.100.0/24"}, "http://" + any + "/", []string{"-x", "socks5://198.51.100.1:9000"}},
			{"what a client means", []string{"--listen", ":9000", "--transparent", "tproxy"}, "http://" + any + "/", nil},
		} {
			t.Run(any+" is "+tt.name, func(t *testing.T) {
				m := l.onRouter(t, tt.args...)
				for range 2 {
					if page := l.clients.curl(t, append(slices.Clone(tt.via), tt.url)...); page.Code == 0 {
						t.Errorf("curl has got %q", page.Stdout)
					}
					m.endInALoop(t, 1)
				}
			})
		}
	}
}

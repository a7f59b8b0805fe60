package interop

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
	"golang.org/x/sync/errgroup"
)

// Clients reach servers as if nothing stood between, and so do those that speak with proxies
// behind us.
func TestTransparent(t *testing.T) {
	inBothModes(t, func(t *testing.T, l routed, mode string) {
		leaf, root := issue(t, "origin.test")
		const web, secure, socks, proxy, closed = 8001, 8443, 1080, 3128, 9
		l.servers.start(t, peers.Nginx(peers.NginxConfig{Plain: web, TLS: secure, Leaf: leaf, Backend: "127.0.0.1:1"}))
		l.servers.start(t, peers.Microsocks(socks, "", ""))
		l.servers.start(t, peers.Tinyproxy(proxy))
		for _, port := range []int{web, secure, socks, proxy} {
			l.open(t, port)
		}
		l.divert(t, mode)
		m := l.transparently(t, mode, "--trust", root)
		for _, f := range protocolFamilies() {
			at := func(port int) string { return net.JoinHostPort(f.server, fmt.Sprint(port)) }
			named := []string{"--cacert", m.root, "--resolve", "origin.test:8443:" + f.server}
			for _, tt := range []struct {
				name   string
				args   []string
				target string
				path   string
				action string
			}{
				{"HTTP", []string{"http://" + at(web) + "/status"}, at(web), "http", "allow"},
				{"HTTPS", append(named, "https://origin.test:8443/status"), at(secure), "tls(h2)", "inspect"},
				{
					"HTTPS by SOCKS",
					append(named, "-x", "socks5://"+at(socks), "--connect-to", "::127.0.0.1:", "https://origin.test:8443/status"),
					"127.0.0.1:8443", "socks5>tls(h2)", "inspect",
				},
				{
					"HTTPS by an HTTP proxy",
					append(named, "-x", "http://"+at(proxy), "--connect-to", "::127.0.0.1:", "https://origin.test:8443/status"),
					"127.0.0.1:8443", "connect>tls(h2)", "inspect",
				},
			} {
				t.Run(f.name+" "+tt.name, func(t *testing.T) {
					res := l.clients.curl(t, tt.args...)
					if res.Code != 0 || res.Stdout == "" {
						t.Errorf("curl: exit code %d\n%s%s", res.Code, res.Stdout, res.Stderr)
					}
					flow := m.flow(t)
					if flow.Target != tt.target || flow.Path != tt.path || flow.Action != tt.action || !strings.HasPrefix(flow.Client, bracketed(f.client)) {
						t.Errorf("flow %+v, want %s to %s", flow, tt.path, tt.target)
					}
				})
			}
			t.Run(f.name+" refused", func(t *testing.T) {
				res := l.clients.curl(t, "http://"+at(closed)+"/")
				if res.Code != 7 && !(res.Code == 56 && strings.Contains(res.Stderr, "reset")) { // the kernel had accepted
					t.Errorf("curl: exit code %d\n%s", res.Code, res.Stderr)
				}
				if flow := m.flow(t); flow.Reason != "refused" || flow.Target != at(closed) {
					t.Errorf("flow %+v, want a refusal", flow)
				}
			})
		}
	})
}

func bracketed(ip string) string {
	if strings.Contains(ip, ":") {
		return "[" + ip + "]:"
	}
	return ip + ":"
}

// Servers see the address that they are to see, and the port, too.
func TestTransparentKeepsAddresses(t *testing.T) {
	inBothModes(t, func(t *testing.T, l routed, mode string) {
		l.divert(t, mode, "--usesrc", "client")
		const web = 8001
		shop := l.serve(t, web)
		for _, f := range protocolFamilies() {
			another := map[string]string{"IPv4": "198.51.100.77", "IPv6": "2001:db8:1::77"}[f.name]
			router := map[string]string{"IPv4": "203.0.113.1", "IPv6": "2001:db8:2::1"}[f.name]
			for _, tt := range []struct {
				name, source string
				addr         string
				port         bool // it is the client's
			}{
				{"nobody's", "", router, false},
				{"the client's", "clientip", f.client, false},
				{"the client's, and its port", "client", f.client, true},
				{"another one", another, another, false},
			} {
				t.Run(f.name+" "+tt.name, func(t *testing.T) {
					var args []string
					if tt.source != "" {
						args = []string{"--usesrc", tt.source}
					}
					m := l.transparently(t, mode, args...)
					res := l.clients.curl(t, f.status(web))
					if res.Code != 0 {
						t.Fatalf("curl: exit code %d\n%s", res.Code, res.Stderr)
					}
					client, err := netip.ParseAddrPort(m.flow(t).Client)
					if err != nil {
						t.Fatal(err)
					}
					seen := shop.last()
					if seen.Addr().Unmap().String() != tt.addr || tt.port && seen.Port() != client.Port() {
						t.Errorf("the server has seen %s of client %s, want %s", seen, client, tt.addr)
					}
				})
			}
		}
	})
}

// A balancer's word about its client counts as much as the client's own connection.
func TestTransparentSourceOfAHeader(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	l := newRouted(t)
	l.divert(t, "tproxy", "--usesrc", "clientip")
	const web, front = 8001, 8000
	shop := l.serve(t, web)
	for _, f := range protocolFamilies() {
		for _, header := range []string{"send-proxy", "send-proxy-v2"} {
			t.Run(f.name+" "+header, func(t *testing.T) {
				m := startMitmAs(t, func(p peers.Program) peers.Program {
					p.Namespace = string(l.router)
					return p
				}, "--listen", "127.0.0.1:0", "--connect", net.JoinHostPort(f.server, fmt.Sprint(web)), "--accept-proxy", "127.0.0.0/8", "--usesrc", "clientip")
				router := map[string]string{"IPv4": "198.51.100.1", "IPv6": "[2001:db8:1::1]"}[f.name]
				l.router.start(t, peers.Program{
					Name: "haproxy", Args: []string{"-db", "-f", peers.Here + "/haproxy.cfg"}, Ports: []int{front},
					Files: map[string]string{"haproxy.cfg": fmt.Sprintf(`defaults
	mode tcp
	timeout client 30s
	timeout server 30s
	timeout connect 5s
listen balancer
	bind %s:%d
	server mitm %s %s
`, router, front, m.addrs[0], header)},
				})
				if res := l.clients.curl(t, fmt.Sprintf("http://%s:%d/status", router, front)); res.Code != 0 {
					t.Fatalf("curl: exit code %d\n%s", res.Code, res.Stderr)
				}
				if seen := shop.last().Addr().Unmap().String(); seen != f.client {
					t.Errorf("the server has seen %s, want %s", seen, f.client)
				}
			})
		}
	}
}

// With CAP_NET_RAW alone, once root has put up the rules, nothing is missing.
func TestTransparentWithoutRoot(t *testing.T) {
	inBothModes(t, func(t *testing.T, l routed, mode string) {
		l.divert(t, mode, "--usesrc", "client")
		const web = 8001
		shop := l.serve(t, web)
		m := startMitmAs(t, func(p peers.Program) peers.Program {
			p.Namespace = string(l.router)
			// In a user namespace there is nobody else to be.
			const script = `cp "$1" "$0/mitm" && shift && if chown -R nobody "$0" 2>/dev/null; then user="--reuid nobody --clear-groups"; fi
					exec setpriv $user --inh-caps -all,+net_raw --ambient-caps -all,+net_raw --bounding-set -all,+net_raw "$0/mitm" "$@"`
			p.Name, p.Args = "sh", append([]string{"-c", script, peers.Here, p.Name}, p.Args...)
			return p
		}, "--listen", ":9000", "--transparent", mode, "--mark", "0x4000000", "--usesrc", "client")
		for _, f := range protocolFamilies() {
			if res := l.clients.curl(t, f.status(web)); res.Code != 0 {
				t.Fatalf("curl: exit code %d\n%s", res.Code, res.Stderr)
			}
			flow := m.flow(t)
			if seen := shop.last(); netip.AddrPortFrom(seen.Addr().Unmap(), seen.Port()).String() != flow.Client {
				t.Errorf("the server has seen %s, want %s", seen, flow.Client)
			}
		}
	})
}

// A connection to the listener itself is refused: with nothing to tell that it leads back, it
// would be dialled for ever.
func TestTransparentDoesNotDialItself(t *testing.T) {
	inBothModes(t, func(t *testing.T, l routed, mode string) {
		l.divert(t, mode)
		m := l.transparently(t, mode)
		var all errgroup.Group
		for _, f := range []string{"198.51.100.1", "2001:db8:1::1"} {
			for range 4 {
				all.Go(func() error {
					res, err := peers.Run(t.Context(), strings.NewReader(""), "ip", append([]string{"netns", "exec", string(l.clients), "curl"}, curlArgs("http://"+net.JoinHostPort(f, "9000")+"/")...)...)
					if err == nil && res.Code == 0 {
						err = fmt.Errorf("curl has got %q", res.Stdout)
					}
					return err
				})
			}
		}
		if err := all.Wait(); err != nil {
			t.Error(err)
		}
		for _, f := range m.flows(t, 8) {
			if f.Reason != "loop" {
				t.Errorf("flow %+v, want a loop", f)
			}
		}
	})
}

// HAProxy in our place, with the same rules, is seen as the same by both ends.
func TestTransparentAsHAProxy(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	l := newRouted(t)
	l.divert(t, "tproxy", "--usesrc", "clientip")
	const web = 8001
	shop := l.serve(t, web)
	observe := func() (seen [2]string) {
		t.Helper()
		for i, f := range protocolFamilies() {
			page := l.clients.curl(t, "-w", "%{http_code} from %{remote_ip}:%{remote_port}", f.status(web))
			refused := l.clients.curl(t, "-w", "%{http_code}", "http://"+net.JoinHostPort(f.server, "9")+"/")
			seen[i] = fmt.Sprintf("%s; %s; %s; the server sees %s", page.Stdout, page.Stderr, refused.Stdout, shop.last().Addr().Unmap())
		}
		return seen
	}
	m := l.transparently(t, "tproxy", "--usesrc", "clientip")
	ours := observe()
	if code, err := m.Terminate(t.Context()); code != 0 || err != nil {
		t.Fatalf("mitm ended with %d, %v", code, err)
	}
	l.router.start(t, peers.Program{
		Name: "haproxy", Args: []string{"-db", "-f", peers.Here + "/haproxy.cfg"}, Ports: []int{9000},
		Files: map[string]string{"haproxy.cfg": `defaults
	mode tcp
	timeout client 30s
	timeout server 30s
	timeout connect 5s
frontend clients
	bind :9000 transparent
	bind :::9000 v6only transparent
	use_backend six if { dst 2001:db8::/32 }
	default_backend four
backend four
	source 0.0.0.0 usesrc clientip
	server there 0.0.0.0
backend six
	source [::] usesrc clientip
	server there [::]
`},
	})
	theirs := observe()
	for i, f := range protocolFamilies() {
		if !strings.HasSuffix(ours[i], "the server sees "+f.client) || ours[i] != theirs[i] {
			t.Errorf("with us\n%s\nwith HAProxy\n%s", ours[i], theirs[i])
		}
	}
}

// What the rules leave alone goes past the proxy, also where they are for all interfaces.
func TestTransparentLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	const web, other = 8001, 8002
	for _, mode := range []string{"redirect", "tproxy"} {
		for _, chosen := range [][]string{{"--ports", "8001"}, {"--ports", "8001,1024-8000,8003-65535"}, {"--interface", "wire,out", "--ports", "8001,10000-65535"}} {
			t.Run(mode+" "+strings.Join(chosen, " "), func(t *testing.T) {
				t.Parallel()
				l := newRouted(t)
				l.servers.start(t, peers.Nginx(peers.NginxConfig{Plain: web, Backend: "127.0.0.1:1"}))
				l.servers.start(t, peers.Nginx(peers.NginxConfig{Plain: other, Backend: "127.0.0.1:1"}))
				l.open(t, web)
				shop := l.open(t, other)
				m := l.transparently(t, mode, append([]string{"--with-tproxy", "--usesrc", "clientip"}, chosen...)...)
				for _, f := range protocolFamilies() {
					for _, port := range []int{web, other} {
						res := l.clients.curl(t, "--max-time", "20", "http://"+net.JoinHostPort(f.server, fmt.Sprint(port))+"/status")
						if res.Code != 0 {
							t.Errorf("%s, port %d: curl: exit code %d\n%s", f.name, port, res.Code, res.Stderr)
						}
					}
					if seen := shop.last().Addr().Unmap().String(); seen != f.client {
						t.Errorf("the server has seen %s, want %s", seen, f.client)
					}
					if flow := m.flow(t); flow.Target != net.JoinHostPort(f.server, fmt.Sprint(web)) {
						t.Errorf("flow %+v", flow)
					}
				}
				m.flows(t, 2) // and no more
			})
		}
	}
}

// Who is impatient with its end does not leave the rules behind.
func TestTransparentEndsWithItsRules(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	l := newRouted(t)
	ln := l.servers.listen(t, "203.0.113.2:7")
	m := l.transparently(t, "redirect", "--with-tproxy", "--interface", "wire")
	var client net.Conn
	l.clients.within(t, func() (err error) { client, err = net.Dial("tcp", "203.0.113.2:7"); return err })
	defer client.Close()
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for range 2 { // the flow goes on, and is waited for
		if err := syscall.Kill(m.Pid(), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		m.eventually(t, "nobody listens", func() bool { return l.router.succeed(t, "ss", "-Htln", "sport", "=", "9000") == "" })
	}
	if code, err := m.Wait(t.Context()); code != 0 || err != nil {
		t.Errorf("mitm ended with %d, %v", code, err)
	}
	if got := l.router.succeed(t, "nft", "list", "ruleset"); got != "" {
		t.Errorf("it has left\n%s", got)
	}
}

// The command puts up the rules by itself, and leaves none behind. They take connections of the
// router, too, by who makes them, and not those of the command, whoever it is.
func TestTransparentWithItsRules(t *testing.T) {
	inBothModes(t, func(t *testing.T, l routed, mode string) {
		const web = 8001
		l.serve(t, web)
		before := l.router.succeed(t, "nft", "list", "ruleset") + l.router.succeed(t, "ip", "rule") + l.router.succeed(t, "ip", "-6", "rule")
		m := l.transparently(t, mode, "--with-tproxy", "--interface", "wire", "--uid", "root")
		for _, f := range protocolFamilies() {
			for name, n := range map[string]namespace{"a client": l.clients, "the router": l.router} {
				page := n.curl(t, f.status(web))
				if page.Code != 0 {
					t.Errorf("%s, %s: curl: exit code %d\n%s", name, f.name, page.Code, page.Stderr)
				}
				if flow := m.flow(t); flow.Reason != "eof" || flow.Path != "http" {
					t.Errorf("%s, %s: flow %+v", name, f.name, flow)
				}
			}
		}
		if code, err := m.Terminate(t.Context()); code != 0 || err != nil {
			t.Fatalf("mitm ended with %d, %v", code, err)
		}
		after := l.router.succeed(t, "nft", "list", "ruleset") + l.router.succeed(t, "ip", "rule") + l.router.succeed(t, "ip", "-6", "rule")
		if after != before {
			t.Errorf("the rules are\n%s\nwant\n%s", after, before)
		}
	})
}

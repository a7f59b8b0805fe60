package interop

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
	"golang.org/x/sync/errgroup"
)

// Clients reach servers as if nothing stood between, and so do those that speak with proxies
// behind us. Servers see whom they are to see, and captures have both by their own addresses.
func TestTransparent(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	leaf, root := issue(t, "origin.test")
	letter := writeFile(t, "mail", "Subject: hello\r\n\r\nhello\r\n")
	const web, secure, socks, proxy, mail, backend, closed = 8001, 8443, 1080, 3128, 2525, 8080, 9
	inTheirName(t, func(t *testing.T, l routed, k keeping) {
		l.servers.serveEchoes(t, fmt.Sprintf("127.0.0.1:%d", backend))
		nginx := l.servers.start(t, outwardNginx(peers.NginxConfig{Plain: web, TLS: secure, Leaf: leaf, Backend: fmt.Sprintf("127.0.0.1:%d", backend)}))
		microsocks := l.servers.start(t, outward(peers.Microsocks(socks, "", ""), "127.0.0.1", "::"))
		tinyproxy := l.servers.start(t, outward(peers.Tinyproxy(proxy), "Listen 127.0.0.1\n", "Listen 203.0.113.2\nListen 2001:db8:2::2\n", "Allow 127.0.0.1\n", ""))
		aiosmtpd := map[string]*peers.Process{} // it serves one family
		for _, f := range protocolFamilies() {
			aiosmtpd[f.name] = l.servers.start(t, outward(peers.Aiosmtpd(mail, leaf), "--nosetuid", "-dn", "127.0.0.1:", f.server+":"))
		}
		mails := func(t *testing.T, f protocolFamily) string { return logOf(aiosmtpd[f.name], "")(t, f) }
		pages := func(page string) serverLog {
			return serverLog{logOf(nginx, "access.log"), `ADDR PORT ` + page + "\n"}
		}
		m := l.transparently(t, k.mode, append(k.usesrc(), "--trust", root, "-w", peers.Here+"/t.pcap", "--portmap", "8443:8443")...)
		at := func(f protocolFamily, port int) string { return net.JoinHostPort(f.server, fmt.Sprint(port)) }
		says := func(want string, args func(f protocolFamily) []string) func(*testing.T, protocolFamily) {
			return func(t *testing.T, f protocolFamily) {
				res := l.clients.curl(t, append([]string{"--cacert", m.root, "--resolve", fmt.Sprintf("origin.test:%d:%s", secure, f.server), "--resolve", fmt.Sprintf("origin.test:%d:%s", mail, f.server)}, args(f)...)...)
				if res.Code != 0 || !strings.Contains(res.Stdout+res.Stderr, want) {
					t.Fatalf("curl: exit code %d, want %q\n%s%s", res.Code, want, res.Stdout, res.Stderr)
				}
			}
		}
		const page, behind = "https://origin.test:8443/status", "protocol=HTTP/2.0 tls=TLSv1.3"
		flows := l.each(t, k, m, []errand{
			{name: "HTTP", port: web, path: "http", log: pages("/status"), do: says("protocol=HTTP/1.1", func(f protocolFamily) []string {
				return []string{f.status(web)}
			})},
			{name: "HTTPS", port: secure, path: "tls(h2)", action: "inspect", log: pages("/status"), do: says(behind, func(protocolFamily) []string {
				return []string{page}
			})},
			{
				name: "HTTPS by SOCKS", port: socks, path: "socks5>tls(h2)", action: "inspect", target: "127.0.0.1:8443",
				log: serverLog{logOf(microsocks, ""), `client\[\d+\] ADDR: connected`}, do: says(behind, func(f protocolFamily) []string {
					return []string{"-x", "socks5://" + at(f, socks), "--connect-to", "::127.0.0.1:", page}
				}),
			},
			{
				name: "HTTPS by an HTTP proxy", port: proxy, path: "connect>tls(h2)", action: "inspect", target: "127.0.0.1:8443",
				// Of an address of IPv6 it has the first half.
				log: serverLog{logOf(tinyproxy, ""), `Connect \(file descriptor \d+\): (ADDR|2001:db8:[12]:)`}, do: says(behind, func(f protocolFamily) []string {
					return []string{"-x", "http://" + at(f, proxy), "--connect-to", "::127.0.0.1:", page}
				}),
			},
			{
				name: "SMTP with STARTTLS", port: mail, path: "smtp>tls", action: "inspect",
				log: serverLog{mails, `Peer: \('ADDR', PORT\b`}, do: says("250 OK", func(protocolFamily) []string {
					return []string{"-v", "--stderr", "-", "--ssl-reqd", "smtp://origin.test:2525", "--mail-from", "alice@example.test", "--mail-rcpt", "bob@example.test", "-T", letter}
				}),
			},
			{name: "a WebSocket", port: web, path: "http", log: pages("/ws"), do: func(t *testing.T, f protocolFamily) {
				client := &http.Client{Transport: &http.Transport{DialContext: l.clients.dialer()}}
				defer client.CloseIdleConnections()
				echo(t, "ws://"+at(f, web)+"/ws", client)
			}},
			{name: "a server that refuses", port: closed, path: "raw", reason: "refused", do: func(t *testing.T, f protocolFamily) {
				res := l.clients.curl(t, "http://"+at(f, closed)+"/")
				if res.Code != 7 && !(res.Code == 56 && strings.Contains(res.Stderr, "reset")) { // the kernel had accepted
					t.Errorf("curl: exit code %d\n%s", res.Code, res.Stderr)
				}
			}},
		})
		m.hasCaptured(t, flows)
	})
}

// hasCaptured ends mitm, and holds that its capture has each flow that was decrypted, in order,
// by its client's and its server's own addresses.
func (m *mitm) hasCaptured(t *testing.T, flows []peers.Flow) {
	t.Helper()
	if code, err := m.Terminate(t.Context()); code != 0 || err != nil {
		t.Fatalf("mitm ended with %d, %v", code, err)
	}
	var want, got []string
	for _, f := range flows {
		if f.Action == "inspect" {
			want = append(want, f.Client+" to "+f.Target)
		}
	}
	for _, c := range conversations(t, m.Dir+"/t.pcap") {
		got = append(got, c.client+" to "+strings.Replace(c.server, "[::ffff:127.0.0.1]", "127.0.0.1", 1)) // a packet has one family
	}
	if len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("the capture has\n%q, want\n%q", got, want)
	}
}

// dialer dials from the namespace.
func (n namespace) dialer() func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (c net.Conn, err error) {
		err = n.enter(func() (err error) { c, err = (&net.Dialer{}).DialContext(ctx, network, addr); return err })
		return c, err
	}
}

// serveEchoes serves WebSockets that answer each message with the same.
func (n namespace) serveEchoes(t *testing.T, address string) {
	t.Helper()
	srv, ln := &http.Server{Handler: http.HandlerFunc(serveEcho)}, n.listen(t, address)
	var serving errgroup.Group
	serving.Go(func() error { return srv.Serve(ln) })
	t.Cleanup(func() { srv.Close(); serving.Wait() })
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

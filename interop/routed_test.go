package interop

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// A routed lab is three networks in a row: clients, the router that mitm runs on, and servers.
// Neither end knows of more than a router.
//
//	clients                 router                            servers
//	198.51.100.2            198.51.100.1 | 203.0.113.1        203.0.113.2
//	2001:db8:1::2           2001:db8:1::1 | 2001:db8:2::1     2001:db8:2::2
type routed struct{ clients, router, servers namespace }

// newRouted makes one for the length of the test. It takes root.
func newRouted(t *testing.T) routed {
	t.Helper()
	tag := fmt.Sprintf("mitm-%d-%04x", os.Getpid(), rand.IntN(1<<16))
	l := routed{namespace(tag + "-c"), namespace(tag + "-r"), namespace(tag + "-s")}
	for _, n := range []namespace{l.clients, l.router, l.servers} {
		succeed(t, "ip", "netns", "add", string(n))
		t.Cleanup(func() { peers.Run(context.Background(), nil, "ip", "netns", "del", string(n)) })
	}
	succeed(t, "ip", "link", "add", "wire", "netns", string(l.clients), "type", "veth", "peer", "name", "wire", "netns", string(l.router))
	succeed(t, "ip", "link", "add", "wire", "netns", string(l.servers), "type", "veth", "peer", "name", "out", "netns", string(l.router))
	l.clients.configure(t, "addr add 198.51.100.2/24 dev wire", "addr add 2001:db8:1::2/64 dev wire nodad",
		"route add default via 198.51.100.1", "route add default via 2001:db8:1::1")
	l.router.configure(t, "link set out up", "addr add 198.51.100.1/24 dev wire", "addr add 2001:db8:1::1/64 dev wire nodad",
		"addr add 203.0.113.1/24 dev out", "addr add 2001:db8:2::1/64 dev out nodad")
	l.servers.configure(t, "addr add 203.0.113.2/24 dev wire", "addr add 2001:db8:2::2/64 dev wire nodad",
		"route add default via 203.0.113.1", "route add default via 2001:db8:2::1")
	l.router.succeed(t, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
	return l
}

// succeed runs a program in the namespace, which must exit with 0.
func (n namespace) succeed(t *testing.T, args ...string) string {
	t.Helper()
	return succeed(t, "ip", append([]string{"netns", "exec", string(n)}, args...)...)
}

// run runs a program in the namespace.
func (n namespace) run(t *testing.T, stdin string, args ...string) peers.Result {
	t.Helper()
	return run(t, stdin, "ip", append([]string{"netns", "exec", string(n)}, args...)...)
}

// curl runs curl in the namespace.
func (n namespace) curl(t *testing.T, args ...string) peers.Result {
	t.Helper()
	return n.run(t, "", append([]string{"curl"}, curlArgs(args...)...)...)
}

// start starts a program in the namespace.
func (n namespace) start(t *testing.T, p peers.Program) *peers.Process {
	t.Helper()
	p.Namespace = string(n)
	return start(t, p)
}

// nft applies rules in the namespace.
func (n namespace) nft(t *testing.T, rules string) {
	t.Helper()
	if res := n.run(t, rules, "nft", "-f", "-"); res.Code != 0 {
		t.Fatalf("nft: %s%s\n%s", res.Stdout, res.Stderr, rules)
	}
}

// A protocolFamily is a version of IP in a routed lab.
type protocolFamily struct {
	name           string
	client, server string
}

func protocolFamilies() []protocolFamily {
	return []protocolFamily{{"IPv4", "198.51.100.2", "203.0.113.2"}, {"IPv6", "2001:db8:1::2", "2001:db8:2::2"}}
}

// status is a page of a server that speaks plainly.
func (f protocolFamily) status(port int) string {
	return fmt.Sprintf("http://%s/status", net.JoinHostPort(f.server, fmt.Sprint(port)))
}

// inBothModes runs a test with each way to bring connections, in a lab of its own.
func inBothModes(t *testing.T, test func(t *testing.T, l routed, mode string)) {
	t.Helper()
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	for _, mode := range []string{"redirect", "tproxy"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			test(t, newRouted(t), mode)
		})
	}
}

// A shop is a port of the servers' network, at both addresses, that leads to what listens on
// its loopback. It remembers who came.
type shop struct {
	port int
	mu   sync.Mutex
	from []netip.AddrPort
}

// serve has nginx serve plainly on a port.
func (l routed) serve(t *testing.T, port int) *shop {
	t.Helper()
	l.servers.start(t, peers.Nginx(peers.NginxConfig{Plain: port, Backend: "127.0.0.1:1"}))
	return l.open(t, port)
}

func (l routed) open(t *testing.T, port int) *shop {
	t.Helper()
	s := &shop{port: port}
	for _, f := range protocolFamilies() {
		ln := l.servers.listen(t, net.JoinHostPort(f.server, fmt.Sprint(port)))
		var all sync.WaitGroup
		all.Go(func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				all.Go(func() {
					defer c.Close()
					s.note(c)
					var inside net.Conn
					if l.servers.enter(func() (err error) { inside, err = net.Dial("tcp", at(port)); return err }) != nil {
						return
					}
					defer inside.Close()
					shovel(c, inside)
				})
			}
		})
		t.Cleanup(func() { ln.Close(); all.Wait() })
	}
	return s
}

func (s *shop) note(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.from = append(s.from, c.RemoteAddr().(*net.TCPAddr).AddrPort())
}

// last is who came last.
func (s *shop) last() netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.from) == 0 {
		return netip.AddrPort{}
	}
	return s.from[len(s.from)-1]
}

// transparently starts a mitm on the router that is brought what clients mean for servers.
func (l routed) transparently(t *testing.T, mode string, args ...string) *mitm {
	t.Helper()
	args = append([]string{"--listen", ":9000", "--transparent", mode, "--mark", "0x4000000", "--no-system-roots"}, args...)
	return startMitmAs(t, func(p peers.Program) peers.Program {
		p.Namespace = string(l.router)
		return p
	}, args...)
}

// divert puts up the rules and routes of a mode, for all TCP connections of the clients.
func (l routed) divert(t *testing.T, mode string, args ...string) {
	t.Helper()
	file := built(t)
	l.router.succeed(t, append([]string{file, "tproxy", "up", "--transparent", mode, "--to", "9000", "--interface", "wire"}, args...)...)
	t.Cleanup(func() {
		if res, err := peers.Run(context.Background(), nil, "ip", "netns", "exec", string(l.router), file, "tproxy", "down"); err != nil || res.Code != 0 {
			t.Errorf("tproxy down: %v, exit code %d\n%s", err, res.Code, res.Stderr)
		}
	})
}

package interop

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// HAProxy in our place, with the same rules, is seen as the same by both ends: the addresses,
// what is said after an end of one direction, what is cut, and who is not there.
func TestTransparentAsHAProxy(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	l := newRouted(t)
	l.divert(t, "tproxy", "--usesrc", "clientip")
	const web, talk, refusing, silent = 8001, 8002, 9, 7777
	l.servers.nft(t, "table inet silent {\n\tchain in {\n\t\ttype filter hook input priority filter; policy accept;\n\t\ttcp dport 7777 drop\n\t}\n}\n")
	shop := l.serve(t, web)
	servers := map[string]net.Listener{}
	for _, f := range protocolFamilies() {
		servers[f.name] = l.servers.listen(t, net.JoinHostPort(f.server, fmt.Sprint(talk)))
	}
	observe := func() (seen []string) {
		t.Helper()
		for _, f := range protocolFamilies() {
			note := func(what, format string, args ...any) {
				seen = append(seen, f.name+" "+what+": "+fmt.Sprintf(format, args...))
			}
			page := l.clients.curl(t, "-w", "%{http_code} from %{remote_ip}:%{remote_port}", f.status(web))
			note("a page", "%s %s; the server sees %s", page.Stdout, page.Stderr, shop.last().Addr().Unmap())
			for _, port := range []int{refusing, silent} {
				res := l.clients.curl(t, "-w", "%{http_code}", "http://"+net.JoinHostPort(f.server, fmt.Sprint(port))+"/")
				note("nobody there", "port %d: %s, and an end: %v", port, res.Stdout, res.Code != 28) // curl's own timeout
			}
			a, b := l.connect(t, f, servers[f.name], talk), l.connect(t, f, servers[f.name], talk)
			ports := a.source.Port() != b.source.Port() && a.source.Port() != 0
			note("two at once", "the server sees %s and %s, ports of their own: %v", a.source.Addr(), b.source.Addr(), ports)
			a.client.say("ask")
			a.client.hangUp()
			heard := a.server.end()
			a.server.say("answer")
			a.server.hangUp()
			note("the client ends first", "the server hears %q, the client then %q", heard, a.client.end())
			b.server.say("greet")
			b.server.hangUp()
			heard = b.client.end()
			b.client.say("reply")
			b.client.hangUp()
			note("the server ends first", "the client hears %q, the server then %q", heard, b.server.end())
			c, d := l.connect(t, f, servers[f.name], talk), l.connect(t, f, servers[f.name], talk)
			c.client.say("\x00000000") // begins no protocol
			d.server.say("y")
			note("before the end", "the server hears %q, the client %q", c.server.first(7), d.client.first(1))
			c.client.reset()
			note("the client resets", "the server hears of it: %v", c.server.isReset())
			d.server.reset()
			note("the server resets", "the client hears %q, and an end", d.client.end()) // a reset with us
		}
		return seen
	}
	m := l.transparently(t, "tproxy", "--usesrc", "clientip", "--timeout", "1s")
	ours := observe()
	if code, err := m.Terminate(t.Context()); code != 0 || err != nil {
		t.Fatalf("mitm ended with %d, %v", code, err)
	}
	l.router.start(t, peers.Program{
		Name: "haproxy", Args: []string{"-db", "-f", peers.Here + "/haproxy.cfg"}, Ports: []int{9000},
		Files: map[string]string{"haproxy.cfg": `defaults
	mode tcp
	timeout client 5m
	timeout server 5m
	timeout connect 1s
	retries 0
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
	for i := range ours {
		if ours[i] != theirs[i] {
			t.Errorf("with us\n%s\nwith HAProxy\n%s", ours[i], theirs[i])
		}
	}
	for _, f := range protocolFamilies() {
		if all := strings.Join(ours, "\n"); strings.Count(all, "the server sees "+f.client) != 2 {
			t.Errorf("not the client's address:\n%s", all)
		}
	}
}

// bothEnds are both ends of a conversation, and whom the server sees.
type bothEnds struct {
	client, server *caller
	source         netip.AddrPort
}

// connect connects a client with a server, which greets nobody.
func (l routed) connect(t *testing.T, f protocolFamily, ln net.Listener, port int) bothEnds {
	t.Helper()
	client := l.clients.dial(t, f.client, net.JoinHostPort(f.server, fmt.Sprint(port)))
	server := accept(t, ln)
	from := server.RemoteAddr().(*net.TCPAddr).AddrPort()
	return bothEnds{client, server, netip.AddrPortFrom(from.Addr().Unmap(), from.Port())}
}

// isReset waits for the end, and tells whether it was a reset.
func (c *caller) isReset() bool {
	c.t.Helper()
	_, err := io.ReadAll(c)
	return errors.Is(err, syscall.ECONNRESET)
}

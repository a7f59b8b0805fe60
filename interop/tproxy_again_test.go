package interop

import (
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// comesAgain has a client connect from one port. It is the server that closes, so that the client's next
// connection may have that port at once. The server has seen one address, and the client knows itself as another.
func (l routed) comesAgain(t *testing.T, ln net.Listener, client string) (seen, self string) {
	t.Helper()
	d := net.Dialer{Timeout: runTimeout, LocalAddr: &net.TCPAddr{IP: net.ParseIP(client), Port: 30008}}
	var c net.Conn
	l.clients.within(t, func() (err error) {
		c, err = d.Dial("tcp", ln.Addr().String())
		return err
	})
	defer c.Close()
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	server.Close()
	if _, err := io.ReadAll(c); err != nil {
		t.Fatal(err)
	}
	return server.RemoteAddr().String(), c.LocalAddr().String()
}

// waiting are the router's sockets in TIME_WAIT with an address, as ss has them.
func (l routed) waiting(t *testing.T, addr string) int {
	t.Helper()
	return strings.Count(l.router.succeed(t, "ss", "-Htan", "state", "time-wait", "src", "["+addr+"]"), "\n")
}

// A client that uses its port again when the rules have gone finds the server, and not what is left on
// the router of its connection before. What is left of the router's own ones stays.
func TestTProxyLeavesPortsFree(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	for name, end := range map[string]func(*testing.T, *mitm, routed){
		"at the end": func(t *testing.T, m *mitm, _ routed) {
			if code := m.ends(t, syscall.SIGTERM); code != 0 {
				t.Errorf("exit code %d", code)
			}
		},
		"while flows are waited for": func(t *testing.T, m *mitm, l routed) {
			l.clients.connect(t, l.servers.listen(t, "203.0.113.2:7"), false).talks(t)
			if err := syscall.Kill(m.Pid(), syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			m.eventually(t, "nobody listens", func() bool { return l.router.succeed(t, "ss", "-Htln", "sport", "=", "9000") == "" })
			t.Cleanup(m.Stop)
		},
		"after a crash, by down": func(t *testing.T, m *mitm, l routed) {
			m.Stop()
			l.router.must(t, "tproxy", "down")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newRouted(t)
			m := launchMitm(t, func(p peers.Program) peers.Program {
				p.Namespace = string(l.router)
				return p
			}, "--listen", ":9000", "--transparent", "tproxy", "--with-tproxy", "--interface", "wire", "--no-system-roots")
			own := l.router.listen(t, "198.51.100.1:7")
			o := l.clients.connect(t, own, true)
			o.server.Close()
			o.client.Close()
			servers := map[string]net.Listener{}
			for _, f := range protocolFamilies() {
				ln := l.servers.listen(t, net.JoinHostPort(f.server, "8"))
				servers[f.server] = ln
				l.comesAgain(t, ln, f.client)
				m.eventually(t, "a socket in TIME_WAIT", func() bool { return l.waiting(t, f.server) == 1 })
			}
			m.eventually(t, "one of the router's own", func() bool { return l.waiting(t, "198.51.100.1") == 1 })
			end(t, m, l)
			for _, f := range protocolFamilies() {
				if seen, self := l.comesAgain(t, servers[f.server], f.client); seen != self {
					t.Errorf("%s: the server has seen %s, want %s", f.name, seen, self)
				}
			}
			if n := l.waiting(t, "198.51.100.1"); n != 1 {
				t.Errorf("%d of the router's own sockets are in TIME_WAIT, want 1", n)
			}
		})
	}
}

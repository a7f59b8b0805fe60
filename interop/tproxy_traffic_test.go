package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// ownMark is another mark than that of the default.
const ownMark = "0x2a"

// With the rules of tproxy up, what clients mean for servers is brought to mitm, what is excluded goes
// past it, and so does what is for the router itself.
func TestTProxyBringsWhatItIsToBring(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	for _, tt := range []struct {
		mode, source string
	}{
		{"redirect", ""},
		{"redirect", "clientip"},
		{"redirect", "client"},
		{"tproxy", ""},
		{"tproxy", "clientip"},
		{"tproxy", "client"},
	} {
		name := tt.mode
		var usesrc []string
		if tt.source != "" {
			name += " as " + tt.source
			usesrc = []string{"--usesrc", tt.source}
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newRouted(t)
			const brought, aside = 8001, 8002
			for _, f := range protocolFamilies() {
				l.servers.tells(t, f.server, brought)
				l.servers.tells(t, f.server, aside)
				l.router.tells(t, f.router(), brought)
			}
			l.router.succeed(t, "sysctl", "-qw", "net.ipv4.conf.all.src_valid_mark=1", "net.ipv4.conf.all.rp_filter=1")
			l.router.forget(t)
			up := []string{"tproxy", "up", "--transparent", tt.mode, "--to", "9000", "--mark", ownMark, "--interface", "wire", "--ports", fmt.Sprintf("1-%d", brought)}
			l.router.must(t, append(up, usesrc...)...)
			m := l.transparently(t, tt.mode, slices.Concat(usesrc, []string{"--mark", ownMark})...)
			for _, f := range protocolFamilies() {
				t.Run(f.name, func(t *testing.T) {
					seen, self := l.clients.ask(t, f.server, brought)
					flow := m.flow(t)
					if want := net.JoinHostPort(f.server, fmt.Sprint(brought)); flow.Target != want || flow.Client != self.String() {
						t.Errorf("flow %+v, want one of %s to %s", flow, self, want)
					}
					want := map[string]string{"": f.router(), "clientip": f.client, "client": f.client}[tt.source]
					if seen.Addr().String() != want || tt.source == "client" && seen != self {
						t.Errorf("the server has seen %s of %s, want %s", seen, self, want)
					}
					if seen, self := l.clients.ask(t, f.server, aside); seen != self {
						t.Errorf("on a port that is not brought the server has seen %s, want %s", seen, self)
					}
					if seen, self := l.clients.ask(t, f.router(), brought); seen != self {
						t.Errorf("the router has seen %s, want %s", seen, self)
					}
				})
			}
			if code := m.ends(t, syscall.SIGTERM); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
			if flows := m.log(t); len(flows) != 2 {
				t.Errorf("%d flows, want those that were to be brought", len(flows))
			}
			l.router.must(t, "tproxy", "down")
			for _, f := range protocolFamilies() {
				if seen, self := l.clients.ask(t, f.server, brought); seen != self {
					t.Errorf("without rules the server has seen %s, want %s", seen, self)
				}
			}
		})
	}
}

// forget takes the rules away when the test is over, and what is remembered of them: that is no
// part of the namespace.
func (n namespace) forget(t *testing.T) {
	t.Helper()
	file := built(t)
	t.Cleanup(func() {
		res, err := peers.Run(context.Background(), nil, "ip", "netns", "exec", string(n), file, "tproxy", "down")
		if err != nil || res.Code != 0 {
			t.Errorf("tproxy down: %v, exit code %d\n%s", err, res.Code, res.Stderr)
		}
	})
}

// router is the router's address on the servers' side.
func (f protocolFamily) router() string {
	return map[string]string{"IPv4": "203.0.113.1", "IPv6": "2001:db8:2::1"}[f.name]
}

// tells listens, and tells who says something what the server sees of it.
func (n namespace) tells(t *testing.T, host string, port int) {
	t.Helper()
	ln := n.listen(t, net.JoinHostPort(host, fmt.Sprint(port)))
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				if _, err := io.ReadAll(c); err == nil {
					_, _ = io.WriteString(c, c.RemoteAddr().String()) // the client sees it
				}
			})
		}
	})
	t.Cleanup(func() { ln.Close(); all.Wait() })
}

// ask returns what the server sees of us, and who we are.
func (n namespace) ask(t *testing.T, host string, port int) (seen, self netip.AddrPort) {
	t.Helper()
	var c net.Conn
	n.within(t, func() (err error) {
		c, err = net.DialTimeout("tcp", net.JoinHostPort(host, fmt.Sprint(port)), runTimeout)
		return err
	})
	defer c.Close()
	_, err := io.WriteString(c, "\x00hello")
	answer, readErr := []byte(nil), errors.Join(err, c.(*net.TCPConn).CloseWrite())
	if readErr == nil {
		answer, readErr = io.ReadAll(c)
	}
	if seen, err = netip.ParseAddrPort(string(answer)); err != nil || readErr != nil {
		t.Fatalf("%s:%d says %q, %v", host, port, answer, readErr)
	}
	return seen, c.LocalAddr().(*net.TCPAddr).AddrPort()
}

// Connections of the router's own users are brought when they are chosen, others are not. The user is
// mitm's own, whose connections would come back for ever were they not known by their mark.
func TestTProxyBringsLocalConnections(t *testing.T) {
	t.Parallel()
	needsRoot(t, "it takes connections of two users")
	for _, mode := range []string{"redirect", "tproxy"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			l := newRouted(t)
			const web = 8001
			l.serve(t, web)
			l.router.forget(t)
			l.router.must(t, "tproxy", "up", "--transparent", mode, "--to", "9000", "--mark", ownMark, "--uid", "root")
			l.router.nft(t, `table inet watch {
	counter leaked { }
	chain out {
		type filter hook postrouting priority filter; policy accept;
		oifname "out" meta l4proto tcp meta mark != `+ownMark+` counter name leaked
	}
}
`)
			m := l.transparently(t, mode, "--mark", ownMark)
			for _, f := range protocolFamilies() {
				curl := append([]string{"curl"}, curlArgs(f.status(web))...)
				for range 3 {
					l.router.succeed(t, curl...)
					if flow := m.flow(t); flow.Target != net.JoinHostPort(f.server, fmt.Sprint(web)) || flow.Reason != "eof" {
						t.Errorf("%s: flow %+v", f.name, flow)
					}
				}
			}
			m.eventually(t, "the ends of all connections", func() bool {
				return l.router.succeed(t, "ss", "-Htan", "state", "last-ack", "state", "fin-wait-1", "state", "closing") == ""
			})
			if got := l.router.succeed(t, "nft", "list", "counter", "inet", "watch", "leaked"); !strings.Contains(got, "packets 0 ") {
				t.Errorf("what closed sockets still had to say went to the servers:\n%s", got)
			}
			for _, f := range protocolFamilies() {
				curl := append([]string{"curl"}, curlArgs(f.status(web))...)
				l.router.succeed(t, append([]string{"setpriv", "--reuid=65534", "--clear-groups"}, curl...)...)
				l.clients.succeed(t, curl...)
			}
			if code := m.ends(t, syscall.SIGTERM); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
			if flows := m.log(t); len(flows) != 6 {
				t.Errorf("%d flows, want those of the one user", len(flows))
			}
		})
	}
}

package interop

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tracking are rules of others that have the kernel follow connections, so that those which are
// older than ours have an entry in its table; without them it takes what it sees first for new.
const tracking = `table inet other {
	chain watch {
		type filter hook forward priority filter; policy accept;
		ct state established counter
	}
}
`

// An old connection was made before there were rules.
type old struct {
	client, server net.Conn
	serverFirst    bool // to speak once there are
}

// connect makes one. In a network that is new the kernel may find no way for a moment.
func (n namespace) connect(t *testing.T, ln net.Listener, serverFirst bool) old {
	t.Helper()
	o := old{serverFirst: serverFirst}
	ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	dial := func() (err error) {
		o.client, err = net.DialTimeout("tcp", ln.Addr().String(), runTimeout)
		return err
	}
	err := n.enter(dial)
	for (errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)) && ctx.Err() == nil {
		<-tick.C
		err = n.enter(dial)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.client.Close() })
	if o.server, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.server.Close() })
	return o
}

// talks has both ends say something.
func (o old) talks(t *testing.T) {
	t.Helper()
	ends := []net.Conn{o.client, o.server}
	if o.serverFirst {
		slices.Reverse(ends)
	}
	const words = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n" // which a proxy that fails closed can inspect
	for i, from := range ends {
		to := ends[1-i]
		if err := to.SetDeadline(time.Now().Add(runTimeout)); err != nil {
			t.Fatal(err)
		}
		_, err := io.WriteString(from, words)
		b := make([]byte, len(words))
		if err == nil {
			_, err = io.ReadFull(to, b)
		}
		if err != nil {
			t.Fatalf("%s to %s: %v", from.LocalAddr(), from.RemoteAddr(), err)
		}
	}
}

// Only connections that begin are brought: those that are there already go on, whoever speaks
// next, and whether the kernel knows them or not.
func TestTProxyLeavesOldConnectionsAlone(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	for _, mode := range []string{"redirect", "tproxy"} {
		for name, others := range map[string]string{"untracked": "", "tracked": tracking} {
			t.Run(mode+", "+name, func(t *testing.T) {
				t.Parallel()
				l := newRouted(t)
				l.router.nft(t, others)
				var all []old
				for _, f := range protocolFamilies() {
					ln := l.servers.listen(t, net.JoinHostPort(f.server, "7"))
					for _, serverFirst := range []bool{false, true} {
						all = append(all, l.clients.connect(t, ln, serverFirst), l.router.connect(t, ln, serverFirst))
					}
				}
				const web = 8001
				l.serve(t, web)
				m := l.transparently(t, mode, "--with-tproxy", "--interface", "wire", "--uid", "root")
				for _, o := range all {
					o.talks(t)
				}
				for _, f := range protocolFamilies() {
					for _, n := range []namespace{l.clients, l.router} {
						n.succeed(t, append([]string{"curl"}, curlArgs(f.status(web))...)...)
						m.flow(t)
					}
				}
				for _, o := range all {
					o.talks(t)
				}
			})
		}
	}
}

// When its backlog is full the kernel answers with a cookie, and remembers nothing: no socket is
// there when the client answers. With 2 it always does (ip-sysctl.rst, tcp_syncookies).
func TestTProxyBringsWhatACookieIsFor(t *testing.T) {
	inBothModes(t, func(t *testing.T, l routed, mode string) {
		const web = 8001
		l.serve(t, web)
		l.router.succeed(t, "sysctl", "-qw", "net.ipv4.tcp_syncookies=2")
		m := l.transparently(t, mode, "--with-tproxy", "--interface", "wire", "--uid", "root")
		for _, f := range protocolFamilies() {
			for _, n := range []namespace{l.clients, l.router} {
				n.succeed(t, append([]string{"curl"}, curlArgs(f.status(web))...)...)
				if flow := m.flow(t); flow.Target != net.JoinHostPort(f.server, "8001") || flow.Reason != "eof" {
					t.Errorf("flow %+v", flow)
				}
			}
		}
		const answered = "4" // of each family, a client's and the router's
		seen := strings.Fields(l.router.succeed(t, "nstat", "-asz", "TcpExtSyncookiesRecv"))
		if i := slices.Index(seen, "TcpExtSyncookiesRecv"); i < 0 || seen[i+1] != answered {
			t.Errorf("cookies were answered %q, want %s", seen, answered)
		}
	})
}

// TPROXY does without the kernel's table of connections.
func TestTProxyBringsWhatIsNotTracked(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	l := newRouted(t)
	const web = 8001
	l.serve(t, web)
	l.router.nft(t, `table inet other {
	chain pre {
		type filter hook prerouting priority raw; policy accept;
		notrack
	}
	chain out {
		type filter hook output priority raw; policy accept;
		notrack
	}
}
`)
	m := l.transparently(t, "tproxy", "--with-tproxy", "--interface", "wire", "--usesrc", "client")
	for _, f := range protocolFamilies() {
		l.clients.succeed(t, append([]string{"curl"}, curlArgs(f.status(web))...)...)
		if flow := m.flow(t); flow.Target != net.JoinHostPort(f.server, "8001") || flow.Reason != "eof" {
			t.Errorf("flow %+v", flow)
		}
	}
}

// A client may use its port again at once, when it was the server that closed: what is left of the
// connection is a socket of ours in TIME_WAIT, and not for the next one to be lost in. Then the
// client's first packet would have to come twice.
func TestTProxyTakesAPortTwice(t *testing.T) {
	inBothModes(t, func(t *testing.T, l routed, mode string) {
		m := l.transparently(t, mode, "--with-tproxy", "--interface", "wire")
		for _, f := range protocolFamilies() {
			ln := l.servers.listen(t, net.JoinHostPort(f.server, "7"))
			const port = 30007
			for range 3 {
				var client net.Conn
				d := net.Dialer{Timeout: runTimeout, LocalAddr: &net.TCPAddr{IP: net.ParseIP(f.client), Port: port}}
				l.clients.within(t, func() (err error) {
					client, err = d.Dial("tcp", ln.Addr().String())
					return err
				})
				defer client.Close()
				server, err := ln.Accept()
				if err != nil {
					t.Fatal(err)
				}
				server.Close()
				if _, err := io.ReadAll(client); err != nil {
					t.Fatal(err)
				}
				client.Close()
				m.flow(t)
				m.eventually(t, "a socket in TIME_WAIT", func() bool {
					return strings.Contains(l.router.succeed(t, "ss", "-Htan", "state", "time-wait"), ":30007")
				})
			}
		}
		if seen := strings.Fields(l.clients.succeed(t, "nstat", "-asz", "TcpExtTCPSynRetrans")); !slices.Contains(seen, "0") {
			t.Errorf("first packets came twice: %q", seen)
		}
	})
}

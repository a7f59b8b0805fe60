package interop

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// An ending is a mitm with its own rules, of which flows through it hold up the end.
type ending struct {
	routed
	*mitm
	before string // the router's network
	flows  []old
}

const (
	asked = 8001 // a port that tells who came
	held  = 7    // one of flows that last
)

func newEnding(t *testing.T, l routed, args ...string) *ending {
	t.Helper()
	e := &ending{routed: l}
	for _, f := range protocolFamilies() {
		l.servers.tells(t, f.server, asked)
	}
	l.router.forget(t)
	e.before = e.settled(t)
	e.mitm = launchMitm(t, func(p peers.Program) peers.Program {
		p.Namespace = string(l.router)
		return p
	}, append([]string{"--listen", ":9000", "--with-tproxy", "--interface", "wire", "--uid", "root", "--no-system-roots"}, args...)...)
	for _, f := range protocolFamilies() {
		ln := l.servers.listen(t, net.JoinHostPort(f.server, fmt.Sprint(held)))
		for _, n := range []namespace{l.clients, l.router} {
			o := n.connect(t, ln, false)
			o.talks(t)
			e.flows = append(e.flows, o)
		}
	}
	return e
}

// settled is what of the router's network rules change. The kernel changes other things, when it has
// made up its mind about an interface.
func (e *ending) settled(t *testing.T) string {
	t.Helper()
	return e.router.succeed(t, "sh", "-c", `nft list ruleset
for version in -4 -6; do ip $version rule; ip $version route show table 7746 2>/dev/null; done
cd /proc/sys/net && grep -rs . . | grep -v nf_conntrack_count | sort`)
}

// signal sends one, and waits until nobody listens.
func (e *ending) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(e.Pid(), signal); err != nil {
		t.Fatal(err)
	}
	e.eventually(t, "nobody listens", func() bool { return e.router.succeed(t, "ss", "-Htln", "sport", "=", "9000") == "" })
}

// goPast has new connections reach the server as they are.
func (e *ending) goPast(t *testing.T, from ...namespace) {
	t.Helper()
	for _, f := range protocolFamilies() {
		for _, n := range from {
			if seen, self := n.ask(t, f.server, asked); seen != self {
				t.Errorf("%s: the server has seen %s, want %s", n, seen, self)
			}
		}
	}
}

// areRefused has new connections come to nothing, at once.
func (e *ending) areRefused(t *testing.T, from ...namespace) {
	t.Helper()
	for _, f := range protocolFamilies() {
		for _, n := range from {
			err := n.enter(func() error {
				c, err := net.DialTimeout("tcp", net.JoinHostPort(f.server, fmt.Sprint(asked)), runTimeout)
				if err == nil {
					c.Close()
				}
				return err
			})
			if !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("%s to %s: %v, want a refusal", n, f.server, err)
			}
		}
	}
}

// leavesNothing ends the flows, and the mitm with them.
func (e *ending) leavesNothing(t *testing.T) {
	t.Helper()
	for _, o := range e.flows {
		o.talks(t)
		o.client.Close()
		o.server.Close()
	}
	if code, err := e.Wait(t.Context()); code != 0 || err != nil {
		t.Errorf("mitm ended with %d, %v", code, err)
	}
	if diff := changes(e.before, e.settled(t)); len(diff) > 0 {
		t.Errorf("it leaves\n%s", strings.Join(diff, "\n"))
	}
}

// While flows are waited for, new connections go past an open proxy, and a closed one's are
// refused. What was brought goes on.
func TestTProxyAtTheEnd(t *testing.T) {
	inBothModes(t, func(t *testing.T, _ routed, mode string) {
		for name, args := range map[string][]string{"open": nil, "open, with the clients' addresses": {"--usesrc", "clientip"}} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				e := newEnding(t, newRouted(t), append(args, "--transparent", mode)...)
				e.signal(t, syscall.SIGTERM)
				e.goPast(t, e.clients, e.router)
				e.leavesNothing(t)
			})
		}
		t.Run("closed", func(t *testing.T) {
			t.Parallel()
			e := newEnding(t, newRouted(t), "--transparent", mode, "--fail", "closed")
			e.signal(t, syscall.SIGTERM)
			e.areRefused(t, e.clients, e.router)
			e.leavesNothing(t)
			e.goPast(t, e.clients, e.router)
		})
	})
}

// A crash leaves the rules: an open proxy's let other hosts' connections past where the kernel can,
// a closed one's do not. Until down, after which all go past.
func TestTProxyAfterACrash(t *testing.T) {
	inBothModes(t, func(t *testing.T, l routed, mode string) {
		for _, fail := range []string{"open", "closed"} {
			t.Run(fail, func(t *testing.T) {
				t.Parallel()
				l := newRouted(t)
				e := newEnding(t, l, "--transparent", mode, "--fail", fail)
				e.signal(t, syscall.SIGKILL)
				refused := []namespace{l.router, l.clients}
				if mode == "tproxy" && fail == "open" {
					e.goPast(t, l.clients)
					refused = refused[:1]
				}
				e.areRefused(t, refused...)
				l.router.must(t, "tproxy", "down")
				e.goPast(t, l.clients, l.router)
				if diff := changes(e.before, e.settled(t)); len(diff) > 0 {
					t.Errorf("down leaves\n%s", strings.Join(diff, "\n"))
				}
			})
		}
	})
}

// The operator's rules know the same words.
func TestTProxyUpFailsClosed(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	l := newRouted(t)
	e := ending{routed: l}
	for _, f := range protocolFamilies() {
		l.servers.tells(t, f.server, asked)
		l.servers.tells(t, f.server, asked+1)
	}
	l.router.forget(t)
	l.router.must(t, "tproxy", "up", "--to", "9000", "--fail", "closed", "--ports", fmt.Sprint(asked))
	e.areRefused(t, l.clients)
	for _, f := range protocolFamilies() {
		if seen, self := l.clients.ask(t, f.server, asked+1); seen != self {
			t.Errorf("the server has seen %s, want %s", seen, self)
		}
	}
	l.router.must(t, "tproxy", "up", "--to", "9000", "--ports", fmt.Sprint(asked))
	e.goPast(t, l.clients)
}

// A signal that comes while the rules are put up ends it quietly, whatever is under way.
func TestTProxyEndsBeforeItBegins(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	n := newHardened(t)
	before := n.network(t)
	for _, tt := range []struct{ name, program, pattern string }{
		{"before anything", "nft", "-a list*"},
		{"while the kernel tries the rules", "nft", "-c -f -"},
		{"while a route is added", "ip", "-6 route add*"},
		{"while the rules are put up", "nft", "-f -"},
	} {
		for _, end := range []struct{ name, then string }{{"and nothing more", "exec sleep 60"}, {"and it is done", `"$real" "$@"; sleep 60`}} {
			t.Run(tt.name+", "+end.name, func(t *testing.T) {
				path := "PATH=" + impostor(t, tt.program, tt.pattern, "kill -TERM $PPID; "+end.then) + ":" + os.Getenv("PATH")
				res := n.mitm(t, path, "--listen", ":9000", "--transparent", "tproxy", "--with-tproxy", "-f", "-")
				if res.Code != 0 || res.Stderr != "" {
					t.Errorf("exit code %d\n%s", res.Code, res.Stderr)
				}
				n.isStill(t, before)
			})
		}
	}
}

// A terminal's ^C reaches all programs that it has started. Ours is impatient by then, and takes the
// rules away all the same.
func TestTProxyEndsInATerminal(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	n := newHardened(t)
	before := n.network(t)
	file := built(t)
	begins := impostor(t, "nft", "-f -", `"$real" "$@"; kill -TERM $PPID; exit 0`)
	ends := impostor(t, "ip", "-4 rule del*", `kill -INT -$(cut -d" " -f5 /proc/$PPID/stat); exec "$real" "$@"`)
	res := n.run(t, "", "setsid", "--wait", "env", peers.NoRaceDelay, "HOME="+t.TempDir(), "PATH="+begins+":"+ends+":"+os.Getenv("PATH"),
		file, "--listen", ":9000", "--transparent", "tproxy", "--with-tproxy", "-f", "-")
	if res.Code != 0 || strings.Contains(res.Stderr, "mitm: ") {
		t.Errorf("exit code %d\n%s", res.Code, res.Stderr)
	}
	n.isStill(t, before)
}

// Whose output nobody reads any more ends as by a signal, and what is up or down is so entirely.
func TestTProxyEndsWithItsReader(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	n := newHardened(t)
	before := n.network(t)
	file := built(t)
	unread := func(args ...string) {
		t.Helper()
		script := `exec 3>&1; { "$0" "$@"; echo $? >&3; } 2>&1 | true`
		words := []string{"env", peers.NoRaceDelay, "HOME=" + t.TempDir(), "sh", "-c", script, file}
		if res := n.run(t, "", append(words, args...)...); strings.TrimSpace(res.Stdout) != "0" {
			t.Errorf("mitm %s: exit code %s%s", strings.Join(args, " "), res.Stdout, res.Stderr)
		}
	}
	for _, mode := range []string{"redirect", "tproxy"} {
		unread("--listen", ":9000", "--transparent", mode, "--with-tproxy", "-v")
		n.isStill(t, before)
		unread("tproxy", "up", "--transparent", mode)
		n.must(t, "tproxy", "down")
		n.must(t, "tproxy", "up", "--transparent", mode)
		unread("tproxy", "down")
		n.isStill(t, before)
	}
}

// A hangup that comes while the rules are put up is answered afterwards.
func TestTProxyRemembersAHangup(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	l := newRouted(t)
	path := "PATH=" + impostor(t, "nft", "-f -", `kill -HUP $PPID; exec "$real" "$@"`) + ":" + os.Getenv("PATH")
	m := startMitmAs(t, func(p peers.Program) peers.Program {
		p.Namespace = string(l.router)
		p.Env = append(p.Env, path)
		return p
	}, "--listen", ":9000", "--transparent", "tproxy", "--with-tproxy", "--no-system-roots")
	m.eventually(t, "the rules are loaded again", func() bool { return strings.Contains(m.Stderr(), "the rules were loaded again") })
	if hangups := strings.Count(m.Stderr(), "the rules were loaded again"); hangups != 1 {
		t.Errorf("they were loaded again %d times", hangups)
	}
}

package interop

import (
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// isRefused has a command fail with one line, and change nothing.
func (n namespace) isRefused(t *testing.T, res peers.Result, want string) {
	t.Helper()
	if res.Code != 1 || strings.Count(res.Stderr, "\n") != 1 || !strings.Contains(res.Stderr, want) || res.Stdout != "" {
		t.Errorf("exit code %d, %q, %q, want one line with %q", res.Code, res.Stdout, res.Stderr, want)
	}
}

const heldWords = "the kernel's rules here are held by a mitm that runs"

// Of two that want rules in one network the second is refused, wherever it looks from, until the
// first one is gone. Who takes the rules away from one that lives is told so.
func TestTProxyHasOneOwner(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	l := newRouted(t)
	e := newEnding(t, l, "--transparent", "tproxy")
	second := []string{"--listen", ":9001", "--transparent", "redirect", "--with-tproxy", "-f", "-"}
	up := e.settled(t)
	l.router.isRefused(t, l.router.mitm(t, second...), heldWords)
	l.router.isRefused(t, l.router.mitm(t, "tproxy", "up", "--to", "9001"), heldWords)
	file := built(t)
	elsewhere := append([]string{"env", peers.NoRaceDelay, "HOME=" + t.TempDir(), "unshare", "--pid", "--fork", "--mount-proc", file}, second...)
	l.router.isRefused(t, l.router.run(t, "", elsewhere...), heldWords)
	others := inOwnRun(peers.Mitm(file, second...))
	l.router.isRefused(t, l.router.run(t, "", append([]string{"env", peers.NoRaceDelay, "HOME=" + t.TempDir(), others.Name}, others.Args...)...), heldWords)
	if res := l.router.mitm(t, "doctor", "--to", "9001"); !strings.Contains(res.Stdout, "the table inet mitm has other rules than these\n         do: end the mitm that holds the rules") {
		t.Errorf("doctor says\n%s", res.Stdout)
	}
	if diff := changes(up, e.settled(t)); len(diff) > 0 {
		t.Errorf("who was refused changes\n%s", strings.Join(diff, "\n"))
	}

	res := l.router.mitm(t, "tproxy", "down")
	if res.Code != 0 || !strings.Contains(res.Stderr, "the rules of a mitm that runs") || !strings.Contains(res.Stdout, "nft delete table inet mitm") {
		t.Errorf("down: exit code %d, %q, %q", res.Code, res.Stdout, res.Stderr)
	}
	e.goPast(t, l.clients, l.router)
	l.router.isRefused(t, l.router.mitm(t, "tproxy", "up", "--to", "9001"), heldWords)
	for _, o := range e.flows {
		o.client.Close()
		o.server.Close()
	}
	if code := e.ends(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if told := strings.Count(e.Stderr(), "somebody else has taken them away"); told != 1 {
		t.Errorf("it says %d times that its rules are gone", told)
	}
	if diff := changes(e.before, e.settled(t)); len(diff) > 0 {
		t.Errorf("it leaves\n%s", strings.Join(diff, "\n"))
	}
	l.router.must(t, "tproxy", "up", "--to", "9001")
}

// inOwnRun has a program see nothing of what others have in /run, as in a container with its host's network.
func inOwnRun(p peers.Program) peers.Program {
	p.Name, p.Args = "unshare", append([]string{"--mount", "sh", "-ec", `mount -t tmpfs none /run && exec "$0" "$@"`, p.Name}, p.Args...)
	return p
}

// Rules tell by themselves whose they are, whatever files who looks at them can see.
func TestTProxyLeavesAStrangersRulesAlone(t *testing.T) {
	inBothModes(t, func(t *testing.T, _ routed, mode string) {
		for name, up := range map[string]func(*testing.T, routed){
			"a proxy's": func(t *testing.T, l routed) {
				startMitmAs(t, func(p peers.Program) peers.Program {
					p = inOwnRun(p)
					p.Namespace = string(l.router)
					return p
				}, "--listen", ":9000", "--transparent", mode, "--with-tproxy", "--interface", "wire", "--uid", "root", "--no-system-roots")
			},
			"an operator's": func(t *testing.T, l routed) {
				l.router.must(t, "tproxy", "up", "--transparent", mode, "--to", "9000", "--interface", "wire", "--uid", "root")
			},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				l := newRouted(t)
				first := newEnding(t, l, "--transparent", mode)
				first.signal(t, syscall.SIGTERM)
				up(t, l)
				now := first.settled(t)
				for _, o := range first.flows {
					o.client.Close()
					o.server.Close()
				}
				if code, err := first.Wait(t.Context()); code != 0 || err != nil {
					t.Errorf("the first ended with %d, %v", code, err)
				}
				if diff := changes(now, first.settled(t)); len(diff) > 0 || strings.Contains(first.Stderr(), "WARN") {
					t.Errorf("the first one's end changes\n%s\n%s", strings.Join(diff, "\n"), first.Stderr())
				}
			})
		}
	})
}

// One that has crashed owns nothing.
func TestTProxyOutlivesAnOwner(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	l := newRouted(t)
	l.router.succeed(t, "sysctl", "-qw", "net.ipv4.ip_forward=0", "net.ipv4.conf.out.src_valid_mark=1")
	e := newEnding(t, l, "--transparent", "tproxy")
	e.signal(t, syscall.SIGKILL)
	next := l.transparently(t, "redirect", "--with-tproxy")
	if code := next.ends(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if diff := changes(e.before, e.settled(t)); len(diff) > 0 {
		t.Errorf("the next one leaves\n%s", strings.Join(diff, "\n"))
	}
}

// A second one takes over while the first waits for its flows, which go on. When the first ends it
// leaves everything to the second, which leaves the network as the first has found it.
func TestTProxyRollingRestart(t *testing.T) {
	inBothModes(t, func(t *testing.T, l routed, mode string) {
		for _, fail := range []string{"open", "closed"} {
			t.Run(fail, func(t *testing.T) {
				t.Parallel()
				l := newRouted(t)
				l.router.succeed(t, "sysctl", "-qw", "net.ipv4.ip_forward=0", "net.ipv4.conf.out.src_valid_mark=1")
				const web = 8002
				l.serve(t, web)
				first := newEnding(t, l, "--transparent", mode, "--fail", fail)
				first.signal(t, syscall.SIGTERM)
				second := launchMitm(t, func(p peers.Program) peers.Program {
					p.Namespace = string(l.router)
					return p
				}, "--listen", ":9000", "--with-tproxy", "--interface", "wire", "--uid", "root", "--no-system-roots", "--transparent", mode, "--fail", fail)
				isBrought := func() {
					t.Helper()
					for _, f := range protocolFamilies() {
						for _, n := range []namespace{l.clients, l.router} {
							n.succeed(t, append([]string{"curl"}, curlArgs(f.status(web))...)...)
							if flow := second.flow(t); flow.Target != net.JoinHostPort(f.server, "8002") {
								t.Errorf("flow %+v", flow)
							}
						}
					}
				}
				isBrought()
				up := first.settled(t)
				for _, o := range first.flows {
					o.talks(t)
					o.client.Close()
					o.server.Close()
				}
				if code, err := first.Wait(t.Context()); code != 0 || err != nil {
					t.Errorf("the first ended with %d, %v", code, err)
				}
				if diff := changes(up, first.settled(t)); len(diff) > 0 {
					t.Errorf("the first one's end changes\n%s", strings.Join(diff, "\n"))
				}
				isBrought()
				if code := second.ends(t, syscall.SIGTERM); code != 0 {
					t.Errorf("exit code %d", code)
				}
				if diff := changes(first.before, first.settled(t)); len(diff) > 0 {
					t.Errorf("the second leaves\n%s", strings.Join(diff, "\n"))
				}
			})
		}
	})
}

// A table with our name that is not ours stays as it is.
func TestTProxyLeavesAForeignTableAlone(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	for name, comment := range map[string]string{"without a comment": "", "with another comment": "comment \"mitm of a kind\"\n"} {
		t.Run(name, func(t *testing.T) {
			n := newHardened(t)
			n.nft(t, "table inet mitm {\n"+comment+"chain pre {\n\ttype filter hook prerouting priority mangle; policy accept;\n\tmeta mark 0x1 accept\n}\n}\n")
			defer n.succeed(t, "nft", "delete", "table", "inet", "mitm")
			before := n.network(t)
			const words = "there is a table inet mitm in nftables that is somebody else's"
			n.isRefused(t, n.mitm(t, "tproxy", "up"), words)
			n.isRefused(t, n.mitm(t, "--listen", ":9001", "--transparent", "redirect", "--with-tproxy", "-f", "-"), words)
			n.isRefused(t, n.mitm(t, "tproxy", "down"), words)
			if res := n.mitm(t, "doctor", "--to", "9001"); !strings.Contains(res.Stdout, "problem  "+words) {
				t.Errorf("doctor says\n%s", res.Stdout)
			}
			n.isStill(t, before)
		})
	}
}

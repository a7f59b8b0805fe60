package interop

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// A finding is one of doctor's.
type finding struct{ verdict, what, fix string }

// diagnose runs doctor, with a home for the CA.
func (n namespace) diagnose(t *testing.T, home string, args []string) (peers.Result, []finding) {
	t.Helper()
	res := n.mitm(t, slices.Concat([]string{"HOME=" + home, "XDG_CONFIG_HOME=" + home + "/config", "doctor"}, args)...)
	var all []finding
	for line := range strings.Lines(res.Stdout) {
		line = strings.TrimSuffix(line, "\n")
		verdict, rest := strings.TrimSpace(line[:9]), line[9:]
		_, fix, isFix := strings.Cut(rest, ": ")
		switch {
		case verdict != "":
			all = append(all, finding{verdict: verdict, what: rest})
		case isFix && len(all) > 0:
			all[len(all)-1].fix = fix
		default:
			t.Fatalf("doctor says %q", line)
		}
	}
	return res, all
}

// spoil makes a router that brings nothing: doctor finds something wrong wherever it looks. The
// firewall of IPv6 has a rule, without which IPv6 has no neighbours.
func (l routed) spoil(t *testing.T) {
	t.Helper()
	l.router.configure(t, "link add bare type veth peer name other")
	l.router.succeed(t, "sysctl", "-qw", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0", "net.ipv4.conf.wire.src_valid_mark=1", "net.ipv4.conf.bare.rp_filter=1")
	l.router.nft(t, `table ip fire {
	chain input {
		type filter hook input priority filter; policy drop;
	}
}
table ip6 fire {
	chain input {
		type filter hook input priority filter; policy drop;
		meta l4proto icmpv6 accept
	}
}
`)
	l.router.forget(t)
}

// Doctor says what is missing where nothing is, and each command that it recommends helps, by itself
// against what it is for, and all of them together against everything.
func TestDoctorIsContentAfterItsAdvice(t *testing.T) {
	inBothModes(t, func(t *testing.T, l routed, mode string) {
		const web = 8001
		doctor := []string{"--transparent", mode, "--to", "9000", "--interface", "wire,bare", "--ports", fmt.Sprint(web)}
		l.spoil(t)
		res, sick := l.router.diagnose(t, t.TempDir(), doctor)
		if res.Code != 1 || res.Stderr != "" {
			t.Errorf("exit code %d: %s", res.Code, res.Stderr)
		}
		want := []string{
			"the rules are not up: there is no table inet mitm", "net.ipv4.ip_forward is not 1", "net.ipv6.conf.all.forwarding is not 1",
			"nothing listens on port 9000 for IPv4", "nothing listens on port 9000 for IPv6", "there is no CA", "the interface bare is down",
			"net.ipv4.conf.bare.rp_filter is strict, and no route leads there", "chain ip fire input drops what it does not accept, which is everything",
		}
		if mode == "tproxy" {
			want = append(want, "net.ipv4.conf.wire.src_valid_mark: 1", "the rule that routes marked packets of IPv4 is missing",
				"the rule that routes marked packets of IPv6 is missing", "table 7746 has no route of IPv4", "table 7746 has no route of IPv6")
		}
		for _, problem := range want {
			if !slices.ContainsFunc(sick, func(f finding) bool { return f.verdict == "problem" && strings.HasPrefix(f.what, problem) }) {
				t.Errorf("it does not say %q:\n%s", problem, res.Stdout)
			}
		}
		if look := "chain ip6 fire input drops what it does not accept: what is brought"; !slices.ContainsFunc(sick, func(f finding) bool { return f.verdict == "look" && strings.HasPrefix(f.what, look) }) {
			t.Errorf("it does not say %q:\n%s", look, res.Stdout)
		}

		for i, f := range sick {
			if f.verdict == "ok" {
				continue
			}
			t.Run(f.what, func(t *testing.T) {
				l, home := newRouted(t), t.TempDir()
				l.spoil(t)
				if _, again := l.router.diagnose(t, home, doctor); i >= len(again) || again[i] != f && !strings.HasPrefix(f.what, "there is no CA") {
					t.Fatalf("elsewhere it finds %v, and not %v", again, f)
				}
				l.router.follow(t, home, f.fix)
				res, better := l.router.diagnose(t, home, doctor)
				if i >= len(better) || better[i].verdict != "ok" {
					t.Errorf("%s\nhas helped nothing:\n%s", f.fix, res.Stdout)
				}
			})
		}

		t.Run("everything", func(t *testing.T) {
			l.serve(t, web)
			m := l.transparently(t, mode)
			_, sick := l.router.diagnose(t, m.Dir, doctor)
			for _, f := range sick {
				if f.verdict != "ok" {
					l.router.follow(t, m.Dir, f.fix)
				}
			}
			if res, _ := l.router.diagnose(t, m.Dir, doctor); res.Code != 0 || strings.Contains(res.Stdout, "problem") || strings.Contains(res.Stdout, "do:") || strings.Contains(res.Stdout, "look") {
				t.Errorf("exit code %d\n%s", res.Code, res.Stdout)
			}
			for _, f := range protocolFamilies() {
				l.clients.succeed(t, append([]string{"curl"}, curlArgs(f.status(web))...)...)
				if flow := m.flow(t); flow.Target != net.JoinHostPort(f.server, fmt.Sprint(web)) {
					t.Errorf("flow %+v", flow)
				}
			}
		})
	})
}

// follow runs a command as a shell reads it; one that runs the proxy stays for the length of the test.
// What is there already need not be made.
func (n namespace) follow(t *testing.T, home, command string) {
	t.Helper()
	args, isOurs := strings.CutPrefix(command, "mitm ")
	switch {
	case isOurs && strings.HasPrefix(args, "--"):
		file := built(t)
		n.start(t, peers.Mitm(file, strings.Fields(args)...))
	case isOurs:
		env := []string{"HOME=" + home, "XDG_CONFIG_HOME=" + home + "/config"}
		if res := n.mitm(t, append(env, strings.Fields(args)...)...); res.Code != 0 {
			t.Errorf("%s: exit code %d\n%s", command, res.Code, res.Stderr)
		}
	default:
		if res := n.run(t, "", "sh", "-c", command); res.Code != 0 && !strings.Contains(res.Stderr, "File exists") {
			t.Errorf("%s: exit code %d\n%s", command, res.Code, res.Stderr)
		}
	}
}

// What only somebody else can tell is no failure.
func TestDoctorLeavesWhatItCanNotKnow(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	l := newRouted(t)
	m := l.transparently(t, "tproxy")
	l.router.forget(t)
	args := []string{"--to", "9000", "--interface", "wire", "--usesrc", "clientip"}
	l.router.must(t, append([]string{"tproxy", "up"}, args...)...)
	finds := func(verdict, what string, code int) {
		t.Helper()
		res, all := l.router.diagnose(t, m.Dir, args)
		if res.Code != code || !slices.ContainsFunc(all, func(f finding) bool { return f.verdict == verdict && strings.HasPrefix(f.what, what) }) {
			t.Errorf("exit code %d, want %d with %s %q\n%s", res.Code, code, verdict, what, res.Stdout)
		}
	}
	finds("look", "what servers send to addresses that are not ours must come here", 0)
	finds("ok", "net.ipv4.conf.*.rp_filter is not strict where clients come in", 0)
	l.router.succeed(t, "sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1")
	finds("look", "net.ipv4.conf.wire.rp_filter is strict: the kernel drops clients that are not of 198.51.100.0/24", 0)
	l.router.configure(t, "route add default via 198.51.100.2")
	finds("ok", "net.ipv4.conf.wire.rp_filter is strict, and the default route leads there", 0)
	finds("ok", "no chain of nftables drops what comes in", 0)
	l.router.nft(t, "table inet fire {\n\tchain forward {\n\t\ttype filter hook forward priority filter; policy drop;\n\t}\n}\n")
	finds("look", "chain inet fire forward drops what it does not accept: what is left alone", 0)
	l.router.nft(t, `table inet wall {
	chain input {
		type filter hook input priority filter + 10; policy accept;
		ct state { established, related } accept
		tcp dport 22 accept
		reject with icmpx admin-prohibited
	}
	chain forward {
		type filter hook forward priority filter + 10; policy accept;
		jump more
	}
	chain more {
	}
}
`)
	finds("look", "chain inet wall input may drop what it does not accept first: what is brought", 0)
	finds("look", "chain inet wall forward may drop what it does not accept first: what is left alone", 0)
	args[3] = "wire,wifi0"
	finds("problem", "there is no interface wifi0", 1)
}

// It notices what somebody has taken away or changed.
func TestDoctorNoticesWhatIsNoLongerThere(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	l := newRouted(t)
	m := l.transparently(t, "tproxy")
	args := []string{"HOME=" + m.Dir, "XDG_CONFIG_HOME=" + m.Dir + "/config", "doctor", "--to", "9000"}
	l.router.forget(t)
	l.router.must(t, "tproxy", "up", "--to", "9000")
	l.router.must(t, args...)
	for _, tt := range []struct{ name, spoil, want string }{
		{"a chain that was emptied", "nft flush chain inet mitm prerouting", "the table inet mitm has other rules than these"},
		{"another port", "mitm tproxy up --to 9001", "the table inet mitm has other rules than these"},
		{"the table", "nft delete table inet mitm", "there is no table inet mitm"},
		{"a routing rule", "ip -6 rule del lookup 7746", "the rule that routes marked packets of IPv6 is missing"},
		{"a route", "ip -4 route flush table 7746", "table 7746 has no route of IPv4"},
		{"forwarding", "sysctl -qw net.ipv6.conf.all.forwarding=0", "net.ipv6.conf.all.forwarding is not 1"},
		{"src_valid_mark", "sysctl -qw net.ipv4.conf.all.src_valid_mark=1", "net.ipv4.conf.all.src_valid_mark: 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l.router.follow(t, m.Dir, tt.spoil)
			res := l.router.mitm(t, args...)
			if res.Code != 1 || !strings.Contains(res.Stdout, "problem  ") || !strings.Contains(res.Stdout, tt.want) {
				t.Errorf("exit code %d\n%s, want %q", res.Code, res.Stdout, tt.want)
			}
			l.router.must(t, "tproxy", "up", "--to", "9000")
			l.router.must(t, args...)
		})
	}
	t.Run("a listener at loopback", func(t *testing.T) {
		l.router.listen(t, "127.0.0.1:9002")
		res := l.router.mitm(t, "doctor", "--to", "9002", "--family", "ipv4")
		if !strings.Contains(res.Stdout, "what listens on port 9002 for IPv4 is at loopback") {
			t.Errorf("it says\n%s", res.Stdout)
		}
	})
}

// With TPROXY doctor warns of a bridge that has its packets filtered, as Docker wants it, and its advice is enough. REDIRECT
// needs none.
func TestDoctorKnowsBridges(t *testing.T) {
	inBothModes(t, func(t *testing.T, l routed, mode string) {
		const web = 8001
		l.router.configure(t, "addr flush dev wire", "link add bridge type bridge", "link set wire master bridge", "link set bridge addrgenmode none",
			"link set bridge up", "addr add 198.51.100.1/24 dev bridge", "addr add 2001:db8:1::1/64 dev bridge nodad")
		l.router.succeed(t, "ip", "link", "set", "bridge", "type", "bridge", "nf_call_ip6tables", "1")
		l.router.succeed(t, "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1", "net.bridge.bridge-nf-call-ip6tables=0")
		l.serve(t, web)
		m := l.transparently(t, mode, "--with-tproxy", "--interface", "bridge")
		doctor := []string{"--transparent", mode, "--to", "9000", "--interface", "bridge"}
		_, all := l.router.diagnose(t, m.Dir, doctor)
		warned := 0
		for _, f := range all {
			if f.verdict == "problem" && strings.HasPrefix(f.what, "the bridge bridge hands packets") {
				l.router.follow(t, m.Dir, f.fix)
				warned++
			}
		}
		if want := map[string]int{"redirect": 0, "tproxy": len(protocolFamilies())}[mode]; warned != want {
			t.Errorf("it warns %d times, want %d: %v", warned, want, all)
		}
		if res, _ := l.router.diagnose(t, m.Dir, doctor); strings.Contains(res.Stdout, "the bridge") {
			t.Errorf("it is not content\n%s", res.Stdout)
		}
		for _, f := range protocolFamilies() {
			l.clients.succeed(t, append([]string{"curl"}, curlArgs(f.status(web))...)...)
			if flow := m.flow(t); flow.Target != net.JoinHostPort(f.server, fmt.Sprint(web)) {
				t.Errorf("flow %+v", flow)
			}
		}
	})
}

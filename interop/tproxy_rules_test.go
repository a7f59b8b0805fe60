package interop

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// mitm runs our command in the namespace to its end, with variables NAME=VALUE before its
// arguments.
func (n namespace) mitm(t *testing.T, args ...string) peers.Result {
	t.Helper()
	file := built(t)
	words := []string{"env", peers.NoRaceDelay, "HOME=" + t.TempDir()}
	for len(args) > 0 && strings.Contains(args[0], "=") && !strings.HasPrefix(args[0], "-") {
		words, args = append(words, args[0]), args[1:]
	}
	return n.run(t, "", append(append(words, file), args...)...)
}

// must is mitm with exit code 0.
func (n namespace) must(t *testing.T, args ...string) string {
	t.Helper()
	res := n.mitm(t, args...)
	if res.Code != 0 || res.Stderr != "" {
		t.Fatalf("mitm %q: exit code %d\n%s%s", args, res.Code, res.Stdout, res.Stderr)
	}
	return res.Stdout
}

// network is everything that a namespace's network is configured to be.
func (n namespace) network(t *testing.T) string {
	t.Helper()
	return n.succeed(t, "sh", "-ec", `nft list ruleset
for version in -4 -6; do ip $version rule; ip $version route show table all; done
cd /proc/sys/net && grep -rs . . | grep -v nf_conntrack_count | sort`)
}

// isStill wants the network to be as it was.
func (n namespace) isStill(t *testing.T, before string) {
	t.Helper()
	if diff := changes(before, n.network(t)); len(diff) > 0 {
		t.Errorf("it leaves\n%s", strings.Join(diff, "\n"))
	}
}

// changes are the lines that two networks do not share.
func changes(before, after string) []string {
	var all []string
	count := map[string]int{}
	for line := range strings.Lines(before) {
		count[line]--
	}
	for line := range strings.Lines(after) {
		count[line]++
	}
	for line, n := range count {
		if n != 0 {
			all = append(all, map[bool]string{true: "+", false: "-"}[n > 0]+strings.TrimSpace(line))
		}
	}
	slices.Sort(all)
	return all
}

// A hardened router has switches that the kernel would turn together with others: down finds
// each one as it was.
func newHardened(t *testing.T) namespace {
	t.Helper()
	n := namespace(fmt.Sprintf("mitm-%d-%04x-h", os.Getpid(), rand.IntN(1<<16)))
	succeed(t, "ip", "netns", "add", string(n))
	t.Cleanup(func() { peers.Run(context.Background(), nil, "ip", "netns", "del", string(n)) })
	succeed(t, "ip", "-n", string(n), "link", "add", "wire", "type", "veth", "peer", "name", "out")
	n.configure(t, "link set out addrgenmode none", "link set out up", "addr add 198.51.100.1/24 dev wire", "addr add 2001:db8:1::1/64 dev wire nodad")
	n.succeed(t, "sysctl", "-qw", "net.ipv4.conf.all.accept_redirects=0", "net.ipv4.conf.wire.forwarding=1", "net.ipv6.conf.out.forwarding=1",
		"net.ipv4.conf.out.src_valid_mark=1", "net.ipv6.conf.out.accept_ra=0", "net.ipv4.conf.all.rp_filter=1")
	n.nft(t, "table inet other {\n\tchain pre {\n\t\ttype filter hook prerouting priority mangle; policy accept;\n\t\tmeta mark 0x1 accept\n\t}\n}\n")
	n.succeed(t, "ip", "rule", "add", "fwmark", "0x1", "lookup", "100")
	n.forget(t)
	return n
}

// ruleSets are flags of tproxy, and what of the kernel's list shows that they were obeyed.
func ruleSets() []struct{ name, flags, want string } {
	return []struct{ name, flags, want string }{
		{"redirect", "--transparent redirect --to 9000", `iifname != "lo" meta l4proto tcp redirect to :9000`},
		{"redirect with choices", "--transparent redirect --ports 80,443 --interface wire --exclude 10.0.0.0/8,10.1.0.0/16,fd00::/8", `iifname "wire" tcp dport { 80, 443 } redirect to :8080`},
		{"redirect of local connections", "--transparent redirect --uid 65534 --family ipv6", "meta skuid 65534 meta nfproto ipv6 meta l4proto tcp redirect to :8080"},
		{"redirect and the clients' addresses", "--transparent redirect --usesrc client", "ct original zone set 7746"},
		{"tproxy", "--transparent tproxy --to 9100 --mark 42", `meta nfproto ipv6 meta l4proto tcp tproxy ip6 to :9100 meta mark set meta mark | 0x02000000 goto handed`},
		{"tproxy with choices", "--interface wire,out --ports 1-1024 --family ipv4", `meta nfproto ipv4 tcp dport 1-1024 goto hand`},
		{"tproxy of local connections", "--uid 0,65534", "ct state new meta skuid { 0, 65534 }"},
		{"tproxy of all", "--uid 0 --interface wire --keep-forwarding", `iifname "wire" meta l4proto tcp goto hand`},
	}
}

func TestTProxyUpTwiceIsOnceAndDownLeavesNothing(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	n := newHardened(t)
	before := n.network(t)
	for _, tt := range ruleSets() {
		t.Run(tt.name, func(t *testing.T) {
			flags := strings.Fields(tt.flags)
			script := n.must(t, append([]string{"tproxy", "print", "--nft"}, flags...)...)
			if res := n.run(t, script, "nft", "-c", "-f", "-"); res.Code != 0 {
				t.Fatalf("nft: %s\n%s", res.Stderr, script)
			}
			shown := n.must(t, append([]string{"tproxy", "up"}, flags...)...)
			once := n.network(t)
			if !strings.Contains(shown, script) || !strings.Contains(once, tt.want) {
				t.Errorf("the rules are not up, or not shown; want %s\n%s\n%s", tt.want, shown, strings.Join(changes(before, once), "\n"))
			}
			if shown := n.must(t, append([]string{"tproxy", "up"}, flags...)...); shown != "nft -f - <<'EOF'\n"+script+"EOF\n" {
				t.Errorf("a second time more is done than the rules:\n%s", shown)
			}
			if diff := changes(once, n.network(t)); len(diff) > 0 {
				t.Errorf("a second time changes\n%s", strings.Join(diff, "\n"))
			}
			n.must(t, "tproxy", "down")
			n.isStill(t, before)
			if shown := n.must(t, append([]string{"tproxy", "down"}, flags...)...); shown != "" {
				t.Errorf("a second time there is something to take away:\n%s", shown)
			}
		})
	}
	t.Run("print, by a shell", func(t *testing.T) {
		if res := n.run(t, n.must(t, "tproxy", "print"), "sh", "-e"); res.Code != 0 {
			t.Fatalf("sh: %s", res.Stderr)
		}
		shelled := n.network(t)
		n.must(t, "tproxy", "down") // it knows nothing of the switches
		n.must(t, "tproxy", "up")
		if diff := changes(shelled, n.network(t)); len(diff) > 0 {
			t.Errorf("up is other than what print shows\n%s", strings.Join(diff, "\n"))
		}
		n.must(t, "tproxy", "down")
	})
}

// One set of rules takes the place of another, and down still knows what was there first.
func TestTProxyUpChangesItsMind(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	n := newHardened(t)
	before := n.network(t)
	n.must(t, "tproxy", "up", "--uid", "0")
	n.must(t, "tproxy", "up")
	n.must(t, "tproxy", "up", "--transparent", "redirect", "--family", "ipv4")
	if now := n.network(t); strings.Contains(now, "7746") || strings.Contains(now, "tproxy") || !strings.Contains(now, "redirect to") {
		t.Errorf("something of TPROXY is left:\n%s", strings.Join(changes(before, now), "\n"))
	}
	n.must(t, "tproxy", "down")
	n.isStill(t, before)
}

// Whatever the moment at which it is killed, down takes away what it has done until then.
func TestTProxyDownAfterAKill(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	n := newHardened(t)
	before := n.network(t)
	for _, tt := range []struct{ name, program, pattern string }{
		{"before the first rule", "ip", "-4 rule add*"},
		{"before a route", "ip", "-6 route add*"},
		{"before nftables", "nft", "-f -"},
	} {
		for _, after := range []bool{false, true} {
			name := tt.name
			if after {
				name = strings.Replace(name, "before", "after", 1)
			}
			t.Run(name, func(t *testing.T) {
				path := "PATH=" + killer(t, tt.program, tt.pattern, after) + ":" + os.Getenv("PATH")
				if res := n.mitm(t, path, "tproxy", "up"); res.Code == 0 {
					t.Fatalf("it was not killed:\n%s", res.Stdout)
				}
				if diff := changes(before, n.network(t)); len(diff) == 0 {
					t.Fatal("nothing was done when it was killed")
				}
				n.must(t, "tproxy", "down")
				n.isStill(t, before)
			})
		}
	}
	t.Run("down itself", func(t *testing.T) {
		n.must(t, "tproxy", "up")
		path := "PATH=" + killer(t, "ip", "-6 rule del*", true) + ":" + os.Getenv("PATH")
		if res := n.mitm(t, path, "tproxy", "down"); res.Code == 0 {
			t.Fatalf("it was not killed:\n%s", res.Stdout)
		}
		n.must(t, "tproxy", "down")
		n.isStill(t, before)
	})
}

// killer is a folder with a program that kills who has started it, when its arguments are
// like the pattern: instead of doing its work, or after it.
func killer(t *testing.T, program, pattern string, after bool) string {
	t.Helper()
	then := "kill -9 $PPID; exit 1"
	if after {
		then = `"$real" "$@"; ` + then
	}
	return impostor(t, program, pattern, then)
}

// impostor is a folder with a program that does something else when its arguments are like the
// pattern; $real is the true one.
func impostor(t *testing.T, program, pattern, then string) string {
	t.Helper()
	dir := t.TempDir()
	real := strings.TrimSpace(succeed(t, "sh", "-c", "command -v "+program))
	text := "#!/bin/sh\nreal=" + real + "\ncase \"$*\" in " + strings.ReplaceAll(pattern, " ", `\ `) + ") " + then + ";; esac\nexec $real \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, program), []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// inReadOnlyRun has our command run where /run can't be written to.
func (n namespace) inReadOnlyRun(t *testing.T, dir string, args ...string) string {
	t.Helper()
	file := built(t)
	return n.succeed(t, append([]string{
		"env", peers.NoRaceDelay, "HOME=" + dir, "XDG_RUNTIME_DIR=" + dir, "sh", "-ec", `mount -t tmpfs -o ro none /run && exec "$0" "$@"`, file,
	}, args...)...)
}

func TestTProxyRemembersWhereItMay(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	n := newHardened(t)
	before, dir := n.network(t), t.TempDir()
	n.inReadOnlyRun(t, dir, "tproxy", "up")
	files, err := filepath.Glob(dir + "/mitm/*.json")
	if err != nil || len(files) != 1 {
		t.Fatalf("files %q, %v, want one", files, err)
	}
	info, err := os.Stat(files[0])
	folder, folderErr := os.Stat(filepath.Dir(files[0]))
	if err := errors.Join(err, folderErr); err != nil || info.Mode().Perm() != 0o600 || folder.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v: %v, want modes 0600 and 0700", info.Mode(), folder.Mode(), err)
	}
	t.Run("what somebody else changed stays", func(t *testing.T) {
		n.succeed(t, "sysctl", "-qw", "net.ipv6.conf.wire.accept_ra=0")
		n.inReadOnlyRun(t, dir, "tproxy", "down")
		want := []string{"+./ipv6/conf/wire/accept_ra:0", "-./ipv6/conf/wire/accept_ra:1"}
		if diff := changes(before, n.network(t)); !slices.Equal(diff, want) {
			t.Errorf("it leaves\n%s", strings.Join(diff, "\n"))
		}
		n.succeed(t, "sysctl", "-qw", "net.ipv6.conf.wire.accept_ra=1")
		if _, err := os.Stat(files[0]); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the state is there still: %v", err)
		}
	})
	t.Run("a write that may not have happened", func(t *testing.T) {
		n.inReadOnlyRun(t, dir, "tproxy", "up")
		text, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		var lines []string // as it is before each write
		for line := range strings.Lines(string(text)) {
			if !strings.Contains(line, `"after"`) {
				lines = append(lines, line)
			}
		}
		early := strings.NewReplacer("\",\n\t\t}", "\"\n\t\t}").Replace(strings.Join(lines, ""))
		if err := os.WriteFile(files[0], []byte(early), 0o600); err != nil {
			t.Fatal(err)
		}
		n.inReadOnlyRun(t, dir, "tproxy", "down")
		n.isStill(t, before)
	})
}

// What fails is one line with the program's own words, and what was done before it is undone.
func TestTProxyUpThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	n := newHardened(t)
	before := n.network(t)
	res := n.mitm(t, "tproxy", "up", "--interface", "wire", "--cgroup", "no/such.group")
	if res.Code != 1 || strings.Count(res.Stderr, "\n") != 1 || !strings.Contains(res.Stderr, "No such file or directory") || !strings.Contains(res.Stderr, "no/such.group") {
		t.Errorf("exit code %d: %s", res.Code, res.Stderr)
	}
	n.isStill(t, before)
}

// Rules that work stay as they are when others fail to take their place.
func TestTProxyUpThatFailsLeavesWhatWasUp(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	n := newHardened(t)
	n.must(t, "tproxy", "up", "--interface", "wire")
	before := n.network(t)
	if res := n.mitm(t, "tproxy", "up", "--transparent", "redirect", "--cgroup", "no/such.group"); res.Code != 1 {
		t.Errorf("exit code %d: %s", res.Code, res.Stderr)
	}
	n.isStill(t, before)
	n.must(t, "tproxy", "down")
}

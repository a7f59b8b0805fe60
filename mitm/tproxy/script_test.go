package tproxy

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the goldens")

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// golden are rules, by the name of the file that holds their commands.
func golden() map[string]Rules {
	web := []PortRange{{443, 443}, {80, 80}, {8000, 8100}, {8050, 8200}}
	return map[string]Rules{
		"redirect":         {Mode: Redirect, Port: 9000},
		"redirect-local":   {Mode: Redirect, Port: 9000, Ports: web, Users: []uint32{1000, 65534, 1000}, Cgroups: []string{"system.slice/a.service"}},
		"redirect-foreign": {Mode: Redirect, Port: 9000, ForeignSource: true, Family: IPv4, KeepForwarding: true},
		"redirect-both": {
			Mode: Redirect, Port: 9000, Mark: 0x2a, Family: IPv6, Interfaces: []string{"eth1"}, Users: []uint32{0},
			Exclude: prefixes("2001:db8::/32", "192.0.2.0/24"),
		},
		"tproxy": {Mode: TPROXY, Port: 9100, Ports: web, Interfaces: []string{"eth1", "wlan0", "eth1"}, Exclude: prefixes("10.0.0.0/8", "10.1.0.0/16", "fd00::/8")},
		"tproxy-ipv4": {
			Mode: TPROXY, Port: 9100, Family: IPv4, KeepForwarding: true,
		},
		"tproxy-local":  {Mode: TPROXY, Port: 9100, Users: []uint32{1000}, Cgroups: []string{"unified/a/b"}},
		"tproxy-both":   {Mode: TPROXY, Port: 9100, Ports: web[:1], Interfaces: []string{"eth1"}, Users: []uint32{1000}},
		"tproxy-closed": {Mode: TPROXY, Port: 9100, FailClosed: true},
	}
}

func TestCommandsAreTheGoldens(t *testing.T) {
	all := golden()
	for name, r := range all {
		t.Run(name, func(t *testing.T) {
			if err := r.Check(); err != nil {
				t.Fatal(err)
			}
			got, file := r.Commands(), filepath.Join("testdata", name+".sh")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if !strings.Contains(got, r.Script()) {
				t.Error("the script of nft is not among the commands")
			}
		})
	}
	if files, err := filepath.Glob("testdata/*.sh"); err != nil || len(files) != len(all) {
		t.Errorf("%d goldens, %v, want %d", len(files), err, len(all))
	}
}

// Rules that are released are those without what brings connections that begin.
func TestReleasedRulesBringNothing(t *testing.T) {
	for name, r := range golden() {
		released, isLeft := r.released(), map[string]bool{}
		for line := range strings.Lines(released) {
			isLeft[line] = true
		}
		var gone []string
		for line := range strings.Lines(r.Script()) {
			if !isLeft[line] && !strings.Contains(line, "comment") {
				gone = append(gone, strings.TrimSpace(line))
			}
		}
		if r.FailClosed {
			if len(gone) > 0 {
				t.Errorf("%s: closed rules are released from %q", name, gone)
			}
			continue
		}
		if begins := slices.ContainsFunc(gone, func(rule string) bool { return rule == onlyBegins }); !begins {
			t.Errorf("%s: only %q is gone", name, gone)
		}
		for _, rule := range gone {
			isBringing := strings.Contains(rule, "redirect to") || strings.Contains(rule, "goto hand") || strings.Contains(rule, "ct state new")
			if !isBringing && rule != onlyBegins && rule != "jump pass" {
				t.Errorf("%s: %q is gone", name, rule)
			}
		}
		for _, rule := range []string{"redirect to", "ct state new", "dport"} {
			if strings.Contains(released, rule) {
				t.Errorf("%s: there is %q still:\n%s", name, rule, released)
			}
		}
	}
}

// The comment tells rules from others.
func TestTheCommentDependsOnTheRules(t *testing.T) {
	seen := map[string]string{}
	for name, r := range golden() {
		_, text, _ := strings.Cut(r.Script(), "comment ")
		text, _, _ = strings.Cut(text, "\n")
		if other, isThere := seen[text]; isThere {
			t.Errorf("%s and %s have the comment %s", name, other, text)
		}
		seen[text] = name
	}
}

func TestTheBitIsTheMark(t *testing.T) {
	if want := fmt.Sprintf("%#x", divertMark); bit != want {
		t.Errorf("bit is %s, want %s", bit, want)
	}
}

func TestCgroupLevel(t *testing.T) {
	for name, want := range map[string]int{"a": 1, "a/b": 2, "unified/a": 1, "unified/a/b": 2, "unifieda/b": 2} {
		if got := cgroupLevel(name); got != want {
			t.Errorf("cgroupLevel(%q) = %d, want %d", name, got, want)
		}
	}
}

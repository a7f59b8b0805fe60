package tproxy

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAStateNamesOnlyFilesThatAreChangedHere(t *testing.T) {
	for file, want := range map[string]bool{
		"net/ipv4/ip_forward":                   true,
		"net/ipv4/conf/all/forwarding":          true,
		"net/ipv4/conf/eth0.100/src_valid_mark": true,
		"net/ipv6/conf/default/accept_ra":       true,
		"net/ipv6/conf/all/forwarding":          true,
		"kernel/core_pattern":                   false,
		"net/ipv4/conf/../ip_forward":           false,
		"net/ipv4/conf/../../ipv4/forwarding":   false,
		"net/ipv4/conf/a/b/forwarding":          false,
		"/etc/passwd":                           false,
		"":                                      false,
	} {
		if got := isOurs(file); got != want {
			t.Errorf("isOurs(%q) = %v, want %v", file, got, want)
		}
	}
	for _, r := range golden() {
		for _, s := range r.settings() {
			if !isOurs(s.pattern) {
				t.Errorf("%s is set, and could not be put back", s.pattern)
			}
		}
	}
}

func TestANotedChangeKeepsWhatWasFirst(t *testing.T) {
	var s state
	s.note(change{"net/b", "0", "1"})
	s.note(change{"net/a", "5", ""})
	s.note(change{"net/b", "1", "2"})
	want := state{Changes: []change{{"net/a", "5", ""}, {"net/b", "0", "2"}}}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestWhatOthersFollowIsPutBackFirst(t *testing.T) {
	got := sortedFiles(map[string]string{"net/ipv4/conf/all/accept_redirects": "", forward6: "", forward4: "", "net/ipv6/conf/a/forwarding": ""})
	want := []string{forward4, forward6, "net/ipv4/conf/all/accept_redirects", "net/ipv6/conf/a/forwarding"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestDottedNamesAreThoseOfSysctl(t *testing.T) {
	if got := dotted("net/ipv4/conf/eth0.100/forwarding"); got != "net.ipv4.conf.eth0/100.forwarding" {
		t.Errorf("dotted: %s", got)
	}
}

func TestParseCapabilities(t *testing.T) {
	for _, tt := range []struct {
		name, status string
		admin, raw   bool
		fails        bool
	}{
		{"all", "Name:\tmitm\nCapEff:\t000001ffffffffff\n", true, true, false},
		{"none", "CapPrm:\t000001ffffffffff\nCapEff:\t0000000000000000\n", false, false, false},
		{"CAP_NET_RAW alone", "CapEff:\t0000000000002000\n", false, true, false},
		{"CAP_NET_ADMIN alone", "CapEff:\t0000000000001000\n", true, false, false},
		{"no line", "Name:\tmitm\n", false, false, true},
		{"a line that is none", "CapEff:\txyz\n", false, false, true},
	} {
		caps, err := parseCapabilities(tt.status)
		if (err != nil) != tt.fails || caps.has(capNetAdmin) != tt.admin || caps.has(capNetRaw) != tt.raw {
			t.Errorf("%s: %x, %v", tt.name, caps, err)
		}
	}
}

package tproxy

import (
	"strings"
	"testing"
)

// What "ip -N -j route show table all dev" of iproute2 6.1 says.
const (
	noRoutes    = `[]`
	ownRoutes   = `[{"type":"2","dst":"198.51.100.1","table":"255","protocol":"2","scope":"254","prefsrc":"198.51.100.1","flags":[]},{"type":"3","dst":"198.51.100.255","table":"255","flags":[]}]`
	linkRoutes  = `[{"dst":"198.51.100.0/24","protocol":"2","scope":"253","prefsrc":"198.51.100.1","flags":[]},{"type":"2","dst":"198.51.100.1","table":"255"}]`
	twoTables   = `[{"dst":"198.51.100.0/24","flags":[]},{"type":"1","dst":"192.0.2.0/25","table":"100"},{"dst":"198.51.100.0/24","table":"101"}]`
	defaultLink = `[{"dst":"default","gateway":"198.51.100.9","flags":[]},{"dst":"198.51.100.0/24"}]`
)

func TestAStrictFilterLetsInWhereTheWayBackIs(t *testing.T) {
	for _, tt := range []struct {
		name, routes string
		want         Verdict
		words        string
	}{
		{"nothing", noRoutes, Problem, "no route leads there"},
		{"only addresses of this host", ownRoutes, Problem, "no route leads there"},
		{"the neighbours", linkRoutes, Look, "not of 198.51.100.0/24"},
		{"the neighbours, and others by a table of their own", twoTables, Look, "not of 192.0.2.0/25, 198.51.100.0/24"},
		{"everything", defaultLink, OK, "the default route leads there"},
	} {
		prefixes, err := wayBack([]byte(tt.routes))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		got := strict("eth0.7", prefixes)
		if got.Verdict != tt.want || !strings.Contains(got.What, tt.words) || !strings.HasPrefix(got.What, "net.ipv4.conf.eth0/7.rp_filter is strict") {
			t.Errorf("%s: %v, want %v, %q", tt.name, got, tt.want, tt.words)
		}
		if want := "sysctl -w net.ipv4.conf.eth0/7.rp_filter=2"; (tt.want == OK && got.Fix != "") || (tt.want != OK && got.Fix != want) {
			t.Errorf("%s: fix %q", tt.name, got.Fix)
		}
	}
	for n := range linkRoutes {
		if prefixes, err := wayBack([]byte(linkRoutes[:n])); err == nil || prefixes != nil {
			t.Errorf("%d bytes of it are %v, %v", n, prefixes, err)
		}
	}
}

package tproxy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// wayBack reads where routes lead by an interface, from "ip -N -j route show table all dev": the prefixes
// of clients that a strict filter lets come in there (RFC 3704 §2.2).
func wayBack(routes []byte) ([]string, error) {
	var all []struct{ Type, Dst string }
	if err := json.Unmarshal(routes, &all); err != nil {
		return nil, fmt.Errorf("routes: %w", err)
	}
	const unicast = "1" // RTN_UNICAST of rtnetlink(7), which ip leaves out
	var prefixes []string
	for _, route := range all {
		if route.Type == "" || route.Type == unicast {
			prefixes = append(prefixes, route.Dst)
		}
	}
	slices.Sort(prefixes)
	return slices.Compact(prefixes), nil
}

// strict is what a strict filter means for clients that come in at an interface (ip-sysctl.rst,
// rp_filter): the way back to them must be the one that they came.
func strict(name string, prefixes []string) Finding {
	file := dotted("net/ipv4/conf/" + name + "/rp_filter")
	loosen := fmt.Sprintf("sysctl -w %s=2", file)
	switch {
	case len(prefixes) == 0:
		return problem(fmt.Sprintf("%s is strict, and no route leads there: the kernel drops what comes in", file), loosen)
	case slices.Contains(prefixes, "default"):
		return ok(fmt.Sprintf("%s is strict, and the default route leads there", file))
	}
	return look(fmt.Sprintf("%s is strict: the kernel drops clients that are not of %s", file, strings.Join(prefixes, ", ")), loosen)
}

// dotted is a file's name as sysctl knows it, which has names of interfaces with dots.
func dotted(file string) string {
	return strings.NewReplacer("/", ".", ".", "/").Replace(file)
}

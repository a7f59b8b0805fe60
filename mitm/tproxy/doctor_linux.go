package tproxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path"
	"slices"
	"strings"
)

// Diagnose checks what the rules need on this host, and changes nothing. up is the command that
// puts the rules up, for what it would help against. The rules must pass Check.
func (r Rules) Diagnose(ctx context.Context, up string) []Finding {
	var all []Finding
	h := host{show: func(string) {}}
	if here, err := h.here(r); err != nil {
		return append(all, problem(err.Error(), "a kernel with IPv6, turned on: sysctl -w net.ipv6.conf.all.disable_ipv6=0"))
	} else if here.Family != r.Family {
		all = append(all, ok("IPv6 is turned off here, and needs no rules"))
		r = here
	}
	rights, isAdmin := checkRights()
	all = append(all, rights...)
	for _, program := range []command{{name: "nft", args: []string{"--version"}}, {name: "ip", args: []string{"-V"}}} {
		all = append(all, checkProgram(ctx, program))
	}
	if isAdmin {
		all = append(all, r.checkKernel(ctx), r.checkTable(ctx, up))
	}
	for _, name := range r.Interfaces {
		all = append(all, checkLink(name))
	}
	if isAdmin {
		all = append(all, r.checkFirewall(ctx)...)
	}
	for _, f := range r.families() {
		if r.diverts() {
			all = append(all, checkRoutes(ctx, f)...)
		}
	}
	all = append(all, r.checkSettings()...)
	if r.forwarded() && r.Family.has(IPv4) {
		all = append(all, r.checkFilters(ctx)...)
	}
	if r.forwarded() && r.Mode == TPROXY {
		all = append(all, r.checkBridges(ctx)...)
	}
	if r.ForeignSource {
		all = append(all, look("what servers send to addresses that are not ours must come here", "look at the servers' routes: this host must be on the way back to their clients"))
	}
	for _, f := range r.families() {
		all = append(all, r.checkListener(f))
	}
	return all
}

func checkRights() (all []Finding, isAdmin bool) {
	caps, err := capabilities()
	if err != nil {
		return []Finding{problem(err.Error(), "mount /proc")}, false
	}
	isAdmin = caps.has(capNetAdmin)
	if isAdmin {
		all = append(all, ok("CAP_NET_ADMIN is there: rules can be changed"))
	} else {
		all = append(all, problem("CAP_NET_ADMIN is missing: rules can be neither changed nor seen", "run it as root"))
	}
	if isAdmin || caps.has(capNetRaw) {
		return append(all, ok("sockets may be transparent and have marks")), isAdmin
	}
	return append(all, problem("CAP_NET_RAW is missing: sockets can't be transparent or have marks", "setcap cap_net_raw+ep $(command -v mitm)")), false
}

// checkProgram has a program say its version.
func checkProgram(ctx context.Context, c command) Finding {
	if _, err := c.path(); err != nil {
		return problem(err.Error(), "apt-get install nftables iproute2")
	}
	out, err := c.run(ctx)
	if err != nil {
		return problem(err.Error(), "apt-get install nftables iproute2")
	}
	return ok(fmt.Sprintf("%s is there: %s", c.name, strings.TrimSpace(string(out))))
}

// checkKernel has nft try the rules without putting them up.
func (r Rules) checkKernel(ctx context.Context) Finding {
	_, err := command{name: "nft", args: []string{"-c", "-f", "-"}, stdin: r.Script()}.run(ctx)
	if err != nil {
		features := "NFT_REDIR, NFT_FIB_INET"
		if r.diverts() {
			features = "NFT_TPROXY, NFT_REDIR, NFT_SOCKET, NFT_FIB_INET"
		}
		if r.Mode == TPROXY && (r.FailClosed || r.local()) {
			features += ", NFT_REJECT_INET (at prerouting since Linux 5.9)"
		}
		return problem(err.Error(), "a kernel with "+features+"; modprobe may load them")
	}
	return ok("the kernel takes the rules")
}

func (r Rules) checkTable(ctx context.Context, up string) Finding {
	list, err := listTable(ctx)
	if held, heldErr := isHeld(); held {
		up = "end the mitm that holds the rules, or give it these flags"
	} else {
		err = cmp.Or(err, heldErr)
	}
	switch {
	case err != nil:
		return problem(err.Error(), up)
	case isForeign(list):
		return problem(errForeign.Error(), "nft delete table inet "+tableName)
	case list == "":
		return problem("the rules are not up: there is no table inet "+tableName, up)
	case !isListed(list, r.Script()):
		return problem("the table inet "+tableName+" has other rules than these", up)
	}
	return ok("the rules are up: table inet " + tableName)
}

func checkRoutes(ctx context.Context, f Family) []Finding {
	name := familyName(f)
	var all []Finding
	priorities, err := listRules(ctx, f)
	switch {
	case err != nil:
		all = append(all, problem(err.Error(), addRule(f).String()))
	case len(priorities) == 0:
		all = append(all, problem("the rule that routes marked packets of "+name+" is missing", addRule(f).String()))
	default:
		all = append(all, ok(fmt.Sprintf("marked packets of %s are routed by table %d", name, routeTable)))
	}
	hasRoute, err := listRoute(ctx, f)
	switch {
	case err != nil:
		return append(all, problem(err.Error(), addRoute(f).String()))
	case !hasRoute:
		return append(all, problem(fmt.Sprintf("table %d has no route of %s to this host", routeTable, name), addRoute(f).String()))
	}
	return append(all, ok(fmt.Sprintf("table %d has a route of %s to this host", routeTable, name)))
}

// checkSettings checks the switches.
func (r Rules) checkSettings() []Finding {
	var all []Finding
	for _, s := range r.settings() {
		files, err := s.unmet()
		if err != nil {
			all = append(all, problem(err.Error(), "mount /proc"))
			continue
		}
		if len(files) > 0 {
			all = append(all, problem(s.notMet(files), s.String()))
		} else {
			all = append(all, ok(s.met()))
		}
	}
	return all
}

// notMet says for which files it is not met.
func (s setting) notMet(files []string) string {
	if s.from == "" {
		return strings.ReplaceAll(s.pattern, "/", ".") + " is not " + s.to
	}
	for i := range files {
		files[i] = dotted(files[i])
	}
	return fmt.Sprintf("%s: %s", strings.Join(files, ", "), s.from)
}

// met says that it is.
func (s setting) met() string {
	name := strings.ReplaceAll(s.pattern, "/", ".")
	switch {
	case s.unless != "":
		return fmt.Sprintf("%s needs no change", name)
	case s.from != "":
		return fmt.Sprintf("%s is nowhere %s", name, s.from)
	}
	return fmt.Sprintf("%s is %s", name, s.to)
}

// checkFilters looks at rp_filter (ip-sysctl.rst) where clients come in: the larger of an interface's value
// and that of all counts.
func (r Rules) checkFilters(ctx context.Context) []Finding {
	values, err := matching("net/ipv4/conf/*/rp_filter")
	if err != nil {
		return []Finding{problem(err.Error(), "mount /proc")}
	}
	file := func(name string) string { return "net/ipv4/conf/" + name + "/rp_filter" }
	var findings []Finding
	for _, name := range slices.Sorted(maps.Keys(values)) {
		name = path.Base(path.Dir(name))
		switch {
		case name == "all", name == "default", name == "lo":
			continue
		case len(r.Interfaces) > 0 && !slices.Contains(r.Interfaces, name):
			continue
		case max(values[file(name)], values[file("all")]) != "1":
			continue
		}
		c := ip(IPv4, "-N -j route show table all dev "+name)
		out, err := c.run(ctx)
		prefixes, parseErr := wayBack(out)
		if err := cmp.Or(err, parseErr); err != nil {
			findings = append(findings, problem(err.Error(), c.String()))
			continue
		}
		f := strict(name, prefixes)
		if len(r.Interfaces) == 0 && f.Verdict == Problem {
			f.Verdict = Look // clients may come in elsewhere alone
		}
		findings = append(findings, f)
	}
	if len(findings) == 0 {
		return []Finding{ok("net.ipv4.conf.*.rp_filter is not strict where clients come in")}
	}
	return findings
}

// checkBridges looks at those where clients may come in. Without the switches there is nothing of the kind.
func (r Rules) checkBridges(ctx context.Context) []Finding {
	c := command{name: "ip", args: []string{"-d", "-j", "link", "show", "type", "bridge"}}
	out, err := c.run(ctx)
	bridges, parseErr := parseBridges(out)
	if err := cmp.Or(err, parseErr); err != nil {
		return []Finding{problem(err.Error(), c.String())}
	}
	var findings []Finding
	for _, f := range r.families() {
		all, err := readSys(callFile(f))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return []Finding{problem(err.Error(), "mount /proc")}
		}
		findings = append(findings, r.bridged(f, bridges, all)...)
	}
	return findings
}

// checkLink looks for an interface. Its name may be that of one which comes and goes.
func checkLink(name string) Finding {
	link, err := net.InterfaceByName(name)
	switch {
	case err != nil:
		return problem(fmt.Sprintf("there is no interface %s: nothing comes in there", name), "ip link show tells those that there are")
	case link.Flags&net.FlagUp == 0:
		return problem(fmt.Sprintf("the interface %s is down", name), "ip link set "+name+" up")
	}
	return ok(fmt.Sprintf("the interface %s is up", name))
}

// checkFirewall looks for chains of others that may drop what the rules bring, or leave alone.
func (r Rules) checkFirewall(ctx context.Context) []Finding {
	c := command{name: "nft", args: []string{"-j", "list", "ruleset"}}
	out, err := c.run(ctx)
	var droppers []dropper
	if err == nil {
		droppers, err = parseDroppers(out)
	}
	if err != nil {
		return []Finding{problem(err.Error(), c.String())}
	}
	var findings []Finding
	for _, d := range droppers {
		if (d.Hook == "input" || d.Hook == "forward" && r.forwarded()) && d.concerns(r) {
			findings = append(findings, r.diagnose(d))
		}
	}
	if len(findings) == 0 {
		findings = append(findings, ok("no chain of nftables drops what comes in"))
	}
	for _, names := range []string{"ip_tables_names", "ip6_tables_names"} {
		if tables, err := os.ReadFile("/proc/thread-self/net/" + names); err == nil && strings.Contains(string(tables), "filter\n") {
			program := strings.Replace(strings.TrimSuffix(names, "_names"), "_", "", 1) + "-legacy"
			findings = append(findings, look("there is a table filter of "+program+", which nftables does not show", program+" -S"))
		}
	}
	return findings
}

// checkListener looks for the proxy.
func (r Rules) checkListener(f Family) Finding {
	fix := fmt.Sprintf("mitm --transparent %s --listen %d --mark %#x", r.Mode, r.Port, r.mark())
	v4, err := readListeners("/proc/thread-self/net/tcp", r.Port)
	if err != nil {
		return problem(err.Error(), "mount /proc")
	}
	v6, err := readListeners("/proc/thread-self/net/tcp6", r.Port)
	if err != nil && f == IPv6 {
		return problem(err.Error(), "mount /proc")
	}
	name := familyName(f)
	switch isReached, onlyLoopback := r.reached(f, v4, v6); {
	case isReached:
		return ok(fmt.Sprintf("something listens on port %d for %s", r.Port, name))
	case onlyLoopback:
		return problem(fmt.Sprintf("what listens on port %d for %s is at loopback, where connections of other hosts do not come", r.Port, name), fix)
	}
	return problem(fmt.Sprintf("nothing listens on port %d for %s", r.Port, name), fix)
}

func readListeners(file string, port uint16) ([]listener, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parseListeners(string(text), port), nil
}

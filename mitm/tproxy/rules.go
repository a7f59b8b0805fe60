package tproxy

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Mode is how the kernel brings connections that were meant for others.
type Mode uint8

// The modes.
const (
	// Redirect rewrites the destination (NAT); SO_ORIGINAL_DST tells what it was.
	Redirect Mode = iota + 1
	// TPROXY hands the packets over as they are, to a socket with IP_TRANSPARENT.
	TPROXY
)

func (m Mode) String() string {
	switch m {
	case Redirect:
		return "redirect"
	case TPROXY:
		return "tproxy"
	}
	return "mode " + strconv.Itoa(int(m))
}

// Family is a set of the IP's versions. Zero means both.
type Family uint8

// The families.
const (
	IPv4 Family = 1 << iota
	IPv6
)

// has reports whether all of g's versions are in f.
func (f Family) has(g Family) bool { return f == 0 || f&g == g }

// The numbers by which the kernel's tables know what is ours. Marks are single bits that
// Docker, Kubernetes, Calico's default, WireGuard and Tailscale leave alone.
const (
	// DefaultMark is the SO_MARK of the proxy's own connections, which are left alone.
	DefaultMark = 0x4000000
	// divertMark is the bit that sends packets to the sockets of this host.
	divertMark = 0x2000000
	// routeTable is the routing table that calls every address local.
	routeTable = 7746
	// zone is where connection tracking has connections of the proxy with others' addresses.
	zone = 7746
	// rulePriority puts the rule for it before those of other programs, of which one may
	// have a default route.
	rulePriority = 100
	// tableName is the one nftables table that is ours.
	tableName = "mitm"
)

// PortRange is the ports from First to Last, both included.
type PortRange struct{ First, Last uint16 }

func (p PortRange) String() string {
	if p.First == p.Last {
		return strconv.Itoa(int(p.First))
	}
	return fmt.Sprintf("%d-%d", p.First, p.Last)
}

// Rules say which TCP connections the kernel brings to the proxy. Mode and Port are
// required; the zero value of all else means the default. Connections of the proxy itself,
// and those to this host's own addresses and to such as are not routed (loopback,
// link-local, multicast), are never brought.
type Rules struct {
	Mode Mode
	Port uint16 // that the proxy listens on, at every address

	// Mark is the SO_MARK of the proxy's own connections. Zero means DefaultMark.
	Mark uint32

	// ForeignSource says that the proxy's own connections seem to come from addresses that this
	// host does not have: the client's, or another one. What is sent there must come here instead.
	ForeignSource bool

	// Family limits them to one version of IP.
	Family Family

	// Ports are the destination ports. None means all.
	Ports []PortRange

	// Exclude are destinations that are left alone.
	Exclude []netip.Prefix

	// Interfaces are where connections of other hosts come in. None means all, unless
	// local connections are chosen: then it means none.
	Interfaces []string

	// Users and Cgroups choose connections of this host: by who owns the socket, and by
	// control group (version 2; the path below /sys/fs/cgroup, which must exist then).
	Users   []uint32
	Cgroups []string

	// FailClosed refuses connections that would be brought while nobody listens: until the proxy
	// does, while it ends, and after a crash until the rules are taken away. Otherwise those of
	// other hosts go past it with TPROXY; Redirect, and local ones, are refused in any case.
	FailClosed bool

	// KeepForwarding leaves it as it is whether this host forwards what is not brought to
	// the proxy. Otherwise it will.
	KeepForwarding bool
}

func (r Rules) mark() uint32 {
	if r.Mark == 0 {
		return DefaultMark
	}
	return r.Mark
}

// local reports whether connections of this host are brought, forwarded whether those of
// others are.
func (r Rules) local() bool     { return len(r.Users)+len(r.Cgroups) > 0 }
func (r Rules) forwarded() bool { return len(r.Interfaces) > 0 || !r.local() }

// diverts reports whether there are packets for addresses of others that sockets of this
// host wait for.
func (r Rules) diverts() bool { return r.Mode == TPROXY || r.ForeignSource }

// Check says what is wrong with the rules, in one line.
func (r Rules) Check() error {
	if r.Mode != Redirect && r.Mode != TPROXY {
		return errors.New("want redirect or tproxy")
	}
	if r.Port == 0 {
		return errors.New("want the port that the proxy listens on")
	}
	if r.mark()&divertMark != 0 {
		return fmt.Errorf("mark %#x: the bit %#x marks packets for the proxy; leave it out", r.mark(), divertMark)
	}
	for _, p := range r.Ports {
		if p.First == 0 || p.Last < p.First {
			return fmt.Errorf("ports %s: want N or N-M, from 1", p)
		}
	}
	for _, p := range r.Exclude {
		if !p.IsValid() {
			return errors.New("an excluded prefix is none")
		}
	}
	for _, name := range r.Interfaces {
		if err := checkInterface(name); err != nil {
			return err
		}
	}
	for _, name := range r.Cgroups {
		if err := checkCgroup(name); err != nil {
			return err
		}
	}
	return nil
}

// checkInterface accepts the names that Linux accepts (dev_valid_name), without those that
// mean something else to nft: an asterisk there stands for any ending.
func checkInterface(name string) error {
	const maxLen = 15 // IFNAMSIZ without the final zero
	switch {
	case name == "" || len(name) > maxLen || name == "." || name == ".." || !isPlain(name) || strings.ContainsAny(name, "/:*"):
		return fmt.Errorf("interface %q: that is no interface's name", name)
	case name == "lo":
		return errors.New("interface lo: connections of this host are chosen by user or control group")
	}
	return nil
}

func checkCgroup(name string) error {
	if name == "" || strings.HasPrefix(name, "/") || path.Clean(name) != name || strings.HasPrefix(name, "..") || name == "." || !isPlain(name) {
		return fmt.Errorf("control group %q: want a path below /sys/fs/cgroup, like system.slice/a.service", name)
	}
	return nil
}

// isPlain reports whether a name stands between quotes in nft's language and in a shell's
// as itself.
func isPlain(name string) bool {
	return !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"'\\`$", r)
	})
}

// ParsePorts reads ports and ranges of them, as in "80,443,8000-8100".
func ParsePorts(text string) ([]PortRange, error) {
	var all []PortRange
	for item := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(item, "-")
		if !isRange {
			last = first
		}
		from, err := strconv.ParseUint(first, 10, 16)
		to, err2 := strconv.ParseUint(last, 10, 16)
		if err != nil || err2 != nil || from == 0 || to < from {
			return nil, fmt.Errorf("%q: want a port or a range of them, like 443 or 8000-8100", item)
		}
		all = append(all, PortRange{uint16(from), uint16(to)})
	}
	return all, nil
}

// mergePorts sorts ranges and joins what overlaps or touches: nft refuses sets whose
// elements overlap.
func mergePorts(ranges []PortRange) []PortRange {
	sorted := slices.Clone(ranges)
	slices.SortFunc(sorted, func(a, b PortRange) int { return int(a.First) - int(b.First) })
	var merged []PortRange
	for _, p := range sorted {
		if n := len(merged); n > 0 && int(p.First) <= int(merged[n-1].Last)+1 {
			merged[n-1].Last = max(merged[n-1].Last, p.Last)
			continue
		}
		merged = append(merged, p)
	}
	return merged
}

// mergePrefixes sorts prefixes, as they are without the bits beyond their length, and drops
// those that lie in others. Prefixes of IPv4 in IPv6 are of IPv4.
func mergePrefixes(prefixes []netip.Prefix) []netip.Prefix {
	sorted := make([]netip.Prefix, 0, len(prefixes))
	for _, p := range prefixes {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		sorted = append(sorted, netip.PrefixFrom(p.Addr().WithZone(""), p.Bits()).Masked())
	}
	slices.SortFunc(sorted, netip.Prefix.Compare)
	var merged []netip.Prefix
	for _, p := range sorted {
		// A prefix sorts behind those that hold it, and the last kept one is the nearest.
		if n := len(merged); n > 0 && merged[n-1].Overlaps(p) {
			continue
		}
		merged = append(merged, p)
	}
	return merged
}

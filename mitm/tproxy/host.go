package tproxy

import (
	"fmt"
	"strings"
)

// setting is what files below /proc/sys must hold. The pattern may have one asterisk.
type setting struct {
	pattern  string // net/ipv4/ip_forward
	from, to string // only files that hold from are written; empty: those that do not hold to
	unless   string // a file that makes it needless by holding 1; empty: none
}

// The switches of forwarding, with which others change by themselves.
const (
	forward4 = "net/ipv4/ip_forward"
	forward6 = "net/ipv6/conf/all/forwarding"
)

// settings are what the kernel's switches must be for the rules.
//
// Forwarding is for what is not brought to the proxy: names, mail, other ports. Where IPv6
// becomes forwarded the kernel forgets the default routes that a router has announced, and
// listens to no more of them, unless accept_ra is 2. On a host that forwards already it would
// begin to listen.
//
// With src_valid_mark the kernel asks by a packet's mark whether its sender could have come
// in where it did. By the mark of TPROXY every address is this host's, and its packets are
// dropped, whatever rp_filter says; without it rp_filter does what it always does.
//
// NAT of connections from elsewhere goes to an address of the interface, not to loopback:
// nothing needs route_localnet.
func (r Rules) settings() []setting {
	var all []setting
	if r.diverts() && r.Family.has(IPv4) {
		all = append(all, setting{pattern: "net/ipv4/conf/*/src_valid_mark", from: "1", to: "0"})
	}
	if r.KeepForwarding || !r.forwarded() {
		return all
	}
	if r.Family.has(IPv4) {
		all = append(all, setting{pattern: forward4, to: "1"})
	}
	if r.Family.has(IPv6) {
		all = append(all,
			setting{pattern: "net/ipv6/conf/*/accept_ra", from: "1", to: "2", unless: forward6},
			setting{pattern: forward6, to: "1"})
	}
	return all
}

// isMet reports whether a value is as it must be.
func (s setting) isMet(value string) bool {
	if s.from != "" {
		return value != s.from
	}
	return value == s.to
}

// String is the line of a shell that does it.
func (s setting) String() string {
	if s.from == "" {
		return fmt.Sprintf("sysctl -w %s=%s", strings.ReplaceAll(s.pattern, "/", "."), s.to)
	}
	loop := fmt.Sprintf(`for f in /proc/sys/%s; do test "$(cat $f)" != %s || echo %s >$f; done`, s.pattern, s.from, s.to)
	if s.unless != "" {
		loop = fmt.Sprintf(`test "$(cat /proc/sys/%s)" = 1 || %s`, s.unless, loop)
	}
	return loop
}

// families are those of the rules, each by itself.
func (r Rules) families() []Family {
	var all []Family
	for _, f := range []Family{IPv4, IPv6} {
		if r.Family.has(f) {
			all = append(all, f)
		}
	}
	return all
}

// ip is a command of the program ip, for a family.
func ip(f Family, words string) command {
	option := "-4"
	if f == IPv6 {
		option = "-6"
	}
	return command{name: "ip", args: append([]string{option}, strings.Fields(words)...)}
}

// The routes by which marked packets find the sockets of this host.
func addRule(f Family) command {
	return ip(f, fmt.Sprintf("rule add fwmark %#x/%#x lookup %d priority %d", divertMark, divertMark, routeTable, rulePriority))
}

func addRoute(f Family) command {
	return ip(f, fmt.Sprintf("route add local default dev lo table %d", routeTable))
}

func delRule(f Family, priority int) command {
	return ip(f, fmt.Sprintf("rule del fwmark %#x/%#x lookup %d priority %d", divertMark, divertMark, routeTable, priority))
}

func delRoute(f Family) command {
	return ip(f, fmt.Sprintf("route del local default dev lo table %d", routeTable))
}

// Commands returns everything that Up does on a host where nothing is done yet, as a script for a
// POSIX shell. The rules must pass Check.
func (r Rules) Commands() string {
	var b strings.Builder
	for _, s := range r.settings() {
		fmt.Fprintln(&b, s)
	}
	if r.diverts() {
		for _, f := range r.families() {
			fmt.Fprintf(&b, "%s\n%s\n", addRule(f), addRoute(f))
		}
	}
	fmt.Fprintln(&b, command{name: "nft", args: []string{"-f", "-"}, stdin: r.Script()})
	return b.String()
}

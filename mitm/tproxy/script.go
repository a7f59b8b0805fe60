package tproxy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/bits"
	"net/netip"
	"strings"
)

// Script returns the rules in nft's language, for "nft -f -": one table, inet mitm, that
// takes the place of the one that may be there, all at once. The rules must pass Check.
func (r Rules) Script() string { return table(r.chains(true)) }

// released is the script of rules that bring nothing new, and keep what was brought. Closed ones
// stay as they are: what they would bring is refused when nobody listens.
func (r Rules) released() string { return table(r.chains(r.FailClosed)) }

func table(chains string) string {
	return "add table inet " + tableName + "\n" +
		"delete table inet " + tableName + "\n" +
		"table inet " + tableName + " {\n" +
		"\tcomment \"" + comment(chains) + "\"\n" +
		chains +
		"}\n"
}

// comment names the chains in the kernel's table, so that one can see later whether they
// are those that were asked for: how nft lists rules differs by its version.
func comment(chains string) string {
	sum := sha256.Sum256([]byte(chains))
	return "mitm " + hex.EncodeToString(sum[:8])
}

// chains are those of the table; bring says whether they bring connections that begin.
func (r Rules) chains(bring bool) string {
	var s script
	s.chain("pass", "",
		r.isOwn()+" accept",
		"fib daddr type { local, broadcast, anycast, multicast } accept")
	s.rules(r.excluded()...)
	s.end()
	if r.diverts() {
		divert(&s)
	}
	if r.Mode == TPROXY {
		r.intercept(&s, bring)
	} else {
		r.answers(&s)
		r.redirect(&s, bring)
	}
	return s.String()
}

// isOwn is a match for connections of the proxy. A mark that is one bit is its whatever other bits
// somebody else sets.
func (r Rules) isOwn() string {
	if mark := r.mark(); bits.OnesCount32(mark) == 1 {
		return fmt.Sprintf("meta mark & %#[1]x == %#[1]x", mark)
	}
	return fmt.Sprintf("meta mark %#x", r.mark())
}

// reserved are addresses that no router forwards: RFC 6890 tables 1 to 20, without those
// that some networks use all the same.
var reserved = [...]netip.Prefix{
	netip.PrefixFrom(netip.AddrFrom4([4]byte{0}), 8),
	netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8),
	netip.PrefixFrom(netip.AddrFrom4([4]byte{169, 254}), 16),
	netip.PrefixFrom(netip.AddrFrom4([4]byte{224}), 3),
	netip.PrefixFrom(netip.IPv6Unspecified(), 127), // and ::1
	netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfe, 0x80}), 10),
	netip.PrefixFrom(netip.AddrFrom16([16]byte{0xff}), 8),
}

// excluded are the rules for destinations that are left alone, with those of the operator.
func (r Rules) excluded() []string {
	var v4, v6 []string
	for _, p := range mergePrefixes(append(reserved[:len(reserved):len(reserved)], r.Exclude...)) {
		if p.Addr().Is4() {
			v4 = append(v4, p.String())
		} else {
			v6 = append(v6, p.String())
		}
	}
	return []string{
		"ip daddr { " + strings.Join(v4, ", ") + " } accept",
		"ip6 daddr { " + strings.Join(v6, ", ") + " } accept",
	}
}

// goesOn matches all packets but a connection's first (RFC 9293 §3.5).
const goesOn = "tcp flags & (fin | syn | rst | ack) != syn"

// onlyBegins ends a chain for them: connections that are older than the rules stay as they are.
const onlyBegins = goesOn + " accept"

// redirect writes the chains of NAT. They see the first packet alone that the kernel's table of
// connections does not know, which in mid-stream is one of a connection from before there was a
// table. That table does the rest.
// What is redirected stays so for as long as there is a chain of NAT, and a rule that asks that
// table, without which the kernel would not keep it up.
func (r Rules) redirect(s *script, bring bool) {
	nat := func(name string, to ...string) {
		s.chain(name, "type nat hook "+name+" priority -100; policy accept;")
		if bring {
			s.rules(onlyBegins, "jump pass")
			s.rules(to...)
		} else {
			s.rules("ct status dnat accept")
		}
		s.end()
	}
	to := fmt.Sprintf(" %s%s redirect to :%d", r.onlyFamily(), r.ports(), r.Port)
	if r.forwarded() {
		nat("prerouting", r.interfaces()+to)
	}
	if r.local() {
		var all []string
		for _, who := range r.owners() {
			all = append(all, who+to)
		}
		nat("output", all...)
	}
}

// answers writes the chains for what servers send to addresses that are not ours. Our connections
// there begin in a zone of their own of the kernel's table of connections: those that have a client's
// port by design or, where the kernel has chosen it, by chance would be the redirected ones.
func (r Rules) answers(s *script) {
	if !r.diverts() {
		return
	}
	s.chain("answers", "type filter hook prerouting priority mangle; policy accept;", "meta l4proto tcp jump divert")
	s.end()
	s.chain("own", "type filter hook output priority raw; policy accept;", fmt.Sprintf("%s ct original zone set %d", r.isOwn(), zone))
	s.end()
}

// The bit of divertMark, in nft's language. In the table of connections it says that the first
// packet was brought, so that all others are.
const (
	bit       = "0x2000000"
	setMark   = "meta mark set meta mark | " + bit
	isBrought = "ct mark & " + bit + " == " + bit
)

// divert writes the chain for packets whose socket is here already: of a connection that was
// brought, or that was made with an address that is not ours. They get the mark that routes
// them to it. A listener that takes every address is not meant by that.
func divert(s *script) {
	s.chain("divert", "", "socket wildcard 1 return", "socket transparent 1 "+setMark+" accept")
	s.end()
}

// intercept writes the chains of TPROXY. They see each packet; one whose socket is not here yet is
// handed to the proxy's listener if a connection that the rules want begins with it, or if it is of
// one that was brought: where the listener's backlog is full, the kernel has answered with a cookie
// and remembers nothing else (RFC 4987 §3.6). A first packet is for the listener whatever is here,
// which can only be what is left of an earlier connection from the same port. Answers of servers are
// not meant: those to connections that go past the proxy look as if they were for it.
func (r Rules) intercept(s *script, bring bool) {
	r.hand(s)
	s.chain("prerouting", "type filter hook prerouting priority mangle; policy accept;",
		"meta l4proto != tcp accept", goesOn+" jump divert", "ct direction reply accept", isBrought+" goto hand")
	if r.forwarded() && bring {
		s.rules(onlyBegins, "jump pass", fmt.Sprintf("%s %s%s goto hand", r.interfaces(), r.onlyFamily(), r.ports()))
	}
	s.end()
	if !r.local() {
		return
	}
	// What a connection's first packet got, all others get by the kernel's table of
	// connections: a socket that was closed has no owner, but has packets to send still. Marked
	// packets come back by lo, with their entry of that table.
	s.chain("output", "type route hook output priority mangle; policy accept;",
		"meta l4proto != tcp accept", "ct direction reply accept", "jump pass", isBrought+" "+setMark+" accept")
	if bring {
		s.rules(onlyBegins)
		for _, who := range r.owners() {
			s.rules(fmt.Sprintf("ct state new %s%s %s ct mark set ct mark | %s %s accept", r.onlyFamily(), who, r.ports(), bit, setMark))
		}
	}
	s.end()
}

// hand writes the chains that hand a packet to the listener. Where nobody listens the statement
// does not match, and the packet goes on or is refused. Where the table of connections does not
// know it, there is nothing to be set.
func (r Rules) hand(s *script) {
	s.chain("handed", "", "ct mark set ct mark | "+bit, "accept")
	s.end()
	s.chain("hand", "")
	if r.Family.has(IPv4) {
		s.rules(fmt.Sprintf("meta nfproto ipv4 meta l4proto tcp tproxy ip to :%d %s goto handed", r.Port, setMark))
	}
	if r.Family.has(IPv6) {
		s.rules(fmt.Sprintf("meta nfproto ipv6 meta l4proto tcp tproxy ip6 to :%d %s goto handed", r.Port, setMark))
	}
	switch {
	case r.FailClosed:
		s.rules("reject with tcp reset")
	case r.local(): // these can't go on: they are routed to this host by now
		s.rules(`iifname "lo" reject with tcp reset`)
	}
	s.end()
}

// onlyFamily is a match for the one family that is asked for, and a space; empty if both are.
func (r Rules) onlyFamily() string {
	switch {
	case !r.Family.has(IPv6):
		return "meta nfproto ipv4 "
	case !r.Family.has(IPv4):
		return "meta nfproto ipv6 "
	}
	return ""
}

func (r Rules) ports() string {
	if len(r.Ports) == 0 {
		return "meta l4proto tcp"
	}
	return "tcp dport " + set(mergePorts(r.Ports), "%s")
}

func (r Rules) interfaces() string {
	if len(r.Interfaces) == 0 {
		return `iifname != "lo"`
	}
	return "iifname " + set(r.Interfaces, "%q")
}

// owners are matches for the sockets of this host that are chosen.
func (r Rules) owners() []string {
	var all []string
	if len(r.Users) > 0 {
		all = append(all, "meta skuid "+set(r.Users, "%d"))
	}
	for _, name := range r.Cgroups {
		all = append(all, fmt.Sprintf("socket cgroupv2 level %d %q", cgroupLevel(name), name))
	}
	return all
}

// cgroupLevel is how deep a control group lies in its hierarchy, which is mounted one
// folder deeper where there are groups of version 1 too.
func cgroupLevel(name string) int {
	return strings.Count(strings.TrimPrefix(name, "unified/"), "/") + 1
}

// set is a set in nft's language, without repetitions: it refuses those.
func set[T comparable](elements []T, format string) string {
	seen := map[T]bool{}
	var words []string
	for _, e := range elements {
		if !seen[e] {
			words = append(words, fmt.Sprintf(format, e))
		}
		seen[e] = true
	}
	return "{ " + strings.Join(words, ", ") + " }"
}

// script is text in nft's language, under way.
type script struct{ strings.Builder }

// chain begins a chain; kind is empty where others jump to it.
func (s *script) chain(name, kind string, rules ...string) {
	fmt.Fprintf(s, "\tchain %s {\n", name)
	if kind != "" {
		s.rules(kind)
	}
	s.rules(rules...)
}

func (s *script) rules(rules ...string) {
	for _, rule := range rules {
		fmt.Fprintf(s, "\t\t%s\n", rule)
	}
}

func (s *script) end() { s.WriteString("\t}\n") }

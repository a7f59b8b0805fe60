package tproxy

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Verdict is how a check has ended.
type Verdict uint8

// The verdicts.
const (
	Problem Verdict = iota // nothing works as it should
	OK
	Look // that is for somebody to look at who knows more
)

func (v Verdict) String() string {
	switch v {
	case OK:
		return "ok"
	case Look:
		return "look"
	}
	return "problem"
}

// A Finding is what became of one check.
type Finding struct {
	Verdict Verdict
	What    string // is right, or wrong, or may be
	Fix     string // the command that helps, or what else does; empty if OK
}

func ok(what string) Finding           { return Finding{Verdict: OK, What: what} }
func problem(what, fix string) Finding { return Finding{Problem, what, fix} }
func look(what, fix string) Finding    { return Finding{Look, what, fix} }

func familyName(f Family) string {
	if f == IPv6 {
		return "IPv6"
	}
	return "IPv4"
}

// listener is the address of a socket that listens, as far as it matters here.
type listener struct{ any, loopback bool }

// parseListeners reads those at a port from /proc/net/tcp or tcp6 (proc_net_tcp.rst).
func parseListeners(text string, port uint16) []listener {
	const listening = "0A" // TCP_LISTEN
	var all []listener
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[3] != listening {
			continue
		}
		addr, number, _ := strings.Cut(fields[1], ":")
		if n, err := strconv.ParseUint(number, 16, 16); err != nil || uint16(n) != port {
			continue
		}
		if ip, isAddr := parseSocketAddr(addr); isAddr {
			all = append(all, listener{ip.IsUnspecified(), ip.IsLoopback()})
		}
	}
	return all
}

// parseSocketAddr reads an address whose words of 32 bits are in the host's order.
func parseSocketAddr(text string) (netip.Addr, bool) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b)%4 != 0 {
		return netip.Addr{}, false
	}
	for word := range slices.Chunk(b, 4) {
		binary.NativeEndian.PutUint32(word, binary.BigEndian.Uint32(word))
	}
	addr, isAddr := netip.AddrFromSlice(b)
	return addr.Unmap(), isAddr
}

// reached reports whether connections of a family reach one of the listeners of IPv4 or IPv6, of
// which one for every address of IPv6 is for IPv4 too.
func (r Rules) reached(f Family, v4, v6 []listener) (isReached, onlyLoopback bool) {
	suits := v4
	if f == IPv6 {
		suits = v6
	} else {
		for _, l := range v6 {
			if l.any {
				suits = append(suits, l)
			}
		}
	}
	for _, l := range suits {
		if !l.loopback || !r.forwarded() {
			return true, false
		}
	}
	return false, len(suits) > 0
}

// size is how many objects of nftables a script makes: the table, chains and rules.
func size(script string) int {
	objects := 0
	for line := range strings.Lines(script) {
		isRule := strings.HasPrefix(line, "\t\t") && !strings.HasPrefix(line, "\t\ttype ")
		if isRule || strings.HasPrefix(line, "table ") || strings.HasPrefix(line, "\tchain ") {
			objects++
		}
	}
	return objects
}

// isListed reports whether a table, as nft lists it with handles, is the one of the script.
func isListed(list, script string) bool {
	return hasComment(list, script) && strings.Count(list, "# handle ") == size(script)
}

// hasComment reports whether a table that nft lists has the comment of the one in the script.
func hasComment(list, script string) bool {
	_, wanted, _ := strings.Cut(script, "comment ")
	wanted, _, _ = strings.Cut(wanted, "\"\n")
	found := ourComment.FindString(list)
	return found != "" && strings.HasPrefix(found, "\tcomment "+wanted)
}

// ourComment is that of each table of ours. While a proxy holds it, the proxy's name is in there.
var ourComment = regexp.MustCompile(`\tcomment "mitm [0-9a-f]{16}(?: ([A-Z2-7]+))?"`)

// owned is a script with an owner's name in the comment; empty: there is none.
func owned(script, owner string) string {
	if owner == "" {
		return script
	}
	found := ourComment.FindString(script)
	return strings.Replace(script, found, strings.TrimSuffix(found, `"`)+" "+owner+`"`, 1)
}

// ownerOf is whom a table that nft lists belongs to. One that is an operator's has no owner, and neither has a foreign one.
func ownerOf(list string) string {
	if found := ourComment.FindStringSubmatch(list); found != nil {
		return found[1]
	}
	return ""
}

// isForeign reports whether a table with our name, as nft lists it, is not ours.
func isForeign(list string) bool { return list != "" && !ourComment.MatchString(list) }

package detect

import (
	"net/netip"
	"strconv"
	"strings"
)

// maxHost is the length of the longest name that SOCKS and the DNS can carry.
const maxHost = 255

// isHost says whether s can stand for a host in a log, a certificate or a rule without further care: 1 to 255 letters,
// digits and -_.: (the colon for IPv6). Empty and non-ASCII names are none.
func isHost[T string | []byte](s T) bool {
	if len(s) == 0 || len(s) > maxHost {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '_', c == '.', c == ':':
		default:
			return false
		}
	}
	return true
}

// SplitAuthority splits the authority-form of a request-target (RFC 9112 §3.2.3), host:port or [IPv6]:port, and says
// whether it is one. The host comes without brackets and is made of letters, digits and -_. unless it is an IPv6
// address; the port is 1 to 65535. A missing port, a userinfo, an empty host and a zone are not accepted.
func SplitAuthority(authority string) (host string, port uint16, ok bool) {
	colon := strings.LastIndexByte(authority, ':')
	if colon < 0 {
		return "", 0, false
	}
	port, ok = parsePort(authority[colon+1:])
	if !ok || port == 0 {
		return "", 0, false
	}
	host, ok = unbracket(authority[:colon])
	if !ok {
		return "", 0, false
	}
	return host, port, true
}

// unbracket returns the host of an authority without its brackets, which an IPv6 address has and nothing else.
func unbracket(host string) (string, bool) {
	if inner, found := strings.CutPrefix(host, "["); found {
		inner, found = strings.CutSuffix(inner, "]")
		a, err := netip.ParseAddr(inner)
		if !found || err != nil || !a.Is6() || a.Zone() != "" {
			return "", false
		}
		return inner, true
	}
	return host, isHost(host) && !strings.Contains(host, ":")
}

// parsePort reads 0 to 65535 in decimal, in at most five digits and without a sign.
func parsePort(s string) (uint16, bool) {
	if s == "" || len(s) > 5 || s[0] == '+' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil
}

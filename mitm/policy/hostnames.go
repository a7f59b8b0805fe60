package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
)

var errNoName = errors.New("not a domain name")

// domainName returns a name that somebody has written as names are compared: in lower case, without a final dot, in the
// form that hellos have it (RFC 5891). A *. or a dot before it is taken off, and wildcard is true.
func domainName(text string) (name string, wildcard bool, err error) {
	name = text
	for _, prefix := range []string{"*.", "."} {
		if rest, cut := strings.CutPrefix(name, prefix); cut {
			name, wildcard = rest, true
			break
		}
	}
	name = lowerName(name)
	if !isASCII(name) {
		if name, err = idna.Lookup.ToASCII(name); err != nil {
			return "", false, fmt.Errorf("%q: %w", text, errNoName)
		}
	}
	if !isDomainName(name) {
		return "", false, fmt.Errorf("%q: %w", text, errNoName)
	}
	return name, wildcard, nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// isDomainName reports whether a server_name in lower case may be this: labels of letters, digits, hyphens and
// underscores (which are in use), or an IP address, which some clients send against RFC 6066 §3.
func isDomainName(name string) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	label := 0
	for i := range len(name) {
		c := name[i]
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
			if label++; label > 63 {
				return false
			}
		case c == '.' && label > 0:
			label = 0
		case c == ':':
			_, err := netip.ParseAddr(name)
			return err == nil && !strings.Contains(name, "%")
		default:
			return false
		}
	}
	return label > 0
}

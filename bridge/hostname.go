package bridge

import "strings"

// IsHostName reports whether a name may be that of a host: what RFC 1123 §2.1 makes of RFC
// 952, with underscores, which are in use, and perhaps the root's dot. One that is not ASCII
// must come as A-labels (RFC 5890 §2.3.2.1). An IPv4 address has the form of a name, too.
func IsHostName(name string) bool {
	name = strings.TrimSuffix(name, ".")
	if len(name) > 253 { // RFC 1035 §3.1: 255 octets on the wire
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if !isLabel(label) {
			return false
		}
	}
	return true
}

func isLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for i := range len(label) {
		switch c := label[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

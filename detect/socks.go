package detect

import (
	"bytes"
	"net/netip"
)

// SOCKS5Greeting is the version identifier and method selection message (RFC 1928 §3).
type SOCKS5Greeting struct {
	Methods []byte // 1 to 255 of them, a copy
}

// ParseSOCKS5Greeting parses the greeting at the beginning of buf. It takes any methods, repeated ones too; only
// another version and NMETHODS 0 are malformed.
func ParseSOCKS5Greeting(buf []byte) (SOCKS5Greeting, int, error) {
	r := scanSOCKS5(buf)
	if !r.isComplete() {
		return SOCKS5Greeting{}, 0, r.err("socks5")
	}
	return SOCKS5Greeting{Methods: bytes.Clone(buf[2:r.n])}, r.n, nil
}

func scanSOCKS5(b []byte) result {
	switch {
	case len(b) > 0 && b[0] != 5:
		return bad("VER", 0)
	case len(b) > 1 && b[1] == 0:
		return bad("NMETHODS", 1)
	case len(b) < 2:
		return short(3)
	case len(b) < 2+int(b[1]):
		return short(2 + int(b[1]))
	}
	return complete(2 + int(b[1]))
}

// SOCKS5 detects a SOCKS5 greeting. Two bytes would let in DCE/RPC 5.1 and CQL 5, so all methods must be there,
// different, and out of those that RFC 1928 §3 assigned (00 to 09 by now) or left for private use (80 to FE).
func SOCKS5() Detector {
	return Func("socks5", 2+255, detectSOCKS5)
}

func detectSOCKS5(client []byte) Verdict {
	r := scanSOCKS5(client)
	if !r.isComplete() && r.need == 0 {
		return No()
	}
	methods := client[min(2, len(client)):min(r.n+r.need, len(client))]
	for i, m := range methods {
		if m > 0x09 && m < 0x80 || m == 0xff || bytes.IndexByte(methods[:i], m) >= 0 {
			return No()
		}
	}
	if !r.isComplete() {
		return r.undecided()
	}
	return Yes(Info{Protocol: "socks5", Version: "5"})
}

// SOCKS4Request is the request of SOCKS4 or, when Host is set, of SOCKS4A.
type SOCKS4Request struct {
	Cmd     byte // 1 CONNECT, 2 BIND
	DstPort uint16
	DstIP   netip.Addr // IPv4; 0.0.0.x with x not 0 when Host is set
	UserID  string     // up to 255 bytes, raw
	Host    string     // 1 to 255 bytes, raw; empty in SOCKS4
}

const (
	maxSOCKS4Text  = 255
	socks4FixedLen = 8
	maxSOCKS4      = socks4FixedLen + 2*(maxSOCKS4Text+1)
)

// ParseSOCKS4Request parses the SOCKS4 or SOCKS4A request at the beginning of buf. Another version, a command other
// than CONNECT and BIND, a text above 255 bytes and an empty host are malformed.
func ParseSOCKS4Request(buf []byte) (SOCKS4Request, int, error) {
	s, r := scanSOCKS4(buf)
	if !r.isComplete() {
		return SOCKS4Request{}, 0, r.err("socks4")
	}
	q := SOCKS4Request{
		Cmd:     buf[1],
		DstPort: uint16(be16(buf[2:])),
		DstIP:   netip.AddrFrom4([4]byte(buf[4:8])),
		UserID:  string(s.userID),
		Host:    string(s.host),
	}
	return q, r.n, nil
}

// socks4Text is the two texts of a request, as far as they are there, aliasing the buffer.
type socks4Text struct{ userID, host []byte }

func scanSOCKS4(b []byte) (socks4Text, result) {
	switch {
	case len(b) > 0 && b[0] != 4:
		return socks4Text{}, bad("VN", 0)
	case len(b) > 1 && b[1] != 1 && b[1] != 2:
		return socks4Text{}, bad("CD", 1)
	case len(b) <= socks4FixedLen:
		return socks4Text{}, short(socks4FixedLen + 1)
	}
	var t socks4Text
	var r result
	t.userID, r = scanText(b, socks4FixedLen, "USERID")
	if !r.isComplete() || !isSOCKS4A(b) {
		return t, r
	}
	start := r.n
	t.host, r = scanText(b, start, "host")
	switch {
	case r.isComplete() && len(t.host) == 0:
		r = bad("host", start)
	case r.need == start+1:
		r.need++ // a host is not empty
	}
	return t, r
}

// isSOCKS4A says whether DSTIP is 0.0.0.x with x not 0: the name follows the user (SOCKS4A memo).
func isSOCKS4A(b []byte) bool {
	return b[4] == 0 && b[5] == 0 && b[6] == 0 && b[7] != 0
}

// scanText scans a text that ends with NUL, and returns it without.
func scanText(b []byte, start int, field string) ([]byte, result) {
	rest := b[start:]
	window := rest[:min(len(rest), maxSOCKS4Text+1)]
	n := bytes.IndexByte(window, 0)
	switch {
	case n >= 0:
		return rest[:n], complete(start + n + 1)
	case len(window) > maxSOCKS4Text:
		return nil, bad(field, start+maxSOCKS4Text)
	}
	return window, short(len(b) + 1)
}

// SOCKS4 detects a whole SOCKS4 or SOCKS4A request whose texts hold no control characters.
func SOCKS4() Detector {
	return Func("socks4", maxSOCKS4, detectSOCKS4)
}

func detectSOCKS4(client []byte) Verdict {
	t, r := scanSOCKS4(client)
	if hasControl(t.userID) || hasControl(t.host) {
		return No()
	}
	if !r.isComplete() {
		return r.undecided()
	}
	q, _, err := ParseSOCKS4Request(client)
	if err != nil {
		return No()
	}
	info := Info{Protocol: "socks4", Version: "4", Verb: "CONNECT", Host: q.DstIP.String(), Port: q.DstPort, User: q.UserID}
	if q.Cmd == 2 {
		info.Verb = "BIND"
	}
	if q.Host != "" {
		info.Version, info.Host = "4a", ""
		if isHost(q.Host) {
			info.Host = q.Host
		}
	}
	return Yes(info)
}

// hasControl says whether there is an ASCII control character.
func hasControl(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c == 0x7f {
			return true
		}
	}
	return false
}

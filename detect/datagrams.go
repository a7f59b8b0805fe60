package detect

// datagram makes a detector of a function over one whole datagram.
func datagram(name string, f func([]byte) Verdict) Detector {
	return Detector{Name: name, Limit: 64 << 10, Datagram: true, Func: func(in Input) Verdict { return f(in.Client) }}
}

// DNSDatagram detects a DNS query in a datagram (RFC 1035 §4.2.1), as [DNS] does over TCP.
func DNSDatagram() Detector {
	return datagram("dns-datagram", func(b []byte) Verdict {
		if len(b) > maxDNSQuery {
			return No()
		}
		if _, r := scanDNS(b); !r.isComplete() || b[11] == 0 && r.n != len(b) {
			return No()
		}
		return Yes(dnsInfo(b))
	})
}

const wireguardLen = 148

// WireGuard detects a handshake initiation (Donenfeld, "WireGuard: Next Generation Kernel Network Tunnel", §5.4.2): 148
// bytes, type 1 and three reserved zeros.
func WireGuard() Detector {
	return datagram("wireguard", func(b []byte) Verdict {
		if len(b) != wireguardLen || le32(b) != 1 {
			return No()
		}
		return Yes(Info{Protocol: "wireguard", Verb: "initiation"})
	})
}

const (
	stunHeaderLen = 20
	stunCookie    = 0x2112a442
	stunClass     = 0x0110 // the two bits of the class, among those of the method
	stunResponse  = 0x0100 // is set in both kinds of response
	stunUsername  = 0x0006
	stunSoftware  = 0x8022
)

// STUN detects a request or an indication of STUN or TURN (RFC 8489 §5), by the magic cookie, the length and attributes
// that fill it. Verb is the method, User the USERNAME, Software the SOFTWARE.
func STUN() Detector {
	return datagram("stun", func(b []byte) Verdict {
		if len(b) < stunHeaderLen || b[0]&0xc0 != 0 || be16(b)&stunResponse != 0 || be32(b[4:]) != stunCookie ||
			stunHeaderLen+be16(b[2:]) != len(b) || !isSTUNAttributes(b[stunHeaderLen:]) {
			return No()
		}
		return Yes(stunInfo(b))
	})
}

// cutSTUN takes an attribute off, with its padding to four bytes (RFC 8489 §14).
func cutSTUN(b []byte) (kind int, value, rest []byte, ok bool) {
	if len(b) < 4 {
		return 0, nil, nil, false
	}
	length := be16(b[2:])
	if next := 4 + (length+3)&^3; next <= len(b) {
		return be16(b), b[4 : 4+length], b[next:], true
	}
	return 0, nil, nil, false
}

func isSTUNAttributes(b []byte) bool {
	for ok := true; len(b) > 0; {
		if _, _, b, ok = cutSTUN(b); !ok {
			return false
		}
	}
	return true
}

func stunInfo(b []byte) Info {
	info := Info{Protocol: "stun", Verb: stunMethod(be16(b) &^ stunClass)}
	for rest := b[stunHeaderLen:]; len(rest) > 0; {
		var kind int
		var value []byte
		kind, value, rest, _ = cutSTUN(rest)
		switch kind {
		case stunUsername:
			info.User = clean(value)
		case stunSoftware:
			info.Software = ascii(value)
		}
	}
	return info
}

// stunMethod names a method by its type without the bits of the class (RFC 8489 §18.3, RFC 8656 §17, RFC 6062 §6.1).
func stunMethod(t int) string {
	switch t {
	case 0x001:
		return "Binding"
	case 0x003:
		return "Allocate"
	case 0x004:
		return "Refresh"
	case 0x006:
		return "Send"
	case 0x008:
		return "CreatePermission"
	case 0x009:
		return "ChannelBind"
	case 0x00a:
		return "Connect"
	}
	return ""
}

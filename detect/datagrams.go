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
		if _, r := scanDNS(b); !r.isComplete() {
			return No()
		}
		return Yes(dnsInfo(b))
	})
}

// WireGuard detects a handshake initiation (WireGuard, "First Message"): 148 bytes, type 1 and three reserved zeros.
func WireGuard() Detector {
	return datagram("wireguard", func(b []byte) Verdict {
		if len(b) != 148 || le32(b) != 1 {
			return No()
		}
		return Yes(Info{Protocol: "wireguard", Verb: "initiation"})
	})
}

const (
	stunHeaderLen = 20
	stunCookie    = 0x2112a442
)

// stunMethods are the methods of requests (RFC 8489 §18.3, RFC 8656 §17).
var stunMethods = map[int]string{1: "Binding", 3: "Allocate", 4: "Refresh", 8: "CreatePermission", 9: "ChannelBind"}

// STUN detects a request or an indication of STUN or TURN (RFC 8489 §5), by the magic cookie and the length. Verb is
// the method.
func STUN() Detector {
	return datagram("stun", func(b []byte) Verdict {
		if len(b) < stunHeaderLen || b[0]&0xc0 != 0 || be32(b[4:]) != stunCookie || be16(b[2:])%4 != 0 || stunHeaderLen+be16(b[2:]) != len(b) {
			return No()
		}
		kind := be16(b)
		method := kind&0x000f | kind&0x00e0>>1 | kind&0x3e00>>2
		if kind&0x0100 != 0 { // a response
			return No()
		}
		return Yes(Info{Protocol: "stun", Verb: stunMethods[method]})
	})
}

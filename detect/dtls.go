package detect

const (
	dtlsRecordLen    = 13
	dtlsHandshakeLen = 12
	dtlsLeastHello   = 2 + 32 + 1 + 1 + 4 + 2 // version, random, session, cookie, a cipher suite, a compression method
	dtlsVersion13    = 0xfefc
)

// DTLS detects a ClientHello of DTLS 1.0 to 1.3 (RFC 6347 §4.2, RFC 9147 §5). Host and ALPN are those of the hello,
// where one record of the datagram holds it whole. Version is the highest that the client offers.
func DTLS() Detector {
	return datagram("dtls", func(b []byte) Verdict {
		if !isDTLSHello(b) {
			return No()
		}
		info := Info{Protocol: "dtls", Version: dtlsVersionName(uint16(be16(b[dtlsRecordLen+dtlsHandshakeLen:])))}
		if hello, ok := dtlsHello(b); ok {
			if isHost(hello.ServerName) {
				info.Host = hello.ServerName
			}
			info.ALPN = hello.ALPN
			for _, v := range hello.SupportedVersions {
				if v == dtlsVersion13 {
					info.Version = "1.3"
				}
			}
		}
		return Yes(info)
	})
}

// isDTLSHello looks at the headers of the record and of the message, and at client_version.
func isDTLSHello(b []byte) bool {
	const least = dtlsRecordLen + dtlsHandshakeLen + 2
	if len(b) < least || b[0] != 22 || b[1] != 0xfe || b[2] < 0xfd || be16(b[3:]) != 0 {
		return false
	}
	message, length := b[dtlsRecordLen:], be16(b[11:])
	if dtlsRecordLen+length > len(b) || message[0] != 1 {
		return false
	}
	whole, offset, fragment := be24(message[1:]), be24(message[6:]), be24(message[9:])
	return whole >= dtlsLeastHello && whole <= MaxClientHello && offset == 0 &&
		fragment >= 2 && fragment <= whole && dtlsHandshakeLen+fragment <= length &&
		message[12] == 0xfe && (message[13] == 0xff || message[13] == 0xfd)
}

func be24(b []byte) int { return int(b[0])<<16 | be16(b[1:]) }

func dtlsVersionName(v uint16) string {
	if v == 0xfeff {
		return "1.0"
	}
	return "1.2"
}

// dtlsHello reads the hello with the parser of TLS, whose message has no cookie (RFC 6347 §4.2.1) and no fragments.
func dtlsHello(b []byte) (*ClientHello, bool) {
	const session = 2 + 32
	message := b[dtlsRecordLen : dtlsRecordLen+be16(b[11:])]
	length := be24(message[1:])
	if length != be24(message[9:]) || len(message) < dtlsHandshakeLen+length {
		return nil, false
	}
	body := message[dtlsHandshakeLen : dtlsHandshakeLen+length]
	cookie := session + 1 + int(body[session])
	if len(body) <= cookie || len(body) < cookie+1+int(body[cookie]) {
		return nil, false
	}
	hello := append([]byte{3, 3}, body[2:cookie]...)
	hello = append(hello, body[cookie+1+int(body[cookie]):]...)
	h, _, err := ParseClientHello(helloRecords(hello))
	return h, err == nil
}

// helloRecords puts the body of a ClientHello into records of TLS.
func helloRecords(body []byte) (records []byte) {
	const most = 1 << 14 // RFC 8446 §5.1
	message := append([]byte{1, byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}, body...)
	for len(message) > 0 {
		n := min(len(message), most)
		records = append(records, 22, 3, 1, byte(n>>8), byte(n))
		records, message = append(records, message[:n]...), message[n:]
	}
	return records
}

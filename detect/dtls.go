package detect

const (
	dtlsRecordLen    = 13
	dtlsHandshakeLen = 12
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
				if v == 0xfefc {
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
	if len(b) < least || b[0] != 22 || b[1] != 0xfe || b[2] != 0xff && b[2] != 0xfd || be16(b[3:]) != 0 {
		return false
	}
	length := be16(b[11:])
	message := b[dtlsRecordLen:]
	fragment := int(be32(message[8:]) & 0xffffff)
	return dtlsRecordLen+length <= len(b) && message[0] == 1 && dtlsHandshakeLen+fragment <= length && fragment >= 2 &&
		be32(message[5:])>>8 == 0 && int(be32(message)&0xffffff) >= fragment &&
		message[12] == 0xfe && (message[13] == 0xff || message[13] == 0xfd)
}

func dtlsVersionName(v uint16) string {
	if v == 0xfeff {
		return "1.0"
	}
	return "1.2"
}

// dtlsHello reads the hello with the parser of TLS, whose message has no cookie and no fragments.
func dtlsHello(b []byte) (*ClientHello, bool) {
	message := b[dtlsRecordLen : dtlsRecordLen+be16(b[11:])]
	length := int(be32(message) & 0xffffff)
	if length != int(be32(message[8:])&0xffffff) || len(message) < dtlsHandshakeLen+length {
		return nil, false
	}
	body := message[dtlsHandshakeLen : dtlsHandshakeLen+length]
	session := 2 + 32
	if len(body) <= session {
		return nil, false
	}
	cookie := session + 1 + int(body[session])
	if len(body) <= cookie || len(body) < cookie+1+int(body[cookie]) {
		return nil, false
	}
	rest := body[cookie+1+int(body[cookie]):]
	n := cookie + len(rest)
	tls := []byte{22, 3, 1, byte((n + 4) >> 8), byte(n + 4), 1, 0, byte(n >> 8), byte(n), 3, 3}
	tls = append(append(tls, body[2:cookie]...), rest...)
	if n+4 > 16384 {
		return nil, false
	}
	hello, _, err := ParseClientHello(tls)
	return hello, err == nil
}

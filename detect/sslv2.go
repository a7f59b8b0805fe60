package detect

// SSLv2 detects a ClientHello in the format of SSL 2.0 that offers SSL 3.0 or TLS (RFC 5246 §E.2), as very old clients
// send it. It is recognised to be passed on: nobody should speak it, and nothing here parses it further.
func SSLv2() Detector {
	return Func("sslv2", sslv2HeaderLen, detectSSLv2)
}

// sslv2HeaderLen is the length of all fields before the first variable one.
const sslv2HeaderLen = 11

func detectSSLv2(client []byte) Verdict {
	r := scanSSLv2(client)
	if !r.isComplete() {
		return r.undecided()
	}
	return Yes(Info{Protocol: "sslv2", Version: tlsVersionName(uint16(client[3])<<8 | uint16(client[4]))})
}

// scanSSLv2 checks the header: msg_length with its top bit set, msg_type 1, version 3.0 to 3.4, and three lengths that
// add up to msg_length.
func scanSSLv2(b []byte) result {
	switch {
	case len(b) > 0 && b[0]&0x80 == 0:
		return bad("msg_length", 0)
	case len(b) > 2 && b[2] != 1:
		return bad("msg_type", 2)
	case len(b) > 3 && b[3] != 3:
		return bad("version", 3)
	case len(b) > 4 && b[4] > 4:
		return bad("version", 4)
	case len(b) < sslv2HeaderLen:
		return short(sslv2HeaderLen)
	}
	length := int(b[0]&0x7f)<<8 | int(b[1])
	cipherSpecs, sessionID, challenge := be16(b[5:]), be16(b[7:]), be16(b[9:])
	if cipherSpecs == 0 || cipherSpecs%3 != 0 || sslv2HeaderLen-2+cipherSpecs+sessionID+challenge != length {
		return bad("cipher_spec_length", 5)
	}
	return complete(sslv2HeaderLen)
}

func be16(b []byte) int { return int(b[0])<<8 | int(b[1]) }

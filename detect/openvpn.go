package detect

const (
	openvpnClientV2 = 7 << 3  // P_CONTROL_HARD_RESET_CLIENT_V2, key 0
	openvpnClientV3 = 10 << 3 // P_CONTROL_HARD_RESET_CLIENT_V3, key 0
	openvpnPlain    = 14      // opcode, session ID, an empty list of acknowledgements, packet ID
	openvpnReplay   = 8       // a counter and a time, beside each HMAC
	openvpnCrypt    = openvpnPlain + openvpnReplay + 32
	openvpnLeastKey = 32 + 256 + 2 // a wrapped client key: its tag, 2,048 bits, its length
	openvpnMostKey  = 1024
)

// OpenVPN detects the first packet of an OpenVPN client over TCP ("OpenVPN Network Protocol", openvpn-rfc): a hard reset
// in the plain form (14 bytes), behind a HMAC (tls-auth), encrypted (tls-crypt), or encrypted with a key of the client
// that it brings along wrapped (tls-crypt-v2; Version is then 3, else 2). It looks at the whole packet.
func OpenVPN() Detector {
	return scanned("openvpn", 2+openvpnCrypt+openvpnMostKey, scanOpenVPN, func(b []byte) Info {
		info := Info{Protocol: "openvpn", Version: "2"}
		if b[2] == openvpnClientV3 {
			info.Version = "3"
		}
		return info
	})
}

func scanOpenVPN(b []byte) result {
	const most = openvpnCrypt + openvpnMostKey
	switch {
	case len(b) > 0 && b[0] > most>>8:
		return bad("length", 0)
	case len(b) < 2:
		return short(2 + openvpnPlain)
	}
	length := be16(b)
	v2, v3 := isOpenVPNV2(length), length >= openvpnCrypt+openvpnLeastKey && length <= most
	switch {
	case !v2 && !v3:
		return bad("length", 0)
	case len(b) > 2 && !(v2 && b[2] == openvpnClientV2) && !(v3 && b[2] == openvpnClientV3):
		return bad("opcode", 2)
	case length == openvpnPlain:
		return scanOpenVPNPlain(b)
	case len(b) < 2+length:
		return short(2 + length)
	case v3 && be16(b[length:]) != length-openvpnCrypt: // the length of the wrapped key stands at its end
		return bad("WKc", length)
	}
	return complete(2 + length)
}

// isOpenVPNV2 says whether a hard reset without a wrapped key has this length: plain, or with a HMAC of MD5, SHA-1 or
// SHA-2.
func isOpenVPNV2(length int) bool {
	switch length - openvpnPlain - openvpnReplay {
	case -openvpnReplay, 16, 20, 28, 32, 48, 64:
		return true
	}
	return false
}

// scanOpenVPNPlain wants the first packet to acknowledge nothing, and to have number 0.
func scanOpenVPNPlain(b []byte) result {
	const sessionEnd = 2 + 1 + 8
	r := fixed(b, sessionEnd, "\x00\x00\x00\x00\x00", "message packet-id")
	if r.need > 0 {
		r.need = 2 + openvpnPlain
	}
	return r
}

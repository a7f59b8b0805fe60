package detect

const (
	openvpnClientV2 = 7 << 3 // P_CONTROL_HARD_RESET_CLIENT_V2, key 0
	openvpnClientV3 = 10 << 3
	openvpnLeast    = 14 // opcode, session ID, an empty list of acknowledgements, packet ID
	openvpnMost     = 1200
)

// OpenVPN detects the first packet of an OpenVPN client over TCP (OpenVPN protocol, "Reliability layer"): a hard reset,
// in the plain form (14 bytes), behind a HMAC and a replay identifier (tls-auth), or encrypted (tls-crypt). It looks at
// the whole packet.
func OpenVPN() Detector {
	return scanned("openvpn", 2+openvpnMost, scanOpenVPN, func(b []byte) Info {
		info := Info{Protocol: "openvpn", Version: "2"}
		if b[2] == openvpnClientV3 {
			info.Version = "3"
		}
		return info
	})
}

func scanOpenVPN(b []byte) result {
	switch {
	case len(b) > 0 && b[0] > openvpnMost>>8:
		return bad("length", 0)
	case len(b) > 1 && (be16(b) < openvpnLeast || be16(b) > openvpnMost):
		return bad("length", 0)
	case len(b) > 2 && b[2] != openvpnClientV2 && b[2] != openvpnClientV3:
		return bad("opcode", 2)
	case len(b) < 2+openvpnLeast:
		return short(2 + openvpnLeast)
	}
	length := be16(b)
	// What follows the session ID is known in length: 4 of a time or counter, and a HMAC of 16, 20, 32, 48 or 64 bytes.
	switch length {
	case openvpnLeast:
		if r := fixed(b, 2+9, "\x00\x00\x00\x00\x00", "message packet-id"); !r.isComplete() {
			return r
		}
	case openvpnLeast + 8 + 16, openvpnLeast + 8 + 20, openvpnLeast + 8 + 32, openvpnLeast + 8 + 48, openvpnLeast + 8 + 64:
	default:
		if b[2] != openvpnClientV3 { // only that one brings its wrapped key along
			return bad("length", 0)
		}
	}
	if len(b) < 2+length {
		return short(2 + length)
	}
	return complete(2 + length)
}

package detect

const smbHeaderLen = 4 + 64

// SMB detects the first message of an SMB client over TCP (MS-SMB2 §2.1): NEGOTIATE of SMB1, which is Version 1, or of
// SMB2 and SMB3, which is Version 2.
func SMB() Detector {
	return scanned("smb", smbHeaderLen, scanSMB, func(b []byte) Info {
		version := "2"
		if b[4] == 0xff {
			version = "1"
		}
		return Info{Protocol: "smb", Version: version, Verb: "NEGOTIATE"}
	})
}

func scanSMB(b []byte) result {
	switch {
	case len(b) > 0 && b[0] != 0, len(b) > 1 && b[1] != 0:
		return bad("StreamProtocolLength", min(len(b), 2)-1)
	case len(b) > 3 && be16(b[2:]) < 32+3:
		return bad("StreamProtocolLength", 2)
	case len(b) > 4 && b[4] != 0xff && b[4] != 0xfe:
		return bad("ProtocolId", 4)
	}
	if r := fixed(b, 5, "SMB", "ProtocolId"); !r.isComplete() {
		if r.need > 0 {
			r.need++ // SMB1's command
		}
		return r
	}
	if b[4] == 0xff {
		r := fixed(b, 8, "\x72", "Command")
		return r
	}
	if r := fixed(b, 8, "\x40\x00", "StructureSize"); !r.isComplete() {
		if r.need > 0 {
			r.need = 18
		}
		return r
	}
	return fixed(b, 16, "\x00\x00", "Command")
}

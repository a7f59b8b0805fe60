package detect

const (
	adbHeaderLen = 24
	adbConnect   = "CNXN"
)

// ADB detects the CNXN message of the Android debug bridge, header (adb, protocol.txt).
func ADB() Detector {
	return scanned("adb", adbHeaderLen, scanADB, func([]byte) Info { return Info{Protocol: "adb", Verb: adbConnect} })
}

func scanADB(b []byte) result {
	if r := fixed(b, 0, adbConnect, "command"); !r.isComplete() {
		if r.need > 0 {
			r.need = adbHeaderLen
		}
		return r
	}
	if len(b) < adbHeaderLen {
		return short(adbHeaderLen)
	}
	if le32(b)^0xffffffff != le32(b[20:]) || le32(b[12:]) > 1<<20 {
		return bad("magic", 20)
	}
	return complete(adbHeaderLen)
}

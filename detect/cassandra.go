package detect

const (
	cqlHeaderLen = 9
	cqlStartup   = 0x01
	cqlOptions   = 0x05
	cqlUseBeta   = 0x10
)

// Cassandra detects the first frame of a client of the CQL binary protocol (native_protocol_v4.spec §2): OPTIONS or
// STARTUP, which is the Verb. Version is that of the protocol, 3 to 6, or DSE_V1 or DSE_V2: drivers try the highest that
// they know first, and those of today begin with the ones of DataStax.
func Cassandra() Detector {
	return scanned("cassandra", cqlHeaderLen+2, scanCassandra, func(b []byte) Info {
		info := Info{Protocol: "cassandra", Version: cqlVersion(b[0]), Verb: "OPTIONS"}
		if b[4] == cqlStartup {
			info.Verb = "STARTUP"
		}
		return info
	})
}

// cqlVersion is the name of a version, in a request.
func cqlVersion(version byte) string {
	switch version {
	case 3, 4, 5, 6:
		return string('0' + rune(version))
	case 0x41:
		return "DSE_V1"
	case 0x42:
		return "DSE_V2"
	}
	return ""
}

func scanCassandra(b []byte) result {
	switch {
	case len(b) > 0 && cqlVersion(b[0]) == "":
		return bad("version", 0)
	// Nothing is compressed or traced yet. With the flags for these it would be SOCKS4 or SOCKS5.
	case len(b) > 1 && b[1]&^cqlUseBeta != 0:
		return bad("flags", 1)
	case len(b) > 4 && b[4] != cqlStartup && b[4] != cqlOptions:
		return bad("opcode", 4)
	case len(b) > 5 && b[5] != 0, len(b) > 6 && b[6] != 0:
		return bad("length", 5)
	case len(b) < cqlHeaderLen:
		return short(cqlHeaderLen)
	}
	length := be16(b[7:])
	switch {
	case b[4] == cqlOptions && length != 0:
		return bad("length", 7)
	case b[4] == cqlOptions:
		return complete(cqlHeaderLen)
	case length < len("xx")+2+len("CQL_VERSION"), length > 4096:
		return bad("length", 7)
	}
	// STARTUP is a map of a few strings; CQL_VERSION is one of them.
	switch r := fixed(b, cqlHeaderLen, "\x00", "map"); {
	case !r.isComplete():
		r.need += boolInt(r.need > 0)
		return r
	case len(b) < cqlHeaderLen+2:
		return short(cqlHeaderLen + 2)
	case b[cqlHeaderLen+1] == 0 || b[cqlHeaderLen+1] > 16:
		return bad("map", cqlHeaderLen+1)
	}
	return complete(cqlHeaderLen + 2)
}

package detect

import "strconv"

const (
	cqlHeaderLen = 9
	cqlStartup   = 0x01
	cqlOptions   = 0x05
)

// Cassandra detects the first frame of a client of the CQL binary protocol v3 to v5 (native_protocol_v4.spec §2):
// OPTIONS or STARTUP, which is the Verb.
func Cassandra() Detector {
	return scanned("cassandra", cqlHeaderLen+2, scanCassandra, func(b []byte) Info {
		info := Info{Protocol: "cassandra", Version: strconv.Itoa(int(b[0])), Verb: "OPTIONS"}
		if b[4] == cqlStartup {
			info.Verb = "STARTUP"
		}
		return info
	})
}

func scanCassandra(b []byte) result {
	switch {
	case len(b) > 0 && (b[0] < 3 || b[0] > 5):
		return bad("version", 0)
	case len(b) > 1 && b[1]&^0x1b != 0: // compression, tracing, warning, beta
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

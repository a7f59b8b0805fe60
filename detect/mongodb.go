package detect

// MongoDB detects the first message of a MongoDB client, by its header and what its operation begins with: OP_MSG,
// OP_QUERY or OP_COMPRESSED (MongoDB Wire Protocol), which is the Verb.
//
// The header begins with a length, least byte first. With some lengths the first bytes are a greeting of SOCKS5 (261),
// a request of SOCKS4 (260 and 516) or a frame of CQL, whose clients then wait for an answer; see [Collisions].
func MongoDB() Detector {
	return scanned("mongodb", mongoLeast, scanMongo, func(b []byte) Info {
		return Info{Protocol: "mongodb", Verb: mongoOp(le32(b[12:]))}
	})
}

const (
	mongoHeaderLen = 16

	// The least is OP_MSG with an empty document. What a client says first describes itself, in a few hundred bytes.
	mongoLeast, mongoMost = 26, 1 << 16

	mongoQuery, mongoCompressed, mongoMsg = 2004, 2012, 2013
)

// mongoOp is the name of an opcode that a client may begin with.
func mongoOp(code uint32) string {
	switch code {
	case mongoQuery:
		return "OP_QUERY"
	case mongoCompressed:
		return "OP_COMPRESSED"
	case mongoMsg:
		return "OP_MSG"
	}
	return ""
}

func scanMongo(b []byte) result {
	switch {
	case len(b) > 2 && b[2] != 0, len(b) > 3 && b[3] != 0:
		return bad("messageLength", min(len(b), 4)-1)
	case len(b) > 3 && (le32(b) < mongoLeast || le32(b) >= mongoMost):
		return bad("messageLength", 0)
	}
	for i := 8; i < min(len(b), 12); i++ {
		if b[i] != 0 {
			return bad("responseTo", i)
		}
	}
	switch {
	case len(b) >= mongoHeaderLen && mongoOp(le32(b[12:])) == "":
		return bad("opCode", 12)
	case len(b) < mongoLeast:
		return short(mongoLeast)
	}
	return scanMongoBody(b)
}

// scanMongoBody checks what is behind the header, of which there is the least that a message has.
func scanMongoBody(b []byte) result {
	length, first := le32(b), le32(b[mongoHeaderLen:])
	switch le32(b[12:]) {
	case mongoQuery: // flags, the name of a collection
		if first&^0xfe != 0 {
			return bad("flags", mongoHeaderLen)
		}
		if b[20] <= ' ' || b[20] == 0x7f {
			return bad("fullCollectionName", 20)
		}
	case mongoCompressed: // originalOpcode, uncompressedSize, compressorId
		if first != mongoQuery && first != mongoMsg {
			return bad("originalOpcode", mongoHeaderLen)
		}
		if b[24] > 3 {
			return bad("compressorId", 24)
		}
	case mongoMsg: // flagBits: checksumPresent, moreToCome, exhaustAllowed; the kind of a section, its size
		if first&^0x10003 != 0 {
			return bad("flagBits", mongoHeaderLen)
		}
		if size := le32(b[21:]); b[20] > 1 || size < 5 || size > length-21 {
			return bad("sections", 20)
		}
	}
	return complete(mongoLeast)
}

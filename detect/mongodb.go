package detect

// MongoDB detects the first message of a MongoDB client, by its header: OP_MSG, OP_QUERY or OP_COMPRESSED
// (MongoDB Wire Protocol). Verb is which.
func MongoDB() Detector {
	return scanned("mongodb", mongoHeaderLen, scanMongo, func(b []byte) Info {
		return Info{Protocol: "mongodb", Verb: mongoOps[le32(b[12:])]}
	})
}

const (
	mongoHeaderLen = 16

	// What a client says first describes itself, in a few hundred bytes.
	mongoLeast, mongoMost = 26, 1 << 16
)

var mongoOps = map[uint32]string{2004: "OP_QUERY", 2012: "OP_COMPRESSED", 2013: "OP_MSG"}

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
	if len(b) < mongoHeaderLen {
		return short(mongoHeaderLen)
	}
	switch le32(b[12:]) {
	case 2004, 2012, 2013:
		return complete(mongoHeaderLen)
	}
	return bad("opCode", 12)
}

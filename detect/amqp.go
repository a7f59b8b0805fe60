package detect

const amqpHeaderLen = 8

// AMQP detects the protocol header (AMQP 1.0 part 2 §2.2; AMQP 0-9-1 §4.2.2). Version is 0-8, 0-9,
// 0-9-1, 0-10, 1.0, or nothing for one that is unknown; Verb is TLS or SASL where 1.0 is to begin with that.
func AMQP() Detector {
	return scanned("amqp", amqpHeaderLen, func(b []byte) result {
		if r := fixed(b, 0, "AMQP", "protocol header"); !r.isComplete() {
			if r.need > 0 {
				r.need = amqpHeaderLen
			}
			return r
		}
		switch {
		case len(b) > 4 && b[4] > 3:
			return bad("protocol-id", 4)
		case len(b) > 5 && b[5] > 9:
			return bad("version", 5)
		case len(b) < amqpHeaderLen:
			return short(amqpHeaderLen)
		case b[6] > 10 || b[7] > 10:
			return bad("version", 6)
		}
		return complete(amqpHeaderLen)
	}, func(b []byte) Info {
		version, verb := amqpVersion([4]byte(b[4:]))
		return Info{Protocol: "amqp", Version: version, Verb: verb}
	})
}

// amqpVersion names what follows the four letters. The meaning of these bytes was another in each version, and the
// clients of 0-8 had two ways.
func amqpVersion(b [4]byte) (version, verb string) {
	switch b {
	case [4]byte{0, 0, 9, 1}:
		return "0-9-1", ""
	case [4]byte{0, 1, 0, 0}:
		return "1.0", ""
	case [4]byte{2, 1, 0, 0}:
		return "1.0", "TLS"
	case [4]byte{3, 1, 0, 0}:
		return "1.0", "SASL"
	case [4]byte{1, 1, 0, 10}:
		return "0-10", ""
	case [4]byte{1, 1, 0, 9}:
		return "0-9", ""
	case [4]byte{1, 1, 8, 0}, [4]byte{1, 1, 9, 1}:
		return "0-8", ""
	}
	return "", ""
}

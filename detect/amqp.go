package detect

import "strconv"

const amqpHeaderLen = 8

// AMQP detects the protocol header (AMQP 1.0 part 2 §2.2; AMQP 0-9-1 §4.2.2). Version is 0-9-1, 1.0 and the like; Verb
// is TLS or SASL where 1.0 is to begin with that.
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
		info := Info{Protocol: "amqp"}
		switch {
		case b[5] == 1: // AMQP 1.0: id, major, minor, revision
			info.Version = "1." + strconv.Itoa(int(b[6]))
			info.Verb = map[byte]string{2: "TLS", 3: "SASL"}[b[4]]
		case b[4] == 1: // AMQP 0-8 and 0-9: 1, 1, major, minor
			info.Version = strconv.Itoa(int(b[6])) + "-" + strconv.Itoa(int(b[7]))
		default: // AMQP 0-9-1: 0, major, minor, revision
			info.Version = strconv.Itoa(int(b[5])) + "-" + strconv.Itoa(int(b[6])) + "-" + strconv.Itoa(int(b[7]))
		}
		return info
	})
}

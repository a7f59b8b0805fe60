package detect

import "strconv"

const (
	kafkaHeaderLen = 14 // up to and with the length of client_id
	maxKafkaClient = 249

	// A first request is short. Above this bound its second byte would be the length of a DNS query or of an OpenVPN
	// packet.
	maxKafkaRequest = 8 << 16

	// Java clients number what they ask before SASL is through from here to the largest INT32
	// (SaslClientAuthenticator.MIN_RESERVED_CORRELATION_ID).
	kafkaReservedID = 0x7ffffff8
)

// kafkaAPI is the name of a request that a client may begin with.
func kafkaAPI(key int) string {
	switch key {
	case 0:
		return "Produce"
	case 1:
		return "Fetch"
	case 2:
		return "ListOffsets"
	case 3:
		return "Metadata"
	case 10:
		return "FindCoordinator"
	case 17:
		return "SaslHandshake"
	case 18:
		return "ApiVersions"
	case 22:
		return "InitProducerId"
	}
	return ""
}

// Kafka detects the first request of a Kafka client, by its header (Kafka protocol guide, "Request Header"): Verb is
// the API, Version its version, Software the client_id.
func Kafka() Detector {
	return scanned("kafka", kafkaHeaderLen+maxKafkaClient, scanKafka, func(b []byte) Info {
		info := Info{Protocol: "kafka", Verb: kafkaAPI(be16(b[4:])), Version: strconv.Itoa(be16(b[6:]))}
		if n := be16(b[12:]); n <= maxKafkaClient {
			info.Software = string(b[kafkaHeaderLen : kafkaHeaderLen+n])
		}
		return info
	})
}

func scanKafka(b []byte) result {
	switch {
	case len(b) > 0 && b[0] != 0, len(b) > 1 && b[1] >= maxKafkaRequest>>16:
		return bad("message_size", min(len(b), 2)-1)
	case len(b) > 3 && be32(b) < kafkaHeaderLen-4:
		return bad("message_size", 0)
	case len(b) > 5 && kafkaAPI(be16(b[4:])) == "":
		return bad("request_api_key", 4)
	case len(b) > 4 && b[4] != 0:
		return bad("request_api_key", 4)
	case len(b) > 6 && b[6] != 0, len(b) > 7 && b[7] > 20:
		return bad("request_api_version", 6)
	case len(b) > 8 && b[8] >= 'A' && b[8] != kafkaReservedID>>24, // clients count from a small number
		len(b) > 11 && b[8] >= 'A' && be32(b[8:]) < kafkaReservedID:
		return bad("correlation_id", 8)
	case len(b) < kafkaHeaderLen:
		return short(kafkaHeaderLen)
	}
	n := be16(b[12:])
	switch {
	case n == 0xffff: // null
		return complete(kafkaHeaderLen)
	case n > maxKafkaClient, n+kafkaHeaderLen-4 > int(be32(b)):
		return bad("client_id", 12)
	}
	for i := kafkaHeaderLen; i < min(len(b), kafkaHeaderLen+n); i++ {
		if b[i] < ' ' || b[i] > '~' {
			return bad("client_id", i)
		}
	}
	if len(b) < kafkaHeaderLen+n {
		return short(kafkaHeaderLen + n)
	}
	return complete(kafkaHeaderLen + n)
}

package detect

import "strconv"

const (
	kafkaHeaderLen  = 14 // up to and with the length of client_id
	maxKafkaRequest = 1 << 20
	maxKafkaClient  = 249
)

// kafkaAPIs are the requests that a client begins with, and the least that one is long.
var kafkaAPIs = map[int]string{
	0: "Produce", 1: "Fetch", 2: "ListOffsets", 3: "Metadata", 10: "FindCoordinator", 17: "SaslHandshake", 18: "ApiVersions", 22: "InitProducerId",
}

// Kafka detects the first request of a Kafka client, by its header (Kafka protocol guide, "Request Header"): Verb is
// the API, Version its version, Software the client_id.
func Kafka() Detector {
	return scanned("kafka", kafkaHeaderLen+maxKafkaClient, scanKafka, func(b []byte) Info {
		info := Info{Protocol: "kafka", Verb: kafkaAPIs[be16(b[4:])], Version: strconv.Itoa(be16(b[6:]))}
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
	case len(b) > 5 && kafkaAPIs[be16(b[4:])] == "":
		return bad("request_api_key", 4)
	case len(b) > 4 && b[4] != 0:
		return bad("request_api_key", 4)
	case len(b) > 6 && b[6] != 0, len(b) > 7 && b[7] > 20:
		return bad("request_api_version", 6)
	case len(b) > 8 && b[8] >= 'A': // clients count from a small number
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

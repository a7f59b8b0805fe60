package detect

import (
	"bytes"
	"encoding/json"
)

const (
	maxNATSLine = 4096 // MAX_CONTROL_LINE_SIZE
	natsConnect = "CONNECT {"
	natsInfo    = "INFO {"
)

// NATS detects the first line of a NATS client (NATS Protocol, "CONNECT"), which is no request of HTTP: its words are a
// JSON object. User and Software are what that names.
func NATS() Detector {
	return scanned("nats", maxNATSLine, scanNATS, func(b []byte) Info {
		line, _, _ := bytes.Cut(b[len(natsConnect)-1:], []byte{'\n'})
		var said struct{ User, Name, Lang, Version string }
		if json.Unmarshal(line, &said) != nil {
			return Info{Protocol: "nats", Verb: "CONNECT"}
		}
		software := said.Name
		if software == "" {
			software = said.Lang
		}
		return Info{Protocol: "nats", Verb: "CONNECT", User: clean([]byte(said.User)), Software: ascii([]byte(software)), Version: ascii([]byte(said.Version))}
	})
}

// NATSServer detects the greeting of a NATS server, by its beginning: the line is often longer than a packet.
func NATSServer() Detector {
	return scannedServer("nats-server", len(natsInfo), func(b []byte) result { return fixed(b, 0, natsInfo, "INFO") }, func([]byte) Info {
		return Info{Protocol: "nats", Verb: "INFO"}
	})
}

// scanNATS scans a line that begins with CONNECT and an object, and ends with the object: a request of HTTP goes on.
func scanNATS(b []byte) result {
	if r := fixed(b, 0, natsConnect, "verb"); !r.isComplete() {
		if r.field == "" {
			r.need += len("}\n")
		}
		return r
	}
	line, r := textLine(b, len(natsConnect), "arguments")
	if r.isComplete() && !bytes.HasSuffix(bytes.TrimRight(line, " \t"), []byte{'}'}) {
		return bad("arguments", r.n-1)
	}
	return r
}

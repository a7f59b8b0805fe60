package detect

import "bytes"

const maxMailboxGreeting = 512

// POP3Server detects the greeting of a POP3 server (RFC 1939 §4): +OK. Software is the rest of the line, without the
// timestamp of APOP, once it has come.
func POP3Server() Detector {
	return scannedServer("pop3-server", maxMailboxGreeting, func(b []byte) result {
		r := fixed(b, 0, "+OK", "greeting")
		switch {
		case r.need > 0 || r.isComplete() && len(b) == r.n:
			return short(len("+OK") + 1)
		case r.isComplete() && b[r.n] != ' ' && b[r.n] != '\r' && b[r.n] != '\n':
			return bad("greeting", r.n)
		}
		return r
	}, func(b []byte) Info {
		info := Info{Protocol: "pop3"}
		if text, r := textLine(b, 4, "greeting"); b[3] == ' ' && r.isComplete() {
			text, _, _ = bytes.Cut(text, []byte{'<'})
			info.Software = ascii(bytes.TrimSpace(text))
		}
		return info
	})
}

// IMAPServer detects the greeting of an IMAP server (RFC 9051 §7.1): an untagged OK, PREAUTH or BYE, which is the Verb.
func IMAPServer() Detector {
	greetings := [...]string{"* OK ", "* PREAUTH ", "* BYE "}
	return scannedServer("imap-server", maxMailboxGreeting, func(b []byte) result {
		for _, greeting := range greetings {
			n := min(len(b), len(greeting))
			switch {
			case !bytes.EqualFold(b[:n], []byte(greeting)[:n]):
			case n == len(greeting):
				return complete(n)
			default:
				return short(len(b[:min(n, 2)]) - min(n, 2) + max(n+1, len(greetings[0])))
			}
		}
		return bad("greeting", 0)
	}, func(b []byte) Info {
		verb, _, _ := bytes.Cut(b[2:], []byte{' '})
		return Info{Protocol: "imap", Verb: string(bytes.ToUpper(verb))}
	})
}

// NNTPServer detects the greeting of a news server (RFC 3977 §5.1): 200 or 201. Software is the rest of the line, once it
// has come.
func NNTPServer() Detector {
	return scannedServer("nntp-server", maxReplyLine, func(b []byte) result {
		r := fixed(b, 0, "20", "greeting")
		switch {
		case r.field != "":
			return r
		case len(b) > 2 && b[2] != '0' && b[2] != '1', len(b) > 3 && b[3] != ' ':
			return bad("greeting", 2)
		case len(b) < 4:
			return short(4)
		}
		return complete(4)
	}, func(b []byte) Info {
		info := Info{Protocol: "nntp"}
		if text, r := textLine(b, 4, "greeting"); r.isComplete() {
			info.Software = ascii(text)
		}
		return info
	})
}

// SieveServer detects the greeting of a ManageSieve server (RFC 5804 §1.7), which begins with the capability
// IMPLEMENTATION. Software is its value, once it has come.
func SieveServer() Detector {
	const capability = `"IMPLEMENTATION"`
	return scannedServer("sieve-server", maxMailboxGreeting, func(b []byte) result {
		n := min(len(b), len(capability))
		switch {
		case !bytes.EqualFold(b[:n], []byte(capability)[:n]):
			return bad("greeting", 0)
		case n < len(capability):
			return short(len(capability))
		}
		return complete(n)
	}, func(b []byte) Info {
		info := Info{Protocol: "sieve"}
		if text, r := textLine(b, len(capability), "capability"); r.isComplete() {
			info.Software = ascii(bytes.Trim(text, ` "`))
		}
		return info
	})
}

package detect

import "bytes"

const (
	maxMailboxGreeting = 512  // RFC 1939 §3, with the line end; RFC 5804 names no limit
	maxIMAPGreeting    = 2048 // RFC 9051 names none; capabilities can make it a long line
)

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

// imapGreetings are the statuses with which a server may greet, the shortest first.
var imapGreetings = [...]string{"* OK ", "* BYE ", "* PREAUTH "}

// IMAPServer detects the greeting of an IMAP server (RFC 9051 §7.1): an untagged OK, PREAUTH or BYE, which is the Verb.
// Software is the text behind it, without a code in brackets, once the line has come.
func IMAPServer() Detector {
	return scannedServer("imap-server", maxIMAPGreeting, func(b []byte) result {
		for _, greeting := range imapGreetings {
			switch n := min(len(b), len(greeting)); {
			case !foldPrefix(b[:n], greeting):
			case n == len(greeting):
				return complete(n)
			default:
				return short(len(greeting))
			}
		}
		return bad("greeting", 0)
	}, func(b []byte) Info {
		verb, _, _ := bytes.Cut(b[len("* "):], []byte{' '})
		info := Info{Protocol: "imap", Verb: string(bytes.ToUpper(verb))}
		if text, r := textLine(b, len("* ")+len(verb)+1, "greeting"); r.isComplete() {
			if _, behind, found := bytes.Cut(text, []byte("] ")); found && text[0] == '[' {
				text = behind
			}
			info.Software = ascii(text)
		}
		return info
	})
}

// NNTPServer detects the greeting of a news server (RFC 3977 §5.1): 200 or 201. It is weak, for other protocols have
// such replies, too. Software is the rest of the line, once it has come.
func NNTPServer() Detector {
	return weak(scannedServer("nntp-server", maxReplyLine, func(b []byte) result {
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
	}))
}

// SieveServer detects the greeting of a ManageSieve server (RFC 5804 §1.7), which begins with the capability
// IMPLEMENTATION. Software is its value, once it has come.
func SieveServer() Detector {
	const capability = `"IMPLEMENTATION"`
	return scannedServer("sieve-server", maxMailboxGreeting, func(b []byte) result {
		n := min(len(b), len(capability))
		switch {
		case !foldPrefix(b[:n], capability):
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

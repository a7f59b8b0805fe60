package detect

import "bytes"

const (
	maxReplyLine = 512 // RFC 5321 §4.5.3.1.5, with its line end
	replyReady   = "220"
)

// scanReply scans the beginning of the first line of a reply: the code, and a space or, when more lines follow, a dash.
func scanReply(b []byte, code string) result {
	r := fixed(b, 0, code, "reply")
	switch {
	case r.field != "":
		return r
	case len(b) <= len(code):
		return short(len(code) + 1)
	case b[len(code)] != ' ' && b[len(code)] != '-':
		return bad("reply", len(code))
	}
	return complete(len(code) + 1)
}

// greetingLine scans the whole first line of a reply 220, and returns its text.
func greetingLine(b []byte) ([]byte, result) {
	b = b[:min(len(b), maxReplyLine)]
	r := scanReply(b, replyReady)
	if !r.isComplete() {
		return nil, r
	}
	return textLine(b, r.n, "reply")
}

// mailWord says which mail protocol the words of a greeting name first: behind the name of the host there is ESMTP, SMTP
// or LMTP. A word has ended at a space, the last one when the line has.
func mailWord(text []byte, lineEnded bool) string {
	_, words, _ := bytes.Cut(text, []byte{' '})
	for len(words) > 0 {
		word, rest, ended := bytes.Cut(words, []byte{' '})
		switch words = rest; {
		case !ended && !lineEnded, !isMailWord(word):
		case equalASCII(word, "LMTP"):
			return "lmtp"
		default:
			return "smtp"
		}
	}
	return ""
}

func isMailWord(word []byte) bool {
	return equalASCII(word, "ESMTP") || equalASCII(word, "SMTP") || equalASCII(word, "LMTP") || equalASCII(word, "ESMTPS")
}

// equalASCII compares without regard to case.
func equalASCII(b []byte, s string) bool { return len(b) == len(s) && bytes.EqualFold(b, []byte(s)) }

// SMTPServer detects the greeting of an SMTP or LMTP server (RFC 5321 §4.2, RFC 2033) that names its protocol, at the
// end of that word; see [Reply220] for the others. Protocol is smtp or lmtp, Host the name of the server, Software the
// rest of the line once it has come, without the protocol's name where it begins with that.
func SMTPServer() Detector {
	return scannedServer("smtp-server", maxReplyLine, scanSMTPGreeting, func(b []byte) Info {
		text := replyText(b)
		host, rest, _ := bytes.Cut(text, []byte{' '})
		info := Info{Protocol: mailWord(text, true)}
		if isHost(host) {
			info.Host = string(host)
		}
		if _, r := greetingLine(b); r.isComplete() {
			word, software, _ := bytes.Cut(rest, []byte{' '})
			if !isMailWord(word) {
				software = rest
			}
			info.Software = ascii(software)
		}
		return info
	})
}

// replyText is the text of the first line of a reply as far as it has come, up to the first control character.
func replyText(b []byte) []byte {
	text := b[len(replyReady)+1:]
	for i, c := range text {
		if c < ' ' && c != '\t' || c == 0x7f {
			return text[:i]
		}
	}
	return text
}

func scanSMTPGreeting(b []byte) result {
	const shortest = len("220 x SMTP\n")
	if r := scanReply(b, replyReady); r.need > 0 {
		return short(shortest)
	} else if !r.isComplete() {
		return r
	}
	text := replyText(b)
	end := len(replyReady) + 1 + len(text)
	lineEnded := end < len(b) && (b[end] == '\r' || b[end] == '\n')
	switch {
	case len(text) > 0 && text[0] == ' ': // there is no name
		return bad("greeting", len(replyReady)+1)
	case mailWord(text, lineEnded) != "":
		return complete(end)
	case end < len(b):
		return bad("greeting", end)
	}
	return short(max(len(b)+1, shortest))
}

// SMTP detects the first command of an SMTP or LMTP client (RFC 5321 §4.1.1.1, RFC 2033 §4.1), whole line. A client
// waits for the greeting first, but for some that are impatient. Verb is EHLO, HELO or LHLO, Host the name that follows.
func SMTP() Detector {
	return weak(scanned("smtp", maxReplyLine, scanSMTPClient, func(b []byte) Info {
		line, _ := textLine(b, len("EHLO "), "command")
		verb := string(bytes.ToUpper(b[:len("EHLO")]))
		info := Info{Protocol: "smtp", Verb: verb}
		if verb == "LHLO" {
			info.Protocol = "lmtp"
		}
		if isHost(line) {
			info.Host = string(line)
		}
		return info
	}))
}

func scanSMTPClient(b []byte) result {
	const verb, shortest = len("EHLO "), len("EHLO x\n")
	start := b[:min(len(b), verb)]
	if !foldPrefix(start, "EHLO ") && !foldPrefix(start, "HELO ") && !foldPrefix(start, "LHLO ") {
		return bad("command", 0)
	}
	if len(b) < verb {
		return short(shortest)
	}
	name, r := textLine(b, verb, "command")
	switch {
	case bytes.IndexByte(name, ' ') >= 0, r.isComplete() && len(name) == 0:
		return bad("command", verb)
	case r.need > 0:
		return short(max(r.need, shortest))
	}
	return r
}

// foldPrefix says whether all of b begins s, without regard to case.
func foldPrefix(b []byte, s string) bool {
	return len(b) <= len(s) && bytes.EqualFold(b, []byte(s[:len(b)]))
}

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
	case !r.isComplete() && r.need > 0:
		return short(len(code) + 1)
	case !r.isComplete():
		return r
	case len(b) == len(code):
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

// mailWord says which mail protocol the words of a greeting name: behind the name of the host there is ESMTP, SMTP or
// LMTP.
func mailWord(text []byte) string {
	_, words, _ := bytes.Cut(text, []byte{' '})
	for len(words) > 0 {
		var word []byte
		word, words, _ = bytes.Cut(words, []byte{' '})
		switch {
		case equalASCII(word, "ESMTP"), equalASCII(word, "SMTP"), equalASCII(word, "ESMTPS"):
			return "smtp"
		case equalASCII(word, "LMTP"):
			return "lmtp"
		}
	}
	return ""
}

// equalASCII compares without regard to case.
func equalASCII(b []byte, s string) bool { return len(b) == len(s) && bytes.EqualFold(b, []byte(s)) }

// SMTPServer detects the greeting of an SMTP or LMTP server (RFC 5321 §4.2, RFC 2033) that names its protocol, as all
// servers do; see [Reply220]. Protocol is smtp or lmtp, Host the name of the server, Software what follows the protocol.
func SMTPServer() Detector {
	return scannedServer("smtp-server", maxReplyLine, scanSMTPGreeting, func(b []byte) Info {
		text, _ := greetingLine(b)
		host, rest, _ := bytes.Cut(text, []byte{' '})
		info := Info{Protocol: mailWord(text)}
		if isHost(host) {
			info.Host = string(host)
		}
		if _, software, found := bytes.Cut(rest, []byte{' '}); found {
			info.Software = ascii(software)
		}
		return info
	})
}

func scanSMTPGreeting(b []byte) result {
	text, r := greetingLine(b)
	if r.isComplete() && mailWord(text) == "" {
		return bad("greeting", 0)
	}
	if r.need > 0 {
		r.need = max(r.need, len("220 x SMTP\n"))
	}
	return r
}

// SMTP detects the first command of an SMTP or LMTP client (RFC 5321 §4.1.1.1), whole line. A client waits for the greeting
// first, but for some that are impatient. Verb is EHLO, HELO or LHLO, Host the name that follows.
func SMTP() Detector {
	return weak(scanned("smtp", maxReplyLine, scanSMTPClient, func(b []byte) Info {
		line, _ := textLine(b, 5, "command")
		verb := string(bytes.ToUpper(b[:4]))
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
	n := min(len(b), 5)
	if !foldPrefix(b[:n], "EHLO ") && !foldPrefix(b[:n], "HELO ") && !foldPrefix(b[:n], "LHLO ") {
		return bad("command", 0)
	}
	if n < 5 {
		return short(len("EHLO x\n"))
	}
	line, r := textLine(b, 5, "command")
	switch {
	case r.isComplete() && (len(line) == 0 || bytes.IndexByte(line, ' ') >= 0):
		return bad("command", 5)
	case r.need > 0:
		r.need = max(r.need, len("EHLO x\n"))
	}
	return r
}

// foldPrefix says whether all of b begins s, without regard to case.
func foldPrefix(b []byte, s string) bool {
	return len(b) <= len(s) && bytes.EqualFold(b, []byte(s[:len(b)]))
}

package detect

import "bytes"

const maxIRCLine = 512 // RFC 1459 §2.3, with its line end

// IRC detects the first line of an IRC client: CAP, PASS, NICK or USER (RFC 1459 §4.1, IRCv3 "Capability Negotiation"),
// or STARTTLS (IRCv3 "tls Extension"). It is weak: some other protocols have PASS or STARTTLS. Verb is the command, User
// the nick once a line has said it.
func IRC() Detector {
	return weak(scanned("irc", maxIRCLine, scanIRC, func(b []byte) Info {
		command, _, _ := bytes.Cut(b, []byte{' '})
		command, _, _ = bytes.Cut(command, []byte{'\n'})
		return Info{Protocol: "irc", Verb: string(bytes.ToUpper(trimCR(command))), User: ircNick(b)}
	}))
}

// ircNick is the parameter of the first whole line that is a NICK.
func ircNick(b []byte) string {
	for start := 0; start < len(b); {
		line, r := textLine(b, start, "command")
		if !r.isComplete() {
			break
		}
		start = r.n
		if verb, nick, _ := bytes.Cut(line, []byte{' '}); equalASCII(verb, "NICK") {
			return clean(bytes.TrimPrefix(nick, []byte{':'}))
		}
	}
	return ""
}

// ircCommands are those that a client may begin with.
var ircCommands = [...]struct{ name, shortest string }{
	{"CAP", "CAP LS\n"}, {"NICK", "NICK x\n"}, {"PASS", "PASS x\n"}, {"STARTTLS", "STARTTLS\n"}, {"USER", "USER x x x x\n"},
}

func scanIRC(b []byte) result {
	line, r := textLine(b, 0, "command")
	if r.field != "" {
		return r
	}
	whole := r.isComplete()
	if !whole {
		line = trimCR(line)
	}
	command, rest, spaced := bytes.Cut(line, []byte{' '})
	for _, c := range ircCommands {
		switch ended := spaced || whole; {
		case !foldPrefix(command, c.name), ended && len(command) < len(c.name):
		case ended && !ircParameters(c.name, rest, whole):
			return bad("parameters", len(command))
		case whole:
			return r
		default:
			return short(max(len(b)+1, len(c.shortest)))
		}
	}
	return bad("command", 0)
}

// ircParameters says whether the parameters of a command are right or, of a line that goes on, may become so. What
// could be the request line of HTTP or a user of FTP or POP3 is not.
func ircParameters(command string, rest []byte, whole bool) bool {
	switch command {
	case "CAP":
		return capParameters(rest, whole)
	case "NICK", "PASS":
		return bytes.IndexByte(rest, ' ') < 0 && (len(rest) > 0 || !whole)
	case "STARTTLS":
		return len(rest) == 0
	}
	return countWords(rest) >= 4 || !whole
}

// capParameters is ircParameters for LS and its version, LIST, END, and REQ with names behind a colon.
func capParameters(rest []byte, whole bool) bool {
	subcommand, parameters, spaced := bytes.Cut(rest, []byte{' '})
	for _, name := range [...]string{"LS", "LIST", "END", "REQ"} {
		switch ended := spaced || whole; {
		case !foldPrefix(subcommand, name), ended && len(subcommand) < len(name):
		case name == "LS":
			return len(parameters) == 0 || isDigits(parameters)
		case name == "REQ":
			return len(parameters) == 0 && !whole || len(parameters) > 0 && parameters[0] == ':'
		default:
			return len(parameters) == 0
		}
	}
	return false
}

// countWords counts what stands between spaces.
func countWords(b []byte) int {
	n := 0
	for i, c := range b {
		if c != ' ' && (i == 0 || b[i-1] == ' ') {
			n++
		}
	}
	return n
}

// ircNotices are the beginnings of what a server says before the client has spoken, behind its name or without it.
var ircNotices = [...]string{"NOTICE * ", "NOTICE AUTH ", "NOTICE Auth "}

// IRCServer detects a server of IRC that gives notice of its looking up the client (RFC 1459 §4.4.2) before that has
// spoken. Verb is NOTICE, Host the server's name where it says it.
func IRCServer() Detector {
	return scannedServer("irc-server", maxIRCLine, scanIRCNotice, func(b []byte) Info {
		info := Info{Protocol: "irc", Verb: "NOTICE"}
		if host, _, _ := bytes.Cut(b[1:], []byte{' '}); b[0] == ':' && isHost(host) {
			info.Host = string(host)
		}
		return info
	})
}

func scanIRCNotice(b []byte) result {
	at := 0
	if len(b) > 0 && b[0] == ':' {
		space := bytes.IndexByte(b, ' ')
		name := b[1:]
		if space > 0 {
			name = b[1:space]
		}
		switch {
		case hasControl(name), space == 1:
			return bad("prefix", 1)
		case space < 0:
			return short(max(len(b), len(":x")) + len(" ") + len(ircNotices[0]))
		}
		at = space + 1
	}
	for _, notice := range ircNotices {
		if r := fixed(b, at, notice, "command"); r.field == "" {
			return r
		}
	}
	return bad("command", at)
}

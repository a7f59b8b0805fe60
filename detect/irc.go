package detect

import "bytes"

const maxIRCLine = 512 // RFC 1459 §2.3, with its line end

// IRC detects the first line of an IRC client: CAP, PASS, NICK or USER (RFC 1459 §4.1), or STARTTLS. Verb is which, User
// the nick.
func IRC() Detector {
	return weak(scanned("irc", maxIRCLine, scanIRC, func(b []byte) Info {
		line, _ := textLine(b, 0, "command")
		verb, rest, _ := bytes.Cut(line, []byte{' '})
		info := Info{Protocol: "irc", Verb: string(bytes.ToUpper(verb))}
		switch info.Verb {
		case "NICK", "USER":
			name, _, _ := bytes.Cut(rest, []byte{' '})
			info.User = clean(bytes.TrimPrefix(name, []byte{':'}))
		}
		return info
	}))
}

// ircCommands are those that a client may begin with, and how many words follow at least.
var ircCommands = [...]struct {
	name  string
	words int
	exact bool
}{{"CAP", 1, false}, {"PASS", 1, true}, {"NICK", 1, true}, {"USER", 4, false}, {"STARTTLS", 0, true}}

func scanIRC(b []byte) result {
	if len(b) == 0 {
		return short(len("CAP L\n"))
	}
	line, r := textLine(b, 0, "command")
	if r.field != "" {
		return r
	}
	verb, rest, spaced := bytes.Cut(line, []byte{' '})
	for i := range ircCommands {
		c := &ircCommands[i]
		switch {
		case !foldPrefix(trimCR(verb), c.name), spaced && len(verb) < len(c.name):
			continue
		case r.need > 0:
			if words := bytes.Count(rest, []byte{' '}); c.exact && (words > 0 || spaced && c.words == 0) {
				return bad("parameters", len(verb))
			}
			return short(max(len(b)+1, len("CAP L\n")))
		case len(verb) < len(c.name):
			continue
		}
		words := countWords(rest)
		if words < c.words || c.exact && words > c.words {
			return bad("parameters", len(verb))
		}
		if c.name == "CAP" && !foldPrefix(rest[:min(len(rest), 2)], "LS") && !foldPrefix(rest[:min(len(rest), 3)], "REQ") && !foldPrefix(rest[:min(len(rest), 3)], "END") {
			return bad("parameters", len(verb))
		}
		return r
	}
	return bad("command", 0)
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

// IRCServer detects a server of IRC that gives notice of its looking up the client before that has spoken.
func IRCServer() Detector {
	return scannedServer("irc-server", maxIRCLine, func(b []byte) result {
		if len(b) == 0 {
			return short(len("NOTICE * "))
		}
		at := 0
		if b[0] == ':' {
			_, r := textLine(b, 0, "prefix")
			space := bytes.IndexByte(b, ' ')
			switch {
			case r.field != "", r.isComplete() && space < 0:
				return bad("prefix", 0)
			case space < 0:
				return short(len(b) + len(" NOTICE * "))
			}
			at = space + 1
		}
		for _, start := range [...]string{"NOTICE AUTH ", "NOTICE * ", "NOTICE Auth "} {
			if r := fixed(b, at, start, "command"); r.field == "" {
				if r.need > 0 {
					r.need = max(len(b)+1, at+len("NOTICE * "))
				}
				return r
			}
		}
		return bad("command", at)
	}, func(b []byte) Info {
		info := Info{Protocol: "irc", Verb: "NOTICE"}
		if host, _, _ := bytes.Cut(b[1:], []byte{' '}); b[0] == ':' && isHost(host) {
			info.Host = string(host)
		}
		return info
	})
}

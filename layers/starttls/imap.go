package starttls

import (
	"strings"

	"github.com/bridgeio/bridgeio/bridge"
)

// IMAP returns the layer for IMAP (RFC 9051, RFC 3501) with STARTTLS (RFC 9051 §6.2.1).
func IMAP() bridge.Layer { return layer("imap", imap().talk) }

func imap() dialect {
	return dialect{proto: "imap", command: imapCommand, reply: imapReply, lineEnd: endOfLiterals}
}

// imapCommand reads a command: a tag, and a verb. One that ends in a literal is other, since the server is asked whether it
// wants to have that.
func imapCommand(line string) command {
	tag, rest, _ := strings.Cut(line, " ")
	verb, _ := words(rest)
	c := command{name: verb, tag: tag}
	if tag == "" || tag == "*" || strings.HasPrefix(tag, "+") || strings.HasSuffix(line, "}") {
		return c
	}
	switch verb {
	case "CAPABILITY", "NOOP":
		c.kind = deducible
	case "ID", "LOGOUT":
		c.kind = harmless
	case "STARTTLS":
		c.kind = upgrade
	}
	return c
}

// imapReply reads a line of a response: untagged ones, and then one with the command's tag. The greeting, and what
// nobody asked for, is one untagged line. A continuation request is none to any command that we relay.
func imapReply(line string, to command, _ reply) (reply, bool) {
	tag, rest, _ := strings.Cut(line, " ")
	word, _ := words(rest)
	if word == "" {
		return reply{}, false
	}
	r := reply{class: word[0]}
	switch {
	case tag == "*":
		r.more = to.tag != ""
	case to.tag == "" || tag != to.tag:
		return reply{}, false
	default:
		r.ok = to.kind == upgrade && word == "OK"
	}
	return r, true
}

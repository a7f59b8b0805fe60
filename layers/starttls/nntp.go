package starttls

import (
	"strings"

	"github.com/bridgeio/bridgeio/bridge"
)

// NNTP returns the layer for NNTP (RFC 3977) with STARTTLS (RFC 4642).
func NNTP() bridge.Layer { return layer("nntp", nntp().talk) }

func nntp() dialect { return dialect{proto: "nntp", command: nntpCommand, reply: nntpReply} }

func nntpCommand(line string) command {
	verb, rest := words(line)
	c := command{name: verb}
	switch verb {
	case "CAPABILITIES":
		c.kind = deducible
	case "HELP", "DATE", "QUIT":
		c.kind = harmless
	case "MODE":
		if strings.EqualFold(rest, "READER") {
			c.kind = harmless
		}
	case "STARTTLS":
		c.kind = upgrade
	}
	return c
}

// nntpReply reads a line of a response: one with a code, and after the codes 100 (HELP) and 101 (CAPABILITIES) a list.
func nntpReply(line string, to command, before reply) (reply, bool) {
	if before.more {
		return listLine(line, before), true
	}
	code, sep, ok := replyCode(line)
	if !ok || sep != ' ' {
		return reply{}, false
	}
	r := reply{class: code[0], more: code == "100" || code == "101"}
	r.ok = to.kind == upgrade && code == "382"
	return r, true
}

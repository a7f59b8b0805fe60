package starttls

import (
	"strings"

	"github.com/bridgeio/bridgeio/bridge"
)

// POP3 returns the layer for POP3 (RFC 1939) with STLS (RFC 2595 §4).
func POP3() bridge.Layer { return layer("pop3", pop3().talk) }

func pop3() dialect { return dialect{proto: "pop3", command: pop3Command, reply: pop3Reply} }

func pop3Command(line string) command {
	verb, _ := words(line)
	c := command{name: verb}
	switch verb {
	case "CAPA", "NOOP":
		c.kind = deducible
	case "QUIT":
		c.kind = harmless
	case "STLS":
		c.kind = upgrade
	}
	return c
}

// pop3Reply reads a line of a response: one with a status, and after the +OK to CAPA a list (RFC 2449 §5).
func pop3Reply(line string, to command, before reply) (reply, bool) {
	if before.more {
		return listLine(line, before), true
	}
	status, _, _ := strings.Cut(line, " ")
	switch status {
	case "+OK":
		return reply{class: '+', more: to.name == "CAPA", ok: to.kind == upgrade}, true
	case "-ERR":
		return reply{class: '-'}, true
	}
	return reply{}, false
}

// listLine reads a line of a list that a line with a single dot ends (RFC 1939 §3, RFC 3977 §3.1.1).
func listLine(line string, before reply) reply {
	before.more = line != "."
	return before
}

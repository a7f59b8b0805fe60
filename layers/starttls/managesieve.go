package starttls

import (
	"strings"

	"github.com/bridgeio/bridgeio/bridge"
)

// ManageSieve returns the layer for ManageSieve with STARTTLS (RFC 5804).
func ManageSieve() bridge.Layer { return layer("sieve", managesieve().talk) }

func managesieve() dialect {
	return dialect{proto: "sieve", command: sieveCommand, reply: sieveReply, lineEnd: endOfLiterals}
}

// sieveCommand reads a command. One that ends in a literal is other.
func sieveCommand(line string) command {
	verb, _ := words(line)
	c := command{name: verb}
	if strings.HasSuffix(line, "}") {
		return c
	}
	switch verb {
	case "CAPABILITY", "NOOP":
		c.kind = deducible
	case "LOGOUT":
		c.kind = harmless
	case "STARTTLS":
		c.kind = upgrade
	}
	return c
}

// sieveReply reads a line of a response, which is also the greeting: lines that begin with a string, and then one with
// a result (RFC 5804 §1.2, §1.3).
func sieveReply(line string, to command, _ reply) (reply, bool) {
	if strings.HasPrefix(line, `"`) || strings.HasPrefix(line, "{") {
		return reply{class: '"', more: true}, true
	}
	word, _ := words(line)
	switch word {
	case "OK", "NO", "BYE":
		return reply{class: word[0], ok: word == "OK" && to.kind == upgrade}, true
	}
	return reply{}, false
}

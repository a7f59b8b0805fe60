package starttls

import "github.com/bridgeio/bridgeio/bridge"

// SMTP returns the layer for SMTP (RFC 5321) and LMTP (RFC 2033) with STARTTLS (RFC 3207).
func SMTP() bridge.Layer { return layer("smtp", smtp().talk) }

func smtp() dialect { return dialect{proto: "smtp", command: smtpCommand, reply: smtpReply} }

func smtpCommand(line string) command {
	verb, rest := words(line)
	c := command{name: verb}
	switch verb {
	case "EHLO", "HELO":
		c.kind, c.client, c.proto = deducible, rest, "smtp"
	case "LHLO":
		c.kind, c.client, c.proto = deducible, rest, "lmtp"
	case "NOOP":
		c.kind = deducible
	case "RSET", "HELP", "QUIT":
		c.kind = harmless
	case "STARTTLS":
		c.kind = upgrade
	}
	return c
}

// smtpReply reads a line of a reply: RFC 5321 §4.2.1 has the code in each, with a hyphen behind it in all but the last.
func smtpReply(line string, to command, before reply) (reply, bool) {
	code, sep, ok := replyCode(line)
	if !ok || sep != ' ' && sep != '-' || before.more && code != before.code {
		return reply{}, false
	}
	r := reply{class: code[0], code: code, more: sep == '-'}
	r.ok = !r.more && to.kind == upgrade && code == "220"
	return r, true
}

// replyCode reads the three digits at the beginning of a line, and what separates them from the text.
func replyCode(line string) (code string, sep byte, ok bool) {
	if len(line) < 3 || line[0] < '1' || line[0] > '5' || !isDigit(line[1]) || !isDigit(line[2]) {
		return "", 0, false
	}
	if len(line) == 3 {
		return line, ' ', true
	}
	return line[:3], line[3], true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

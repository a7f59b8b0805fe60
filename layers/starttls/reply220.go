package starttls

import "github.com/bridgeio/bridgeio/bridge"

// Reply220 returns the layer for a server that greets with 220 and does not say whether it is one of mail (SMTP, LMTP) or
// of files (FTP): the client's first verb that only one of them has decides that.
func Reply220() bridge.Layer { return layer("220", reply220().talk) }

// reply220 begins with the replies of FTP, of which those of SMTP are a special case.
func reply220() dialect { return dialect{proto: "220", command: neutralCommand, reply: ftpReply} }

func neutralCommand(line string) command {
	c := command{}
	switch c.name, _ = words(line); c.name {
	case "NOOP":
		c.kind = deducible
	case "HELP", "QUIT":
		c.kind = harmless
	case "FEAT", "SYST", "OPTS", "CLNT", "HOST", "AUTH", "USER", "PASS", "ACCT", "REIN":
		// SMTP has an AUTH, too, and none without EHLO before it (RFC 4954 §4).
		return ftpCommand(line).in(ftp())
	case "EHLO", "HELO", "LHLO", "STARTTLS", "RSET", "MAIL", "VRFY", "EXPN", "XCLIENT", "XFORWARD":
		return smtpCommand(line).in(smtp())
	}
	return c
}

// in is a command that says which dialect it is of.
func (c command) in(d dialect) command {
	c.dialect = &d
	return c
}

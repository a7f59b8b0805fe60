package starttls

import "github.com/bridgeio/bridgeio/bridge"

// Reply220 returns the layer for a server that greets with 220 and does not say whether it is one of mail (SMTP, LMTP) or
// of files (FTP): the client's first verb that only one of them has decides that.
func Reply220() bridge.Layer { return layer("220", reply220().talk) }

// reply220 begins with the replies of FTP, of which those of SMTP are a special case.
func reply220() dialect {
	return dialect{proto: "220", command: neutralCommand, reply: ftpReply, after: decided}
}

func neutralCommand(line string) (c command) {
	switch c.name, _ = words(line); c.name {
	case "NOOP":
		c.kind = deducible
	case "HELP", "QUIT":
		c.kind = harmless
	case "FEAT", "SYST", "OPTS", "CLNT", "HOST", "AUTH", "USER", "PASS", "ACCT", "REIN":
		// SMTP has an AUTH, too, and none without EHLO before it (RFC 4954 §4).
		c = ftpCommand(line)
		c.proto = "ftp"
	case "EHLO", "HELO", "LHLO":
		c = smtpCommand(line)
	case "STARTTLS", "RSET", "MAIL", "VRFY", "EXPN", "XCLIENT", "XFORWARD":
		c = smtpCommand(line)
		c.proto = "smtp"
	}
	return c
}

// decided is the dialect to go on with.
func decided(c command) dialect {
	switch c.proto {
	case "ftp":
		return ftp()
	case "smtp", "lmtp":
		return smtp()
	}
	return reply220()
}

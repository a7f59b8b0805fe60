package starttls

import (
	"strings"

	"github.com/bridgeio/bridgeio/bridge"
)

// FTP returns the layer for FTP (RFC 959) with AUTH TLS (RFC 4217). It sees the control connection. Those for data are
// connections of their own, which come through a proxy by themselves: as TLS from their first byte, after PROT P.
func FTP() bridge.Layer { return layer("ftp", ftp().talk) }

func ftp() dialect { return dialect{proto: "ftp", command: ftpCommand, reply: ftpReply} }

func ftpCommand(line string) command {
	verb, rest := words(line)
	c := command{name: verb}
	switch verb {
	case "FEAT", "NOOP":
		c.kind = deducible
	case "SYST", "OPTS", "CLNT", "HOST", "HELP", "QUIT":
		c.kind = harmless
	case "AUTH":
		c.kind = ftpAuth(rest)
	}
	return c
}

// ftpAuth reads the mechanism. TLS-C is TLS, TLS-P and SSL are TLS with protected data connections: the latter two were
// never specified, and are in use. Others (GSSAPI) are no TLS.
func ftpAuth(mechanism string) kind {
	switch strings.ToUpper(mechanism) {
	case "TLS", "TLS-C", "TLS-P", "SSL":
		return upgrade
	}
	return other
}

// ftpReply reads a line of a reply. RFC 959 §4.2: the first line of several has a hyphen behind its code, the last a
// space behind the same code, and what is between them may be any text. Should another code stand there, clients do not
// agree on where the reply ends ("the Server must pad the front to avoid confusion").
func ftpReply(line string, to command, before reply) (reply, bool) {
	code, sep, ok := replyCode(line)
	isLast := ok && sep == ' '
	if before.code != "" && (!isLast || code != before.code) {
		return reply{class: before.class, code: before.code, more: true}, !isLast
	}
	if !ok || sep != ' ' && sep != '-' {
		return reply{}, false
	}
	r := reply{class: code[0], code: code, more: true}
	switch {
	case sep == '-':
	case code[0] == '1':
		r.code = "" // RFC 959 §4.2: "expect another reply before proceeding"
	default:
		r.more, r.ok = false, to.kind == upgrade && code == "234"
	}
	return r, true
}

package starttls_test

import (
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/layers/starttls"
)

// injection is a conversation in which something stands behind the request for TLS, or behind the answer that grants it.
type injection struct {
	name   string
	layer  bridge.Layer
	script []write
	client string // what the client received
	server string // what the server received
	by     bridge.Party
}

func injections() []injection {
	const greeting, ehlo, offer = "220 a\r\n", "EHLO b\r\n", "250 STARTTLS\r\n"
	return []injection{
		{
			"SMTP: a command in one segment with the verb",
			starttls.SMTP(),
			[]write{s(greeting), c(ehlo), s(offer), c("STARTTLS\r\nMAIL FROM:<x@example.com>\r\n")},
			greeting + offer, ehlo, bridge.ByClient,
		},
		{
			"SMTP: a command in a segment of its own, before the answer",
			starttls.SMTP(),
			[]write{s(greeting), c(ehlo), s(offer), c("STARTTLS\r\n"), c("R"), s("220 go\r\n")},
			greeting + offer, ehlo + "STARTTLS\r\n", bridge.ByClient,
		},
		{
			"SMTP: a command before a refusal",
			starttls.SMTP(),
			[]write{s(greeting), c("STARTTLS\r\n"), c("RSET\r\n"), s("454 no\r\n")},
			greeting, "STARTTLS\r\n", bridge.ByClient,
		},
		{
			"SMTP: all of it at once",
			starttls.SMTP(),
			[]write{c(ehlo + "STARTTLS\r\nRSET\r\n"), s(greeting), s(offer)},
			greeting + offer, ehlo, bridge.ByClient,
		},
		{
			"SMTP: a reply behind the answer",
			starttls.SMTP(),
			[]write{s(greeting), c("STARTTLS\r\n"), s("220 go\r\n250 injected\r\n")},
			greeting, "STARTTLS\r\n", bridge.ByServer,
		},
		{
			"Reply220: a command behind the verb",
			starttls.Reply220(),
			[]write{s(greeting), c("AUTH TLS\r\nUSER ftp\r\n")},
			greeting, "", bridge.ByClient,
		},
		{
			"FTP: a command behind the verb",
			starttls.FTP(),
			[]write{s(greeting), c("AUTH TLS\r\n"), c("USER ftp\r\n"), s("234 go\r\n")},
			greeting, "AUTH TLS\r\n", bridge.ByClient,
		},
		{
			"IMAP: a command behind the verb",
			starttls.IMAP(),
			[]write{s("* OK\r\n"), c("a STARTTLS\r\nb LOGIN x y\r\n")},
			"* OK\r\n", "", bridge.ByClient,
		},
		{
			"IMAP: a response behind the answer",
			starttls.IMAP(),
			[]write{s("* OK\r\n"), c("a STARTTLS\r\n"), s("* CAPABILITY X\r\na OK\r\n* CAPABILITY AUTH=PLAIN\r\n")},
			"* OK\r\n* CAPABILITY X\r\n", "a STARTTLS\r\n", bridge.ByServer,
		},
		{
			"POP3: a command behind the verb",
			starttls.POP3(),
			[]write{s("+OK\r\n"), c("STLS\r\nUSER a\r\n")},
			"+OK\r\n", "", bridge.ByClient,
		},
		{
			"NNTP: a command behind the verb",
			starttls.NNTP(),
			[]write{s("200\r\n"), c("STARTTLS\r\nPOST\r\n")},
			"200\r\n", "", bridge.ByClient,
		},
		{
			"ManageSieve: a response behind the answer",
			starttls.ManageSieve(),
			[]write{s("OK\r\n"), c("STARTTLS\r\n"), s("OK\r\n\"SASL\" \"PLAIN\"\r\nOK\r\n")},
			"OK\r\n", "STARTTLS\r\n", bridge.ByServer,
		},
		{
			"PostgreSQL: a StartupMessage behind the SSLRequest",
			starttls.PostgreSQL(),
			[]write{c(sslRequest + "\x00\x00\x00\x08")},
			"", "", bridge.ByClient,
		},
		{
			"PostgreSQL: a query before the answer",
			starttls.PostgreSQL(),
			[]write{c(sslRequest), c("Q"), s("S")},
			"", sslRequest, bridge.ByClient,
		},
		{
			"PostgreSQL: a message behind the answer",
			starttls.PostgreSQL(),
			[]write{c(sslRequest), s("SR")},
			"", sslRequest, bridge.ByServer,
		},
		{
			"MySQL: a packet behind the greeting",
			starttls.MySQL(),
			[]write{c(mysqlSSL), s(mysqlGreeting("\xff\xff") + "\x07\x00\x00\x02\x00")},
			mysqlGreeting("\xff\xff"), mysqlSSL, bridge.ByServer,
		},
		{
			"LDAP: a request behind the verb",
			starttls.LDAP(),
			[]write{c(startTLS + bindRequest)},
			"", "", bridge.ByClient,
		},
		{
			"LDAP: a response behind the answer",
			starttls.LDAP(),
			[]write{c(startTLS), s(startedTLS + searchDone)},
			"", startTLS, bridge.ByServer,
		},
		{
			"XMPP: a stream behind the verb",
			starttls.XMPP(),
			[]write{c(clientStream), s(serverStream + features), c(askTLS + clientStream)},
			serverStream + features, clientStream, bridge.ByClient,
		},
		{
			"XMPP: whitespace behind the verb",
			starttls.XMPP(),
			[]write{c(clientStream), s(serverStream + features), c(askTLS), c("\n"), s(proceedTLS)},
			serverStream + features, clientStream + askTLS, bridge.ByClient,
		},
		{
			"XMPP: features behind the answer",
			starttls.XMPP(),
			[]write{c(clientStream), s(serverStream + features), c(askTLS), s(proceedTLS + serverStream)},
			serverStream + features, clientStream + askTLS, bridge.ByServer,
		},
		{
			"RDP: more behind the request",
			starttls.RDP(),
			[]write{c(x224(0xe0, "") + "\x03")},
			"", "", bridge.ByClient,
		},
		{
			"TDS: more behind the PRELOGIN",
			starttls.TDS(),
			[]write{c(prelogin(clientPrelogin, encryptOn) + "\x12")},
			"", "", bridge.ByClient,
		},
		{
			"TDS: a packet behind the answer",
			starttls.TDS(),
			[]write{c(prelogin(clientPrelogin, encryptOn)), s(prelogin(serverPrelogin, encryptOn) + "\x04")},
			"", prelogin(clientPrelogin, encryptOn), bridge.ByServer,
		},
		{
			"IRC: a command behind the verb",
			starttls.IRC(),
			[]write{c("NICK a\r\nSTARTTLS\r\nNICK b\r\n")},
			"", "NICK a\r\n", bridge.ByClient,
		},
		{
			"IRC: a command before the answer",
			starttls.IRC(),
			[]write{c("STARTTLS\r\n"), c("N"), s("670\r\n")},
			"", "STARTTLS\r\n", bridge.ByClient,
		},
		{
			"IRC: a message behind the answer",
			starttls.IRC(),
			[]write{c("STARTTLS\r\n"), s("670\r\nPRIVMSG a :b\r\n")},
			"", "STARTTLS\r\n", bridge.ByServer,
		},
	}
}

func TestNothingIsPutBehindTheVerbOrTheAnswer(t *testing.T) {
	for _, i := range injections() {
		t.Run(i.name, func(t *testing.T) {
			got := say(t, i.layer, i.script...)
			if got.client != i.client || got.server != i.server {
				t.Errorf("the client got %q, and the server %q; want %q and %q", got.client, got.server, i.client, i.server)
			}
			if got.Reason != bridge.Desynced || got.EndedBy != i.by {
				t.Errorf("path %s, outcome %+v; want %s by %s", got.path, got.Outcome, bridge.Desynced, i.by)
			}
		})
	}
}

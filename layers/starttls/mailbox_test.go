package starttls_test

import (
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	. "github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/layers/starttls"
)

func TestIMAP(t *testing.T) {
	const greeting = "* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n"
	known := starttls.Plain{Greeting: "* OK [CAPABILITY IMAP4rev1 STARTTLS] ready"}
	refused := known
	refused.Refusal = "a BAD no"
	play(t, starttls.IMAP(), []dialogue{
		{
			"TLS is granted",
			Script{S(greeting), C("a001 STARTTLS\r\n"), S("a001 OK begin\r\n"), Tunnel()},
			"imap>inner", known,
			bridge.Frame{},
		},
		{
			"TLS is granted after other commands, and with untagged responses and literals",
			Script{
				S(greeting), C("1 capability\r\n"), S("* CAPABILITY IMAP4rev1\r\n1 OK\r\n"),
				C(`2 ID ("name" "x")` + "\r\n"), S("* ID (\"name\" {4}\r\n\x00\r\n) \"x\" {0}\r\n)\r\n2 OK done\r\n"),
				C("3 STARTTLS\r\n"), S("* OK [ALERT] wait\r\n3 OK begin\r\n"), Tunnel(),
			},
			"imap>inner", known,
			bridge.Frame{},
		},
		{
			"TLS is refused, and the client logs in",
			Script{S(greeting), C("a STARTTLS\r\n"), S("a BAD no\r\n"), C("b LOGIN me {3}\r\n"), S("+ go\r\n"), Tunnel()},
			"imap", refused,
			bridge.Frame{},
		},
		{
			"TLS is not asked for",
			Script{S("* PREAUTH hello\r\n"), C("a LOGOUT\r\n"), S("* BYE\r\na OK\r\n")},
			"imap",
			starttls.Plain{Greeting: "* PREAUTH hello"},
			bridge.Frame{},
		},
		{
			"a server that waits no longer",
			Script{S(greeting), S("* BYE timeout\r\n")},
			"imap", known,
			bridge.Frame{},
		},
		{
			"a server that asks for more",
			Script{S(greeting), C("a NOOP\r\n"), S("+ what\r\n"), C("this\r\n"), S("a OK\r\n")},
			"imap>raw", known,
			bridge.Frame{},
		},
		{
			"a literal in a command",
			Script{S(greeting), C("a ID {3}\r\n"), S("+ go\r\n"), Tunnel()},
			"imap", known,
			bridge.Frame{},
		},
	})
}

func TestPOP3(t *testing.T) {
	const greeting = "+OK <1@example.net>\r\n"
	known := starttls.Plain{Greeting: "+OK <1@example.net>"}
	refused := known
	refused.Refusal = "-ERR no"
	play(t, starttls.POP3(), []dialogue{
		{
			"TLS is granted",
			Script{S(greeting), C("CAPA\r\n"), S("+OK\r\nSTLS\r\nUSER\r\n.\r\n"), C("STLS\r\n"), S("+OK go\r\n"), Tunnel()},
			"pop3>inner", known,
			bridge.Frame{},
		},
		{
			"TLS is refused, and the client logs in",
			Script{S(greeting), C("capa\r\n"), S("-ERR what\r\n"), C("STLS\r\n"), S("-ERR no\r\n"), C("USER me\r\n"), S("+OK\r\n"), Tunnel()},
			"pop3", refused,
			bridge.Frame{},
		},
		{
			"TLS is not asked for",
			Script{S(greeting), C("QUIT\r\n"), S("+OK bye\r\n")},
			"pop3", known,
			bridge.Frame{},
		},
		{
			"something else than a status",
			Script{S(greeting), C("NOOP\r\n"), S("OK\r\n"), Tunnel()},
			"pop3>raw", known,
			bridge.Frame{},
		},
	})
}

func TestNNTP(t *testing.T) {
	const greeting = "200 posting allowed\r\n"
	known := starttls.Plain{Greeting: "200 posting allowed"}
	play(t, starttls.NNTP(), []dialogue{
		{
			"TLS is granted",
			Script{
				S(greeting), C("CAPABILITIES\r\n"), S("101 list:\r\nVERSION 2\r\nSTARTTLS\r\n.\r\n"),
				C("mode reader\r\n"), S("201 no posting\r\n"), C("STARTTLS\r\n"), S("382 go\r\n"), Tunnel(),
			},
			"nntp>inner", known,
			bridge.Frame{},
		},
		{
			"TLS is refused",
			Script{S(greeting), C("STARTTLS\r\n"), S("580 no\r\n"), C("GROUP a\r\n"), S("211 0 0 0 a\r\n"), Tunnel()},
			"nntp",
			starttls.Plain{Greeting: known.Greeting, Refusal: "580 no"},
			bridge.Frame{},
		},
		{
			"another mode",
			Script{S(greeting), C("MODE STREAM\r\n"), S("203 ok\r\n"), Tunnel()},
			"nntp", known,
			bridge.Frame{},
		},
	})
}

func TestManageSieve(t *testing.T) {
	const greeting = "\"IMPLEMENTATION\" \"x\"\r\n\"SIEVE\" {5}\r\na\r\nbc\r\n\"STARTTLS\"\r\nOK \"ready\"\r\n"
	known := starttls.Plain{Greeting: `"IMPLEMENTATION" "x"`}
	play(t, starttls.ManageSieve(), []dialogue{
		{
			"TLS is granted",
			Script{S(greeting), C("NOOP\r\n"), S("OK\r\n"), C("STARTTLS\r\n"), S("OK \"begin\"\r\n"), Tunnel()},
			"sieve>inner", known,
			bridge.Frame{},
		},
		{
			"TLS is refused, and the client authenticates",
			Script{S(greeting), C("STARTTLS\r\n"), S("NO {2}\r\nno\r\n"), C("AUTHENTICATE \"PLAIN\" {4+}\r\nAAAA\r\n"), S("OK\r\n"), Tunnel()},
			"sieve",
			starttls.Plain{Greeting: known.Greeting, Refusal: "NO {2}no"},
			bridge.Frame{},
		},
		{
			"TLS is not asked for",
			Script{S(greeting), C("NOOP {1+}\r\na\r\n"), S("OK (TAG \"a\")\r\n"), Tunnel()},
			"sieve", known,
			bridge.Frame{},
		},
	})
}

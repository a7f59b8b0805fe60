package starttls_test

import (
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	. "github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/layers/starttls"
)

func TestFTP(t *testing.T) {
	const greeting = "220 FTP here\r\n"
	known := starttls.Plain{Greeting: "220 FTP here"}
	play(t, starttls.FTP(), []dialogue{
		{
			"TLS is granted after FEAT",
			Script{
				S(greeting), C("FEAT\r\n"), S("211-Features:\r\n AUTH TLS\r\n211-what\r\n2112 bytes\r\n211 End\r\n"),
				C("AUTH TLS\r\n"), S("234 go\r\n"), Tunnel(),
			},
			"ftp>inner", known,
			bridge.Frame{},
		},
		{
			"the first kind is refused, the second granted",
			Script{
				S("120 soon\r\n220 FTP here\r\n"), C("AUTH TLS\r\n"), S("504 no\r\n"), C("AUTH SSL\r\n"), S("234-go\r\nand\r\n234 on\r\n"), Tunnel(),
			},
			"ftp>inner",
			starttls.Plain{Greeting: "120 soon", Refusal: "504 no"},
			bridge.Frame{},
		},
		{
			"GSSAPI is no TLS",
			Script{S(greeting), C("AUTH GSSAPI\r\n"), S("334 go\r\n"), Tunnel()},
			"ftp", known,
			bridge.Frame{},
		},
		{
			"TLS is not asked for",
			Script{S(greeting), C("SYST\r\n"), S("215 UNIX\r\n"), C("USER ftp\r\n"), S("331 password\r\n"), Tunnel()},
			"ftp", known,
			bridge.Frame{},
		},
		{
			"a reply that clients do not agree about",
			Script{S("220-a\r\n221 b\r\n220 c\r\n"), C("AUTH TLS\r\n"), S("234 go\r\n"), Tunnel()},
			"ftp>raw",
			starttls.Plain{Greeting: "220-a"},
			bridge.Frame{},
		},
	})
}

func TestReply220(t *testing.T) {
	const greeting = "220-welcome\r\n and more\r\n220 ready\r\n"
	known := starttls.Plain{Greeting: "220-welcome"}
	byName := known
	byName.Client = "b"
	play(t, starttls.Reply220(), []dialogue{
		{
			"the client speaks SMTP",
			Script{S(greeting), C("EHLO b\r\n"), S("250 ok\r\n"), C("STARTTLS\r\n"), S("220 go\r\n"), Tunnel()},
			"smtp>inner", byName,
			bridge.Frame{},
		},
		{
			"the client speaks LMTP, after nothing that says so",
			Script{S(greeting), C("NOOP\r\n"), S("250 ok\r\n"), C("LHLO b\r\n"), S("250 ok\r\n"), C("MAIL FROM:<>\r\n"), S("250\r\n"), Tunnel()},
			"lmtp", byName,
			bridge.Frame{},
		},
		{
			"the client speaks FTP",
			Script{S(greeting), C("AUTH TLS\r\n"), S("234 go\r\n"), Tunnel()},
			"ftp>inner", known,
			bridge.Frame{},
		},
		{
			"the client speaks FTP in the clear",
			Script{S(greeting), C("USER ftp\r\n"), S("331 password\r\n"), Tunnel()},
			"ftp", known,
			bridge.Frame{},
		},
		{
			"the client sends mail without a greeting",
			Script{S(greeting), C("MAIL FROM:<>\r\n"), S("503 hello?\r\n"), Tunnel()},
			"smtp", known,
			bridge.Frame{},
		},
		{
			"the client speaks neither",
			Script{S(greeting), C("QUIT\r\n"), S("221 bye\r\n")},
			"220", known,
			bridge.Frame{},
		},
	})
}

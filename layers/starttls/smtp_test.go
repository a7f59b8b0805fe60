package starttls_test

import (
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	. "github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/layers/starttls"
)

func TestSMTP(t *testing.T) {
	const (
		greeting = "220 mx.example.net ESMTP Postfix\r\n"
		ehlo     = "EHLO mail.example.com\r\n"
		offer    = "250-mx.example.net\r\n250-PIPELINING\r\n250-STARTTLS\r\n250 8BITMIME\r\n"
	)
	known := starttls.Plain{Greeting: "220 mx.example.net ESMTP Postfix", Client: "mail.example.com"}
	refused := known
	refused.Refusal = "454 4.7.0 TLS not available"
	play(t, starttls.SMTP(), []dialogue{
		{
			"TLS is granted",
			Script{S(greeting), C(ehlo), S(offer), C("STARTTLS\r\n"), S("220 2.0.0 Ready\r\n"), Tunnel()},
			"smtp>inner", known,
			bridge.Frame{},
		},
		{
			"in lower case, after a greeting and to an answer of several lines",
			Script{
				S("220-mx.example.net ESMTP\r\n"), S("220 go on\r\n"), C("ehlo a\r\n"), S("250 hello\r\n"),
				C("starttls\r\n"), S("220-one\r\n220 two\r\n"), Tunnel(),
			},
			"smtp>inner",
			starttls.Plain{Greeting: "220-mx.example.net ESMTP", Client: "a"},
			bridge.Frame{},
		},
		{
			"after commands that do no harm",
			Script{
				S("220\r\n"), C("HELO a\r\n"), S("250 a\r\n"), C("NOOP\r\n"), S("250 ok\n"), C("HELP\r\n"), S("502 no\r\n"),
				C("RSET\r\n"), S("250\r\n"), C("STARTTLS\r\n"), S("220 go\r\n"), Tunnel(),
			},
			"smtp>inner",
			starttls.Plain{Greeting: "220", Client: "a"},
			bridge.Frame{},
		},
		{
			"TLS is refused, and asked for again",
			Script{
				S(greeting), C(ehlo), S(offer), C("STARTTLS\r\n"), S("454-4.7.0 not\r\n454 4.7.0 now\r\n"), C("NOOP\r\n"), S("250 ok\r\n"),
				C("STARTTLS\r\n"), S("220 ok\r\n"), Tunnel(),
			},
			"smtp>inner",
			starttls.Plain{Greeting: known.Greeting, Client: known.Client, Refusal: "454 4.7.0 now"},
			bridge.Frame{},
		},
		{
			"TLS is refused, and mail is sent",
			Script{
				S(greeting), C(ehlo), S(offer), C("STARTTLS\r\n"), S("454 4.7.0 TLS not available\r\n"),
				C("MAIL FROM:<a@example.com>\r\n"), S("250 ok\r\n"), Tunnel(),
			},
			"smtp", refused,
			bridge.Frame{},
		},
		{
			"TLS is not asked for",
			Script{S(greeting), C(ehlo), S("250 mx.example.net\r\n"), C("MAIL FROM:<a@example.com>\r\n"), S("250 ok\r\n"), Tunnel()},
			"smtp", known,
			bridge.Frame{},
		},
		{
			"the client authenticates in the clear",
			Script{S(greeting), C(ehlo), S(offer), C("AUTH PLAIN AGEAYg==\r\n"), S("235 ok\r\n"), Tunnel()},
			"smtp", known,
			bridge.Frame{},
		},
		{
			"LMTP",
			Script{S("220 lmtp\r\n"), C("LHLO a\r\n"), S("250 a\r\n"), C("STARTTLS\r\n"), S("220 ok\r\n"), Tunnel()},
			"lmtp>inner",
			starttls.Plain{Greeting: "220 lmtp", Client: "a"},
			bridge.Frame{},
		},
		{
			"the client only looks",
			Script{S(greeting), C("QUIT\r\n"), S("221 bye\r\n")},
			"smtp",
			starttls.Plain{Greeting: known.Greeting},
			bridge.Frame{},
		},
		{
			"a server that wants nobody",
			Script{S("554 no\r\n"), C("QUIT\r\n"), S("221 bye\r\n")},
			"smtp",
			starttls.Plain{Greeting: "554 no"},
			bridge.Frame{},
		},
		{
			"a server that waits no longer",
			Script{S(greeting), C(ehlo), S(offer), S("421 4.4.2 timeout\r\n")},
			"smtp", known,
			bridge.Frame{},
		},
		{
			"a server that says something, after which the client goes on",
			Script{S(greeting), S("421-4.4.2 soon\r\n421 4.4.2 timeout\r\n"), C("EHLO a\r\n"), S("250 ok\r\n"), C("STARTTLS\r\n"), S("220 ok\r\n"), Tunnel()},
			"smtp>inner",
			starttls.Plain{Greeting: known.Greeting, Client: "a"},
			bridge.Frame{},
		},
		{
			"commands that end in LF alone are the server's to understand",
			Script{S(greeting), C("EHLO a\nSTARTTLS\n"), S("250 ok\r\n220 ok\r\n"), Tunnel()},
			"smtp",
			starttls.Plain{Greeting: known.Greeting},
			bridge.Frame{},
		},
		{
			"something else than SMTP of the client",
			Script{S(greeting), C("\x16\x03\x01\x00"), S("500 what\r\n"), Tunnel()},
			"smtp",
			starttls.Plain{Greeting: known.Greeting},
			bridge.Frame{},
		},
		{
			"something else than SMTP of the server",
			Script{S(greeting), C(ehlo), S("hello to you\r\n"), Tunnel()},
			"smtp>raw", known,
			bridge.Frame{},
		},
		{
			"a reply whose code changes",
			Script{S("220-a\r\n250 b\r\n"), C(ehlo), S("250 ok\r\n"), Tunnel()},
			"smtp>raw",
			starttls.Plain{Greeting: "220-a"},
			bridge.Frame{},
		},
	})
}

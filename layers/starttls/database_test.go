package starttls_test

import (
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	. "github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/layers/starttls"
)

const (
	sslRequest = "\x00\x00\x00\x08\x04\xd2\x16\x2f"
	gssRequest = "\x00\x00\x00\x08\x04\xd2\x16\x30"
)

func TestPostgreSQL(t *testing.T) {
	const startup = "\x00\x00\x00\x14\x00\x03\x00\x00user\x00alice\x00\x00"
	playInTurn(t, starttls.PostgreSQL(), []dialogue{
		{"TLS is granted", Script{C(sslRequest), S("S"), Tunnel()}, "postgres>inner", starttls.Plain{}, bridge.Frame{}},
		{
			"GSSAPI is refused, and TLS granted",
			Script{C(gssRequest), S("N"), C(sslRequest), S("S"), Tunnel()},
			"postgres>inner",
			starttls.Plain{},
			bridge.Frame{},
		},
		{
			"GSSAPI is granted",
			Script{C(gssRequest), S("G"), Tunnel()},
			"postgres",
			starttls.Plain{},
			bridge.Frame{Note: "encrypted by GSSAPI"},
		},
		{
			"TLS is refused, and the client goes on",
			Script{C(sslRequest), S("N"), C(startup), S("R\x00\x00\x00\x08\x00\x00\x00\x00")},
			"postgres",
			starttls.Plain{Refusal: "N"},
			bridge.Frame{User: "alice"},
		},
		{
			"the server has no room",
			Script{C(sslRequest), S("E\x00\x00\x00\x05\x00")},
			"postgres",
			starttls.Plain{Refusal: "E"},
			bridge.Frame{},
		},
		{
			"TLS is not asked for",
			Script{C(startup), S("R\x00\x00\x00\x08\x00\x00\x00\x00"), Tunnel()},
			"postgres",
			starttls.Plain{},
			bridge.Frame{User: "alice"},
		},
		{
			"an answer that was not asked for",
			Script{C(sslRequest), S("G"), Tunnel()},
			"postgres>raw",
			starttls.Plain{},
			bridge.Frame{},
		},
	})
}

// mysqlGreeting is the first packet of a server with the lower capability flags.
func mysqlGreeting(flags string) string {
	payload := "\x0a11.8.3-MariaDB\x00" + "\x01\x00\x00\x00" + "abcdefgh\x00" + flags + "\x2d\x02\x00\xff\x81\x15" +
		"\x00\x00\x00\x00\x00\x00\x1d\x00\x00\x00" + "abcdefghijkl\x00mysql_native_password\x00"
	return string([]byte{byte(len(payload)), 0, 0, 0}) + payload
}

const mysqlSSL = "\x20\x00\x00\x01" + "\x00\x08\x00\x00" + "\x00\x00\x00\x01" + "\x2d" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

func TestMySQL(t *testing.T) {
	greeting := mysqlGreeting("\xfe\xff")
	known := starttls.Plain{Greeting: "11.8.3-MariaDB"}
	login := "\x24\x00\x00\x01" + "\x00\x02\x00\x00" + mysqlSSL[8:] + "me\x00\x00"
	play(t, starttls.MySQL(), []dialogue{
		{"TLS begins", Script{S(greeting), C(mysqlSSL), Tunnel()}, "mysql>inner", known, bridge.Frame{}},
		{"the client logs in", Script{S(greeting), C(login), S("\x07\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00"), Tunnel()}, "mysql", known, bridge.Frame{}},
		{
			"a server that can't",
			Script{S(mysqlGreeting("\xfe\xf7")), C(login), S("\x07\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00"), Tunnel()},
			"mysql", known,
			bridge.Frame{},
		},
		{"a server that wants nobody", Script{S("\x13\x00\x00\x00\xff\x10\x04Too many clients")}, "mysql", starttls.Plain{}, bridge.Frame{}},
		{"something else of the client", Script{S(greeting), C("GET / HTTP/1.1\r\n"), Tunnel()}, "mysql>raw", known, bridge.Frame{}},
	})
	t.Run("the hello comes with the request", func(t *testing.T) {
		got := say(t, starttls.MySQL(), s(greeting), c(mysqlSSL+"hello"), s("answer"))
		if got.path != "mysql>inner" || got.server != mysqlSSL+"hello" || got.client != greeting+"answer" {
			t.Errorf("%+v", got)
		}
	})
}

package starttls_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	. "github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/layers/starttls"
)

func TestIRC(t *testing.T) {
	const notice = ":irc.test NOTICE * :*** Looking up your hostname...\r\n"
	known := starttls.Plain{Greeting: notice[:len(notice)-2]}
	playInTurn(t, starttls.IRC(), []dialogue{
		{
			"TLS is granted",
			Script{S(notice), C("CAP LS 302\r\n"), S(":irc.test CAP * LS :tls\r\n"), C("STARTTLS\r\n"), S(":irc.test 670 * :STARTTLS successful\r\n"), Tunnel()},
			"irc>inner", known,
			bridge.Frame{},
		},
		{
			"TLS is granted to a client that speaks first, after a ping",
			Script{C("NICK a\r\nUSER a 0 * :a\r\n"), S("PING :1\r\n"), C("PONG :1\r\nSTARTTLS\r\n"), S("@time=1 :irc.test 670 a :go\r\n"), Tunnel()},
			"irc>inner",
			starttls.Plain{Greeting: "PING :1"},
			bridge.Frame{},
		},
		{
			"TLS is refused, and asked for again",
			Script{S(notice), C("STARTTLS\r\n"), S(":irc.test 691 * :no\r\n"), C("STARTTLS\r\n"), S(notice + ":irc.test 670 * :go\r\n"), Tunnel()},
			"irc>inner", known,
			bridge.Frame{},
		},
		{
			"a server that does not know it, and the client joins",
			Script{S(notice), C("STARTTLS\r\n"), S("421 * STARTTLS\r\n"), C("JOIN #a\r\n"), Tunnel()},
			"irc",
			starttls.Plain{Greeting: known.Greeting, Refusal: "421 * STARTTLS"},
			bridge.Frame{},
		},
		{
			"the client is registered without",
			Script{S(notice), C("NICK a\r\n"), S(":irc.test 001 a :welcome\r\n"), Tunnel()},
			"irc", known,
			bridge.Frame{},
		},
		{"no IRC", Script{S("\x00\x01"), Tunnel()}, "irc", starttls.Plain{}, bridge.Frame{}},
	})
}

func TestGeneric(t *testing.T) {
	hello := sample(t)
	playInTurn(t, starttls.Generic(), []dialogue{
		{"a hello", Script{S("WELCOME\n"), C("\x01go"), S("\x02ok"), C(hello), S("\x16\x03\x03 and so on")}, "starttls>inner", starttls.Plain{}, bridge.Frame{}},
		{"a hello at once", Script{S("WELCOME\n"), C(hello), S("\x16\x03\x03 and so on")}, "starttls>inner", starttls.Plain{}, bridge.Frame{}},
		{"no hello", Script{S("WELCOME\n"), Tunnel()}, "raw", starttls.Plain{}, bridge.Frame{}},
		{"a client that speaks first", Script{C(hello), S("WELCOME\n"), Tunnel()}, "raw", starttls.Plain{}, bridge.Frame{}},
	})
}

func TestGenericLetsGoOfWhatIsNoHello(t *testing.T) {
	hello := sample(t)
	mail := strings.Repeat("text\r\n", 11000)
	tests := []struct {
		name           string
		script         []write
		client, server string
		path           string
	}{
		{
			"the server speaks while the beginning of a hello is held back",
			[]write{s("WELCOME\n"), c(hello[:9]), s("ok"), c(hello[9:])},
			"WELCOME\nok", hello, "raw",
		},
		{
			"the client ends within a hello",
			[]write{s("WELCOME\n"), c(hello[:100])},
			"WELCOME\n", hello[:100], "raw",
		},
		{
			"a keystroke that a hello may begin with, and no more",
			[]write{s("WELCOME\n"), c("\x16"), later(10 * time.Second), c(hello)},
			"WELCOME\n", "\x16" + hello, "raw",
		},
		{
			"a hello within a mail",
			[]write{s("WELCOME\n"), c(mail), c(hello)},
			"WELCOME\n", mail + hello, "raw",
		},
		{
			"a hello after a mail that is not so long",
			[]write{s("WELCOME\n"), c(mail[:60000]), s("ok"), c(hello), s("ok")},
			"WELCOME\nokok", mail[:60000] + hello, "starttls>inner",
		},
		{
			"a hello behind a verb",
			[]write{s("WELCOME\n"), c("TLS\n" + hello)},
			"WELCOME\n", "TLS\n" + hello, "raw",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := say(t, starttls.Generic(), tt.script...)
			if got.client != tt.client || got.server != tt.server || got.path != tt.path {
				t.Errorf("path %s, the client got %q, and the server %d bytes; want %s, %q, %d",
					got.path, got.client, len(got.server), tt.path, tt.client, len(tt.server))
			}
		})
	}
}

// sample is the hello of a real client.
func sample(t *testing.T) string {
	t.Helper()
	hello, err := os.ReadFile("../../testdata/hellos/curl.bin")
	if err != nil {
		t.Fatal(err)
	}
	return string(hello)
}

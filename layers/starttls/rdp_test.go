package starttls_test

import (
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	. "github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/layers/starttls"
)

// x224 is a TPKT packet with a connection TPDU.
func x224(code byte, data string) string {
	n := 11 + len(data)
	return string([]byte{3, 0, 0, byte(n), byte(n - 5), code, 0, 0, 0, 0, 0}) + data
}

func TestRDP(t *testing.T) {
	request := x224(0xe0, "Cookie: mstshash=alice\r\n\x01\x00\x08\x00\x0b\x00\x00\x00")
	selects := func(protocol string) string { return x224(0xd0, "\x02\x1f\x08\x00"+protocol+"\x00\x00\x00") }
	note := func(text string) bridge.Frame { return bridge.Frame{User: "alice", Note: text} }
	playInTurn(t, starttls.RDP(), []dialogue{
		{"TLS is selected", Script{C(request), S(selects("\x01")), Tunnel()}, "rdp>inner", starttls.Plain{}, note("")},
		{
			"TLS is selected for a client with a routing token",
			Script{C(x224(0xe0, "Cookie: msts=1.2.3\r\n\x01\x00\x08\x00\x01\x00\x00\x00")), S(selects("\x01")), Tunnel()},
			"rdp>inner",
			starttls.Plain{},
			bridge.Frame{},
		},
		{
			"CredSSP is selected",
			Script{C(request), S(selects("\x02")), Tunnel()},
			"rdp",
			starttls.Plain{},
			note("CredSSP, which no other certificate than the server's is good for"),
		},
		{
			"CredSSP with early authorisation is selected",
			Script{C(request), S(selects("\x08")), Tunnel()},
			"rdp",
			starttls.Plain{},
			note("CredSSP, which no other certificate than the server's is good for"),
		},
		{"RDSTLS is selected", Script{C(request), S(selects("\x04")), Tunnel()}, "rdp", starttls.Plain{}, note("RDSTLS")},
		{"another protocol is selected", Script{C(request), S(selects("\x10")), Tunnel()}, "rdp", starttls.Plain{}, note("selected protocol 16")},
		{
			"no encryption but RDP's own",
			Script{C(x224(0xe0, "")), S(x224(0xd0, "")), Tunnel()},
			"rdp",
			starttls.Plain{},
			bridge.Frame{Note: "standard RDP security"},
		},
		{
			"the server refuses",
			Script{C(request), S(x224(0xd0, "\x03\x00\x08\x00\x05\x00\x00\x00"))},
			"rdp",
			starttls.Plain{},
			note("refused: failure code 5"),
		},
		{"no RDP", Script{C(request), S("\x03\x00\x00\x0b\x06\xf0\x00\x00\x00\x00\x00"), Tunnel()}, "rdp>raw", starttls.Plain{}, note("")},
	})
}

package socks_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	. "github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/layers/socks"
)

// The messages of the dialogues.
const (
	hello    = "\x05\x01\x00"
	helloAll = "\x05\x03\x00\x01\x02"
	noAuth   = "\x05\x00"
	userPass = "\x05\x02"
	alice    = "\x01\x05alice\x06secret"
	authOK   = "\x01\x00"
	connect  = "\x05\x01\x00\x03\x0bexample.com\x01\xbb"
	granted  = "\x05\x00\x00\x01\xc6\x33\x64\x01\x80\x00"

	connect4  = "\x04\x01\x00\x50\xc0\x00\x02\x07me\x00"
	connect4a = "\x04\x01\x01\xbb\x00\x00\x00\x01\x00example.com\x00"
	granted4  = "\x00\x5a\x00\x00\x00\x00\x00\x00"
)

// frame expects the one frame that the layer has pushed. A Detail is checked by its words.
func frame(want bridge.Frame) Option {
	return Flow(func(t testing.TB, f *bridge.Flow) {
		t.Helper()
		frames := f.Frames()
		if len(frames) != 1 {
			t.Fatalf("%d frames: %+v", len(frames), frames)
		}
		got := frames[0]
		got.Detail = nil
		if got != want {
			t.Errorf("frame %+v, want %+v", got, want)
		}
	})
}

// details expects the frame's Detail.
func details(check func(*socks.Handshake) bool) Option {
	return Flow(func(t testing.TB, f *bridge.Flow) {
		t.Helper()
		h, ok := f.Frames()[0].Detail.(*socks.Handshake)
		if !ok || !check(h) {
			t.Errorf("Detail %+v", h)
		}
	})
}

var exampleCom = bridge.Addr{Host: "example.com", Port: 443}

func relayed5(more bridge.Frame) bridge.Frame {
	more.Proto, more.Verb = "socks5", bridge.VerbRelay
	return more
}

func relayed4(more bridge.Frame) bridge.Frame {
	more.Proto, more.Verb = "socks4", bridge.VerbRelay
	return more
}

func TestRelay(t *testing.T) {
	tests := []struct {
		name   string
		script Script
		path   string
		frame  bridge.Frame
	}{
		{
			"a tunnel without authentication",
			Script{C(hello), S(noAuth), C(connect), S(granted), Tunnel()},
			"socks5", relayed5(bridge.Frame{Dst: exampleCom}),
		},
		{
			"a tunnel with user and password",
			Script{C(helloAll), S(userPass), C(alice), S(authOK), C(connect), S(granted), Tunnel()},
			"socks5", relayed5(bridge.Frame{Dst: exampleCom, User: "alice"}),
		},
		{
			"a server that needs no password of a client that has one",
			Script{C(helloAll), S(noAuth), C(connect), S(granted), Tunnel()},
			"socks5", relayed5(bridge.Frame{Dst: exampleCom}),
		},
		{
			"an IPv4 address, and reserved bytes that are set",
			Script{C(hello), S(noAuth), C("\x05\x01\x7f\x01\xc0\x00\x02\x07\x00\x50"), S("\x05\x00\xff\x01\x7f\x00\x00\x01\x00\x01"), Tunnel()},
			"socks5", relayed5(bridge.Frame{Dst: bridge.Addr{Host: "192.0.2.7", Port: 80}}),
		},
		{
			"an IPv6 address, and a reply with a name",
			Script{C(hello), S(noAuth), C("\x05\x01\x00\x04\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x01\x00\x50"), S("\x05\x00\x00\x03\x02de\x00\x01"), Tunnel()},
			"socks5", relayed5(bridge.Frame{Dst: bridge.Addr{Host: "2001:db8::1", Port: 80}}),
		},
		{
			"an address as a name",
			Script{C(hello), S(noAuth), C("\x05\x01\x00\x03\x03::1\x00\x50"), S(granted), Tunnel()},
			"socks5", relayed5(bridge.Frame{Dst: bridge.Addr{Host: "::1", Port: 80}}),
		},
		{
			"a name with control characters is passed on as it is",
			Script{C(hello), S(noAuth), C("\x05\x01\x00\x03\x06a\x00\r\n\x1bb\x00\x50"), S(granted), Tunnel()},
			"socks5", relayed5(bridge.Frame{Dst: bridge.Addr{Host: "a\ufffd\ufffd\ufffd\ufffdb", Port: 80}}),
		},
		{
			"an empty name",
			Script{C(hello), S(noAuth), C("\x05\x01\x00\x03\x00\x00\x50"), S(granted), Tunnel()},
			"socks5", relayed5(bridge.Frame{}),
		},
		{
			"no acceptable methods",
			Script{C(hello), S("\x05\xff")},
			"socks5", relayed5(bridge.Frame{Note: "no acceptable methods"}),
		},
		{
			"a private method goes on raw",
			Script{C("\x05\x02\x00\x80"), S("\x05\x80"), Tunnel()},
			"socks5>raw", relayed5(bridge.Frame{Note: "method 80", Opaque: true}),
		},
		{
			"a method that was not offered",
			Script{C(hello), S(userPass), Tunnel()},
			"socks5>raw", relayed5(bridge.Frame{Opaque: true}),
		},
		{
			"a method that was not offered, after which both go on",
			Script{C("\x05\x01\x02"), S(noAuth), C(connect), S(granted), Tunnel()},
			"socks5>raw", relayed5(bridge.Frame{Opaque: true}),
		},
		{
			"a method selection of another version",
			Script{C(hello), S("\x04\x00"), Tunnel()},
			"socks5>raw", relayed5(bridge.Frame{Opaque: true}),
		},
		{
			"a wrong password, after which the server closes",
			Script{C(helloAll), S(userPass), C(alice), S("\x01\x01")},
			"socks5", relayed5(bridge.Frame{User: "alice", Note: "authentication refused: status 01"}),
		},
		{
			"a wrong password, after which the server goes on",
			Script{C(helloAll), S(userPass), C(alice), S("\x01\xff"), C(connect), S(granted), Tunnel()},
			"socks5", relayed5(bridge.Frame{User: "alice", Dst: exampleCom, Note: "authentication refused: status ff"}),
		},
		{
			"a wrong password, after which the client says something else",
			Script{C(helloAll), S(userPass), C(alice), S("\x01\x01"), C("what?"), S("no")},
			"socks5", relayed5(bridge.Frame{User: "alice", Note: "authentication refused: status 01"}),
		},
		{
			"user and password of another version",
			Script{C(helloAll), S(userPass), C("\x05" + alice[1:]), Tunnel()},
			"socks5>raw", relayed5(bridge.Frame{Opaque: true}),
		},
		{
			"a status of another version",
			Script{C(helloAll), S(userPass), C(alice), S("\x05\x00"), Tunnel()},
			"socks5>raw", relayed5(bridge.Frame{User: "alice", Opaque: true}),
		},
		{
			"a request of another version",
			Script{C(hello), S(noAuth), C("\x04" + connect[1:]), Tunnel()},
			"socks5>raw", relayed5(bridge.Frame{Opaque: true}),
		},
		{
			"a request with an unknown address type",
			Script{C(hello), S(noAuth), C("\x05\x01\x00\x02abcdef"), S(granted), Tunnel()},
			"socks5>raw", relayed5(bridge.Frame{Opaque: true}),
		},
		{
			"a reply of another version",
			Script{C(hello), S(noAuth), C(connect), S("\x04" + granted[1:]), Tunnel()},
			"socks5>raw", relayed5(bridge.Frame{Dst: exampleCom, Opaque: true}),
		},
		{
			"a reply with an unknown address type",
			Script{C(hello), S(noAuth), C(connect), S("\x05\x00\x00\x00\x00\x00"), Tunnel()},
			"socks5>raw", relayed5(bridge.Frame{Dst: exampleCom, Opaque: true}),
		},
		{
			"an unknown command",
			Script{C(hello), S(noAuth), C("\x05\x09\x00\x03\x01a\x00\x00"), S("\x77"), Tunnel()},
			"socks5>raw", relayed5(bridge.Frame{Note: "command 09", Opaque: true}),
		},
		{
			"SOCKS4",
			Script{C(connect4), S(granted4), Tunnel()},
			"socks4", relayed4(bridge.Frame{Dst: bridge.Addr{Host: "192.0.2.7", Port: 80}, User: "me"}),
		},
		{
			"SOCKS4A",
			Script{C(connect4a), S(granted4), Tunnel()},
			"socks4", relayed4(bridge.Frame{Dst: exampleCom}),
		},
		{
			"a SOCKS4 command that is none",
			Script{C("\x04\x03" + connect4[2:]), Tunnel()},
			"socks4>raw", relayed4(bridge.Frame{Opaque: true}),
		},
		{
			"a SOCKS4 reply of another version",
			Script{C(connect4a), S("\x04" + granted4[1:]), Tunnel()},
			"socks4>raw", relayed4(bridge.Frame{Dst: exampleCom, Opaque: true}),
		},
		{
			"no SOCKS at all",
			Script{C("GET / HTTP/1.1\r\n\r\n"), S("HTTP/1.1 204 No Content\r\n\r\n")},
			"socks>raw",
			bridge.Frame{Proto: "socks", Verb: bridge.VerbRelay, Opaque: true},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			Relay(t, bridge.Chain(socks.Relay()), tt.script, Path(tt.path), frame(tt.frame))
		})
	}
}

func TestRelayOfEachRefusal(t *testing.T) {
	for code := 1; code < 256; code = code*2 + 1 {
		rep := socks.Rep(code)
		t.Run(rep.String(), func(t *testing.T) {
			refusal := "\x05" + string([]byte{byte(rep)}) + "\x00\x01\x00\x00\x00\x00\x00\x00"
			Relay(t, bridge.Chain(socks.Relay()), Script{C(hello), S(noAuth), C(connect), S(refusal)},
				Path("socks5"), frame(relayed5(bridge.Frame{Dst: exampleCom, Note: rep.String()})),
				details(func(h *socks.Handshake) bool { return h.Replied && h.Rep == byte(rep) }))
		})
	}
	for _, rep := range []socks.Rep4{0x5b, 0x5c, 0x5d, 0x00} {
		t.Run("SOCKS4 "+rep.String(), func(t *testing.T) {
			refusal := "\x00" + string([]byte{byte(rep)}) + "\x00\x00\x00\x00\x00\x00"
			Relay(t, bridge.Chain(socks.Relay()), Script{C(connect4a), S(refusal)},
				Path("socks4"), frame(relayed4(bridge.Frame{Dst: exampleCom, Note: rep.String()})))
		})
	}
}

func TestRelayTellsWhatWasSaid(t *testing.T) {
	Relay(t, bridge.Chain(socks.Relay()),
		Script{C(helloAll), S(userPass), C(alice), S(authOK), C(connect), S(granted), Tunnel()},
		Target("example.com:443"),
		details(func(h *socks.Handshake) bool {
			return h.Version == 5 && string(h.Methods) == "\x00\x01\x02" && h.Method == socks.MethodUserPass && h.Authenticated &&
				h.Cmd == socks.CmdConnect && h.Dst == socks.Addr{Name: "example.com", Port: 443} &&
				h.Replied && h.Rep == 0 && h.Bnd.Addr().String() == "198.51.100.1:32768"
		}),
		Flow(func(t testing.TB, f *bridge.Flow) {
			if line, err := json.Marshal(f); err != nil || strings.Contains(string(line), "secret") {
				t.Errorf("the flow tells the password: %s, %v", line, err)
			}
			if all := fmt.Sprintf("%+v %+v", f.Frames(), f.Frames()[0].Detail); strings.Contains(all, "secret") {
				t.Errorf("the frames tell the password: %s", all)
			}
		}))
}

func TestRelayStacks(t *testing.T) {
	Relay(t, bridge.Chain(socks.Relay(), socks.Relay(), socks.Relay()), Script{
		C(hello), S(noAuth), C("\x05\x01\x00\x01\xc0\x00\x02\x07\x04\x38"), S(granted),
		C(connect4a), S(granted4),
		C(helloAll), S(userPass), C(alice), S(authOK), C(connect), S(granted), Tunnel(),
	}, Path("socks5>socks4>socks5"), Target("example.com:443"))
}

func TestRelayFailsClosed(t *testing.T) {
	tests := []struct {
		name   string
		script Script
		reason bridge.Reason
		path   string
	}{
		{"no acceptable methods", Script{C(hello), S("\x05\xff"), Send("more")}, bridge.EOF, "socks5"},
		{"a refused request", Script{C(connect4a), S("\x00\x5b\x00\x00\x00\x00\x00\x00"), Send("more")}, bridge.EOF, "socks4"},
		{"a refused password", Script{C(helloAll), S(userPass), C(alice), S("\x01\x01"), Send("more")}, bridge.EOF, "socks5"},
		{"another method", Script{C("\x05\x01\x80"), S("\x05\x80"), Send("more")}, bridge.Desynced, "socks5"},
		{"an unknown command", Script{C(hello), S(noAuth), C("\x05\x09" + connect[2:]), Send("more")}, bridge.Desynced, "socks5"},
		{"UDP ASSOCIATE", Script{C(hello), S(noAuth), C("\x05\x03" + connect[2:]), S(granted), Send("more")}, bridge.Block, "socks5"},
		{"RESOLVE", Script{C(hello), S(noAuth), C("\x05\xf0" + connect[2:]), S(granted), Send("more")}, bridge.EOF, "socks5"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// Since we end the flow, nothing is mirrored afterwards: to the peers it is as if we were the server.
			script := append(Script{Dials("192.0.2.80:1080")}, tt.script...)
			Terminate(t, bridge.Chain(socks.Relay()), script, Hop("192.0.2.80:1080"),
				Limits(bridge.Limits{Fail: bridge.FailClosed}), Reason(tt.reason), Path(tt.path))
		})
	}
}

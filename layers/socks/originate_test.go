package socks_test

import (
	"context"
	"errors"
	"net"
	"reflect"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	. "github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/layers/socks"
)

// asks plays a script with a dialler, and returns the frame of it.
func asks(t *testing.T, c socks.DialConfig, hop string, script Script, reason bridge.Reason) bridge.Frame {
	t.Helper()
	c.Proxy = bridge.Addr{Host: "192.0.2.1", Port: 1080}
	flow := Originate(t, func(next bridge.DialFunc) bridge.DialFunc { return socks.Dial(next, c) }, hop, script, reason)
	frames := flow.Originated()
	if len(frames) != 1 || len(flow.Frames()) != 0 {
		t.Fatalf("originated %+v, frames %+v; want one that is originated", frames, flow.Frames())
	}
	return frames[0]
}

func TestDial(t *testing.T) {
	const (
		greeting  = "\x05\x01\x00"
		greetings = "\x05\x02\x00\x02"
		user      = "\x01\x05alice\x06secret"
		v4        = "\x05\x01\x00\x01\xc0\x00\x02\x07\x01\xbb"
		v6        = "\x05\x01\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x01\xbb"
		name      = "\x05\x01\x00\x03\x0bexample.com\x01\xbb"
	)
	alice := socks.DialConfig{User: "alice", Password: "secret"}
	version4 := socks.DialConfig{Version: 4, User: "alice", Password: "unused"}
	for _, tt := range []struct {
		name   string
		config socks.DialConfig
		hop    string
		script Script
		reason bridge.Reason
		frame  bridge.Frame // without what all have
	}{
		{
			"a name, which is handed on",
			socks.DialConfig{},
			example443,
			Script{C(greeting), S(noAuth), C(name), S(granted)},
			bridge.EOF,
			bridge.Frame{Proto: "socks5"},
		},
		{
			"an IPv4 address",
			socks.DialConfig{Version: 5},
			"192.0.2.7:443",
			Script{C(greeting), S(noAuth), C(v4), S(granted)},
			bridge.EOF,
			bridge.Frame{Proto: "socks5"},
		},
		{
			"an IPv6 address",
			socks.DialConfig{},
			"[2001:db8::1]:443",
			Script{C(greeting), S(noAuth), C(v6), S(granted)},
			bridge.EOF,
			bridge.Frame{Proto: "socks5"},
		},
		{
			"an answer with a name",
			socks.DialConfig{},
			example443,
			Script{C(greeting), S(noAuth), C(name), S("\x05\x00\x00\x03\x02ab\x00\x50")},
			bridge.EOF,
			bridge.Frame{Proto: "socks5"},
		},
		{
			"user and password", alice, example443,
			Script{C(greetings), S(userPass), C(user), S(authOK), C(name), S(granted)},
			bridge.EOF,
			bridge.Frame{Proto: "socks5", User: "alice"},
		},
		{
			"a server that does not ask for the password", alice, example443,
			Script{C(greetings), S(noAuth), C(name), S(granted)},
			bridge.EOF,
			bridge.Frame{Proto: "socks5"},
		},
		{
			"a wrong password", alice, example443,
			Script{C(greetings), S(userPass), C(user), S("\x01\x01")},
			bridge.Auth,
			bridge.Frame{Proto: "socks5", User: "alice", Note: "authentication refused: status 01"},
		},
		{
			"a server that wants a password, and we have none",
			socks.DialConfig{},
			example443,
			Script{C(greeting), S("\x05\xff")},
			bridge.Auth,
			bridge.Frame{Proto: "socks5", Note: "no acceptable methods"},
		},
		{
			"a method that was not offered",
			socks.DialConfig{},
			example443,
			Script{C(greeting), S("\x05\x02")},
			bridge.Desynced,
			bridge.Frame{Proto: "socks5"},
		},
		{
			"a server of another version",
			socks.DialConfig{},
			example443,
			Script{C(greeting), S("\x00")},
			bridge.Desynced,
			bridge.Frame{Proto: "socks5"},
		},
		{
			"an answer of an unknown kind",
			socks.DialConfig{},
			example443,
			Script{C(greeting), S(noAuth), C(name), S("\x05\x00\x00\x07")},
			bridge.Desynced,
			bridge.Frame{Proto: "socks5"},
		},
		{
			"a refusal without an address",
			socks.DialConfig{},
			example443,
			Script{C(greeting), S(noAuth), C(name), S("\x05\x04\x00\x00")},
			bridge.Unreachable,
			bridge.Frame{Proto: "socks5", Note: "04 host unreachable"},
		},
		{
			"SOCKS4 with an address", version4, "192.0.2.7:443",
			Script{C("\x04\x01\x01\xbb\xc0\x00\x02\x07alice\x00"), S(granted4)},
			bridge.EOF,
			bridge.Frame{Proto: "socks4", User: "alice"},
		},
		{
			"SOCKS4A with a name",
			socks.DialConfig{Version: 4},
			example443,
			Script{C("\x04\x01\x01\xbb\x00\x00\x00\x01\x00example.com\x00"), S(granted4)},
			bridge.EOF,
			bridge.Frame{Proto: "socks4"},
		},
		{
			"a refusal of SOCKS4", version4, example443,
			Script{C("\x04\x01\x01\xbb\x00\x00\x00\x01alice\x00example.com\x00"), S(rejected4)},
			bridge.Unreachable,
			bridge.Frame{Proto: "socks4", User: "alice", Note: "5b request rejected or failed"},
		},
		{
			"a user that SOCKS4 does not let in", version4, example443,
			Script{C("\x04\x01\x01\xbb\x00\x00\x00\x01alice\x00example.com\x00"), S("\x00\x5d\x00\x00\x00\x00\x00\x00")},
			bridge.Auth,
			bridge.Frame{Proto: "socks4", User: "alice", Note: "5d request rejected: different user-ids"},
		},
		{
			"an answer that is none of SOCKS4", version4, example443,
			Script{C("\x04\x01\x01\xbb\x00\x00\x00\x01alice\x00example.com\x00"), S("\x05")},
			bridge.Desynced,
			bridge.Frame{Proto: "socks4", User: "alice"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			frame := asks(t, tt.config, tt.hop, tt.script, tt.reason)
			detail, ok := frame.Detail.(*socks.Handshake)
			if !ok || detail.Cmd != socks.CmdConnect || detail.Dst.Addr().String() != tt.hop {
				t.Errorf("detail %+v", frame.Detail)
			}
			frame.Detail = nil
			tt.frame.Verb = bridge.VerbOriginate
			tt.frame.Dst, _ = bridge.ParseAddr(tt.hop)
			if !reflect.DeepEqual(frame, tt.frame) {
				t.Errorf("frame %+v, want %+v", frame, tt.frame)
			}
		})
	}
}

// What a SOCKS server says of the destination, a SOCKS client is told by the same code.
func TestDialHandsOnRefusals(t *testing.T) {
	for _, tt := range []struct {
		rep    byte
		reason bridge.Reason
		told   socks.Rep
	}{
		{0x01, bridge.Unreachable, 0x01},
		{0x02, bridge.Denied, 0x02},
		{0x03, bridge.Unreachable, 0x03},
		{0x04, bridge.Unreachable, 0x04},
		{0x05, bridge.Refused, 0x05},
		{0x06, bridge.Timeout, 0x06},
		{0x07, bridge.Unreachable, 0x07},
		{0x08, bridge.Unreachable, 0x08},
		{0x09, bridge.Unreachable, 0x01},
		{0xf2, bridge.Unreachable, 0x01},
	} {
		refused := refusal(socks.Rep(tt.rep))
		t.Run(socks.Rep(tt.rep).String(), func(t *testing.T) {
			frame := asks(t, socks.DialConfig{}, example443, Script{C(hello), S(noAuth), C(connect), S(refused)}, tt.reason)
			if frame.Note != socks.Rep(tt.rep).String() {
				t.Errorf("note %q", frame.Note)
			}
			err := bridge.Fails(tt.reason, bridge.ByServer, &socks.Refusal{Version: 5, Code: tt.rep})
			Terminate(t, terminating(socks.Config{}), Script{
				Send(hello), Recv(noAuth), Send(connect), DialFails(example443, err), Recv(refusal(tt.told)),
			}, Reason(tt.reason))
		})
	}
	t.Run("of SOCKS4, which knows one", func(t *testing.T) {
		err := bridge.Fails(bridge.Unreachable, bridge.ByServer, &socks.Refusal{Version: 4, Code: 0x5b})
		Terminate(t, terminating(socks.Config{}), Script{
			Send(hello), Recv(noAuth), Send(connect), DialFails(example443, err), Recv(refusal(socks.RepGeneralFailure)),
		}, Reason(bridge.Unreachable))
	})
}

// What can't be said is not asked for.
func TestDialRefusesWhatItCannotAsk(t *testing.T) {
	long := strings.Repeat("x", 256)
	for _, tt := range []struct {
		name   string
		config socks.DialConfig
		host   string
		says   string // by the server
		reason bridge.Reason
	}{
		{"a name with a space", socks.DialConfig{}, "a b", "", bridge.DNS},
		{"no name", socks.DialConfig{}, "", "", bridge.DNS},
		{"a name that is not ASCII", socks.DialConfig{}, "bücher.example", "", bridge.DNS},
		{"an address with a zone", socks.DialConfig{}, "fe80::1%eth0", "", bridge.DNS},
		{"an IPv6 address in version 4", socks.DialConfig{Version: 4}, "2001:db8::1", "", bridge.Unreachable},
		{"the mark of 4A as an address", socks.DialConfig{Version: 4}, "0.0.0.7", "", bridge.Unreachable},
		{"NUL in a user-id", socks.DialConfig{Version: 4, User: "a\x00"}, "example.com", "", bridge.Unreachable},
		{"a password of 256 bytes", socks.DialConfig{Password: long}, "example.com", userPass, bridge.Auth},
		{"an unknown version", socks.DialConfig{Version: 6}, "example.com", "", bridge.Internal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			theirs, ours := Pipe(1 << 10)
			theirs.Write([]byte(tt.says))
			b := &bridge.Bridge{Client: bridge.NewStream(theirs), DialFunc: socks.Dial(to(ours), tt.config)}
			b.SetHop(bridge.Addr{Host: tt.host, Port: 443})
			err := b.Dial(t.Context())
			if reason, by := bridge.ReasonOf(err); reason != tt.reason || by != bridge.ByMITM {
				t.Errorf("%v: %s by %s, want %s by us", err, reason, by, tt.reason)
			}
			if _, err := ours.Write(nil); err == nil {
				t.Error("the conn is left open")
			}
		})
	}
}

func TestARefusalSaysWhat(t *testing.T) {
	theirs, ours := Pipe(1 << 10)
	theirs.Write([]byte(noAuth + refusal(socks.RepNotAllowed)))
	b := &bridge.Bridge{Client: bridge.NewStream(theirs), DialFunc: socks.Dial(to(ours), socks.DialConfig{Proxy: bridge.Addr{Host: "192.0.2.1", Port: 1080}})}
	b.SetHop(exampleCom)
	err := b.Dial(t.Context())
	var refused *socks.Refusal
	if !errors.As(err, &refused) || refused.Code != 2 || refused.Version != 5 {
		t.Errorf("error %v", err)
	}
	if want := "dial example.com:443: through 192.0.2.1:1080: refused: 02 connection not allowed by ruleset"; err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
}

// to dials one conn.
func to(c net.Conn) bridge.DialFunc {
	return func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) { return c, nil }
}

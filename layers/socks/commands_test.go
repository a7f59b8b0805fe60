package socks_test

import (
	"context"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	. "github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/layers/socks"
)

// TestRelayOfOtherCommands holds what goes on without anything for the next layer: past it, to the last handler.
func TestRelayOfOtherCommands(t *testing.T) {
	nothing := bridge.Layer{Name: "next", Handle: func(ctx context.Context, b *bridge.Bridge, _ bridge.Handler) error {
		b.Push(bridge.Frame{Proto: "next"})
		return bridge.Relay(ctx, b)
	}}
	tests := []struct {
		name   string
		script Script
		path   string
		frame  bridge.Frame
	}{
		{
			"UDP ASSOCIATE, and a connection that only stays open",
			Script{C("\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00"), S(granted)},
			"socks5",
			bridge.Frame{Note: "UDP ASSOCIATE at 198.51.100.1:32768: the datagrams go past us"},
		},
		{
			"UDP ASSOCIATE, and something is said all the same",
			Script{C("\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00"), S(granted), Tunnel()},
			"socks5",
			bridge.Frame{Note: "UDP ASSOCIATE at 198.51.100.1:32768: the datagrams go past us"},
		},
		{
			"a refused UDP ASSOCIATE",
			Script{C("\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00"), S("\x05\x07" + granted[2:])},
			"socks5",
			bridge.Frame{Note: "07 command not supported"},
		},
		{
			"RESOLVE",
			Script{C("\x05\xf0\x00\x03\x01a\x00\x00"), S("\x05\x00\x00\x01\xc0\x00\x02\x07\x00\x00")},
			"socks5",
			bridge.Frame{Note: "RESOLVE to 192.0.2.7"},
		},
		{
			"RESOLVE, and something is said all the same",
			Script{C("\x05\xf0\x00\x03\x01a\x00\x00"), S("\x05\x00\x00\x01\xc0\x00\x02\x07\x00\x00"), Tunnel()},
			"socks5",
			bridge.Frame{Note: "RESOLVE to 192.0.2.7"},
		},
		{
			"RESOLVE to an IPv6 address",
			Script{C("\x05\xf0\x00\x03\x01a\x00\x00"), S("\x05\x00\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00")},
			"socks5",
			bridge.Frame{Note: "RESOLVE to 2001:db8::1"},
		},
		{
			"a refused RESOLVE, with a code of Tor's own",
			Script{C("\x05\xf0\x00\x03\x01a\x00\x00"), S("\x05\xf0" + granted[2:])},
			"socks5",
			bridge.Frame{Note: "f0"},
		},
		{
			"a RESOLVE that Tor refuses, without a type of address",
			Script{C("\x05\xf0\x00\x03\x01a\x00\x00"), S("\x05\x04\x00\x00\x00\x00\x00\x00\x00\x00")},
			"socks5",
			bridge.Frame{Note: "04 host unreachable"},
		},
		{
			"a refusal without a type of address, and nothing more",
			Script{C("\x05\xf0\x00\x03\x01a\x00\x00"), S("\x05\x04\x00\x00")},
			"socks5",
			bridge.Frame{Note: "04 host unreachable"},
		},
		{
			"a grant without a type of address",
			Script{C("\x05\xf0\x00\x03\x01a\x00\x00"), S("\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00")},
			"socks5>raw",
			bridge.Frame{Opaque: true},
		},
		{
			"RESOLVE_PTR",
			Script{C("\x05\xf1\x00\x01\xc0\x00\x02\x07\x00\x00"), S("\x05\x00\x00\x03\x04a.de\x00\x00")},
			"socks5",
			bridge.Frame{Note: "RESOLVE_PTR to a.de"},
		},
		{
			"RESOLVE_PTR to a name with control characters",
			Script{C("\x05\xf1\x00\x01\xc0\x00\x02\x07\x00\x00"), S("\x05\x00\x00\x03\x02a\n\x00\x00")},
			"socks5",
			bridge.Frame{Note: "RESOLVE_PTR to a\ufffd"},
		},
		{
			"an unknown command",
			Script{C("\x05\x09\x00\x03\x01a\x00\x00"), S("\x77"), Tunnel()},
			"socks5>raw",
			bridge.Frame{Note: "command 09", Opaque: true},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			script := append(Script{C(hello), S(noAuth)}, tt.script...)
			Relay(t, bridge.Chain(socks.Relay(), nothing), script, Path(tt.path), frame(relayed5(tt.frame)))
		})
	}
}

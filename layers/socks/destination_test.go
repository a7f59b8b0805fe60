package socks

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
)

func TestDestinationOfARequest(t *testing.T) {
	label := strings.Repeat("a", 63)
	long := strings.Repeat("a.", 126) + "a" // 253 bytes
	tests := []struct {
		name string
		dst  Addr
		want string // "" for a refusal
	}{
		{"an IPv4 address", ip4(80, 192, 0, 2, 1), "192.0.2.1:80"},
		{"an IPv6 address", Addr{IP: netip.MustParseAddr("2001:db8::1"), Port: 80}, "[2001:db8::1]:80"},
		{"an IPv4-mapped address is the IPv4 address", Addr{IP: netip.MustParseAddr("::ffff:192.0.2.1"), Port: 80}, "192.0.2.1:80"},
		{"an IPv4 address in text", Addr{Name: "192.0.2.1", Port: 80}, "192.0.2.1:80"},
		{"an IPv6 address in text", Addr{Name: "2001:DB8:0::1", Port: 80}, "[2001:db8::1]:80"},
		{"an IPv4-mapped address in text", Addr{Name: "::ffff:192.0.2.1", Port: 80}, "192.0.2.1:80"},
		{"a name", Addr{Name: "Example.com", Port: 443}, "Example.com:443"},
		{"a name of one label", Addr{Name: "localhost", Port: 443}, "localhost:443"},
		{"a name with the root's dot", Addr{Name: "example.com.", Port: 443}, "example.com.:443"},
		{"a name with an underscore", Addr{Name: "_a.b_c.example", Port: 443}, "_a.b_c.example:443"},
		{"an A-label", Addr{Name: "xn--bcher-kva.example", Port: 443}, "xn--bcher-kva.example:443"},
		{"a label of 63 bytes", Addr{Name: label + ".de", Port: 1}, label + ".de:1"},
		{"a name of 253 bytes", Addr{Name: long, Port: 1}, long + ":1"},
		{"a label of 64 bytes", Addr{Name: label + "a.de", Port: 1}, ""},
		{"a name of 254 bytes", Addr{Name: long + "a", Port: 1}, ""},
		{"no name", Addr{Port: 1}, ""},
		{"the root", Addr{Name: ".", Port: 1}, ""},
		{"an empty label", Addr{Name: "a..b", Port: 1}, ""},
		{"two dots at the end", Addr{Name: "a..", Port: 1}, ""},
		{"a dot at the beginning", Addr{Name: ".a", Port: 1}, ""},
		{"a hyphen at the beginning", Addr{Name: "-a.de", Port: 1}, ""},
		{"a hyphen at the end", Addr{Name: "a-.de", Port: 1}, ""},
		{"a U-label", Addr{Name: "bücher.example", Port: 1}, ""},
		{"NUL", Addr{Name: "example.com\x00.de", Port: 1}, ""},
		{"a space", Addr{Name: "example.com ", Port: 1}, ""},
		{"a line end", Addr{Name: "example.com\r\n", Port: 1}, ""},
		{"a port", Addr{Name: "example.com:80", Port: 1}, ""},
		{"brackets", Addr{Name: "[::1]", Port: 1}, ""},
		{"a zone", Addr{Name: "fe80::1%eth0", Port: 1}, ""},
		{"a path", Addr{Name: "example.com/a", Port: 1}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := destination(tt.dst)
			if got.String() != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("destination(%+v) = %q, %v; want %q", tt.dst, got, err, tt.want)
			}
			if reason, _ := bridge.ReasonOf(err); err != nil && (!errors.Is(err, errHostName) || reason != bridge.DNS) {
				t.Errorf("destination(%+v): %v with reason %s, want dns", tt.dst, err, reason)
			}
		})
	}
}

package main

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/bridgeio/bridgeio/mitm/tproxy"
)

// The command that doctor recommends makes the rules that it has looked for.
func TestArgumentsMakeTheSameRules(t *testing.T) {
	for _, tt := range []struct {
		name  string
		rules tproxy.Rules
	}{
		{"the least", tproxy.Rules{Mode: tproxy.TPROXY, Port: 8080}},
		{"everything", tproxy.Rules{
			Mode: tproxy.Redirect, Port: 65535, Mark: 0x2a, ForeignSource: true, Family: tproxy.IPv6, Ports: []tproxy.PortRange{{First: 80, Last: 80}, {First: 8000, Last: 8100}},
			Exclude:    []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::1/128")},
			Interfaces: []string{"eth1", "br-0.5"}, Users: []uint32{0, 4294967294}, Cgroups: []string{"system.slice/a@1.service"}, KeepForwarding: true, FailClosed: true,
		}},
		{"IPv4 alone, and foreign addresses", tproxy.Rules{Mode: tproxy.TPROXY, ForeignSource: true, Port: 1, Family: tproxy.IPv4}},
	} {
		var got tproxy.Rules
		f := pflag.NewFlagSet(tt.name, pflag.ContinueOnError)
		tproxyOptions(f, &got)
		if err := f.Parse(strings.Fields(arguments(tt.rules))); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if diff := cmp.Diff(tt.rules, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
			t.Errorf("%s: %s: -want +got:\n%s", tt.name, arguments(tt.rules), diff)
		}
	}
}

package tproxy

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseBridges(t *testing.T) {
	const list = `[{},{"ifindex":2,"ifname":"br0","linkinfo":{"info_kind":"bridge","info_data":{"stp_state":0,"nf_call_iptables":0,"nf_call_ip6tables":1}}},
{"ifindex":3,"ifname":"br1","linkinfo":{"info_kind":"bridge","info_data":{"nf_call_iptables":1,"nf_call_ip6tables":0}}}]`
	want := []bridge{{"br0", false, true}, {"br1", true, false}}
	bridges, err := parseBridges([]byte(list))
	if diff := cmp.Diff(want, bridges, cmp.AllowUnexported(bridge{})); diff != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	for n := range list {
		if bridges, err := parseBridges([]byte(list[:n])); err == nil || bridges != nil {
			t.Errorf("%d bytes of it are %v, %v", n, bridges, err)
		}
	}
}

func TestABridgeThatAsksNftablesIsNotForTPROXY(t *testing.T) {
	plain, asking := bridge{name: "br0"}, bridge{"br1", true, true}
	for _, tt := range []struct {
		name    string
		chosen  []string
		family  Family
		bridges []bridge
		all     string
		fixes   []string // of problems
	}{
		{"no bridge", nil, IPv4, nil, "1", nil},
		{"the kernel has no such switch", nil, IPv4, []bridge{plain}, "", nil},
		{"the switch is off", nil, IPv4, []bridge{plain}, "0", nil},
		{"the switch is on", nil, IPv4, []bridge{plain}, "1", []string{"sysctl -w net.bridge.bridge-nf-call-iptables=0"}},
		{"that of IPv6 is on", nil, IPv6, []bridge{plain}, "1", []string{"sysctl -w net.bridge.bridge-nf-call-ip6tables=0"}},
		{"a bridge's own is on", nil, IPv4, []bridge{plain, asking}, "0", []string{"ip link set br1 type bridge nf_call_iptables 0"}},
		{"both are on", []string{"br1"}, IPv6, []bridge{plain, asking}, "1", []string{"sysctl -w net.bridge.bridge-nf-call-ip6tables=0 && ip link set br1 type bridge nf_call_ip6tables 0"}},
		{"clients come in elsewhere", []string{"eth1"}, IPv4, []bridge{plain, asking}, "1", nil},
		{"clients come in at one of two", []string{"eth1", "br0"}, IPv4, []bridge{plain, asking}, "1", []string{"sysctl -w net.bridge.bridge-nf-call-iptables=0"}},
	} {
		findings := Rules{Mode: TPROXY, Port: 1, Interfaces: tt.chosen}.bridged(tt.family, tt.bridges, tt.all)
		var fixes []string
		for _, f := range findings {
			if f.Verdict == Problem {
				fixes = append(fixes, f.Fix)
			}
		}
		if diff := cmp.Diff(tt.fixes, fixes); diff != "" || (fixes == nil) != (findings[0].Verdict == OK) {
			t.Errorf("%s: %v, -want +got:\n%s", tt.name, findings, diff)
		}
	}
}

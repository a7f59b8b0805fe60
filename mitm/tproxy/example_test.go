package tproxy_test

import (
	"fmt"
	"net/netip"

	"github.com/bridgeio/bridgeio/mitm/tproxy"
)

// What a router needs for REDIRECT of what comes in at one interface.
func Example() {
	rules := tproxy.Rules{
		Mode: tproxy.Redirect, Port: 8080, Family: tproxy.IPv4, Interfaces: []string{"eth1"},
		Ports: []tproxy.PortRange{{First: 80, Last: 80}, {First: 443, Last: 443}}, Exclude: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
	}
	if err := rules.Check(); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(rules.Commands())
	// Output:
	// sysctl -w net.ipv4.ip_forward=1
	// nft -f - <<'EOF'
	// add table inet mitm
	// delete table inet mitm
	// table inet mitm {
	// 	comment "mitm 5d39860e11a7b406"
	// 	chain pass {
	// 		meta mark & 0x4000000 == 0x4000000 accept
	// 		fib daddr type { local, broadcast, anycast, multicast } accept
	// 		ip daddr { 0.0.0.0/8, 10.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/3 } accept
	// 		ip6 daddr { ::/127, fe80::/10, ff00::/8 } accept
	// 	}
	// 	chain prerouting {
	// 		type nat hook prerouting priority -100; policy accept;
	// 		tcp flags & (fin | syn | rst | ack) != syn accept
	// 		jump pass
	// 		iifname { "eth1" } meta nfproto ipv4 tcp dport { 80, 443 } redirect to :8080
	// 	}
	// }
	// EOF
}

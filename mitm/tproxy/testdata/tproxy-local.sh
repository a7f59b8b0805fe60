for f in /proc/sys/net/ipv4/conf/*/src_valid_mark; do test "$(cat $f)" != 1 || echo 0 >$f; done
ip -4 rule add fwmark 0x2000000/0x2000000 lookup 7746 priority 100
ip -4 route add local default dev lo table 7746
ip -6 rule add fwmark 0x2000000/0x2000000 lookup 7746 priority 100
ip -6 route add local default dev lo table 7746
nft -f - <<'EOF'
add table inet mitm
delete table inet mitm
table inet mitm {
	comment "mitm e19147eadc247fd0"
	chain pass {
		meta mark & 0x4000000 == 0x4000000 accept
		fib daddr type { local, broadcast, anycast, multicast } accept
		ip daddr { 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/3 } accept
		ip6 daddr { ::/127, fe80::/10, ff00::/8 } accept
	}
	chain divert {
		socket wildcard 1 return
		socket transparent 1 meta mark set meta mark | 0x2000000 accept
	}
	chain handed {
		ct mark set ct mark | 0x2000000
		accept
	}
	chain hand {
		meta nfproto ipv4 meta l4proto tcp tproxy ip to :9100 meta mark set meta mark | 0x2000000 goto handed
		meta nfproto ipv6 meta l4proto tcp tproxy ip6 to :9100 meta mark set meta mark | 0x2000000 goto handed
		iifname "lo" reject with tcp reset
	}
	chain prerouting {
		type filter hook prerouting priority mangle; policy accept;
		meta l4proto != tcp accept
		tcp flags & (fin | syn | rst | ack) != syn jump divert
		ct direction reply accept
		ct mark & 0x2000000 == 0x2000000 goto hand
	}
	chain output {
		type route hook output priority mangle; policy accept;
		meta l4proto != tcp accept
		ct direction reply accept
		jump pass
		ct mark & 0x2000000 == 0x2000000 meta mark set meta mark | 0x2000000 accept
		tcp flags & (fin | syn | rst | ack) != syn accept
		ct state new meta skuid { 1000 } meta l4proto tcp ct mark set ct mark | 0x2000000 meta mark set meta mark | 0x2000000 accept
		ct state new socket cgroupv2 level 2 "unified/a/b" meta l4proto tcp ct mark set ct mark | 0x2000000 meta mark set meta mark | 0x2000000 accept
	}
}
EOF

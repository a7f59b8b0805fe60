for f in /proc/sys/net/ipv4/conf/*/src_valid_mark; do test "$(cat $f)" != 1 || echo 0 >$f; done
sysctl -w net.ipv4.ip_forward=1
test "$(cat /proc/sys/net/ipv6/conf/all/forwarding)" = 1 || for f in /proc/sys/net/ipv6/conf/*/accept_ra; do test "$(cat $f)" != 1 || echo 2 >$f; done
sysctl -w net.ipv6.conf.all.forwarding=1
ip -4 rule add fwmark 0x2000000/0x2000000 lookup 7746 priority 100
ip -4 route add local default dev lo table 7746
ip -6 rule add fwmark 0x2000000/0x2000000 lookup 7746 priority 100
ip -6 route add local default dev lo table 7746
nft -f - <<'EOF'
add table inet mitm
delete table inet mitm
table inet mitm {
	comment "mitm 786dca1b72e8581a"
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
		reject with tcp reset
	}
	chain prerouting {
		type filter hook prerouting priority mangle; policy accept;
		meta l4proto != tcp accept
		tcp flags & (fin | syn | rst | ack) != syn jump divert
		ct direction reply accept
		ct mark & 0x2000000 == 0x2000000 goto hand
		tcp flags & (fin | syn | rst | ack) != syn accept
		jump pass
		iifname != "lo" meta l4proto tcp goto hand
	}
}
EOF

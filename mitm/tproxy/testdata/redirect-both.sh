test "$(cat /proc/sys/net/ipv6/conf/all/forwarding)" = 1 || for f in /proc/sys/net/ipv6/conf/*/accept_ra; do test "$(cat $f)" != 1 || echo 2 >$f; done
sysctl -w net.ipv6.conf.all.forwarding=1
nft -f - <<'EOF'
add table inet mitm
delete table inet mitm
table inet mitm {
	comment "mitm 79553606fb8aed80"
	chain pass {
		meta mark 0x2a accept
		fib daddr type { local, broadcast, anycast, multicast } accept
		ip daddr { 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 192.0.2.0/24, 224.0.0.0/3 } accept
		ip6 daddr { ::/127, 2001:db8::/32, fe80::/10, ff00::/8 } accept
	}
	chain prerouting {
		type nat hook prerouting priority -100; policy accept;
		tcp flags & (fin | syn | rst | ack) != syn accept
		jump pass
		iifname { "eth1" } meta nfproto ipv6 meta l4proto tcp redirect to :9000
	}
	chain output {
		type nat hook output priority -100; policy accept;
		tcp flags & (fin | syn | rst | ack) != syn accept
		jump pass
		meta skuid { 0 } meta nfproto ipv6 meta l4proto tcp redirect to :9000
	}
}
EOF

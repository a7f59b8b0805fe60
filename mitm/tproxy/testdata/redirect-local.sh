nft -f - <<'EOF'
add table inet mitm
delete table inet mitm
table inet mitm {
	comment "mitm 11119e1cab591e93"
	chain pass {
		meta mark & 0x4000000 == 0x4000000 accept
		fib daddr type { local, broadcast, anycast, multicast } accept
		ip daddr { 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/3 } accept
		ip6 daddr { ::/127, fe80::/10, ff00::/8 } accept
	}
	chain output {
		type nat hook output priority -100; policy accept;
		tcp flags & (fin | syn | rst | ack) != syn accept
		jump pass
		meta skuid { 1000, 65534 } tcp dport { 80, 443, 8000-8200 } redirect to :9000
		socket cgroupv2 level 2 "system.slice/a.service" tcp dport { 80, 443, 8000-8200 } redirect to :9000
	}
}
EOF

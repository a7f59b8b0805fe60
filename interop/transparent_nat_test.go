package interop

import "testing"

// A router may hide its clients from servers by NAT all the same, whatever address ours come from.
// With TPROXY and the client's own port it can't: there the kernel's table has both connections as
// one, of which NAT was decided when the client's began.
func TestTransparentBehindMasquerading(t *testing.T) {
	inBothModes(t, func(t *testing.T, l routed, mode string) {
		const web = 8001
		shop := l.serve(t, web)
		l.divert(t, mode, "--usesrc", "client")
		l.router.nft(t, `table inet byhand {
	chain out {
		type nat hook postrouting priority srcnat
		ip saddr 198.51.100.0/24 ip daddr 203.0.113.0/24 masquerade
		ip6 saddr 2001:db8:1::/64 ip6 daddr 2001:db8:2::/64 masquerade
	}
}
`)
		sources := map[string][]string{"redirect": {"clientip", "client"}, "tproxy": {"clientip"}}
		for _, source := range sources[mode] {
			t.Run(source, func(t *testing.T) {
				m := l.transparently(t, mode, "--usesrc", source)
				for _, f := range protocolFamilies() {
					router := map[string]string{"IPv4": "203.0.113.1", "IPv6": "2001:db8:2::1"}[f.name]
					if page := l.clients.curl(t, f.status(web)); page.Code != 0 {
						t.Errorf("%s: curl: exit code %d\n%s", f.name, page.Code, page.Stderr)
					}
					if flow := m.flow(t); flow.Reason != "eof" {
						t.Errorf("%s: flow %+v", f.name, flow)
					}
					if seen := shop.last(); seen.Addr().Unmap().String() != router {
						t.Errorf("%s: the server has seen %s, want %s", f.name, seen, router)
					}
				}
			})
		}
	})
}

// Our own connections are known by their mark also where somebody else sets bits of it.
func TestTransparentMarksOfOthers(t *testing.T) {
	inBothModes(t, func(t *testing.T, l routed, mode string) {
		const web = 8001
		l.serve(t, web)
		l.router.nft(t, `table inet byhand {
	chain out {
		type route hook output priority -160
		meta mark set meta mark | 0x10
	}
}
`)
		m := l.onRouter(t, "--listen", ":9000", "--transparent", mode, "--with-tproxy", "--uid", "0")
		for _, f := range protocolFamilies() {
			if page := l.router.curl(t, f.status(web)); page.Code != 0 {
				t.Errorf("%s: curl: exit code %d\n%s", f.name, page.Code, page.Stderr)
			}
			if flow := m.flow(t); flow.Reason != "eof" {
				t.Errorf("%s: flow %+v", f.name, flow)
			}
		}
	})
}

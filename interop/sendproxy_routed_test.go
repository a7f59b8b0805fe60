package interop

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/internal/peers"
	ours "github.com/bridgeio/bridgeio/layers/proxyproto"
)

// Servers behind a transparent proxy are told of the client, over both versions of IP: HAProxy,
// nginx and go-proxyproto, with and without the client's address on the packets, too.
func TestTransparentServersAreToldOfTheClient(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	const balancer, nginx, library = 8001, 8002, 8003
	inTheirName(t, func(t *testing.T, l routed, k keeping) {
		l.servers.start(t, outward(peers.HAProxyPage(balancer, nil), "bind 127.0.0.1:8001", "bind :::8001 v4v6"))
		web := l.servers.start(t, outward(peers.Nginx(peers.NginxConfig{Plain: nginx, Proxied: true, Backend: "127.0.0.1:1"}),
			"listen 127.0.0.1:8002", "listen [::]:8002 ipv6only=off", "set_real_ip_from 127.0.0.1;", "set_real_ip_from 0.0.0.0/0; set_real_ip_from ::/0;"))
		serveToldOn(t, l.servers.listen(t, fmt.Sprintf("[::]:%d", library)), nil)
		for _, version := range []string{"v1", "v2"} {
			args := append(k.usesrc(), "--send-proxy", version)
			if version == "v2" {
				args = append(args, "--proxy-tlv", "unique-id,crc32c")
			}
			m := l.transparently(t, k.mode, args...)
			told := func(port int) errand {
				return errand{name: fmt.Sprintf("%s to %d", version, port), port: port, path: "http", do: func(t *testing.T, f protocolFamily) {
					checkTold(t, l, f, port, version)
				}}
			}
			logged := told(nginx)
			logged.log = serverLog{logOf(web, "access.log"), "ADDR "}
			if k.source == "" {
				logged.log = serverLog{} // it logs what the header says, and not the router
			}
			for i, flow := range l.each(t, k, m, []errand{told(balancer), logged, told(library)}) {
				if len(flow.Originated) != 1 || flow.Originated[0]["proto"] != "proxy"+version[1:] {
					t.Errorf("%s, %d: flow %+v", version, i, flow)
				}
			}
			if code, err := m.Terminate(t.Context()); code != 0 || err != nil {
				t.Fatalf("mitm ended with %d, %v", code, err)
			}
		}
	})
}

// checkTold asks a page what the server was told.
func checkTold(t *testing.T, l routed, f protocolFamily, port int, version string) {
	t.Helper()
	server := net.JoinHostPort(f.server, fmt.Sprint(port))
	res := l.clients.curl(t, "-w", "local=%{local_ip} port=%{local_port}", "http://"+server+"/status")
	if res.Code != 0 {
		t.Fatalf("curl: exit code %d\n%s", res.Code, res.Stderr)
	}
	got := fields(t, res.Stdout)
	same := func(address, host, port string) bool {
		i := strings.LastIndex(address, ":")
		a, err := netip.ParseAddr(strings.Trim(address[:max(i, 0)], "[]"))
		return err == nil && a == netip.MustParseAddr(host) && address[i+1:] == port
	}
	if !same(got["client"], f.client, got["port"]) || got["local"] != f.client || !same(got["server"], f.server, fmt.Sprint(port)) {
		t.Errorf("the server was told %q, want %s:%s to %s", res.Stdout, f.client, got["port"], server)
	}
	if got["wire"] == "" {
		return
	}
	h, family := headerOn(t, got), map[string]detect.ProxyFamily{"IPv4": detect.ProxyInet, "IPv6": detect.ProxyInet6}[f.name]
	var kinds []byte
	for _, v := range h.TLVs {
		kinds = append(kinds, v.Type)
	}
	want := map[string][]byte{"v2": {ours.TypeUniqueID, ours.TypeCRC32C}}[version]
	slices.Sort(kinds)
	slices.Sort(want)
	if h.Family != family || fmt.Sprintf("v%d", h.Version) != version || !slices.Equal(kinds, want) {
		t.Errorf("the server was told %+v, want version %s, family %v and TLVs %x", h, version, family, want)
	}
}

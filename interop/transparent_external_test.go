package interop

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// A listener for TLS dials the port that was named for it, at the server that the client meant.
func TestTransparentExternalPort(t *testing.T) {
	inBothModes(t, func(t *testing.T, l routed, mode string) {
		leaf, root := issue(t, "origin.test")
		const meant, external = 8443, 8444
		l.divert(t, mode)
		for _, port := range []int{meant, external} {
			l.servers.start(t, peers.Nginx(peers.NginxConfig{TLS: port, Leaf: leaf, Backend: "127.0.0.1:1"}))
			l.open(t, port)
		}
		for name, dialled := range map[string]int{"9000,80": meant, fmt.Sprintf("9000,80,%d", external): external} {
			m := l.onRouter(t, "-p", name, "--transparent", mode, "--mark", "0x4000000", "--no-system-roots", "--trust", root)
			for _, f := range protocolFamilies() {
				res := l.clients.curl(t, "--cacert", m.root, "--resolve", fmt.Sprintf("origin.test:%d:%s", meant, f.server), fmt.Sprintf("https://origin.test:%d/status", meant))
				if res.Code != 0 {
					t.Errorf("-p %s, %s: curl: exit code %d\n%s", name, f.name, res.Code, res.Stderr)
				}
				flow := m.flow(t)
				if want := net.JoinHostPort(f.server, fmt.Sprint(dialled)); flow.Server != want || !strings.HasPrefix(flow.Path, "tls") {
					t.Errorf("-p %s, %s: flow %+v, want one to %s", name, f.name, flow, want)
				}
			}
			if code, err := m.Terminate(t.Context()); code != 0 || err != nil {
				t.Fatalf("mitm ended with %d, %v", code, err)
			}
		}
	})
}

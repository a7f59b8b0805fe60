package interop

import (
	"fmt"
	"io"
	"net"
	"testing"
)

// A rule for destinations goes by where the kernel says that a flow goes. What a balancer has
// written in front of it is about somebody else's network, and about nothing that is dialled.
func TestTransparentRulesGoByWhatIsDialled(t *testing.T) {
	inBothModes(t, func(t *testing.T, l routed, mode string) {
		const web = 8001
		l.serve(t, web)
		l.divert(t, mode)
		for _, f := range protocolFamilies() {
			claimed := map[string]string{"IPv4": "198.18.0.9", "IPv6": "2001:db8:18::9"}[f.name]
			header := fmt.Sprintf("PROXY %s %s %s 1000 %d\r\n", map[string]string{"IPv4": "TCP4", "IPv6": "TCP6"}[f.name], claimed, claimed, web)
			for ruled, want := range map[string]string{f.server: "block", claimed: "eof"} {
				t.Run(f.name+" a rule for "+ruled, func(t *testing.T) {
					rules := writeFile(t, "rules.json", fmt.Sprintf(`{"name":"t","version":"1","rules":[{"active":true,"description":"there",
	"match":{"type":"destination","expression":"%s"},"action":{"type":"block"}}],"default":{"action":{"type":"inspect"}}}`, ruled))
					m := l.transparently(t, mode, "--accept-proxy", "198.51.100.0/24,2001:db8:1::/64", "--ruleset", rules)
					var balancer net.Conn
					l.clients.within(t, func() (err error) {
						balancer, err = net.Dial("tcp", net.JoinHostPort(f.server, fmt.Sprint(web)))
						return err
					})
					defer balancer.Close()
					fmt.Fprintf(balancer, "%sGET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", header)
					answer, _ := io.ReadAll(balancer)
					balancer.Close()
					if flow := m.flow(t); flow.Reason != want || (len(answer) > 0) != (want == "eof") {
						t.Errorf("answer %q, flow %+v, want %s", answer, flow, want)
					}
				})
			}
		}
	})
}

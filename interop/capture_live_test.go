package interop

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// watched starts a mitm whose capture a tshark reads from a pipe, and that one's file of
// alerts. The pipe is the stdout that "-w -" writes to.
func watched(t *testing.T, filter string, args ...string) (m *mitm, alerts string) {
	t.Helper()
	const script = `mkfifo "$0"/pipe && { tshark -n -l -i - -Y "$1" <"$0"/pipe >"$0"/alerts 2>"$0"/tshark.log & } && shift && exec "$@" >"$0"/pipe`
	m = startMitmAs(t, func(p peers.Program) peers.Program {
		p.Name, p.Args = "sh", append([]string{"-c", script, peers.Here, filter, p.Name}, p.Args...)
		return p
	}, append(args, "-w", "-")...)
	return m, m.Dir + "/alerts"
}

// A display filter of tshark's sees what is planted in HTTPS while the connection is open.
func TestAFilterAlertsOnWhatHTTPSHides(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	const filter = `http.request.uri contains "planted" || http2.headers.path contains "planted"`
	m, alerts := watched(t, filter, s.listen()...)
	for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
		transport := &http.Transport{
			Proxy:             http.ProxyURL(&url.URL{Scheme: "socks5", Host: m.addrs[0]}),
			TLSClientConfig:   &tls.Config{RootCAs: pool(t, m.root)},
			ForceAttemptHTTP2: version == "HTTP/2.0",
		}
		for _, page := range []string{"/status?harmless", "/status?planted=" + version} {
			res, err := (&http.Client{Transport: transport}).Get(s.https(page))
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			if err != nil || res.Proto != version {
				t.Errorf("%s, %v, want %s", res.Proto, err, version)
			}
		}
		m.eventually(t, "an alert", func() bool { return strings.Contains(read(t, alerts), "planted="+version) })
		if text, err := os.ReadFile(m.flowLog); err != nil || strings.Count(string(text), "\n") != m.read {
			t.Errorf("the flow has ended: %s, %v", text, err)
		}
		transport.CloseIdleConnections()
		m.flow(t)
	}
	if got := read(t, alerts); strings.Count(got, "\n") != 2 || strings.Contains(got, "harmless") {
		t.Errorf("alerts\n%s, want one for each version", got)
	}
}

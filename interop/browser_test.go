package interop

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// downloadSize is more than any buffer on the way holds, and than a window of HTTP/2.
const downloadSize = 32 << 20

// A browsed is a site whose page loads all that a browser loads, and reports.
type browsed struct {
	*httptest.Server
	root     string // file with the certificate that signed its leaf
	download []byte
	report   chan report

	mu   sync.Mutex
	seen map[string]string // by path: the protocols of the requests
}

// A report is what the page's script has found.
type report struct {
	Secure   bool   // the page is a secure context
	Style    string // the colour that the style sheet sets
	Script   string // a variable that the other script sets
	Images   []int  // the widths of the images
	Protocol string // of the page, as the browser says it
	Echo     string // from the WebSocket
	Size     int    // of the download
	SHA256   string // likewise
}

func startBrowsed(t *testing.T) *browsed {
	t.Helper()
	leaf, root := issue(t, "localhost")
	s := &browsed{
		root: root, seen: map[string]string{},
		download: bytes.Repeat([]byte(peers.Large()), downloadSize/len(peers.Large())), report: make(chan report, 1),
	}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{keyPair(t, leaf)}, NextProtos: []string{"h2", "http/1.1"}}
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // browsers that refuse
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (s *browsed) target() string { return at(s.Listener.Addr().(*net.TCPAddr).Port) }

func (s *browsed) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.seen[r.URL.Path] += r.Proto + " "
	s.mu.Unlock()
	kind, content := "text/plain", []byte(nil)
	switch path := r.URL.Path; {
	case path == "/":
		kind, content = "text/html", []byte(browsedPage)
	case path == "/style.css":
		kind, content = "text/css", []byte("body { color: rgb(1, 2, 3); }")
	case path == "/script.js":
		kind, content = "text/javascript", []byte("const fromScript = 'loaded';")
	case strings.HasPrefix(path, "/image"):
		kind, content = "image/gif", onePixel
	case path == "/download":
		kind, content = "application/octet-stream", s.download
	case path == "/ws":
		serveEcho(w, r)
		return
	case path == "/report":
		var found report
		if err := json.NewDecoder(r.Body).Decode(&found); err == nil {
			s.report <- found
		}
	default:
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(content)
}

// protocols are those of the requests for a path.
func (s *browsed) protocols(path string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.TrimSpace(s.seen[path])
}

// onePixel is an image of one pixel.
var onePixel = decoded("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")

func decoded(text string) []byte {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return b
}

const browsedPage = `<!doctype html>
<meta charset=utf-8><title>page</title><link rel=icon href=data:,>
<link rel=stylesheet href=style.css><script src=script.js></script>
<body>text<img src=image1><img src=image2><img src=image3>
<script>
const echoed = () => new Promise((resolve, reject) => {
	const ws = new WebSocket("wss://" + location.host + "/ws");
	ws.onopen = () => ws.send("over here".repeat(1000));
	ws.onmessage = m => { ws.close(1000); resolve(m.data); };
	ws.onerror = reject;
});
const digest = async bytes => [...new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))].map(b => b.toString(16).padStart(2, "0")).join("");
onload = async () => {
	const Echo = await echoed(), bytes = await (await fetch("download")).arrayBuffer();
	await fetch("report", {method: "POST", body: JSON.stringify({
		Secure: isSecureContext, Style: getComputedStyle(document.body).color, Script: fromScript,
		Images: [...document.images].map(i => i.naturalWidth), Protocol: performance.getEntriesByType("navigation")[0].nextHopProtocol,
		Echo, Size: bytes.byteLength, SHA256: await digest(bytes),
	})});
};
</script>
`

// browse starts a Chromium that trusts the roots, and opens a URL through a proxy.
func browse(t *testing.T, proxy, url string, roots ...string) *peers.Process {
	t.Helper()
	p, err := peers.Chromium(roots...)
	if err != nil {
		t.Fatal(err)
	}
	// Without the first rule a URL of localhost would go around the proxy. What has a dot is
	// for its maker, and goes around it to nowhere.
	flags := fmt.Sprintf("'--proxy-server=%s' '--proxy-bypass-list=<-loopback>;*.*' '%s'", proxy, url)
	p.Args = []string{"-c", strings.Replace(p.Args[1], "about:blank", flags, 1)}
	return start(t, p)
}

// Chromium loads a page with all that belongs to it, a WebSocket and a large file through
// mitm, and finds nothing wrong with them. All of it was decrypted.
func TestTLSChromiumBrowses(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"http", "socks5"} {
		t.Run("through "+scheme, func(t *testing.T) {
			t.Parallel()
			s := startBrowsed(t)
			m := startTLSMitm(t, s.root)
			proc := browse(t, scheme+"://"+m.addrs[0], "https://"+s.target()+"/", contents(t, m.root))
			s.check(t, s.reported(t))
			proc.Stop() // its connections
			s.checkFlows(t, m, map[string]string{"http": "connect", "socks5": "socks5"}[scheme])
		})
	}
}

// reported waits for the page's report.
func (s *browsed) reported(t *testing.T) report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
	defer cancel()
	select {
	case found := <-s.report:
		return found
	case <-ctx.Done():
		t.Fatalf("no report after %s", runTimeout)
	}
	panic("unreachable")
}

func (s *browsed) check(t *testing.T, got report) {
	t.Helper()
	want := report{
		Secure: true, Style: "rgb(1, 2, 3)", Script: "loaded", Images: []int{1, 1, 1}, Protocol: "h2",
		Echo: strings.Repeat("over here", 1000), Size: downloadSize, SHA256: fmt.Sprintf("%x", sha256.Sum256(s.download)),
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the page found %+v, want %+v", got, want)
	}
	for _, path := range []string{"/", "/style.css", "/script.js", "/image1", "/image2", "/image3", "/download", "/report"} {
		if got := s.protocols(path); got != "HTTP/2.0" {
			t.Errorf("%s was asked for by %q, want one request of HTTP/2", path, got)
		}
	}
	if got := s.protocols("/ws"); got != "HTTP/1.1" {
		t.Errorf("the WebSocket was asked for by %q, want HTTP/1.1", got)
	}
}

// checkFlows wants a flow with the page and one with the WebSocket, and no other that
// carried anything: what Chromium opens ahead of need carries nothing.
func (s *browsed) checkFlows(t *testing.T, m *mitm, path string) {
	t.Helper()
	var full []peers.Flow
	m.eventually(t, "the flows of the page and the WebSocket", func() bool {
		full = slices.DeleteFunc(m.log(t), func(f peers.Flow) bool { return f.TLS == nil || f.Bytes.FromServer == 0 })
		return len(full) >= 2
	})
	slices.SortFunc(full, func(a, b peers.Flow) int { return cmp.Compare(b.Bytes.FromServer, a.Bytes.FromServer) })
	for i, alpn := range []string{"h2", "http/1.1"} {
		want := inspected(path+">tls("+alpn+")", s.target(), alpn)
		want.reason = full[i].Reason // the browser was killed
		want.check(t, full[i])
		if ech := full[i].TLS.Client.ECH; ech != "offered" {
			t.Errorf("ECH %q, want offered: Chromium's is always there, be it GREASE", ech)
		}
	}
	// The one of the WebSocket has a ticket, which is ours and has to be left out.
	if client, server := full[0].TLS.Client, full[0].TLS.Server; client.JA4 == "" || client.JA3 != server.JA3 || client.JA4 != server.JA4 {
		t.Errorf("the hello that the server got has JA3 %s, JA4 %s, that of Chromium %s, %s", server.JA3, server.JA4, client.JA3, client.JA4)
	}
	for _, f := range m.log(t) {
		if f.Target != s.target() {
			t.Errorf("a flow to %s, want all to the site: %+v", f.Target, f)
		}
	}
	if len(full) > 2 || full[0].Bytes.FromServer < downloadSize {
		t.Errorf("flows %+v, want two, the greater with the download", full)
	}
}

// log is what the flow log holds so far.
func (m *mitm) log(t *testing.T) []peers.Flow {
	t.Helper()
	text, err := os.ReadFile(m.flowLog)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	flows, err := peers.ParseFlows(text)
	if err != nil {
		t.Fatal(err)
	}
	return flows
}

// Chromium that nobody has told of our authority shows nothing of the page.
func TestTLSChromiumRefusesAnAuthorityThatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	s := startBrowsed(t)
	m := startTLSMitm(t, s.root)
	browse(t, "http://"+m.addrs[0], "https://"+s.target()+"/", contents(t, s.root))
	m.eventually(t, "a flow that the browser refuses", func() bool {
		for _, f := range m.log(t) {
			if f.Reason == "tls_client" && f.EndedBy == "client" && f.Target == s.target() {
				return true
			}
		}
		return false
	})
	if got := s.protocols("/"); got != "" {
		t.Errorf("the page was asked for by %q", got)
	}
}

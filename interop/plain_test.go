package interop

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

func (s site) plainTarget() string { return fmt.Sprintf("localhost:%d", s.plain) }

// forwarded is the line of requests without TLS, which the HTTP proxy forwards itself.
func forwarded(target string) line { return line{path: "http", action: "allow", target: target} }

func TestPlainRequestsThroughTheHTTPProxy(t *testing.T) {
	t.Parallel()
	s, other := startSite(t), startSite(t)
	m := startMitm(t, "--listen", "127.0.0.1:0")
	proxy := "http://" + m.addrs[0]
	content := strings.Repeat("0123456789abcdef", 1<<16) // above what curl sends without being asked to continue
	file := writeFile(t, "content", content)
	sum := fmt.Sprintf("size=%d sha256=%x", len(content), sha256.Sum256([]byte(content)))

	t.Run("a connection is kept for two requests of one host", func(t *testing.T) {
		got := curl(t, "-x", proxy, "-w", "connects=%{num_connects}\n", s.http("/"), s.http("/"))
		if want := "hello from nginx\nconnects=1\nhello from nginx\nconnects=0\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		forwarded(s.plainTarget()).check(t, m.flow(t))
	})
	t.Run("and for two hosts, each a flow", func(t *testing.T) {
		got := curl(t, "-x", proxy, "-w", "connects=%{num_connects}\n", s.http("/"), other.http("/"), s.http("/"))
		if want := "hello from nginx\nconnects=1\nhello from nginx\nconnects=0\nhello from nginx\nconnects=0\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		first, second, third := m.flow3(t)
		forwarded(s.plainTarget()).check(t, first)
		forwarded(other.plainTarget()).check(t, second)
		forwarded(s.plainTarget()).check(t, third)
		if first.Client != second.Client || second.Client != third.Client || first.ID == second.ID {
			t.Errorf("flows of %s, %s, %s, want those of one connection", first.Client, second.Client, third.Client)
		}
	})
	t.Run("nginx sees the request as if nothing stood between", func(t *testing.T) {
		got := fields(t, curl(t, "-x", proxy, s.http("/status")))
		if got["protocol"] != "HTTP/1.1" || got["host"] != s.plainTarget() {
			t.Errorf("nginx saw %v", got)
		}
		forwarded(s.plainTarget()).check(t, m.flow(t))
	})
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"a POST":                              {[]string{"--data-binary", "hello"}, "method=POST coding= size=5 sha256=2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\n"},
		"a large POST, continued when asked":  {[]string{"-H", "Expect: 100-continue", "--data-binary", "@" + file}, "method=POST coding= " + sum + "\n"},
		"a PUT in chunks":                     {[]string{"-H", "Transfer-Encoding: chunked", "-T", file}, "method=PUT coding=chunked " + sum + "\n"},
		"a PUT in chunks, continued":          {[]string{"-H", "Expect: 100-continue", "-H", "Transfer-Encoding: chunked", "-T", file}, "method=PUT coding=chunked " + sum + "\n"},
		"a DELETE":                            {[]string{"-X", "DELETE"}, "method=DELETE coding= size=0 "},
		"a POST that closes the connection":   {[]string{"-H", "Connection: close", "-d", "x"}, "method=POST coding= size=1 "},
		"a POST of an HTTP/1.0 client":        {[]string{"-0", "-d", "x"}, "method=POST coding= size=1 "},
		"an empty POST":                       {[]string{"-d", ""}, "method=POST coding= size=0 "},
		"a PUT in chunks of nothing":          {[]string{"-H", "Transfer-Encoding: chunked", "-T", os.DevNull}, "method=PUT coding=chunked size=0 "},
		"a POST with an empty Proxy-field":    {[]string{"-H", "Proxy-Connection;", "-d", "x"}, "method=POST coding= size=1 "},
		"a request with an Upgrade to ignore": {[]string{"-H", "Connection: Upgrade, HTTP2-Settings", "-H", "Upgrade: h2c", "-H", "HTTP2-Settings: AAMAAABkAAQAAP__", "-d", "x"}, "method=POST coding= size=1 "},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"-v", "-x", proxy, s.http("/upload")}, tt.args...)
			res := run(t, "", "curl", curlArgs(args...)...)
			if res.Code != 0 || !strings.HasPrefix(res.Stdout, tt.want) {
				t.Errorf("exit code %d, %q, want %q\n%s", res.Code, res.Stdout, tt.want, res.Stderr)
			}
			expects, answered := strings.Contains(res.Stderr, "> Expect: 100-continue"), strings.Contains(res.Stderr, "< HTTP/1.1 100 Continue")
			if expects != answered || strings.Contains(name, "continued") && !answered {
				t.Errorf("expects to be asked to continue: %v, is asked: %v\n%s", expects, answered, res.Stderr)
			}
			forwarded(s.plainTarget()).check(t, m.flow(t))
		})
	}
	t.Run("responses without content keep the connection", func(t *testing.T) {
		cached := "If-None-Match: *"
		got := curl(t, "-x", proxy, "-w", "%{http_code} %{num_connects} %{size_download}\n", "-o", os.DevNull, "-I", s.http("/large"),
			"--next", "-q", "-s", "-S", "-x", proxy, "-w", "%{http_code} %{num_connects} %{size_download}\n", "-o", os.DevNull, "-H", cached, s.http("/large"),
			"--next", "-q", "-s", "-S", "-x", proxy, "-w", "%{http_code} %{num_connects} %{size_download}\n", "-o", os.DevNull, s.http("/large"))
		if want := fmt.Sprintf("200 1 0\n304 0 0\n200 0 %d\n", len(peers.Large())); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		forwarded(s.plainTarget()).check(t, m.flow(t))
	})
	t.Run("what cannot be had is said in the protocol", func(t *testing.T) {
		dead := reserve(t)
		got := curl(t, "-x", proxy, "-o", os.DevNull, "-w", "%{http_code}", fmt.Sprintf("http://localhost:%d/", dead))
		if got != "502" {
			t.Errorf("status %s, want 502", got)
		}
		line{path: "http", action: "allow", target: fmt.Sprintf("localhost:%d", dead), reason: "refused"}.check(t, m.flow(t))
	})
}

// flow3 returns the next three flows.
func (m *mitm) flow3(t *testing.T) (_, _, _ peers.Flow) {
	t.Helper()
	m.read += 3
	f := m.flows(t, m.read)[m.read-3:]
	return f[0], f[1], f[2]
}

func TestWebSockets(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	m := startMitm(t, s.listen()...)
	upgraded := forwarded(s.plainTarget())

	t.Run("Go, plain", func(t *testing.T) {
		echo(t, fmt.Sprintf("ws://localhost:%d/ws", s.plain), proxied(t, m, "http"))
		upgraded.check(t, m.flow(t))
	})
	t.Run("Go, over TLS", func(t *testing.T) {
		echo(t, fmt.Sprintf("wss://localhost:%d/ws", s.tls), proxied(t, m, "http"))
		inspected("connect>tls>http", s.target(), "").check(t, m.flow(t))
	})
	t.Run("Go, over TLS and SOCKS", func(t *testing.T) {
		echo(t, fmt.Sprintf("wss://localhost:%d/ws", s.tls), proxied(t, m, "socks5"))
		inspected("socks5>tls>http", s.target(), "").check(t, m.flow(t))
	})
	t.Run("node, plain", func(t *testing.T) {
		got := succeed(t, "node", "-e", nodeUpgrade, m.addrs[0], fmt.Sprintf("http://localhost:%d/ws", s.plain))
		if got != "101 hi\n" {
			t.Errorf("node printed %q, want the echo", got)
		}
		upgraded.check(t, m.flow(t))
	})
}

// nodeUpgrade asks a proxy for a WebSocket, sends a frame of text, masked with zeros,
// and prints what comes back.
const nodeUpgrade = `
const [proxy, url] = process.argv.slice(1), [host, port] = proxy.split(":");
const req = require("http").request({host, port, path: url, headers: {
	Host: new URL(url).host, Connection: "Upgrade", Upgrade: "websocket",
	"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}});
req.on("upgrade", (res, socket, head) => {
	let got = head;
	socket.on("data", d => {
		got = Buffer.concat([got, d]);
		if (got.length < 4) return;
		console.log(res.statusCode, got.subarray(2, 4).toString());
		socket.end();
	});
	socket.write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69]));
});
req.end();`

// proxied is a client of the standard library that goes through mitm and trusts it.
func proxied(t *testing.T, m *mitm, scheme string) *http.Client {
	t.Helper()
	transport := &http.Transport{
		Proxy:             http.ProxyURL(&url.URL{Scheme: scheme, Host: m.addrs[0]}),
		TLSClientConfig:   &tls.Config{RootCAs: pool(t, m.root)},
		ForceAttemptHTTP2: false,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// pool reads a file of roots.
func pool(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		t.Fatalf("%s: no certificate in it", file)
	}
	return roots
}

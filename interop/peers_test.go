package interop

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
	"github.com/pires/go-proxyproto"
)

// The tests of this file need nothing of ours between the peers. They hold that a
// failure elsewhere is ours: the same peers, the same configuration, do talk.

func TestCurlReachesNginx(t *testing.T) {
	s := startSite(t)
	tests := []struct {
		name string
		args []string
		want map[string]string
	}{
		{"plain HTTP/1", []string{s.http("/status")}, map[string]string{"scheme": "http", "protocol": "HTTP/1.1"}},
		{"HTTP/2", []string{"--http2", s.https("/status")}, map[string]string{"protocol": "HTTP/2.0", "alpn": "h2", "tls": "TLSv1.3"}},
		{"HTTP/1 over TLS 1.3", []string{"--http1.1", s.https("/status")}, map[string]string{"protocol": "HTTP/1.1", "alpn": "http/1.1", "tls": "TLSv1.3"}},
		{"HTTP/2 over TLS 1.2", []string{"--tls-max", "1.2", s.https("/status")}, map[string]string{"protocol": "HTTP/2.0", "tls": "TLSv1.2", "sni": "localhost"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := fields(t, curl(t, append(tt.args, "--cacert", s.root)...))
			for key, want := range tt.want {
				if got[key] != want {
					t.Errorf("%s = %q, want %q", key, got[key], want)
				}
			}
		})
	}
	t.Run("a large file is whole", func(t *testing.T) {
		if got := curl(t, "--cacert", s.root, s.https("/large")); got != peers.Large() {
			t.Errorf("got %d bytes, want the %d of the file", len(got), len(peers.Large()))
		}
	})
	t.Run("a WebSocket passes nginx", func(t *testing.T) {
		client := &http.Client{Transport: &http.Transport{}}
		echo(t, fmt.Sprintf("ws://localhost:%d/ws", s.plain), client)
		client.CloseIdleConnections()
	})
}

func TestAnOldNginxSpeaksTLS10(t *testing.T) {
	authority, err := peers.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := authority.RSALeaf("localhost")
	if err != nil {
		t.Fatal(err)
	}
	port := reserve(t)
	start(t, peers.Nginx(peers.NginxConfig{TLS: port, Leaf: leaf, Protocols: "TLSv1 TLSv1.1"}))
	for flag, want := range map[string]string{"-tls1": "TLSv1", "-tls1_1": "TLSv1.1"} {
		got := handshake(t, port, authority, flag, "-cipher", "DEFAULT@SECLEVEL=0")
		if !strings.Contains(got, "Protocol  : "+want+"\n") || !strings.Contains(got, "Verify return code: 0 (ok)") {
			t.Errorf("s_client %s:\n%s", flag, got)
		}
	}
}

func TestOpenSSLServerShowsTheHandshake(t *testing.T) {
	leaf, root := issue(t, "localhost")
	port := reserve(t)
	start(t, peers.OpenSSLServer(port, leaf, "-alpn", "http/1.1"))
	page := curl(t, "--cacert", root, fmt.Sprintf("https://localhost:%d/", port))
	if !strings.Contains(page, "TLSv1.3") {
		t.Errorf("page lacks TLSv1.3:\n%s", page)
	}
	res := run(t, "", "gnutls-cli", "--x509cafile", root, "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.2", "-p", fmt.Sprint(port), "localhost")
	if !strings.Contains(res.Stdout, "(TLS1.2-X.509)") || !strings.Contains(res.Stdout, "certificate is trusted") {
		t.Errorf("gnutls-cli:\n%s%s", res.Stdout, res.Stderr)
	}
}

func TestOtherClientsReachNginx(t *testing.T) {
	s := startSite(t)
	const want = "hello from nginx\n"
	t.Run("wget, which is GnuTLS", func(t *testing.T) {
		if v := succeed(t, "wget", "--version"); !strings.Contains(v, "+ssl/gnutls") {
			t.Fatalf("wget is built otherwise:\n%s", v)
		}
		if got := succeed(t, "wget", "--no-config", "--no-proxy", "-qO-", "--ca-certificate", s.root, s.https("/")); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("node", func(t *testing.T) {
		script := `const https = require("https"), fs = require("fs");
https.get(process.argv[1], {ca: fs.readFileSync(process.argv[2])}, r => r.pipe(process.stdout));`
		if got := succeed(t, "node", "-e", script, s.https("/"), s.root); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestCurlThroughSOCKS(t *testing.T) {
	s := startSite(t)
	proxies := []struct {
		name string
		make func(t *testing.T, port int, user, clear string) peers.Program
	}{
		{"microsocks", func(_ *testing.T, port int, user, clear string) peers.Program {
			return peers.Microsocks(port, user, clear)
		}},
		{"dante", func(t *testing.T, port int, user, clear string) peers.Program {
			hash := ""
			if user != "" {
				hash = password(t, "-6", clear)
			}
			p, err := peers.Dante(port, user, hash)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}},
	}
	for _, proxy := range proxies {
		t.Run(proxy.name, func(t *testing.T) {
			port := reserve(t)
			start(t, proxy.make(t, port, "", ""))
			got := fields(t, curl(t, "--cacert", s.root, "-x", fmt.Sprintf("socks5h://127.0.0.1:%d", port), s.https("/status")))
			if got["protocol"] != "HTTP/2.0" {
				t.Errorf("protocol %q, want HTTP/2.0", got["protocol"])
			}
		})
		t.Run(proxy.name+" with a password", func(t *testing.T) {
			port := reserve(t)
			start(t, proxy.make(t, port, "alice", "s3cret"))
			curl(t, "--cacert", s.root, "-x", fmt.Sprintf("socks5h://alice:s3cret@127.0.0.1:%d", port), s.https("/"))
			for _, wrong := range []string{"alice:wrong@", "bob:s3cret@", ""} {
				res := run(t, "", "curl", curlArgs("--cacert", s.root, "-x", fmt.Sprintf("socks5h://%s127.0.0.1:%d", wrong, port), s.https("/"))...)
				if res.Code != 97 { // CURLE_PROXY
					t.Errorf("curl as %q: exit code %d, want 97\n%s", wrong, res.Code, res.Stderr)
				}
			}
		})
	}
}

func TestCurlThroughAnHTTPProxy(t *testing.T) {
	s := startSite(t)
	t.Run("squid asks for credentials, and curl answers on the same connection", func(t *testing.T) {
		port := reserve(t)
		start(t, peers.Squid(port, "alice", password(t, "-apr1", "s3cret")))
		proxy := fmt.Sprintf("http://127.0.0.1:%d", port)
		res := run(t, "", "curl", curlArgs("-v", "--proxy-anyauth", "-U", "alice:s3cret", "--cacert", s.root, "-x", proxy, s.https("/status"))...)
		if res.Code != 0 || !strings.Contains(res.Stdout, "protocol=HTTP/2.0") {
			t.Fatalf("exit code %d: %q\n%s", res.Code, res.Stdout, res.Stderr)
		}
		for _, want := range []string{"HTTP/1.1 407 Proxy Authentication Required", "Proxy-Authorization: Basic", "HTTP/1.1 200 Connection established"} {
			if !strings.Contains(res.Stderr, want) {
				t.Errorf("dialogue lacks %q:\n%s", want, res.Stderr)
			}
		}
		if n := strings.Count(res.Stderr, "* Connected to"); n != 1 {
			t.Errorf("%d connections, want the 407 to keep its own:\n%s", n, res.Stderr)
		}
		if got := curl(t, "-o", "/dev/null", "-w", "%{http_code}", "-x", proxy, s.http("/")); got != "407" {
			t.Errorf("without credentials: status %s, want 407", got)
		}
	})
	t.Run("tinyproxy", func(t *testing.T) {
		port := reserve(t)
		start(t, peers.Tinyproxy(port))
		proxy := fmt.Sprintf("http://127.0.0.1:%d", port)
		if got := fields(t, curl(t, "--cacert", s.root, "-x", proxy, s.https("/status"))); got["protocol"] != "HTTP/2.0" {
			t.Errorf("protocol %q, want HTTP/2.0", got["protocol"])
		}
		if got, want := curl(t, "-x", proxy, s.http("/")), "hello from nginx\n"; got != want {
			t.Errorf("absolute form: %q, want %q", got, want)
		}
	})
}

func TestHAProxySendsItsHeader(t *testing.T) {
	leaf, root := issue(t, "localhost")
	tests := []struct {
		name string
		send string
		leaf *peers.Leaf
		ver  byte
		tlvs []proxyproto.PP2Type
	}{
		{"version 1", "send-proxy", nil, 1, nil},
		{"version 2", "send-proxy-v2", nil, 2, nil},
		{"version 2 with a checksum and an ID", "send-proxy-v2 proxy-v2-options crc32c,unique-id", nil, 2, []proxyproto.PP2Type{proxyproto.PP2_TYPE_CRC32C, proxyproto.PP2_TYPE_UNIQUE_ID}},
		{"version 2 about a TLS client", "send-proxy-v2-ssl-cn proxy-v2-options authority,ssl-cipher", &leaf, 2, []proxyproto.PP2Type{proxyproto.PP2_TYPE_ALPN, proxyproto.PP2_TYPE_AUTHORITY, proxyproto.PP2_TYPE_SSL}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			headers, addr := acceptProxy(t)
			port := reserve(t)
			start(t, peers.HAProxy(peers.HAProxyConfig{Listen: port, Server: addr, Send: tt.send, Leaf: tt.leaf}))
			u := url.URL{Scheme: "http", Host: fmt.Sprintf("localhost:%d", port)}
			if tt.leaf != nil {
				u.Scheme = "https"
			}
			if got, want := curl(t, "--http1.1", "-4", "--cacert", root, u.String()), "hello behind the balancer"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			h, ok := <-headers
			if !ok {
				t.Fatal("no header came")
			}
			if h.Version != tt.ver || h.Command != proxyproto.PROXY {
				t.Errorf("header %+v, want version %d", h, tt.ver)
			}
			if src, ok := h.SourceAddr.(*net.TCPAddr); !ok || !src.IP.IsLoopback() || src.Port == 0 {
				t.Errorf("source %v, want curl's address", h.SourceAddr)
			}
			checkTLVs(t, h, tt.tlvs)
		})
	}
}

func checkTLVs(t *testing.T, h *proxyproto.Header, want []proxyproto.PP2Type) {
	t.Helper()
	tlvs, err := h.TLVs()
	if err != nil {
		t.Fatal(err)
	}
	got := map[proxyproto.PP2Type]bool{}
	for _, tlv := range tlvs {
		got[tlv.Type] = true
	}
	for _, kind := range want {
		if !got[kind] {
			t.Errorf("TLVs %v lack type %#x", tlvs, byte(kind))
		}
	}
}

// acceptProxy answers one request that comes behind a PROXY header, read by a
// parser that is not ours, and returns the header.
func acceptProxy(t *testing.T) (<-chan *proxyproto.Header, string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	headers := make(chan *proxyproto.Header, 1)
	done := make(chan struct{})
	t.Cleanup(func() { ln.Close(); <-done })
	go func() {
		defer close(done)
		defer close(headers)
		c, err := ln.Accept()
		if err != nil {
			t.Errorf("accept: %v", err)
			return
		}
		defer c.Close()
		r := bufio.NewReader(c)
		h, err := proxyproto.Read(r)
		if err != nil {
			t.Errorf("read the header: %v", err)
			return
		}
		if _, err := http.ReadRequest(r); err != nil {
			t.Errorf("read the request: %v", err)
			return
		}
		headers <- h
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 25\r\n\r\nhello behind the balancer")
	}()
	return headers, ln.Addr().String()
}

// handshake completes a TLS handshake with openssl s_client and returns its report.
func handshake(t *testing.T, port int, authority *peers.Authority, args ...string) string {
	t.Helper()
	root := writeFile(t, "root.pem", authority.PEM)
	args = append([]string{"s_client", "-connect", fmt.Sprintf("127.0.0.1:%d", port), "-servername", "localhost", "-CAfile", root}, args...)
	res := run(t, "", "openssl", args...)
	return res.Stdout + res.Stderr
}

package interop

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// A tlsCase is a version of TLS, in the words of each who names it.
type tlsCase struct {
	flag    string // of openssl
	version string // of the flow log
	openssl string // of openssl's report
	ciphers []string
}

// tlsCases are the versions of TLS; the sample has one cipher suite each, named by
// nobody, and the whole matrix has more for those versions in which the server's choice
// is passed on.
func tlsCases(rsa bool) []tlsCase {
	cases := []tlsCase{
		{flag: "-tls1", version: "1.0", openssl: "TLSv1"},
		{flag: "-tls1_1", version: "1.1", openssl: "TLSv1.1"},
		{flag: "-tls1_2", version: "1.2", openssl: "TLSv1.2"},
		{flag: "-tls1_3", version: "1.3", openssl: "TLSv1.3"},
	}
	key, old := "ECDSA", []string{"ECDHE-ECDSA-AES128-SHA"}
	if rsa {
		key, old = "RSA", []string{"ECDHE-RSA-AES256-SHA", "AES128-SHA"}
	}
	for i := range cases[:3] {
		cases[i].ciphers = []string{"DEFAULT"}
		if os.Getenv("INTEROP") == "full" {
			cases[i].ciphers = append(cases[i].ciphers, old...)
		}
	}
	if os.Getenv("INTEROP") == "full" {
		cases[2].ciphers = append(cases[2].ciphers, "ECDHE-"+key+"-AES256-GCM-SHA384", "ECDHE-"+key+"-AES128-GCM-SHA256",
			"ECDHE-"+key+"-CHACHA20-POLY1305")
	}
	cases[3].ciphers = []string{"DEFAULT"}
	return cases
}

// openssl on both sides: each version, and up to 1.2 the very cipher suite, is the same
// in front of mitm and behind it.
func TestOpenSSLAgreesOnTheSameThroughMitm(t *testing.T) {
	t.Parallel()
	authority, err := peers.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	root := writeFile(t, "root.pem", authority.PEM)
	m := startMitm(t, "--listen", "127.0.0.1:0", "--trust", root, "--no-system-roots")
	for key, issue := range map[string]func(...string) (peers.Leaf, error){"ECDSA": authority.Leaf, "RSA": authority.RSALeaf} {
		leaf, err := issue("localhost")
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range tlsCases(key == "RSA") {
			port := reserve(t)
			start(t, peers.OpenSSLServer(port, leaf, tt.flag, "-cipher", "ALL@SECLEVEL=0"))
			for _, cipher := range tt.ciphers {
				t.Run(key+", "+tt.openssl+", "+cipher, func(t *testing.T) {
					res := run(t, "GET / HTTP/1.0\r\n\r\n", "openssl", "s_client", "-proxy", m.addrs[0], "-connect", at(port), "-ign_eof",
						"-servername", "localhost", "-verify_hostname", "localhost", "-verify_return_error", "-CAfile", m.root, "-cipher", cipher+"@SECLEVEL=0", tt.flag)
					if res.Code != 0 {
						t.Fatalf("s_client: exit code %d\n%s%s", res.Code, res.Stdout, res.Stderr)
					}
					client, server := reported(t, res.Stdout, `(?m)^New, (\S+), Cipher is (\S+)$`), reported(t, res.Stdout, `(?m)^New, (\S+), Cipher is (\S+)\r?\n(?:.|\n)*New, (\S+), Cipher is (\S+)$`)[2:]
					if tt.version != "1.3" && client[1] != server[1] {
						t.Errorf("the client has %s, the server %s", client[1], server[1])
					}
					if !strings.Contains(res.Stdout, "Protocol  : "+tt.openssl+"\n") {
						t.Errorf("the server's page lacks %s:\n%s", tt.openssl, res.Stdout)
					}
					line{path: "connect>tls>http", action: "inspect", target: at(port), version: tt.version, verdict: "ok"}.check(t, m.flow(t))
				})
			}
		}
	}
}

// reported returns the groups of the first match.
func reported(t *testing.T, text, pattern string) []string {
	t.Helper()
	match := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if match == nil {
		t.Fatalf("%s is not in:\n%s", pattern, text)
	}
	return match[1:]
}

func TestOtherClientsThroughMitm(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	m := startMitm(t, s.listen()...)
	const want = "hello from nginx\n"
	t.Run("wget, which is GnuTLS", func(t *testing.T) {
		got := succeed(t, "wget", "--no-config", "-e", "use_proxy=yes", "-e", "https_proxy=http://"+m.addrs[0], "-e", "no_proxy=",
			"-qO-", "--ca-certificate", m.root, s.https("/"))
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		f := m.flow(t)
		inspected(f.Path, s.target(), f.TLS.Client.ALPN).check(t, f)
		if !strings.HasPrefix(f.Path, "connect>tls") {
			t.Errorf("path %s, want CONNECT and TLS", f.Path)
		}
	})
	for _, version := range []string{"TLSv1.2", "TLSv1.3"} {
		t.Run("node, "+version, func(t *testing.T) {
			got := succeed(t, "node", "-e", nodeConnect, m.addrs[0], s.https("/"), m.root, version)
			if want := version + " " + want; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			wanted := inspected("connect>tls>http", s.target(), "")
			wanted.version = strings.TrimPrefix(version, "TLSv")
			wanted.check(t, m.flow(t))
		})
	}
	t.Run("node, HTTP/2", func(t *testing.T) {
		if got := succeed(t, "node", "-e", nodeHTTP2, m.addrs[0], s.https("/"), m.root); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		inspected("connect>tls(h2)", s.target(), "h2").check(t, m.flow(t))
	})
	for scheme, path := range map[string]string{"http": "connect", "socks5": "socks5"} {
		t.Run("Go, "+scheme, func(t *testing.T) {
			client := proxied(t, m, scheme)
			client.Transport.(*http.Transport).ForceAttemptHTTP2 = true
			if got := get(t, client, s.https("/")); got != "HTTP/2.0 "+want {
				t.Errorf("got %q, want %q", got, want)
			}
			client.CloseIdleConnections()
			inspected(path+">tls(h2)", s.target(), "h2").check(t, m.flow(t))
		})
	}
}

// get returns the version of the protocol and the page.
func get(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.Proto + " " + string(page)
}

// gnutls-cli knows no proxies, so it is sent to the server by --connect.
func TestGnuTLSThroughMitm(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	m := s.behind(t, s.tls)
	_, port, _ := strings.Cut(m.addrs[0], ":")
	for _, version := range []string{"1.2", "1.3"} {
		t.Run(version, func(t *testing.T) {
			res := run(t, "GET / HTTP/1.0\r\n\r\n", "gnutls-cli", "--x509cafile", m.root, "--priority", "NORMAL:-VERS-ALL:+VERS-TLS"+version,
				"--alpn", "http/1.1", "-p", port, "localhost")
			for _, want := range []string{"(TLS" + version + "-X.509)", "certificate is trusted", "Application protocol: http/1.1", "hello from nginx"} {
				if !strings.Contains(res.Stdout, want) {
					t.Errorf("gnutls-cli lacks %q:\n%s%s", want, res.Stdout, res.Stderr)
				}
			}
			wanted := inspected("tls(http/1.1)", s.target(), "http/1.1")
			wanted.version = version
			wanted.check(t, m.flow(t))
		})
	}
}

// A client that names a server, and no proxy, is taken to that server's port 443; one
// that means us is told that nothing else is here.
func TestBareTLSForUs(t *testing.T) {
	t.Parallel()
	m := startMitm(t, "--listen", "127.0.0.1:0")
	res := run(t, "", "curl", curlArgs("--cacert", m.root, "-w", "%{http_code}", fmt.Sprintf("https://%s/", strings.Replace(m.addrs[0], "127.0.0.1", "localhost", 1)))...)
	if res.Code != 0 || !strings.HasSuffix(res.Stdout, "421") {
		t.Errorf("curl: exit code %d, %q, want status 421\n%s", res.Code, res.Stdout, res.Stderr)
	}
	f := m.flow(t)
	if f.Path != "tls(http/1.1)" || f.Action != "terminate" || f.Reason != "desync" || f.Server != "" {
		t.Errorf("flow %+v, want TLS terminated, and no server", f)
	}
}

// nodeTunnel asks a proxy for a tunnel and speaks TLS in it.
const nodeTunnel = `
const [proxy, url, root, version] = process.argv.slice(1), [host, port] = proxy.split(":");
const authority = new URL(url).host, tls = require("tls"), ca = require("fs").readFileSync(root);
const tunnel = (options, then) => require("http").request({host, port, method: "CONNECT", path: authority, headers: {Host: authority}})
	.on("connect", (res, socket) => { const c = tls.connect({socket, servername: "localhost", ca, ...options}, () => then(c)); }).end();`

const nodeConnect = nodeTunnel + `
tunnel({minVersion: version, maxVersion: version}, c => {
	require("https").get(url, {createConnection: () => c}, res => {
		process.stdout.write(c.getProtocol() + " ");
		res.pipe(process.stdout);
	});
});`

const nodeHTTP2 = nodeTunnel + `
tunnel({ALPNProtocols: ["h2"]}, c => {
	const session = require("http2").connect(url, {createConnection: () => c});
	const stream = session.request({":path": "/"});
	stream.pipe(process.stdout);
	stream.on("end", () => session.close());
});`

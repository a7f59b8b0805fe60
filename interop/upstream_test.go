package interop

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// An upstreamProxy is a proxy that mitm dials through, and how --connect names it.
type upstreamProxy struct {
	name   string
	scheme string // with user information
	proto  string // as the flow log names it
	user   string
	start  func(t *testing.T, s site, port int)
	ip     bool // it takes addresses only
}

func upstreamProxies() []upstreamProxy {
	dante := func(t *testing.T, _ site, port int) {
		p, err := peers.Dante(port, "", "")
		if err != nil {
			t.Fatal(err)
		}
		start(t, p)
	}
	squid := func(t *testing.T, _ site, port int) { startSquid(t, port) }
	tinyproxy := func(t *testing.T, _ site, port int) { start(t, peers.Tinyproxy(port)) }
	return []upstreamProxy{
		{"SOCKS5 of microsocks", "socks5://", "socks5", "", func(t *testing.T, _ site, port int) {
			start(t, peers.Microsocks(port, "", ""))
		}, false},
		{"SOCKS5 of microsocks, with a password", "socks5://alice:s%33cret@", "socks5", "alice", func(t *testing.T, _ site, port int) {
			start(t, peers.Microsocks(port, "alice", "s3cret"))
		}, false},
		{"SOCKS5 of dante", "socks5h:", "socks5", "", dante, false},
		{"SOCKS4 of dante", "socks4://", "socks4", "", dante, true},
		{"SOCKS5 of OpenSSH", "socks5:", "socks5", "", startSSH, false},
		{"SOCKS4A of OpenSSH", "socks4a://", "socks4", "", startSSH, false},
		{"squid, with a password", "http://alice:s3cret@", "connect", "alice", squid, false},
		{"tinyproxy", "http:", "connect", "", tinyproxy, false},
		{"tinyproxy, by TLS", "https://", "connect", "", func(t *testing.T, s site, port int) {
			inner := reserve(t)
			tinyproxy(t, s, inner)
			start(t, peers.HAProxy(peers.HAProxyConfig{Listen: port, Server: fmt.Sprintf("127.0.0.1:%d", inner), Leaf: &s.leaf}))
		}, false},
	}
}

// startSSH is ssh -D, which speaks SOCKS on its own side and dials on the server's.
func startSSH(t *testing.T, _ site, port int) {
	t.Helper()
	server := reserve(t)
	sshd := start(t, peers.OpenSSH(server))
	start(t, peers.Program{
		Name: "ssh",
		Args: []string{
			"-N", "-F", "none", "-i", filepath.Join(sshd.Dir, "user"), "-p", fmt.Sprint(server), "-D", fmt.Sprintf("127.0.0.1:%d", port),
			"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=" + peers.Here + "/known_hosts", "-o", "ExitOnForwardFailure=yes",
			"root@127.0.0.1",
		},
		Ports: []int{port},
	})
}

// via is the value of --connect.
func (u upstreamProxy) via(port int) string { return fmt.Sprintf("%s127.0.0.1:%d", u.scheme, port) }

// checkUpstream holds that a flow went through the proxy.
func checkUpstream(t *testing.T, f peers.Flow, u upstreamProxy, port int, dst string) {
	t.Helper()
	if want := fmt.Sprintf("127.0.0.1:%d", port); f.Server != want {
		t.Errorf("server %s, want the proxy %s", f.Server, want)
	}
	if len(f.Originated) != 1 {
		t.Fatalf("originated %v, want one", f.Originated)
	}
	got := f.Originated[0]
	user, _ := got["user"].(string)
	if got["proto"] != u.proto || got["verb"] != "originate" || got["dst"] != dst || user != u.user {
		t.Errorf("originated %v, want %s to %s by %q", got, u.proto, dst, u.user)
	}
}

// Clients go on saying what they want, each in its own way, and are taken there through
// a proxy that may speak another one.
func TestCurlThroughMitmAndAnUpstreamProxy(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	for _, u := range upstreamProxies() {
		t.Run(u.name, func(t *testing.T) {
			port := reserve(t)
			u.start(t, s, port)
			m := startMitm(t, s.listen("--connect", u.via(port))...)
			host := "localhost"
			if u.ip {
				host = "127.0.0.1"
			}
			secure := fmt.Sprintf("%s:%d", host, s.tls)
			for front, path := range map[string]string{"socks5h": "socks5", "socks4a": "socks4", "http": "connect"} {
				got := fields(t, curl(t, "--cacert", m.root, "-x", front+"://"+m.addrs[0], "https://"+secure+"/status"))
				if got["protocol"] != "HTTP/2.0" {
					t.Errorf("%s: nginx saw %v, want HTTP/2", front, got)
				}
				f := m.flow(t)
				inspected(path+">tls(h2)", secure, "h2").check(t, f)
				checkUpstream(t, f, u, port, secure)
			}
			plain := fmt.Sprintf("%s:%d", host, s.plain)
			if got := curl(t, "-x", "http://"+m.addrs[0], "http://"+plain+"/"); got != "hello from nginx\n" {
				t.Errorf("a request without TLS: %q", got)
			}
			f := m.flow(t)
			forwarded(plain).check(t, f)
			checkUpstream(t, f, u, port, plain)
			if said := m.Logs(); strings.Contains(said, "s3cret") || strings.Contains(said, "s%33cret") {
				t.Error("mitm has said the password")
			}
		})
	}
}

// One kind of proxy is made another: each front terminates its protocol, and the proxy is
// spoken to in its own.
func TestMitmAsAProtocolConverter(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	for _, u := range upstreamProxies() {
		if u.user == "" && u.proto == "connect" || u.ip {
			continue
		}
		t.Run(u.name, func(t *testing.T) {
			port, socks, connect := reserve(t), reserve(t), reserve(t)
			u.start(t, s, port)
			m := startMitm(t, "--httpconnect", fmt.Sprintf("127.0.0.1,%d", connect), "--socks", fmt.Sprintf("127.0.0.1,%d", socks),
				"--nontls", "allow", "--trust", s.root, "--no-system-roots", "--connect", u.via(port))
			for _, tt := range []struct{ proxy, url, path, alpn string }{
				{fmt.Sprintf("http://127.0.0.1:%d", connect), s.https("/status"), "connect>tls(h2)", "h2"},
				{fmt.Sprintf("socks5h://127.0.0.1:%d", socks), s.https("/status"), "socks5>tls(h2)", "h2"},
				{fmt.Sprintf("socks5h://127.0.0.1:%d", socks), s.http("/status"), "socks5>http", ""},
			} {
				fields(t, curl(t, "--cacert", m.root, "-x", tt.proxy, tt.url))
				f := m.flow(t)
				if tt.alpn == "" {
					line{path: tt.path, action: "allow", target: s.plainTarget()}.check(t, f)
				} else {
					inspected(tt.path, s.target(), tt.alpn).check(t, f)
				}
				checkUpstream(t, f, u, port, f.Target)
			}
		})
	}
}

// Why a proxy does not take us there reaches the client in the client's own words.
func TestRefusalsOfAnUpstreamProxy(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	for _, tt := range []struct {
		name   string
		proxy  upstreamProxy
		scheme string // in the place of the proxy's own
		url    func(t *testing.T) string
		reason string
		code   string // of SOCKS5, as curl prints it
		status string
	}{
		{"a closed port, by SOCKS5", upstreamProxies()[0], "", closedURL, "refused", "(5)", "502"},
		{"a name that does not resolve, by SOCKS5", upstreamProxies()[0], "", nowhere, "unreachable", "(1)", "502"},
		{"a wrong password, by SOCKS5", upstreamProxies()[1], "socks5://alice:wrong@", nil, "auth", "(1)", "502"},
		{"no password, by SOCKS5", upstreamProxies()[1], "socks5://", nil, "auth", "(1)", "502"},
		{"a closed port, by SOCKS4", upstreamProxies()[3], "", closedURL4, "unreachable", "(1)", "502"},
		{"a closed port, by SOCKS4A of OpenSSH, which says nothing", upstreamProxies()[5], "", closedURL, "peer_closed", "(1)", "502"},
		{"a closed port, by CONNECT", upstreamProxies()[6], "", closedURL, "unreachable", "(4)", "502"},
		{"a wrong password, by CONNECT", upstreamProxies()[6], "http://alice:wrong@", nil, "auth", "(1)", "502"},
		{"no password, by CONNECT", upstreamProxies()[6], "http://", nil, "auth", "(1)", "502"},
		{"a proxy that is none", upstreamProxy{start: func(*testing.T, site, int) {}}, "socks5://", nil, "refused", "(5)", "502"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			port := reserve(t)
			tt.proxy.start(t, s, port)
			if tt.scheme != "" {
				tt.proxy.scheme = tt.scheme
			}
			m := startMitm(t, s.listen("--connect", tt.proxy.via(port))...)
			url := s.https("/")
			if tt.url != nil {
				url = tt.url(t)
			}
			res := run(t, "", "curl", curlArgs("-x", "socks5h://"+m.addrs[0], url)...)
			if res.Code != 97 || !strings.Contains(res.Stderr, tt.code) { // CURLE_PROXY
				t.Errorf("by SOCKS5 curl says %q, exit code %d, want %s", res.Stderr, res.Code, tt.code)
			}
			if f := m.flow(t); f.Reason != tt.reason || f.Action != "allow" {
				t.Errorf("flow %+v, want %s", f, tt.reason)
			}
			res = run(t, "", "curl", curlArgs("-x", "http://"+m.addrs[0], "-w", "%{http_connect}", url)...)
			if res.Code != 56 || res.Stdout != tt.status { // CURLE_RECV_ERROR
				t.Errorf("by CONNECT curl says %q, %q, exit code %d, want %s", res.Stdout, res.Stderr, res.Code, tt.status)
			}
			if f := m.flow(t); f.Reason != tt.reason {
				t.Errorf("flow %+v, want %s", f, tt.reason)
			}
		})
	}
}

func closedURL(t *testing.T) string { return fmt.Sprintf("https://localhost:%d/", reserve(t)) }

func closedURL4(t *testing.T) string { return fmt.Sprintf("https://127.0.0.1:%d/", reserve(t)) }

func nowhere(*testing.T) string { return "https://nobody.invalid/" }

// A certificate that does not verify is no way to a proxy, and what is said to it is not
// said to somebody else.
func TestAnUpstreamProxyWhoseCertificateDoesNotVerify(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	u := upstreamProxies()[8]
	port := reserve(t)
	u.start(t, s, port)
	m := startMitm(t, "--listen", "127.0.0.1:0", "--connect", u.via(port))
	res := run(t, "", "curl", curlArgs("-x", "socks5h://"+m.addrs[0], s.https("/"))...)
	if res.Code != 97 {
		t.Errorf("curl says %q, exit code %d, want a refusal", res.Stderr, res.Code)
	}
	if f := m.flow(t); f.Reason != "tls_server" || !strings.Contains(f.Error, "certificate") || len(f.Originated) != 0 {
		t.Errorf("flow %+v, want tls_server by the certificate, before anything was asked", f)
	}
}

// A server that wants the client's own certificate is reached a second time by the same
// way, and the client then speaks with it itself.
func TestARescueThroughAnUpstreamProxy(t *testing.T) {
	t.Parallel()
	u := newMutual(t)
	server := u.nginx(t, "on")
	for _, proxy := range []upstreamProxy{upstreamProxies()[1], upstreamProxies()[6]} {
		t.Run(proxy.name, func(t *testing.T) {
			port := reserve(t)
			proxy.start(t, site{}, port)
			m := u.mitm(t, "--connect", proxy.via(port))
			page := curl(t, append(u.show(), "--cacert", u.root, "-x", "socks5h://"+m.addrs[0], "https://"+at(server)+"/")...)
			if !strings.HasPrefix(page, "verify=SUCCESS client=CN=alice") {
				t.Errorf("the page is %q", page)
			}
			f := m.flow(t)
			if f.Path != "socks5>tls(pass)" || f.Action != "rescue" {
				t.Errorf("flow %+v, want a rescue", f)
			}
			checkUpstream(t, f, proxy, port, at(server))
		})
	}
}

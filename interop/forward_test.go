package interop

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// listen are the flags that a mitm of these tests has: any free port, and no root to
// trust but the site's.
func (s site) listen(more ...string) []string {
	return append([]string{"--listen", "127.0.0.1:0", "--trust", s.root, "--no-system-roots"}, more...)
}

func (s site) target() string { return fmt.Sprintf("localhost:%d", s.tls) }

// The lines of the README, with a port that is free.
func TestTheFirstMinute(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	m := startMitm(t, "--listen", "127.0.0.1:0", "-w", peers.Here+"/t.pcap", "--trust", s.root)
	for _, tt := range []struct {
		page, path string
		proxy      []string
	}{
		{"/status?one", "socks5>tls(h2)", []string{"-x", "socks5h://" + m.addrs[0]}},
		{"/status?two", "connect>tls(h2)", []string{"-x", "http://" + m.addrs[0]}},
		{"/status?three", "socks4>tls(h2)", []string{"--socks4a", m.addrs[0]}},
	} {
		args := append([]string{"--cacert", m.root, "-w", "%{http_version} %{http_code}\n%{certs}", s.https(tt.page)}, tt.proxy...)
		got := curl(t, args...)
		for _, want := range []string{"protocol=HTTP/2.0 tls=TLSv1.3", "\n2 200\n", "Issuer:O = bridgeio, CN = bridgeio CA"} {
			if !strings.Contains(got, want) {
				t.Errorf("curl %q: lacks %q:\n%s", tt.proxy, want, got)
			}
		}
		inspected(tt.path, s.target(), "h2").check(t, m.flow(t))
	}
	m.finish(t)
	got := tshark(t, m.Dir+"/t.pcap", "-Y", "http2.headers.method", "-T", "fields", "-e", "http2.headers.method", "-e", "http2.headers.path")
	if want := "GET\t/status?one\nGET\t/status?two\nGET\t/status?three\n"; got != want {
		t.Errorf("tshark shows the requests\n%s, want\n%s", got, want)
	}
}

func TestCurlIsForwarded(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	open := startMitm(t, s.listen("--socks", "127.0.0.1,0", "--httpconnect", "127.0.0.1,0")...)
	guarded := startMitm(t, s.listen("--auth", "bob:other", "--auth", "file:"+writeFile(t, "auth", "alice:s3cret\n"),
		"--timeout", "0", "--tlstimeout", "0", "--idle", "0", "--drain", "0", "--fail", "closed")...)
	byIP := fmt.Sprintf("127.0.0.1:%d", s.tls)
	tests := []struct {
		name         string
		m            *mitm
		proxy        string
		path, target string
	}{
		{"socks4", open, "socks4://" + open.addrs[0], "socks4", byIP},
		{"socks4a", open, "socks4a://" + open.addrs[0], "socks4", s.target()},
		{"socks5", open, "socks5://" + open.addrs[0], "socks5", byIP},
		{"socks5h", open, "socks5h://" + open.addrs[0], "socks5", s.target()},
		{"an HTTP proxy", open, "http://" + open.addrs[0], "connect", s.target()},
		{"the SOCKS front", open, "socks5h://" + open.addrs[1], "socks5", s.target()},
		{"the SOCKS front, as version 4a", open, "socks4a://" + open.addrs[1], "socks4", s.target()},
		{"the HTTP front", open, "http://" + open.addrs[2], "connect", s.target()},
		{"socks5h with a password", guarded, "socks5h://alice:s3cret@" + guarded.addrs[0], "socks5", s.target()},
		{"socks5h with another password", guarded, "socks5h://bob:other@" + guarded.addrs[0], "socks5", s.target()},
		{"an HTTP proxy with a password", guarded, "http://alice:s3cret@" + guarded.addrs[0], "connect", s.target()},
	}
	for _, tt := range tests {
		for flag, want := range map[string]map[string]string{
			"--http2":   {"protocol": "HTTP/2.0", "alpn": "h2", "sni": "localhost"},
			"--http1.1": {"protocol": "HTTP/1.1", "alpn": "http/1.1", "sni": "localhost"},
		} {
			t.Run(tt.name+", "+flag, func(t *testing.T) {
				got := fields(t, curl(t, flag, "-4", "-x", tt.proxy, "--cacert", tt.m.root, s.https("/status")))
				for key := range want {
					if got[key] != want[key] {
						t.Errorf("nginx saw %s %q, want %q", key, got[key], want[key])
					}
				}
				f := tt.m.flow(t)
				inspected(tt.path+">tls("+want["alpn"]+")", tt.target, want["alpn"]).check(t, f)
				checkUser(t, f, tt.proxy)
			})
		}
	}
}

// checkUser holds that a name that was given is told, and no password.
func checkUser(t *testing.T, f peers.Flow, proxy string) {
	t.Helper()
	_, userinfo, _ := strings.Cut(proxy, "://")
	userinfo, _, given := strings.Cut(userinfo, "@")
	user, secret, _ := strings.Cut(userinfo, ":")
	if !given {
		user = ""
	}
	got, _ := f.Frames[0]["user"].(string)
	if got != user {
		t.Errorf("user %q, want %q", got, user)
	}
	if given && strings.Contains(fmt.Sprint(f), secret) {
		t.Errorf("the password is in %+v", f)
	}
}

// curl that waits to be asked for its password shows it on the same connection.
func TestCurlIsAskedForAPassword(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	m := startMitm(t, s.listen("--auth", "alice:s3cret")...)
	for url, want := range map[string]line{
		s.https("/status"): inspected("connect>tls(h2)", s.target(), "h2"),
		s.http("/status"):  forwarded(s.plainTarget()),
	} {
		res := run(t, "", "curl", curlArgs("-v", "--proxy-anyauth", "-U", "alice:s3cret", "-x", "http://"+m.addrs[0], "--cacert", m.root, url)...)
		if res.Code != 0 || !strings.Contains(res.Stdout, "scheme=") {
			t.Fatalf("%s: exit code %d, %q\n%s", url, res.Code, res.Stdout, res.Stderr)
		}
		asked, connects := strings.Count(res.Stderr, "< HTTP/1.1 407 "), strings.Count(res.Stderr, "* Connected to")
		if asked != 1 || connects != 1 {
			t.Errorf("%s: asked %d times on %d connections, want once on one\n%s", url, asked, connects, res.Stderr)
		}
		f := m.flow(t)
		want.check(t, f)
		if f.Frames[0]["user"] != "alice" {
			t.Errorf("%s: user %v, want alice", url, f.Frames[0]["user"])
		}
	}
	got := curl(t, "-x", "http://"+m.addrs[0], "-o", os.DevNull, "-w", "%{http_code}", s.http("/"))
	if f := m.flow(t); got != "407" || f.Path != "http" || f.Reason != "auth" {
		t.Errorf("without credentials: status %s, flow %+v, want 407 and reason auth", got, f)
	}
}

func TestCurlWithoutCredentialsIsRefused(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	m := startMitm(t, s.listen("--auth", "alice:s3cret")...)
	addr := m.addrs[0]
	tests := []struct {
		name, proxy, path, says string
		code                    int
	}{
		{"SOCKS5 without a password", "socks5h://" + addr, "socks5", "No authentication method was acceptable", 97},
		{"SOCKS5 with a wrong one", "socks5h://alice:wrong@" + addr, "socks5", "User was rejected by the SOCKS5 server", 97},
		{"SOCKS4, which has none", "socks4a://" + addr, "socks4", "", 97},
		{"CONNECT without one", "http://" + addr, "connect", "407", 56},
		{"CONNECT with a wrong one", "http://bob:s3cret@" + addr, "connect", "407", 56},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res := run(t, "", "curl", curlArgs("-x", tt.proxy, "--cacert", m.root, s.https("/"))...)
			if res.Code != tt.code || !strings.Contains(res.Stderr, tt.says) {
				t.Errorf("exit code %d, %q, want %d, %q", res.Code, res.Stderr, tt.code, tt.says)
			}
			f := m.flow(t)
			if f.Path != tt.path || f.Action != "allow" || f.Reason != "auth" || f.Server != "" {
				t.Errorf("flow %+v, want path %s, reason auth, no server", f, tt.path)
			}
		})
	}
}

package interop

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// behind starts a mitm in front of the server that listens on port, and returns it.
func (s site) behind(t *testing.T, port int, more ...string) *mitm {
	t.Helper()
	return startMitm(t, s.listen(append([]string{"--connect", fmt.Sprintf("localhost:%d", port)}, more...)...)...)
}

// A relayed is a server that mitm relays to, and how curl names it as its proxy.
type relayed struct {
	name   string
	start  func(t *testing.T, port int)
	scheme string   // with user information, of curl's -x
	path   string   // what its protocol adds to a path
	args   []string // of curl
	user   string
}

func relayedServers() []relayed {
	return []relayed{
		{name: "microsocks", scheme: "socks5h://", path: "socks5", start: func(t *testing.T, port int) {
			start(t, peers.Microsocks(port, "", ""))
		}},
		{name: "dante with a password", scheme: "socks5h://alice:s3cret@", path: "socks5", user: "alice", start: func(t *testing.T, port int) {
			p, err := peers.Dante(port, "alice", password(t, "-6", "s3cret"))
			if err != nil {
				t.Fatal(err)
			}
			start(t, p)
		}},
		{name: "squid with a password", scheme: "http://alice:s3cret@", path: "connect", user: "alice", start: startSquid},
		{name: "squid that asks first", scheme: "http://alice:s3cret@", path: "connect", user: "alice", args: []string{"--proxy-anyauth"}, start: startSquid},
		{name: "tinyproxy", scheme: "http://", path: "connect", start: func(t *testing.T, port int) {
			start(t, peers.Tinyproxy(port))
		}},
	}
}

func startSquid(t *testing.T, port int) {
	start(t, peers.Squid(port, "alice", password(t, "-apr1", "s3cret")))
}

// HAProxy stands in front of mitm and tells who the client is; mitm relays what the
// client says to a proxy, which takes it to nginx.
func TestCurlThroughABalancerAndAProxy(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	for _, server := range relayedServers() {
		t.Run(server.name, func(t *testing.T) {
			port := reserve(t)
			server.start(t, port)
			m := s.behind(t, port, "--accept-proxy", "127.0.0.0/8")
			for i, send := range []string{"send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"} {
				balancer := reserve(t)
				start(t, peers.HAProxy(peers.HAProxyConfig{Listen: balancer, Server: m.addrs[0], Send: send}))
				proxy := fmt.Sprintf("%s127.0.0.1:%d", server.scheme, balancer)
				args := append([]string{"-x", proxy, "--cacert", m.root, "-w", "local=%{local_port} connects=%{num_connects}", s.https("/status")}, server.args...)
				got := fields(t, curl(t, args...))
				if got["protocol"] != "HTTP/2.0" || got["connects"] != "1" {
					t.Errorf("%s: nginx and curl saw %v, want HTTP/2 and one connection", send, got)
				}
				f := m.flow(t)
				version := min(i, 1) + 1
				inspected(fmt.Sprintf("proxy%d>%s>tls(h2)", version, server.path), s.target(), "h2").check(t, f)
				if want := "127.0.0.1:" + got["local"]; f.Client != want {
					t.Errorf("%s: client %s, want curl's %s", send, f.Client, want)
				}
				if user, _ := f.Frames[1]["user"].(string); user != server.user {
					t.Errorf("%s: user %q, want %q", send, user, server.user)
				}
				if _, at, _ := net.SplitHostPort(f.Server); at != strconv.Itoa(port) {
					t.Errorf("%s: server %s, want port %d", send, f.Server, port)
				}
			}
		})
	}
}

// What a proxy refuses reaches the client as the proxy said it.
func TestRefusalsOfAProxyAreRelayed(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	for _, server := range relayedServers() {
		if server.user == "" || server.args != nil {
			continue
		}
		t.Run(server.name, func(t *testing.T) {
			port := reserve(t)
			server.start(t, port)
			m := s.behind(t, port)
			ask := func(address string) peers.Result {
				proxy := strings.Replace(server.scheme, "s3cret", "wrong", 1) + address
				return run(t, "", "curl", curlArgs("-x", proxy, "--cacert", m.root, s.https("/"))...)
			}
			direct, through := ask(fmt.Sprintf("127.0.0.1:%d", port)), ask(m.addrs[0])
			if direct.Code == 0 || through != direct {
				t.Errorf("curl said %+v, without mitm %+v", through, direct)
			}
			f := m.flow(t)
			note, _ := f.Frames[0]["note"].(string)
			if f.Path != server.path || f.Action != "allow" || !strings.Contains(note, "refused: ") {
				t.Errorf("flow %+v, want path %s, and a note that it was refused", f, server.path)
			}
			// curl drops the connection with the proxy's page unread, which resets it.
			if f.Reason != "eof" && (f.Reason != "reset" || f.EndedBy != "client") {
				t.Errorf("reason %s by %s, want eof, or reset by client", f.Reason, f.EndedBy)
			}
		})
	}
}

func TestPlainRequestsAreRelayedToTinyproxy(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	port := reserve(t)
	start(t, peers.Tinyproxy(port))
	m := s.behind(t, port)
	if got, want := curl(t, "-x", "http://"+m.addrs[0], s.http("/")), "hello from nginx\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	line{path: "http", action: "allow", target: fmt.Sprintf("localhost:%d", port)}.check(t, m.flow(t))
}

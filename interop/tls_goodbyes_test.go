package interop

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/internal/peers"
)

// typedServer starts an s_server to type at, that is ready.
func (s site) typedServer(t *testing.T, m *mitm, args ...string) (server *typist, port int) {
	t.Helper()
	port = reserve(t)
	cert, key := writeFile(t, "cert.pem", s.leaf.Cert), writeFile(t, "key.pem", s.leaf.Key)
	server = typing(t, append([]string{"s_server", "-accept", onLoopback(port), "-cert", cert, "-key", key}, args...)...)
	server.reads(t, m, "ACCEPT", 1)
	return server, port
}

// typedClient starts an s_client, which is connected.
func typedClient(t *testing.T, m *mitm, root string, to ...string) *typist {
	t.Helper()
	client := typing(t, append([]string{"s_client", "-servername", "localhost", "-verify_return_error", "-CAfile", root}, to...)...)
	client.reads(t, m, "Verify return code: 0", 1)
	return client
}

// Each side may have its keys updated (RFC 8446 §4.6.3), asking for the other's or not, and
// the conversation goes on.
func TestTLSKeysAreUpdated(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	m := startTLSMitm(t, s.root)
	server, port := s.typedServer(t, m, "-tls1_3", "-msg")
	client := typedClient(t, m, m.root, "-msg", "-proxy", m.addrs[0], "-connect", at(port))
	n := 0
	talk := func() {
		for from, to := range map[*typist]*typist{client: server, server: client} {
			n++
			line := fmt.Sprintf("line number %d", n)
			from.types(t, line)
			to.reads(t, m, line, 1)
		}
	}
	talk()
	// It is a command only if it is alone: what is typed next has to wait until it is sent.
	const sent, received = ">>> TLS 1.3, Handshake [length 0005], KeyUpdate", "<<< TLS 1.3, Handshake [length 0005], KeyUpdate"
	for _, typist := range []*typist{client, server} {
		for i, command := range []string{"k", "K", "K", "k"} {
			typist.types(t, command)
			typist.reads(t, m, sent, i+1)
			talk()
		}
		if got := strings.Count(typist.said(), received); got != 2 {
			t.Errorf("%d key updates came, want the two that were asked for", got)
		}
	}
	client.types(t, "Q")
	f := m.flow(t)
	want := inspected("connect>tls>raw", at(port), "")
	want.endedBy = "client"
	want.check(t, f)
}

// Whether a peer says goodbye or is cut off, the other is told the one or the other.
func TestTLSGoodbyesAndTruncationsPass(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	m := startTLSMitm(t, s.root)
	// What either of them says when it is over, without what is of this very run.
	last := regexp.MustCompile(`(?m)^(closed|DONE|ERROR|CONNECTION CLOSED|shutting down SSL|read:errno.*|.*unexpected eof.*)$`)
	process := regexp.MustCompile(`^[0-9A-F]+:`)
	words := func(o *typist) string {
		var all []string
		for _, line := range last.FindAllString(o.said(), -1) {
			all = append(all, process.ReplaceAllString(line, ""))
		}
		return strings.Join(all, "\n")
	}
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		for _, tt := range []struct {
			name   string
			leaves func(client, server *typist)
			other  func(client, server *typist) *typist // who is left
		}{
			{"the client says goodbye", func(c, _ *typist) { c.types(t, "Q") }, func(_, s *typist) *typist { return s }},
			{"the client is killed", func(c, _ *typist) { c.kill() }, func(_, s *typist) *typist { return s }},
			{"the server hangs up", func(_, s *typist) { s.types(t, "q") }, func(c, _ *typist) *typist { return c }},
			{"the server is killed", func(_, s *typist) { s.kill() }, func(c, _ *typist) *typist { return c }},
		} {
			ends := func(root string, to func(port int) []string) string {
				server, port := s.typedServer(t, m, version)
				client := typedClient(t, m, root, to(port)...)
				client.types(t, "over here")
				server.reads(t, m, "over here", 1)
				server.types(t, "over there")
				client.reads(t, m, "over there", 1)
				tt.leaves(client, server)
				left := tt.other(client, server)
				m.eventually(t, "last words", func() bool { return words(left) != "" })
				return words(left)
			}
			direct := ends(s.root, func(port int) []string { return []string{"-connect", at(port)} })
			through := ends(m.root, func(port int) []string { return []string{"-connect", at(port), "-proxy", m.addrs[0]} })
			if through != direct {
				t.Errorf("%s, %s: the other says %q, without mitm %q", version, tt.name, through, direct)
			}
			m.flow(t)
		}
	}
}

// A download that ends before its time ends at the same byte, with a goodbye or without
// one, or with a reset.
func TestTLSADownloadThatIsCutIsCutThere(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	m := startTLSMitm(t, s.root)
	hasty := serveWith(t, s.leaf)
	for _, version := range []string{"1.2", "1.3"} {
		for _, tt := range []struct {
			name string
			port int
			step cut
			says string
		}{
			{"with a goodbye", hasty, uncut(bridge.Server), "(18) transfer closed with 900000 bytes remaining to read"},
			{"without one", s.tls, cut{bridge.Server, 40, 0, fin}, "(18) transfer closed with "},
			{"within a record", s.tls, cut{bridge.Server, 40, 1000, fin}, "(18) transfer closed with "},
			{"by a reset", s.tls, cut{bridge.Server, 40, 1000, reset}, "Connection reset by peer"},
		} {
			server := startCutter(t, tt.step, dialer(t.Context(), onLoopback(tt.port), "direct", ""))
			gets := func(args ...string) (peers.Result, int) {
				res := run(t, "", "curl", asking(version, server.port()+"/large", append(args, "--http1.1")...)...)
				n := len(res.Stdout)
				res.Stdout = ""
				return res, n
			}
			direct, size := gets("--cacert", s.root)
			through, got := gets("--cacert", m.root, "-x", "socks5h://"+m.addrs[0])
			if !strings.Contains(direct.Stderr, tt.says) || through != direct {
				t.Errorf("TLS %s, %s: curl ends with\n%+v, without mitm\n%+v, want %q", version, tt.name, through, direct, tt.says)
			}
			// A reset overtakes what is on its way.
			if got != size && tt.step.how != reset {
				t.Errorf("TLS %s, %s: %d bytes arrive, want %d", version, tt.name, got, size)
			}
			m.flow(t)
		}
	}
}

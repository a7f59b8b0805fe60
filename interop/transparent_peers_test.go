package interop

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
	"github.com/coder/websocket"
	"golang.org/x/sync/errgroup"
)

// Shells, mail and databases are reached as well, and decrypted where they change to TLS.
func TestTransparentPeers(t *testing.T) {
	t.Parallel()
	needsRoot(t, "sshd and PostgreSQL change their user")
	const shell, mail, database = 2222, 2525, 5432
	for _, mode := range []string{"redirect", "tproxy"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			l := newRouted(t)
			l.divert(t, mode, "--usesrc", "clientip")
			leaf, root := issue(t, "origin.test")
			sshd := l.servers.start(t, peers.OpenSSH(shell))
			l.servers.start(t, peers.Aiosmtpd(mail, leaf))
			l.servers.start(t, peers.Postgres(database, leaf))
			for _, port := range []int{shell, mail, database} {
				l.open(t, port)
			}
			m := l.transparently(t, mode, "--trust", root, "--usesrc", "clientip")
			letter := writeFile(t, "mail", "Subject: hello\r\n\r\nhello\r\n")
			for _, f := range protocolFamilies() {
				for _, tt := range []struct {
					name, want, path string
					args             []string
				}{
					{"ssh", "hello from sshd", "ssh", []string{
						"ssh", "-F", "none", "-i", sshd.Dir + "/user", "-p", fmt.Sprint(shell), "-o", "StrictHostKeyChecking=no",
						"-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "root@" + f.server, "echo hello from sshd",
					}},
					{"SMTP with STARTTLS", "250 OK", "smtp>tls", append([]string{"curl"}, curlArgs(
						"-v", "--stderr", "-", "--ssl-reqd", "--cacert", m.root, "--resolve", fmt.Sprintf("origin.test:%d:%s", mail, f.server),
						fmt.Sprintf("smtp://origin.test:%d", mail), "--mail-from", "alice@example.test", "--mail-rcpt", "bob@example.test", "-T", letter,
					)...)},
					{"psql", "t\n", "postgres>tls", []string{
						"psql", "-X", "-A", "-t", "-c", "select ssl from pg_stat_ssl where pid=pg_backend_pid()",
						fmt.Sprintf("host=origin.test hostaddr=%s port=%d user=alice dbname=postgres sslmode=verify-full sslrootcert=%s", f.server, database, m.root),
					}},
				} {
					t.Run(f.name+" "+tt.name, func(t *testing.T) {
						if got := l.clients.succeed(t, tt.args...); !strings.Contains(got, tt.want) {
							t.Errorf("it says %q, want %q", got, tt.want)
						}
						if flow := m.flow(t); flow.Path != tt.path {
							t.Errorf("flow %+v, want %s", flow, tt.path)
						}
					})
				}
			}
		})
	}
}

// A WebSocket is one long conversation, also for servers behind a router.
func TestTransparentWebSocket(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	const port = 8080
	for _, mode := range []string{"redirect", "tproxy"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			l := newRouted(t)
			l.divert(t, mode)
			srv := &http.Server{Handler: http.HandlerFunc(serveEcho)}
			ln := l.servers.listen(t, fmt.Sprintf("127.0.0.1:%d", port))
			var serving errgroup.Group
			serving.Go(func() error { return srv.Serve(ln) })
			t.Cleanup(func() { srv.Close(); serving.Wait() })
			l.open(t, port)
			m := l.transparently(t, mode)
			client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (c net.Conn, err error) {
				err = l.clients.enter(func() (err error) { c, err = (&net.Dialer{}).DialContext(ctx, network, addr); return err })
				return c, err
			}}}
			defer client.CloseIdleConnections()
			for _, f := range protocolFamilies() {
				target := net.JoinHostPort(f.server, fmt.Sprint(port))
				c, _, err := websocket.Dial(t.Context(), "ws://"+target+"/ws", &websocket.DialOptions{HTTPClient: client})
				if err != nil {
					t.Fatal(err)
				}
				for _, word := range []string{"one", "two", "three"} {
					if err := c.Write(t.Context(), websocket.MessageText, []byte(word)); err != nil {
						t.Fatal(err)
					}
					if _, got, err := c.Read(t.Context()); err != nil || string(got) != word {
						t.Fatalf("heard %q, %v, want %q", got, err, word)
					}
				}
				c.Close(websocket.StatusNormalClosure, "")
				if f := m.flow(t); f.Path != "http" || f.Target != target {
					t.Errorf("flow %+v", f)
				}
			}
		})
	}
}

// A server that answers nothing is not there for the client either, in time.
func TestTransparentSilence(t *testing.T) {
	inBothModes(t, func(t *testing.T, l routed, mode string) {
		l.divert(t, mode)
		l.servers.nft(t, "table inet silent {\n\tchain in {\n\t\ttype filter hook input priority filter; policy accept;\n\t\ttcp dport 7777 drop\n\t}\n}\n")
		m := l.transparently(t, mode, "--timeout", "1s")
		for _, f := range protocolFamilies() {
			target := net.JoinHostPort(f.server, "7777")
			res := l.clients.curl(t, "http://"+target+"/")
			if res.Code != 52 { // curl's word for an end without an answer
				t.Errorf("%s: curl: exit code %d\n%s", f.name, res.Code, res.Stderr)
			}
			if f := m.flow(t); f.Reason != "timeout" || f.Target != target {
				t.Errorf("flow %+v, want a timeout", f)
			}
		}
	})
}

// Captures show clients and servers, and nothing of the router between.
func TestTransparentCapture(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	l := newRouted(t)
	l.divert(t, "redirect")
	leaf, root := issue(t, "origin.test")
	const secure = 443
	l.servers.start(t, peers.Nginx(peers.NginxConfig{TLS: secure, Leaf: leaf, Backend: "127.0.0.1:1"}))
	l.open(t, secure)
	m := l.transparently(t, "redirect", "--trust", root, "-w", peers.Here+"/t.pcap")
	for _, f := range protocolFamilies() {
		res := l.clients.curl(t, "--cacert", m.root, "--resolve", "origin.test:443:"+f.server, "https://origin.test/status")
		if res.Code != 0 {
			t.Fatalf("curl: exit code %d\n%s", res.Code, res.Stderr)
		}
		m.flow(t)
	}
	if code, err := m.Terminate(t.Context()); code != 0 || err != nil {
		t.Fatalf("mitm ended with %d, %v", code, err)
	}
	all := takeApart(t, "-r", m.Dir+"/t.pcap")
	if len(all) != 2 {
		t.Fatalf("%d conversations, want 2", len(all))
	}
	for i, f := range protocolFamilies() {
		if !strings.HasPrefix(all[i].client, bracketed(f.client)) || !strings.HasPrefix(all[i].server, bracketed(f.server)) {
			t.Errorf("%s: the conversation is of %s and %s", f.name, all[i].client, all[i].server)
		}
	}
}

// A listener for TLS takes the servers from the kernel, too, and has its port in the capture.
func TestTransparentTLSListener(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	l := newRouted(t)
	l.divert(t, "tproxy")
	leaf, root := issue(t, "origin.test")
	const secure = 8443
	l.servers.start(t, peers.Nginx(peers.NginxConfig{TLS: secure, Leaf: leaf, Backend: "127.0.0.1:1"}))
	l.open(t, secure)
	m := startMitmAs(t, func(p peers.Program) peers.Program {
		p.Namespace = string(l.router)
		p.Ready = func(stderr string) bool { return len(peers.Listeners(stderr)) > 0 }
		return p
	}, "-p", "9000,80", "--transparent", "tproxy", "--trust", root, "--no-system-roots", "-w", peers.Here+"/t.pcap")
	for _, f := range protocolFamilies() {
		res := l.clients.curl(t, "--cacert", m.root, "--resolve", "origin.test:8443:"+f.server, "https://origin.test:8443/status")
		if res.Code != 0 {
			t.Fatalf("curl: exit code %d\n%s", res.Code, res.Stderr)
		}
		if flow := m.flow(t); flow.Target != net.JoinHostPort(f.server, "8443") {
			t.Errorf("flow %+v", flow)
		}
	}
	if code, err := m.Terminate(t.Context()); code != 0 || err != nil {
		t.Fatalf("mitm ended with %d, %v", code, err)
	}
	for i, c := range takeApart(t, "-r", m.Dir+"/t.pcap") {
		if want := net.JoinHostPort(protocolFamilies()[i].server, "80"); c.server != want {
			t.Errorf("the capture has the server %s, want %s", c.server, want)
		}
	}
}

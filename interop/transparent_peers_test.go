package interop

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// Shells and databases are reached as well, and decrypted where they change to TLS.
func TestTransparentPeers(t *testing.T) {
	t.Parallel()
	needsRoot(t, "sshd and PostgreSQL change their user")
	leaf, root := issue(t, "origin.test")
	const shell, database = 2222, 5432
	inTheirName(t, func(t *testing.T, l routed, k keeping) {
		sshd := l.servers.start(t, outward(peers.OpenSSH(shell),
			"ListenAddress 127.0.0.1:2222\n", "ListenAddress 0.0.0.0:2222\nListenAddress [::]:2222\n"))
		postgres := l.servers.start(t, outward(peers.Postgres(database, leaf),
			"listen_addresses=127.0.0.1", "listen_addresses='*' -c log_connections=on",
			"\nexec ", "\necho host all all all trust >>"+peers.Here+"/data/pg_hba.conf\nexec "))
		m := l.transparently(t, k.mode, append(k.usesrc(), "--trust", root)...)
		hears := func(want string, args func(f protocolFamily) []string) func(*testing.T, protocolFamily) {
			return func(t *testing.T, f protocolFamily) {
				if got := l.clients.succeed(t, args(f)...); got != want {
					t.Errorf("it says %q, want %q", got, want)
				}
			}
		}
		l.each(t, k, m, []errand{
			{
				name: "ssh", port: shell, path: "ssh", log: serverLog{logOf(sshd, ""), `Accepted publickey for root from ADDR port PORT `},
				do: hears("hello from sshd\n", func(f protocolFamily) []string {
					return []string{
						"ssh", "-F", "none", "-i", sshd.Dir + "/user", "-p", fmt.Sprint(shell), "-o", "StrictHostKeyChecking=no",
						"-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "root@" + f.server, "echo hello from sshd",
					}
				}),
			},
			{
				name: "psql", port: database, path: "postgres>tls", action: "inspect", log: serverLog{logOf(postgres, ""), `connection received: host=ADDR port=PORT\b`},
				do: hears("t\n", func(f protocolFamily) []string {
					return []string{
						"psql", "-X", "-A", "-t", "-c", "select ssl from pg_stat_ssl where pid=pg_backend_pid()",
						fmt.Sprintf("host=origin.test hostaddr=%s port=%d user=alice dbname=postgres sslmode=verify-full sslrootcert=%s", f.server, database, m.root),
					}
				}),
			},
		})
	})
}

// A server that answers nothing is not there for the client either, in time.
func TestTransparentSilence(t *testing.T) {
	t.Parallel()
	if inNamespaces(t) {
		return
	}
	const silent = 7777
	inTheirName(t, func(t *testing.T, l routed, k keeping) {
		l.servers.nft(t, "table inet silent {\n\tchain in {\n\t\ttype filter hook input priority filter; policy accept;\n\t\ttcp dport 7777 drop\n\t}\n}\n")
		m := l.transparently(t, k.mode, append(k.usesrc(), "--timeout", "1s")...)
		l.each(t, k, m, []errand{{name: "a server that drops", port: silent, path: "raw", reason: "timeout", do: func(t *testing.T, f protocolFamily) {
			res := l.clients.curl(t, "http://"+net.JoinHostPort(f.server, fmt.Sprint(silent))+"/")
			if res.Code != 52 { // curl's word for an end without an answer
				t.Errorf("curl: exit code %d\n%s", res.Code, res.Stderr)
			}
		}}})
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

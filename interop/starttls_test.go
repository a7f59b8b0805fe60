package interop

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// A daemon is a server that changes to TLS in the midst of a conversation.
type daemon struct {
	proto    string // in a flow's path
	starttls string // what openssl s_client calls it; "": it does not know it
	args     []string
	start    func(t *testing.T, port int, leaf peers.Leaf) peers.Program
	always   bool // it runs with the sample, too
}

func daemons() []daemon {
	plain := func(f func(int, peers.Leaf) peers.Program) func(*testing.T, int, peers.Leaf) peers.Program {
		return func(_ *testing.T, port int, leaf peers.Leaf) peers.Program { return f(port, leaf) }
	}
	dovecot := func(ports func(int) peers.MailPorts) func(*testing.T, int, peers.Leaf) peers.Program {
		return plain(func(port int, leaf peers.Leaf) peers.Program { return peers.Dovecot(ports(port), leaf) })
	}
	return []daemon{
		{"postgres", "postgres", nil, plain(peers.Postgres), true},
		{"imap", "imap", nil, dovecot(func(p int) peers.MailPorts { return peers.MailPorts{IMAP: p} }), true},
		{"pop3", "pop3", nil, dovecot(func(p int) peers.MailPorts { return peers.MailPorts{POP3: p} }), true},
		{"sieve", "sieve", nil, dovecot(func(p int) peers.MailPorts { return peers.MailPorts{Sieve: p} }), true},
		{"lmtp", "lmtp", nil, dovecot(func(p int) peers.MailPorts { return peers.MailPorts{LMTP: p} }), true},
		{"smtp", "smtp", nil, plain(peers.Postfix), false},
		{"ftp", "ftp", nil, func(t *testing.T, port int, leaf peers.Leaf) peers.Program {
			return peers.Vsftpd(peers.FTPConfig{Port: port, Passive: reserve(t), Leaf: leaf})
		}, false},
		{"mysql", "mysql", nil, plain(peers.MariaDB), false},
		{"ldap", "ldap", nil, plain(peers.Slapd), false},
		{"xmpp", "xmpp", []string{"-xmpphost", "localhost"}, plain(peers.Prosody), false},
		{"irc", "irc", nil, plain(peers.InspIRCd), false},
		{"nntp", "nntp", nil, plain(peers.NNRPD), false},
		{"rdp", "", nil, plain(peers.Xrdp), false},
	}
}

// An upgradable is a daemon that runs, and a mitm for each way to it.
type upgradable struct {
	daemon
	port    int
	root    string // file with the certificate that signed its leaf
	through map[string]route
}

// A route leads a client, who knows nothing of it, from an address to a server.
type route struct {
	*mitm
	prefix string // of a flow's path
	port   string // where the client connects to, at localhost
}

// startDaemon starts one, and the ways to it: straight, and below SOCKS5 and CONNECT.
func startDaemon(t *testing.T, d daemon) upgradable {
	t.Helper()
	leaf, root := issue(t, "localhost", "127.0.0.1")
	u := upgradable{daemon: d, port: reserve(t), root: root}
	start(t, d.start(t, u.port, leaf))
	u.through = routes(t, u.port, u.root)
	return u
}

// routes are the ways to a server whose certificate a root has signed.
func routes(t *testing.T, port int, root string) map[string]route {
	t.Helper()
	// MariaDB asks each client for a certificate.
	reverse := startMitm(t, "--listen", "127.0.0.1:0", "--connect", at(port), "--trust", root, "--mtls", "ask")
	forward := startMitm(t, "--listen", "127.0.0.1:0", "--trust", root, "--mtls", "ask")
	return map[string]route{
		"straight":      {reverse, "", portOf(t, reverse.addrs[0])},
		"below SOCKS5":  {forward, "socks5>", tunnelled(t, forward, socks5(at(port)))},
		"below CONNECT": {forward, "connect>", tunnelled(t, forward, connectAhead(at(port)))},
	}
}

// connectAhead is connect to a server that may speak at once.
func connectAhead(addr string) step {
	return func(c net.Conn) (net.Conn, error) {
		if _, err := fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", addr); err != nil {
			return nil, err
		}
		r := bufio.NewReader(c)
		for line := "x"; line != "\r\n"; {
			var err error
			if line, err = r.ReadString('\n'); err != nil {
				return nil, err
			}
			if strings.HasPrefix(line, "HTTP/") && !strings.HasPrefix(line, "HTTP/1.1 200 ") {
				return nil, fmt.Errorf("CONNECT %s: %s", addr, line)
			}
		}
		return ahead{c.(*net.TCPConn), r}, nil
	}
}

// ahead is a connection of which something was read ahead.
type ahead struct {
	*net.TCPConn
	r *bufio.Reader
}

func (a ahead) Read(p []byte) (int, error)               { return a.r.Read(p) }
func (a ahead) WriteTo(w io.Writer) (n int64, err error) { return io.Copy(w, struct{ io.Reader }{a.r}) }

// tunnelled is a port whose connections are taken by a step through mitm, for clients that know nothing of proxies.
func tunnelled(t *testing.T, m *mitm, s step) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	lead(t, l, func(ctx context.Context) (net.Conn, error) { return walk(ctx, m.addrs[0], []step{s}) })
	return portOf(t, l.Addr().String())
}

// lead moves what the connections to a listener say to and from where reach leads, for the length of the test.
func lead(t *testing.T, l net.Listener, reach func(context.Context) (net.Conn, error)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				through, err := reach(ctx)
				if err != nil {
					t.Error(err)
					return
				}
				defer through.Close()
				stop := context.AfterFunc(ctx, func() { c.Close(); through.Close() })
				defer stop()
				shovel(c, through)
			})
		}
	})
	t.Cleanup(func() { l.Close(); cancel(); running.Wait() })
}

// shovel moves what two ends of a tunnel say, until both have ended.
func shovel(a, b net.Conn) {
	done := make(chan struct{})
	move := func(to, from net.Conn) {
		io.Copy(to, from)
		to.(interface{ CloseWrite() error }).CloseWrite()
	}
	go func() { defer close(done); move(a, b) }()
	move(b, a)
	<-done
}

// forEachDaemon runs a test with each daemon, and with each way to it.
func forEachDaemon(t *testing.T, f func(t *testing.T, u upgradable, r route)) {
	t.Parallel()
	for _, d := range daemons() {
		if !d.always && os.Getenv("INTEROP") != "full" {
			continue // the sample has those that are quickly installed
		}
		t.Run(d.proto, func(t *testing.T) {
			t.Parallel()
			u := startDaemon(t, d)
			for way, r := range u.through {
				t.Run(way, func(t *testing.T) { f(t, u, r) })
			}
		})
	}
}

// openssl changes to TLS with each, and sees our certificate for the server's.
func TestSTARTTLS(t *testing.T) {
	forEachDaemon(t, func(t *testing.T, u upgradable, r route) {
		if u.starttls == "" {
			return // the sessions are what there is
		}
		args := append([]string{
			"s_client", "-connect", "localhost:" + r.port, "-starttls", u.starttls, "-servername", "localhost",
			"-CAfile", r.root, "-verify_return_error", "-verify_hostname", "localhost",
		}, u.args...)
		res := run(t, "", "openssl", args...)
		if res.Code != 0 || !strings.Contains(res.Stdout, "Verification: OK") || !strings.Contains(res.Stdout, "Verified peername: localhost") {
			t.Errorf("exit code %d\n%s%s", res.Code, res.Stdout, res.Stderr)
		}
		f := r.flow(t)
		if want := r.prefix + u.proto + ">tls"; f.Path != want || f.Action != "inspect" || f.TLS == nil || f.TLS.Certificate.Verdict != "ok" {
			t.Errorf("flow %+v, want path %s, inspected", f, want)
		}
	})
}

// A session is what a real client does with a daemon, and what it must print.
type session struct {
	proto string
	name  string
	run   func(t *testing.T, port, root string) peers.Result
	want  string // of what it prints, a regular expression
}

func sessions() []session {
	// cli is a client that takes the port as {port}, the root as {root} and a file with a mail as {mail}.
	cli := func(env map[string]string, name string, args ...string) func(*testing.T, string, string) peers.Result {
		return func(t *testing.T, port, root string) peers.Result {
			t.Helper()
			r := strings.NewReplacer("{port}", port, "{root}", root,
				"{mail}", writeFile(t, "mail", "Subject: hello\r\n\r\nhello\r\n"))
			words := []string{}
			for key, value := range env {
				words = append(words, key+"="+r.Replace(value))
			}
			words = append(words, name)
			for _, arg := range args {
				words = append(words, r.Replace(arg))
			}
			return run(t, "", "env", words...)
		}
	}
	curl := func(args ...string) func(*testing.T, string, string) peers.Result {
		return cli(nil, "curl", append(curlArgs("-v", "--ssl-reqd", "--cacert", "{root}"), args...)...)
	}
	return []session{
		{"postgres", "psql, verifying", cli(nil, "psql", "-X", "-A", "-t", "-c", "select ssl from pg_stat_ssl where pid=pg_backend_pid()",
			"host=localhost hostaddr=127.0.0.1 port={port} user=alice dbname=postgres sslmode=verify-full sslrootcert={root}"), `(?m)^t$`},
		{"postgres", "psql without TLS", cli(nil, "psql", "-X", "-A", "-t", "-c", "select ssl from pg_stat_ssl where pid=pg_backend_pid()",
			"host=localhost hostaddr=127.0.0.1 port={port} user=alice dbname=postgres sslmode=disable"), `(?m)^f$`},
		{"imap", "curl", curl("-u", "alice:secret", "imap://localhost:{port}/", "-X", "STATUS INBOX (MESSAGES)"), `STATUS INBOX \(MESSAGES 0\)`},
		{"pop3", "curl", curl("-u", "alice:secret", "pop3://localhost:{port}/", "-X", "STAT", "-I"), `\+OK 0 0`},
		{"smtp", "curl", curl("smtp://localhost:{port}", "--mail-from", "alice@example.test", "--mail-rcpt", "bob@example.test", "-T", "{mail}"), `250 2\.0\.0 Ok: queued`},
		{"smtp", "swaks", cli(nil, "swaks", "--server", "localhost", "--port", "{port}", "--to", "bob@example.test", "--from", "alice@example.test",
			"--tls", "--tls-verify", "--tls-ca-path", "{root}"), `250 2\.0\.0 Ok: queued`},
		{
			"smtp", "swaks without TLS", cli(nil, "swaks", "--server", "localhost", "--port", "{port}", "--to", "bob@example.test", "--from", "alice@example.test"),
			`250 2\.0\.0 Ok: queued`,
		},
		{"ftp", "curl", cli(nil, "curl", curlArgs("-v", "--ftp-ssl-control", "--cacert", "{root}", "ftp://localhost:{port}/hello.txt")...), `hello from vsftpd`},
		{"mysql", "mariadb, verifying", cli(nil, "mariadb", "--no-defaults", "-h", "localhost", "-P", "{port}", "--protocol=tcp", "-u", "alice",
			"--ssl-ca={root}", "--ssl-verify-server-cert", "-e", "show status like 'Ssl_cipher'"), `Ssl_cipher\s+\w+`},
		{"mysql", "mariadb without TLS", cli(nil, "mariadb", "--no-defaults", "-h", "localhost", "-P", "{port}", "--protocol=tcp", "-u", "alice",
			"--skip-ssl", "-e", "select 6*7"), `42`},
		{"ldap", "ldapsearch -ZZ", cli(map[string]string{"LDAPTLS_CACERT": "{root}", "LDAPTLS_REQCERT": "demand"}, "ldapsearch", "-x", "-ZZ",
			"-H", "ldap://127.0.0.1:{port}", "-D", "cn=admin,dc=example,dc=test", "-w", "secret", "-b", "dc=example,dc=test"), `dn: dc=example,dc=test`},
		{"nntp", "nntplib", cli(nil, "/usr/bin/python3", "-W", "ignore", "-c", readNews, "{port}", "{root}"), `local\.test`},
		{"rdp", "xfreerdp", cli(map[string]string{"SSL_CERT_FILE": "{root}"}, "xvfb-run", "-a", "xfreerdp", "/v:localhost:{port}", "/u:alice", "/p:secret",
			"/sec:tls", "/cert:deny", "+auth-only"), `Authentication only, exit status 0`},
		{"ldap", "ldapsearch without TLS", cli(nil, "ldapsearch", "-x",
			"-H", "ldap://127.0.0.1:{port}", "-D", "cn=admin,dc=example,dc=test", "-w", "secret", "-b", "dc=example,dc=test"), `dn: dc=example,dc=test`},
	}
}

// readNews lists a server's groups over TLS.
const readNews = `
import nntplib, ssl, sys
news = nntplib.NNTP("localhost", int(sys.argv[1]))
news.starttls(ssl.create_default_context(cafile=sys.argv[2]))
print(news.list(), news.group("local.test"), news.quit())
`

// Real clients complete a session in which they trust our authority only; and those that ask for no TLS get none.
func TestSTARTTLSSessions(t *testing.T) {
	forEachDaemon(t, func(t *testing.T, u upgradable, r route) {
		for _, s := range sessions() {
			if s.proto != u.proto || s.proto == "ftp" && r.prefix != "" {
				continue // data connections of FTP do not take the tunnel of a client that knows nothing of it
			}
			t.Run(s.name, func(t *testing.T) {
				res := s.run(t, r.port, r.root)
				if res.Code != 0 || !regexp.MustCompile(s.want).MatchString(res.Stdout+res.Stderr) {
					t.Errorf("exit code %d, want %s in\n%s%s", res.Code, s.want, res.Stdout, res.Stderr)
				}
				want, action := r.prefix+u.proto+">tls", "inspect"
				if strings.Contains(s.name, "without TLS") {
					want, action = r.prefix+u.proto, "allow"
				}
				if f := r.flow(t); f.Path != want || f.Action != action {
					t.Errorf("flow %+v, want path %s, action %s", f, want, action)
				}
			})
		}
	})
}

// OpenSSH speaks with its server as if nothing stood between.
func TestOpenSSHThroughMitm(t *testing.T) {
	t.Parallel()
	port := reserve(t)
	server := start(t, peers.OpenSSH(port))
	for way, r := range routes(t, port, writeFile(t, "root.pem", rootPEM(t))) {
		t.Run(way, func(t *testing.T) {
			got := succeed(t, "ssh", "-F", "none", "-i", server.Dir+"/user", "-p", r.port, "-o", "StrictHostKeyChecking=no",
				"-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "root@localhost", "echo hello from sshd")
			if got != "hello from sshd\n" {
				t.Errorf("got %q", got)
			}
			if f := r.flow(t); f.Path != r.prefix+"ssh" {
				t.Errorf("flow %+v, want path %sssh", f, r.prefix)
			}
		})
	}
}

func rootPEM(t *testing.T) string {
	t.Helper()
	authority, err := peers.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	return authority.PEM
}

package interop

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// A spoken protocol is one that foreign readers must recognise when it is decrypted: by
// its port, as they do, and not by ports that the test would tell them.
type spoken struct {
	name  string
	port  int // the one it is known by
	serve func(t *testing.T, leaf peers.Leaf) (port int)

	// talk is a client's session through the SOCKS5 proxy at m with the server at host.
	talk func(t *testing.T, m *mitm, host string)

	path  string   // of its flow
	shown int      // the server's port in the capture
	want  []string // what tshark shows, regular expressions
}

func spokenProtocols() []spoken {
	daemon := func(program func(port int, leaf peers.Leaf) peers.Program) func(*testing.T, peers.Leaf) int {
		return func(t *testing.T, leaf peers.Leaf) int {
			t.Helper()
			port := reserve(t)
			start(t, program(port, leaf))
			return port
		}
	}
	nginx := func(t *testing.T, leaf peers.Leaf) int {
		t.Helper()
		port := reserve(t)
		start(t, peers.Nginx(peers.NginxConfig{TLS: port, Leaf: leaf, Backend: startBackend(t)}))
		return port
	}
	curled := func(args ...string) func(*testing.T, *mitm, string) {
		return func(t *testing.T, m *mitm, host string) {
			t.Helper()
			words := []string{"--cacert", m.root, "-x", "socks5://" + m.addrs[0], "-o", os.DevNull}
			for _, arg := range args {
				words = append(words, strings.NewReplacer("{host}", host, "{mail}", writeFile(t, "mail", "Subject: hello\r\n\r\nhello\r\n")).Replace(arg))
			}
			curl(t, words...)
		}
	}
	return []spoken{
		{
			"HTTP/1.1", 443, nginx, curled("--http1.1", "-d", "some=thing", "https://{host}/status"),
			"socks5>tls(http/1.1)", 80,
			[]string{`HTTP\tPOST /status HTTP/1\.1`, `HTTP\tHTTP/1\.1 200 OK`},
		},
		{
			"HTTP/2", 8443, nginx, curled("--http2", "https://{host}:8443/status"),
			"socks5>tls(h2)", 8080,
			[]string{`HTTP2\t.*HEADERS\[1\]: GET /status`, `HTTP2\t.*HEADERS\[1\]: 200 OK`},
		},
		{
			"a WebSocket", 443, nginx, webSocket,
			"socks5>tls>http", 80,
			[]string{`HTTP\tGET /ws HTTP/1\.1`, `HTTP\tHTTP/1\.1 101 Switching Protocols`, `WebSocket\tWebSocket Binary \[FIN\] \[MASKED\]`, `WebSocket\tWebSocket Connection Close`},
		},
		{
			"IMAP over TLS", 993, daemon(func(port int, leaf peers.Leaf) peers.Program {
				return peers.Dovecot(peers.MailPorts{IMAPS: port}, leaf)
			}),
			curled("-u", "alice:secret", "imaps://{host}/", "-X", "STATUS INBOX (MESSAGES)"),
			"socks5>tls>imap", 143,
			[]string{`IMAP\tResponse: \* OK`, `IMAP\tRequest: A003 STATUS INBOX`, `IMAP\tResponse: A003 OK`},
		},
		{
			"IMAP with STARTTLS", 143, daemon(func(port int, leaf peers.Leaf) peers.Program { return peers.Dovecot(peers.MailPorts{IMAP: port}, leaf) }),
			curled("--ssl-reqd", "-u", "alice:secret", "imap://{host}/", "-X", "STATUS INBOX (MESSAGES)"),
			"socks5>imap>tls", 143,
			[]string{`IMAP\tRequest: A002 STARTTLS`, `IMAP\tRequest: A005 STATUS INBOX`, `IMAP\tResponse: A005 OK`},
		},
		{
			"SMTP with STARTTLS", 25, daemon(peers.Aiosmtpd),
			curled("--ssl-reqd", "smtp://{host}", "--mail-from", "alice@example.test", "--mail-rcpt", "bob@example.test", "-T", "{mail}"),
			"socks5>smtp>tls", 25,
			[]string{`SMTP\tC: STARTTLS`, `SMTP\tC: MAIL FROM:<alice@example\.test>`, `SMTP/IMF\tsubject: hello`},
		},
		{
			"MQTT", 8883, daemon(peers.Mosquitto), mosquittoPub,
			"socks5>tls>mqtt", 1883,
			[]string{`MQTT\tConnect Command`, `MQTT\tPublish Message .*\[readings/door\]`, `MQTT\tDisconnect Req`},
		},
	}
}

// webSocket sends a message and wants it back.
func webSocket(t *testing.T, m *mitm, host string) {
	t.Helper()
	transport := &http.Transport{
		Proxy:           http.ProxyURL(&url.URL{Scheme: "socks5", Host: m.addrs[0]}),
		TLSClientConfig: &tls.Config{RootCAs: pool(t, m.root)},
	}
	defer transport.CloseIdleConnections()
	echo(t, "wss://"+host+"/ws", &http.Client{Transport: transport})
}

func mosquittoPub(t *testing.T, m *mitm, host string) {
	t.Helper()
	succeed(t, "mosquitto_pub", "--proxy", "socks5h://"+m.addrs[0], "-h", host, "-p", "8883", "--cafile", m.root,
		"-q", "1", "-t", "readings/door", "-m", "open")
}

// startKnown starts the protocol's server on its port, at a loopback address that is
// ours alone. It returns that, and the file with the root of its certificate.
func (p spoken) startKnown(t *testing.T) (host, root string) {
	t.Helper()
	ln := listenKnownPort(t, p.port)
	host, _, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	leaf, root := issue(t, host)
	to := at(p.serve(t, leaf))
	lead(t, ln, func(ctx context.Context) (net.Conn, error) { return walk(ctx, to, nil) })
	return host, root
}

// moved is what a flow's line says of its bytes, in the order of a dialogue's.
func moved(f peers.Flow) [2]int64 { return [2]int64{f.Bytes.FromClient, f.Bytes.FromServer} }

// What foreign readers make of each protocol is what they make of it without TLS, in
// either format, and wherever the capture goes.
func TestForeignReadersKnowTheDecryptedProtocols(t *testing.T) {
	t.Parallel()
	var all []known
	var trust []string
	for _, p := range spokenProtocols() {
		host, root := p.startKnown(t)
		all = append(all, known{p, host})
		trust = append(trust, "--trust", root)
	}
	for _, format := range []string{"pcap", "pcapng"} {
		file := "t." + format
		m := startMitm(t, append(trust, "--listen", "127.0.0.1:0", "--no-system-roots", "--format", format,
			"-w", peers.Here+"/"+file, "-o", peers.Here+"/rotated", "--pcapoverip", "127.0.0.1:0")...)
		live := start(t, peers.Program{
			Name: "tshark", Args: append([]string{"-n", "-l", "-i", "TCP@" + m.addrs[1], "-w", peers.Here + "/live.pcapng", "-P"}, shownAs()...),
			Ready: func(string) bool { return strings.Contains(m.Stderr(), "a reader has come") },
		})
		flows := make([]peers.Flow, len(all))
		for i, p := range all {
			p.talk(t, m, p.host)
			flows[i] = m.flow(t)
			if f := flows[i]; f.Path != p.path || f.Action != "inspect" {
				t.Errorf("%s: flow %+v, want path %s, inspected", p.name, f, p.path)
			}
		}
		m.finish(t)
		if code, err := live.Wait(t.Context()); code != 0 || err != nil {
			t.Errorf("tshark ended with exit code %d, %v", code, err)
		}
		rotated, err := filepath.Glob(m.Dir + "/rotated/*." + format)
		if err != nil || len(rotated) != 1 {
			t.Fatalf("files %q, %v, want one", rotated, err)
		}
		for _, file := range []string{m.Dir + "/" + file, rotated[0], live.Dir + "/live.pcapng"} {
			checkCapture(t, file)
			holdAgainst(t, conversations(t, file), all, flows)
		}
		checkShown(t, tshark(t, m.Dir+"/"+file, shownAs()...), all)
		checkShown(t, live.Stdout(), all)
	}
}

// known is a protocol whose server is at a host.
type known struct {
	spoken
	host string
}

// holdAgainst holds conversations against the flows that they were.
func holdAgainst(t *testing.T, talks []*dialogue, all []known, flows []peers.Flow) {
	t.Helper()
	if len(talks) != len(all) {
		t.Fatalf("%d conversations, want %d", len(talks), len(all))
	}
	for i, p := range all {
		want := net.JoinHostPort(p.host, strconv.Itoa(p.shown))
		if talks[i].server != want || talks[i].bytes != moved(flows[i]) || talks[i].ending != flows[i].EndedBy {
			t.Errorf("%s: conversation %v, want one with %s as in %+v", p.name, talks[i], want, flows[i])
		}
	}
}

// shownAs is how tshark is to print packets. It looks for TLS behind STARTTLS, and takes
// what is shorter than a record's head for the beginning of one, unless it is told that
// there is none.
func shownAs() []string {
	return []string{"--disable-protocol", "tls", "-T", "fields", "-e", "tcp.stream", "-e", "_ws.col.Protocol", "-e", "_ws.col.Info"}
}

func checkShown(t *testing.T, shown string, all []known) {
	t.Helper()
	for i, p := range all {
		for _, want := range p.want {
			if !regexp.MustCompile(`(?m)^` + strconv.Itoa(i) + `\t` + want).MatchString(shown) {
				t.Errorf("%s: tshark shows no %s:\n%s", p.name, want, shown)
			}
		}
	}
}

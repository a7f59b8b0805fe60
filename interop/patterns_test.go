package interop

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// The command lines that PolarProxy publishes, with ports and folders that are free, and
// mitm in its place.

// published is what the operator of www.example.com has.
type published struct {
	root string // of the certificate
	p12  string // --servercert
	dir  string // of captures
}

func publish(t *testing.T) published {
	t.Helper()
	authority := newIssuer(t, "Example CA", nil)
	leaf := authority.server(t, func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"example.com", "www.example.com"}, nil })
	p := published{root: writeFile(t, "example-ca.pem", authority.pem), dir: t.TempDir()}
	file := filepath.Join(t.TempDir(), "example.p12")
	succeed(t, "openssl", "pkcs12", "-export", "-in", writeFile(t, "cert.pem", leaf.Cert), "-inkey", writeFile(t, "key.pem", leaf.Key),
		"-passout", "pass:PASSWORD", "-out", file)
	p.p12 = "example.com,www.example.com:" + file + ":PASSWORD"
	return p
}

// page gets the page of www.example.com at a port.
func (p published) page(t *testing.T, port int, args ...string) string {
	t.Helper()
	host := fmt.Sprintf("www.example.com:%d", port)
	return curl(t, append([]string{"--cacert", p.root, "--connect-to", host + ":127.0.0.1:" + fmt.Sprint(port), "https://" + host + "/status"}, args...)...)
}

// captured returns the one capture in the folder, after mitm has ended.
func (p published) captured(t *testing.T, m *mitm) string {
	t.Helper()
	m.finish(t)
	files, err := filepath.Glob(filepath.Join(p.dir, "mitm-*.pcap"))
	if err != nil || len(files) != 1 {
		t.Fatalf("captures %v, %v, want one", files, err)
	}
	checkCapture(t, files[0])
	return files[0]
}

// shows holds that tshark shows HTTP on a server's port.
func shows(t *testing.T, file string, port int, filter string) {
	t.Helper()
	filter = fmt.Sprintf("tcp.dstport == %d && %s", port, filter)
	if got := tshark(t, file, "-Y", filter); got == "" {
		t.Errorf("tshark shows nothing for %s in\n%s", filter, tshark(t, file))
	}
}

func TestTLSTermination(t *testing.T) {
	t.Parallel()
	s, p, port := startSite(t), publish(t), reserve(t)
	m := startMitm(t, "--terminate", "--connect", "127.0.0.1", "--nosni", "www.example.com", "--servercert", p.p12,
		"-p", fmt.Sprintf("%d,80,%d", port, s.plain), "-o", p.dir)
	if got := fields(t, p.page(t, port)); got["protocol"] != "HTTP/1.1" {
		t.Errorf("nginx saw %v, want HTTP/1.1", got)
	}
	m.flow(t)
	// A client that names nobody is shown the same certificate.
	shown := run(t, "", "openssl", "s_client", "-noservername", "-connect", fmt.Sprintf("127.0.0.1:%d", port), "-CAfile", p.root, "-verify_return_error", "-verify_hostname", "www.example.com").Stdout
	if !strings.Contains(shown, "Verify return code: 0 (ok)") {
		t.Errorf("s_client without a name:\n%s", shown)
	}
	m.flow(t)
	shows(t, p.captured(t, m), 80, `http.host contains "www.example.com"`)
}

func TestReverseBridging(t *testing.T) {
	t.Parallel()
	s, p, port := startSite(t), publish(t), reserve(t)
	m := startMitm(t, "--connect", "127.0.0.1", "--nosni", "www.example.com", "--servercert", p.p12,
		"-p", fmt.Sprintf("%d,80,%d", port, s.tls), "-o", p.dir)
	if got := fields(t, p.page(t, port)); got["protocol"] != "HTTP/2.0" || got["sni"] != "" && got["sni"] != "www.example.com" {
		t.Errorf("nginx saw %v, want HTTP/2 and the name of the client", got)
	}
	f := m.flow(t)
	if f.Path != "tls(h2)" || f.Action != "inspect" {
		t.Errorf("flow %+v", f)
	}
	if got := fields(t, p.page(t, port, "--tls-max", "1.2", "--http1.1")); got["protocol"] != "HTTP/1.1" {
		t.Errorf("nginx saw %v, want HTTP/1.1", got)
	}
	m.flow(t)
	file := p.captured(t, m)
	shows(t, file, 80, "http2.headers.path")
	shows(t, file, 80, "http.request.uri")
}

func TestTLSTerminationOfMail(t *testing.T) {
	t.Parallel()
	p, port, imap := publish(t), reserve(t), reserve(t)
	leaf, _ := issue(t, "localhost")
	start(t, peers.Dovecot(peers.MailPorts{IMAP: imap}, leaf))
	m := startMitm(t, "--terminate", "--connect", "127.0.0.1", "--nosni", "www.example.com", "--servercert", p.p12,
		"-p", fmt.Sprintf("%d,143,%d", port, imap), "-o", p.dir)
	host := fmt.Sprintf("www.example.com:%d", port)
	got := curl(t, "--cacert", p.root, "--connect-to", host+":127.0.0.1:"+fmt.Sprint(port), "-u", "alice:secret", "imaps://"+host+"/")
	if !strings.Contains(got, "INBOX") {
		t.Errorf("curl says %q, want a list with INBOX", got)
	}
	m.flow(t)
	shows(t, p.captured(t, m), 143, `imap.request.command == "LIST"`)
}

// Two of them as a pair: plain between them, TLS on both sides of it.
func TestTerminationAndEncryptionAsAPair(t *testing.T) {
	t.Parallel()
	s, p, outer, inner := startSite(t), publish(t), reserve(t), reserve(t)
	encrypts := startMitm(t, "--nontls", "encrypt", "--connect", "127.0.0.1", "--nosni", "localhost", "--trust", s.root, "--no-system-roots",
		"-p", fmt.Sprintf("127.0.0.1,%d,80,%d", inner, s.tls))
	ends := startMitm(t, "--terminate", "--connect", "127.0.0.1", "--servercert", p.p12, "-p", fmt.Sprintf("127.0.0.1,%d,80,%d", outer, inner))
	if got := fields(t, p.page(t, outer)); got["protocol"] != "HTTP/1.1" {
		t.Errorf("nginx saw %v", got)
	}
	if f := ends.flow(t); f.Action != "terminate" {
		t.Errorf("the first: %+v", f)
	}
	if f := encrypts.flow(t); f.Action != "encrypt" {
		t.Errorf("the second: %+v", f)
	}
}

func TestTheQuickStart(t *testing.T) {
	t.Parallel()
	s, dir := startSite(t), t.TempDir()
	tls, socks, connect, page, over := reserve(t), reserve(t), reserve(t), reserve(t), reserve(t)
	m := startMitm(t, "-v", "--name", "proxy.test", "--trust", s.root, "--no-system-roots", "-p", fmt.Sprintf("%d,80,%d", tls, s.tls), "-o", dir,
		"--certhttp", fmt.Sprint(page), "--socks", fmt.Sprint(socks), "--httpconnect", fmt.Sprint(connect), "--pcapoverip", fmt.Sprintf("0.0.0.0:%d", over))
	reader := tsharkOn(t, fmt.Sprintf("127.0.0.1:%d", over), "http.request || http2.headers.path")
	m.readers(t, 1)
	root := filepath.Join(t.TempDir(), "polarproxy.cer")
	curl(t, "-o", root, fmt.Sprintf("http://127.0.0.1:%d/polarproxy.cer", page))
	pem := filepath.Join(t.TempDir(), "polarproxy.pem")
	succeed(t, "openssl", "x509", "-inform", "DER", "-in", root, "-out", pem)
	// As after a redirection in the client's firewall.
	secure := fmt.Sprintf("https://localhost:%d/status", s.tls)
	curl(t, "--cacert", pem, "--connect-to", fmt.Sprintf("localhost:%d:127.0.0.1:%d", s.tls, tls), secure)
	inspected("tls(h2)", fmt.Sprintf("localhost:%d", s.tls), "h2").check(t, m.flow(t))
	curl(t, "--cacert", pem, "-x", fmt.Sprintf("socks5h://127.0.0.1:%d", socks), secure)
	inspected("socks5>tls(h2)", s.target(), "h2").check(t, m.flow(t))
	curl(t, "--cacert", pem, "-x", fmt.Sprintf("http://127.0.0.1:%d", connect), secure)
	inspected("connect>tls(h2)", s.target(), "h2").check(t, m.flow(t))
	m.finish(t)
	if _, err := reader.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(regexp.MustCompile(`GET /status`).FindAllString(reader.Stdout(), -1)); n != 3 {
		t.Errorf("tshark over IP saw %d requests, want 3:\n%s", n, reader.Stdout())
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("captures %v, %v, want one", files, err)
	}
}

// A protocol converter: whatever comes, a SOCKS server is asked for it.
func TestTheProtocolConverter(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	connect, haproxy, balanced, socks := reserve(t), reserve(t), reserve(t), reserve(t)
	start(t, peers.Microsocks(socks, "", ""))
	m := startMitm(t, "--httpconnect", fmt.Sprint(connect), "--haproxy", fmt.Sprint(haproxy), "--nontls", "allow",
		"--connect", fmt.Sprintf("socks5:localhost:%d", socks), "--trust", s.root, "--no-system-roots", "--allow-target", "127.0.0.0/8")
	if got := fields(t, curl(t, "--cacert", m.root, "-x", fmt.Sprintf("http://127.0.0.1:%d", connect), s.https("/status"))); got["protocol"] != "HTTP/2.0" {
		t.Errorf("nginx saw %v, want HTTP/2", got)
	}
	if f := m.flow(t); f.Path != "connect>tls(h2)" || len(f.Originated) != 1 {
		t.Errorf("flow %+v", f)
	}
	start(t, peers.HAProxy(peers.HAProxyConfig{Listen: balanced, Server: fmt.Sprintf("127.0.0.1:%d", haproxy), Send: "send-proxy-v2", Dst: s.tls}))
	got := fields(t, curl(t, "--cacert", m.root, "--connect-to", fmt.Sprintf("localhost:%d:127.0.0.1:%d", s.tls, balanced), s.https("/status")))
	if got["protocol"] != "HTTP/2.0" {
		t.Errorf("behind HAProxy nginx saw %v, want HTTP/2", got)
	}
	if f := m.flow(t); f.Path != "proxy2>tls(h2)" || len(f.Originated) != 1 {
		t.Errorf("flow %+v", f)
	}
}

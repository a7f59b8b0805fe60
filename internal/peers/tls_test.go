package peers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var tlsPage = strings.Repeat("a line of the page\n", 2000)

func TestTLSServersAgreeToWhatTheyWereMadeFor(t *testing.T) {
	a, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	ecdsa, err := a.Leaf("localhost")
	if err != nil {
		t.Fatal(err)
	}
	ed25519, err := a.Ed25519Leaf("localhost")
	if err != nil {
		t.Fatal(err)
	}
	servers := map[string]func(e ...TLSEndpoint) Program{
		"nginx":       func(e ...TLSEndpoint) Program { return NginxTLS(tlsPage, e...) },
		"node":        func(e ...TLSEndpoint) Program { return NodeTLS(tlsPage, e...) },
		"s_server":    func(e ...TLSEndpoint) Program { return OpenSSLPage(tlsPage, e[0]) },
		"gnutls-serv": func(e ...TLSEndpoint) Program { return GnuTLSServer(tlsPage, e[0]) },
	}
	for name, program := range servers {
		for _, e := range []TLSEndpoint{
			{Leaf: ecdsa, Version: "1.2", ALPN: "http/1.1"},
			{Leaf: ed25519, Version: "1.3", ALPN: "h2"},
			{Leaf: ecdsa, Version: "1.3"},
		} {
			t.Run(fmt.Sprintf("%s, %s, %q", name, e.Version, e.ALPN), func(t *testing.T) {
				e.Port = reserved(t)
				started(t, program(e))
				checkEndpoint(t, a, e, name == "nginx")
			})
		}
	}
}

func checkEndpoint(t *testing.T, a *Authority, e TLSEndpoint, insistsOnALPN bool) {
	t.Helper()
	offer := []string{"h2", "http/1.1"}
	if insistsOnALPN && e.ALPN == "" {
		offer = nil
	}
	c := dialTLS(t, a, e.Port, offer)
	state := c.ConnectionState()
	if got := strings.TrimPrefix(tls.VersionName(state.Version), "TLS "); got != e.Version || state.NegotiatedProtocol != e.ALPN {
		t.Errorf("agreed on %s and ALPN %q, want %s and %q", got, state.NegotiatedProtocol, e.Version, e.ALPN)
	}
	if e.ALPN == "h2" {
		return // nothing here speaks it
	}
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n", PagePath); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	if head, body, _ := strings.Cut(string(answer), "\r\n\r\n"); body != tlsPage {
		t.Errorf("page of %d bytes, want %d, below\n%s", len(body), len(tlsPage), head)
	}
}

func dialTLS(t *testing.T, a *Authority, port int, offer []string) *tls.Conn {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(a.PEM))
	c, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port), &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: offer})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTunnelsSpeakTLS(t *testing.T) {
	a, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(root, []byte(a.PEM), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, program := range map[string]func(int) Program{"node": NodeTunnel, "python": PythonTunnel, "java": JavaTunnel} {
		t.Run(name, func(t *testing.T) {
			addr, seen := tlsEcho(t, a)
			port := reserved(t)
			started(t, program(port))
			u := NewTunnel(port)
			for _, alpn := range [][]string{nil, {"h2", "echo"}} {
				c, err := u.Dial(t.Context(), TLSTarget{Addr: addr, Name: "localhost", ALPN: alpn, Root: root})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				hello := <-seen
				if hello.ServerName != "localhost" || fmt.Sprint(hello.SupportedProtos) != fmt.Sprint(alpn) {
					t.Errorf("name %q, ALPN %q, want localhost, %q", hello.ServerName, hello.SupportedProtos, alpn)
				}
				checkEchoOf(t, c)
			}
			_, err := u.Dial(t.Context(), TLSTarget{Addr: addr, Name: "other.test", Root: root})
			if <-seen; err == nil || !strings.Contains(err.Error(), "handshake: ") {
				t.Errorf("Dial() with a wrong name = %v, want an error", err)
			}
		})
	}
}

// tlsEcho is a server that says what it hears, and passes on the hellos.
func tlsEcho(t *testing.T, a *Authority) (string, <-chan *tls.ClientHelloInfo) {
	t.Helper()
	leaf, err := a.Leaf("localhost")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair([]byte(leaf.Cert), []byte(leaf.Key))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan *tls.ClientHelloInfo, 10)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates:       []tls.Certificate{pair},
		NextProtos:         []string{"echo"},
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) { seen <- h; return nil, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go serveEcho(l, done)
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String(), seen
}

func checkEchoOf(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	sent := []byte(tlsPage)
	go c.Write(sent) // what is missing is missed by the reader
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != tlsPage {
		t.Errorf("echo of %d bytes: %v, equal %v", len(sent), err, string(got) == tlsPage)
	}
	c.Close()
}

func TestAPipeIsTheClientsStdinAndStdout(t *testing.T) {
	p, err := StartPipe(t.Context(), "cat")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := io.WriteString(p, "there and back"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 14)
	if _, err := io.ReadFull(p, got); err != nil || string(got) != "there and back" {
		t.Errorf("read %q, %v", got, err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}

	p, err = StartPipe(t.Context(), "sh", "-c", "echo why not >&2; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err == nil || !strings.Contains(err.Error(), "exit status 3: why not") {
		t.Errorf("Close() = %v, want what it complained of", err)
	}
}

func TestChromiumTellsWhereItIsDriven(t *testing.T) {
	a, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	p, err := Chromium(a.PEM, a.PEM)
	if err != nil {
		t.Fatal(err)
	}
	proc := started(t, p)
	url := strings.Replace(ChromiumEndpoint(proc.Stderr()), "ws://", "http://", 1)
	host, _, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/json/version", nil)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(text), "HeadlessChrome/") {
		t.Errorf("version page %q, %v", text, err)
	}
}

func started(t *testing.T, p Program) *Process {
	t.Helper()
	proc, err := Start(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(proc.Logs())
		}
		proc.Stop()
	})
	return proc
}

func reserved(t *testing.T) int {
	t.Helper()
	port, release, err := ReservePort()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return port
}

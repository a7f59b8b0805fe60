package interop

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// An alert's number is all that a client has to go by: it is the very one that the server
// sent, and the client has the same to say of it.
func TestTLSAlertsOfTheServerReachTheClient(t *testing.T) {
	t.Parallel()
	leaf, root := issue(t, "localhost")
	m := startTLSMitm(t, root)
	openssl := func(args ...string) func(int) {
		return func(port int) { start(t, peers.OpenSSLServer(port, leaf, args...)) }
	}
	other := []string{"-servername", "other.test", "-cert2", peers.Here + "/cert.pem", "-key2", peers.Here + "/key.pem"}
	const (
		handshakeFailure = 40
		protocolVersion  = 70
		internalError    = 80
		unrecognizedName = 112
		noProtocol       = 120
	)
	for _, tt := range []struct {
		name  string
		alert byte
		start func(port int)
		curl  []string
	}{
		{
			"no cipher suite in common, in TLS 1.2", handshakeFailure,
			openssl("-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"),
			[]string{"--tls-max", "1.2", "--ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256"},
		},
		{
			"no cipher suite in common, in TLS 1.3", handshakeFailure,
			openssl("-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"),
			[]string{"--tlsv1.3", "--tls13-ciphers", "TLS_AES_128_GCM_SHA256"},
		},
		{"no group in common", handshakeFailure, openssl("-tls1_3", "-groups", "P-384"), []string{"--tlsv1.3", "--curves", "X25519"}},
		{"a server of TLS 1.3", protocolVersion, openssl("-tls1_3"), []string{"--tls-max", "1.2"}},
		{"a server of TLS 1.2", protocolVersion, openssl("-tls1_2"), []string{"--tlsv1.3"}},
		{"a server of another name", unrecognizedName, openssl(append(other, "-servername_fatal")...), nil},
		{"a server of another name, in TLS 1.2", unrecognizedName, openssl(append(other, "-servername_fatal", "-tls1_2")...), nil},
		{"no protocol in common", noProtocol, openssl("-alpn", "acme-tls/1"), nil},
		{"no protocol in common, in TLS 1.2", noProtocol, openssl("-alpn", "acme-tls/1", "-tls1_2"), nil},
		{"nginx that rejects", unrecognizedName, func(port int) { nginxOn(t, port, leaf, nil, "ssl_reject_handshake on;") }, nil},
		{"GnuTLS of another name", unrecognizedName, func(port int) {
			p := peers.GnuTLSServer("", peers.TLSEndpoint{Port: port, Leaf: leaf, Version: "1.3"})
			p.Args = append(p.Args, "--sni-hostname", "other.test", "--sni-hostname-fatal")
			start(t, p)
		}, nil},
		{"node without a protocol in common", noProtocol, func(port int) {
			start(t, peers.NodeTLS("", peers.TLSEndpoint{Port: port, Leaf: leaf, Version: "1.3", ALPN: "h2"}))
		}, []string{"--http1.1"}},
		{"Go that fails", internalError, func(port int) { serveGoFailing(t, port) }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			port := reserve(t)
			tt.start(port)
			asked := func(dial func() (net.Conn, error)) (peers.Result, byte) {
				r := recording(t, dial)
				res := run(t, "", "curl", curlArgs(append(tt.curl, "--cacert", m.root, "https://localhost:"+r.port()+"/")...)...)
				res.Stderr = strings.ReplaceAll(res.Stderr, r.port(), "PORT")
				return res, alertIn(t, r)
			}
			direct, sent := asked(dialer(t.Context(), onLoopback(port), "direct", ""))
			through, arrived := asked(dialer(t.Context(), m.addrs[0], "socks5", at(port)))
			if sent != tt.alert {
				t.Errorf("the server sends alert %d, want %d", sent, tt.alert)
			}
			if arrived != sent || through != direct {
				t.Errorf("alert %d, curl ends with\n%+v\nwithout mitm %d\n%+v", arrived, through, sent, direct)
			}
			f := m.flow(t)
			if note, _ := f.Frames[len(f.Frames)-1]["note"].(string); f.Path != "socks5>tls" || f.Reason != "tls_server" || f.EndedBy != "server" || !strings.HasPrefix(note, "the server's alert: ") {
				t.Errorf("flow %+v, want one that ended by the server's alert", f)
			}
		})
	}
}

// serveGoFailing serves TLS that does not get beyond the client's hello.
func serveGoFailing(t *testing.T, port int) {
	t.Helper()
	l, err := tls.Listen("tcp", onLoopback(port), &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return nil, errors.New("not today")
	}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.(*tls.Conn).Handshake() // it fails
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
}

// alertIn is the alert that ends what a server said on a recorder's one connection.
func alertIn(t *testing.T, r *recorder) byte {
	t.Helper()
	talks := r.take()
	if len(talks) != 1 {
		t.Fatalf("%d connections, want one", len(talks))
	}
	text := talks[0].fromServer.bytes()
	_, record, _ := strings.Cut(string(text), "\x15\x03")
	if len(record) != 5 || record[1:4] != "\x00\x02\x02" {
		t.Fatalf("the server's words %x do not end with a fatal alert", text)
	}
	return record[4]
}

// Each alert there is reaches each client, which says of it what it says without us.
func TestTLSEachAlertReachesEachClient(t *testing.T) {
	t.Parallel()
	m := startTLSMitm(t, "")
	clients := map[string]func(port string) string{
		"s_client": func(port string) string {
			res := run(t, "", "openssl", "s_client", "-connect", "localhost:"+port)
			return fmt.Sprint(res.Code, regexp.MustCompile(`[^:]*:[^:]*:SSL alert number \d+`).FindAllString(res.Stderr, -1))
		},
		"gnutls-cli": func(port string) string {
			res := run(t, "", "gnutls-cli", "--insecure", "--port", port, "localhost")
			return fmt.Sprint(res.Code, regexp.MustCompile(`(?m)^\*\*\*.*`).FindAllString(res.Stdout+res.Stderr, -1))
		},
		"go": func(port string) string {
			_, err := tls.Dial("tcp", "127.0.0.1:"+port, &tls.Config{InsecureSkipVerify: true})
			return fmt.Sprint(err)
		},
	}
	for _, alert := range []byte{10, 20, 22, 40, 47, 48, 49, 50, 51, 70, 71, 80, 86, 90, 109, 110, 112, 113, 115, 116, 120, 121, 255} {
		server := startAlerting(t, alert)
		through := recording(t, dialer(t.Context(), m.addrs[0], "connect", server))
		_, port, _ := strings.Cut(server, ":")
		for name, says := range clients {
			if got, want := says(through.port()), says(port); got != want || want == "" {
				t.Errorf("alert %d: %s says %q, without mitm %q", alert, name, got, want)
			}
			if f := m.flow(t); f.Reason != "tls_server" || f.EndedBy != "server" {
				t.Errorf("alert %d: %s: flow %+v, want one that the server ended", alert, name, f)
			}
		}
	}
}

// startAlerting answers each hello with an alert and the end.
func startAlerting(t *testing.T, alert byte) (addr string) {
	t.Helper()
	l := listen(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 16<<10))
			_, _ = c.Write([]byte{21, 3, 3, 0, 2, 2, alert})
			_ = c.(*net.TCPConn).CloseWrite()
			_, _ = c.Read(make([]byte, 16<<10)) // what is unread would reset the connection
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

// A warning ends nothing: the client is served, as it is without us.
func TestTLSAWarningOfTheServerEndsNothing(t *testing.T) {
	t.Parallel()
	leaf, root := issue(t, "localhost")
	m := startTLSMitm(t, root)
	port := reserve(t)
	start(t, peers.OpenSSLServer(port, leaf, "-tls1_2", "-servername", "other.test", "-cert2", peers.Here+"/cert.pem", "-key2", peers.Here+"/key.pem"))
	server := recording(t, dialer(t.Context(), onLoopback(port), "direct", ""))
	page := curl(t, "--cacert", m.root, "-x", "socks5h://"+m.addrs[0], "https://localhost:"+server.port()+"/")
	if !strings.Contains(page, "Protocol  : TLSv1.2") {
		t.Errorf("the page is %q", page)
	}
	const warning = "\x15\x03\x03\x00\x02\x01\x70"
	if talks := server.take(); len(talks) != 1 || !strings.Contains(string(talks[0].fromServer.bytes()), warning) {
		t.Errorf("the server has not warned in %d connections", len(talks))
	}
	want := inspected("socks5>tls>raw", "localhost:"+server.port(), "")
	want.version = "1.2"
	f := m.flow(t)
	want.path = f.Path // the page is sent as HTTP/1.0
	want.check(t, f)
}

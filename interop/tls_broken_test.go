package interop

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// A fault is what is wrong with a server's certificate, and what mitm says of it.
type fault struct {
	name, verdict string
	leaf          peers.Leaf
	elsewhere     bool // not in the leaf, so that the words about ours are others
}

// faults are those of servers whose clients trust one root.
func faults(t *testing.T, known *issuer) []fault {
	t.Helper()
	now := time.Now()
	expired := func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) }
	future := func(c *x509.Certificate) { c.NotBefore = now.Add(time.Hour) }
	elsewhere := func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"elsewhere.test"}, nil }
	unknown := newIssuer(t, "Nobody's Root", nil)
	namesake := newIssuer(t, known.cert.Subject.CommonName, nil)
	below := newIssuer(t, "Origin Intermediate", known)
	stale := newIssuer(t, "Origin Stale Intermediate", known, expired)
	self, err := peers.SelfSignedLeaf("localhost")
	if err != nil {
		t.Fatal(err)
	}
	return []fault{
		{"nothing", "ok", known.server(t), false},
		{"nothing, below an intermediate", "ok", withChain(below.server(t), below), false},
		{"expired", "expired", known.server(t, expired), false},
		{"not valid yet", "expired", known.server(t, future), false},
		{"of another host", "wrong host", known.server(t, elsewhere), false},
		{"expired and of another host", "expired", known.server(t, expired, elsewhere), false},
		{"of an unknown issuer", "unknown issuer", unknown.server(t), false},
		{"of an unknown issuer, expired", "unknown issuer", unknown.server(t, expired), false},
		{"of a namesake of the issuer", "unknown issuer", namesake.server(t), true},
		{"below an intermediate that is not sent", "unknown issuer", below.server(t), false},
		{"below an intermediate that has expired", "unknown issuer", withChain(stale.server(t), stale), true},
		{"self-signed", "self-signed", self, false},
		{"with a bad signature", "bad signature", spoiled(t, known.server(t)), false},
		{"with a bad signature, expired", "bad signature", spoiled(t, known.server(t, expired)), false},
	}
}

// serveWith serves a page over TLS with a certificate, and returns its port. It ends the
// page /large in the midst of it.
func serveWith(t *testing.T, leaf peers.Leaf, change ...func(*tls.Config)) int {
	t.Helper()
	pair := keyPair(t, leaf)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(servePage))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	for _, f := range change {
		f(srv.TLS)
	}
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that refuse are what this is about
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().(*net.TCPAddr).Port
}

func servePage(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/large" {
		_, _ = io.WriteString(w, "a page")
		return
	}
	w.Header().Set("Content-Length", "1000000")
	_, _ = io.WriteString(w, strings.Repeat("x", 100_000))
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// A judge is a client that says what it thinks of the server at a port of localhost, in
// words that do not name the root, a file, that it trusts.
type judge func(t *testing.T, port, root string) words

type words struct {
	content bool // with what the server showed
	text    string
}

// said are the words of a program.
func said(res peers.Result, text ...string) words {
	return words{res.Code == 0, fmt.Sprintf("exit code %d: %q", res.Code, text)}
}

func judges(t *testing.T) map[string]judge {
	t.Helper()
	all := map[string]judge{
		"curl": func(t *testing.T, port, root string) words {
			res := run(t, "", "curl", curlArgs("--cacert", root, "https://localhost:"+port+"/")...)
			return said(res, res.Stderr)
		},
		"s_client": func(t *testing.T, port, root string) words {
			res := run(t, "", "openssl", "s_client", "-connect", "localhost:"+port, "-servername", "localhost",
				"-verify_hostname", "localhost", "-verify_return_error", "-CAfile", root)
			return said(res, regexp.MustCompile(`(?m)^(verify error|Verif|SSL alert).*`).FindAllString(res.Stdout+res.Stderr, -1)...)
		},
		"gnutls-cli": func(t *testing.T, port, root string) words {
			res := run(t, "", "gnutls-cli", "--x509cafile", root, "--port", port, "localhost")
			return said(res, regexp.MustCompile(`(?m)^(- Status|\*\*\*).*`).FindAllString(res.Stdout+res.Stderr, -1)...)
		},
		"wget": func(t *testing.T, port, root string) words {
			res := run(t, "", "wget", "--no-config", "--no-hsts", "--tries=1", "--timeout=30", "-nv", "-O/dev/null", "--ca-certificate", root, "https://localhost:"+port+"/")
			text := regexp.MustCompile(`, issued by .*:|(?m)^\d{4}-.* URL:.*`).ReplaceAllString(res.Stderr, "")
			return said(res, text)
		},
	}
	for name, program := range map[string]func(int) peers.Program{"node": peers.NodeTunnel, "python": peers.PythonTunnel, "java": peers.JavaTunnel} {
		port := reserve(t)
		start(t, program(port))
		tunnel := peers.NewTunnel(port)
		all[name] = func(t *testing.T, port, root string) words {
			c, err := tunnel.Dial(t.Context(), peers.TLSTarget{Addr: "127.0.0.1:" + port, Name: "localhost", Root: root})
			if err != nil {
				return words{text: err.Error()}
			}
			c.Close()
			return words{content: true}
		}
	}
	return all
}

// Whatever is wrong with a server's certificate, each client complains of it in the same
// words, with mitm and without.
func TestTLSBrokenCertificatesAreBrokenForEachClient(t *testing.T) {
	t.Parallel()
	known := newIssuer(t, "Origin Root", nil)
	root := writeFile(t, "root.pem", known.pem)
	m := startTLSMitm(t, root)
	all := judges(t)
	for _, f := range faults(t, known) {
		t.Run(f.name, func(t *testing.T) {
			port := serveWith(t, f.leaf)
			through := recording(t, dialer(t.Context(), m.addrs[0], "socks5", at(port)))
			for client, says := range all {
				directly, bridged := says(t, fmt.Sprint(port), root), says(t, through.port(), m.root)
				directly.text = strings.ReplaceAll(directly.text, fmt.Sprint(port), "PORT")
				bridged.text = strings.ReplaceAll(bridged.text, through.port(), "PORT")
				if directly.content != (f.verdict == "ok") {
					t.Fatalf("%s says %+v without mitm", client, directly)
				}
				if bridged != directly && !f.elsewhere || bridged.content != directly.content {
					t.Errorf("%s says\n%+v\nwithout mitm\n%+v", client, bridged, directly)
				}
				if flow := m.flow(t); flow.Action != "inspect" || flow.TLS == nil || flow.TLS.Certificate.Verdict != f.verdict {
					t.Errorf("%s: flow %+v, %+v, want verdict %s", client, flow, flow.TLS, f.verdict)
				}
			}
		})
	}
}

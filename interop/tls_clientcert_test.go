package interop

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// A mutual is an authority for servers, one for clients, and a client's certificate.
type mutual struct {
	leaf            peers.Leaf
	root            string // file with the servers' authority
	clients         *issuer
	cert, key, both string // files of the client's
}

func newMutual(t *testing.T) mutual {
	t.Helper()
	servers, clients := newIssuer(t, "Origin Root", nil), newIssuer(t, "Client Root", nil)
	alice := clients.client(t, "alice")
	return mutual{
		leaf: servers.server(t), root: writeFile(t, "root.pem", servers.pem), clients: clients,
		cert: writeFile(t, "alice.pem", alice.Cert), key: writeFile(t, "alice.key", alice.Key),
		both: writeFile(t, "both.pem", alice.Cert+alice.Key),
	}
}

// nginx starts a server that says what it knows of its client. How is the value of
// ssl_verify_client.
func (u mutual) nginx(t *testing.T, how string, more ...string) int {
	t.Helper()
	return nginxTLS(t, u.leaf, map[string]string{"clients.pem": u.clients.pem}, append(more,
		"ssl_client_certificate @HERE@/clients.pem; ssl_verify_client "+how+";",
		`location / { return 200 "verify=$ssl_client_verify client=$ssl_client_s_dn tls=$ssl_protocol connection=$connection\n"; }`)...)
}

// openssl starts a server that takes no client without a certificate.
func (u mutual) openssl(t *testing.T, args ...string) int {
	t.Helper()
	port := reserve(t)
	p := peers.OpenSSLServer(port, u.leaf, append([]string{"-Verify", "2", "-verify_return_error", "-CAfile", peers.Here + "/clients.pem"}, args...)...)
	p.Files["clients.pem"] = u.clients.pem
	start(t, p)
	return port
}

func (u mutual) mitm(t *testing.T, args ...string) *mitm {
	t.Helper()
	return startTLSMitm(t, u.root, args...)
}

// show are the arguments of curl with its certificate.
func (u mutual) show() []string { return []string{"--cert", u.cert, "--key", u.key} }

// curl with its certificate gets what it asks for on the first try: the server, which
// wants that one and no other, is passed on to. It sees the server's own certificate.
func TestTLSClientCertificatesAreRescued(t *testing.T) {
	t.Parallel()
	u := newMutual(t)
	m := u.mitm(t)
	for _, tt := range []struct {
		name  string
		start func() int
		page  []string
	}{
		{"nginx that requires one", func() int { return u.nginx(t, "on") }, []string{"verify=SUCCESS client=CN=alice"}},
		{"nginx that would like one", func() int { return u.nginx(t, "optional") }, []string{"verify=SUCCESS client=CN=alice"}},
		{"nginx with TLS 1.2", func() int { return u.nginx(t, "on", "ssl_protocols TLSv1.2;") }, []string{"verify=SUCCESS client=CN=alice tls=TLSv1.2"}},
		{"s_server with TLS 1.3", func() int { return u.openssl(t, "-tls1_3") }, []string{"Client certificate\n", "CN=alice"}},
		{"s_server with TLS 1.2", func() int { return u.openssl(t, "-tls1_2") }, []string{"Client certificate\n", "CN=alice"}},
	} {
		for path, proxy := range map[string]string{"socks5": "socks5h://" + m.addrs[0], "connect": "http://" + m.addrs[0]} {
			port := tt.start()
			for try, note := range []string{"rescued: client certificate", "rescued: client certificate, as before"} {
				name := fmt.Sprintf("%s, %s, try %d", tt.name, path, try+1)
				page := curl(t, append(u.show(), "--cacert", u.root, "-x", proxy, "https://"+at(port)+"/")...)
				for _, want := range tt.page {
					if !strings.Contains(page, want) {
						t.Errorf("%s: the page lacks %q:\n%s", name, want, page)
					}
				}
				checkRescue(t, m.flow(t), path, at(port), note)
			}
		}
	}
}

// The server is connected to twice once, and then once for each flow.
func TestTLSARescueIsRemembered(t *testing.T) {
	t.Parallel()
	u := newMutual(t)
	m := u.mitm(t)
	port := u.nginx(t, "on")
	for i, want := range []string{"connection=2", "connection=3", "connection=4"} {
		page := curl(t, append(u.show(), "--cacert", u.root, "-x", "http://"+m.addrs[0], "https://"+at(port)+"/")...)
		if !strings.Contains(page, want+"\n") {
			t.Errorf("try %d: nginx says %q, want %s", i+1, page, want)
		}
	}
}

func checkRescue(t *testing.T, f peers.Flow, path, target, note string) {
	t.Helper()
	if f.Path != path+">tls(pass)" || f.Action != "rescue" || f.Target != target || f.Reason != "eof" {
		t.Errorf("flow %+v, want a rescue to %s through %s", f, target, path)
	}
	if got := f.Frames[len(f.Frames)-1]["note"]; got != note {
		t.Errorf("note %q, want %q", got, note)
	}
}

// A client that has no certificate stays inspected when the server is told so, and so
// does every client when all servers are.
func TestTLSClientsWithoutACertificateStayInspected(t *testing.T) {
	t.Parallel()
	u := newMutual(t)
	for _, tt := range []struct {
		name, mtls string
		cert       bool // the client has one
		required   string
		page       string
	}{
		{"asked, to a server that would like one", "ask", false, "optional", "verify=NONE"},
		{"asked, to a server that requires one", "ask", false, "on", "No required SSL certificate was sent"},
		{"never asked, to a server that would like one", "none", true, "optional", "verify=NONE"},
		{"never asked, to a server that requires one", "none", true, "on", "No required SSL certificate was sent"},
	} {
		m := u.mitm(t, "--mtls", tt.mtls)
		for _, protocol := range []string{"TLSv1.2", "TLSv1.3"} {
			port := u.nginx(t, tt.required, "ssl_protocols "+protocol+";")
			args := []string{"--cacert", m.root, "-x", "socks5h://" + m.addrs[0], "https://" + at(port) + "/"}
			if tt.cert {
				args = append(u.show(), args...)
			}
			if page := curl(t, args...); !strings.Contains(page, tt.page) {
				t.Errorf("%s, %s: the page lacks %q:\n%s", tt.name, protocol, tt.page, page)
			}
			want := inspected("socks5>tls(h2)", at(port), "h2")
			want.version = strings.TrimPrefix(protocol, "TLSv")
			want.check(t, m.flow(t))
		}
	}
}

// A client that is asked and has a certificate can't be inspected: it ends, and the next
// one is passed on. The proof that it has the key is for the server.
func TestTLSAClientThatIsAskedAndHasACertificateIsRescuedTheNextTime(t *testing.T) {
	t.Parallel()
	u := newMutual(t)
	m := u.mitm(t, "--mtls", "ask")
	for _, protocol := range []string{"TLSv1.2", "TLSv1.3"} {
		t.Run(protocol, func(t *testing.T) {
			port := u.nginx(t, "optional", "ssl_protocols "+protocol+";")
			both := writeFile(t, "roots.pem", contents(t, u.root)+contents(t, m.root)) // ours, and then the server's
			args := curlArgs(append(u.show(), "--cacert", both, "-x", "socks5h://"+m.addrs[0], "https://"+at(port)+"/")...)
			if res := run(t, "", "curl", args...); res.Code == 0 || res.Stdout != "" {
				t.Errorf("the first try: exit code %d, %q, want an error", res.Code, res.Stdout)
			}
			if f := m.flow(t); f.Path != "socks5>tls" || f.Reason != "reset" {
				t.Errorf("the first try: flow %+v, want one that is reset", f)
			}
			if page := succeed(t, "curl", args...); !strings.HasPrefix(page, "verify=SUCCESS client=CN=alice") {
				t.Errorf("the second try: the page is %q", page)
			}
			checkRescue(t, m.flow(t), "socks5", at(port), "rescued: client certificate, as before")
		})
	}
}

// The client is asked as the server has asked: with the names of its authorities.
func TestTLSAClientSeesWhoseCertificatesTheServerTakes(t *testing.T) {
	t.Parallel()
	u := newMutual(t)
	other := newIssuer(t, "Another Client Root", nil)
	both := map[string]string{"clients.pem": u.clients.pem + other.pem}
	m := u.mitm(t, "--mtls", "ask")
	for _, protocol := range []string{"TLSv1.2", "TLSv1.3"} {
		port := nginxTLS(t, u.leaf, both, "ssl_protocols "+protocol+";",
			"ssl_client_certificate @HERE@/clients.pem; ssl_verify_client optional;", `location / { return 200 ""; }`)
		asked := func(root string, args ...string) string {
			args = append([]string{"s_client", "-ign_eof", "-connect", at(port), "-servername", "localhost", "-verify_return_error", "-CAfile", root}, args...)
			res := run(t, "GET / HTTP/1.0\r\n\r\n", "openssl", args...)
			names := regexp.MustCompile(`(?s)Acceptable client certificate CA names\n.*?\n(?:Requested|Client Certificate Types)`).FindString(res.Stdout)
			if res.Code != 0 || names == "" {
				t.Fatalf("openssl s_client %q: exit code %d\n%s%s", args, res.Code, res.Stdout, res.Stderr)
			}
			return names
		}
		direct, through := asked(u.root), asked(m.root, "-proxy", m.addrs[0])
		if through != direct || !strings.Contains(direct, "CN = Another Client Root") {
			t.Errorf("%s: the client is asked for\n%s\nwithout mitm for\n%s", protocol, through, direct)
		}
		f := m.flow(t)
		if f.Action != "inspect" || f.TLS == nil || f.TLS.Certificate.LeafSHA256 == "" {
			t.Errorf("%s: flow %+v, want one that is inspected", protocol, f)
		}
	}
}

// The operator's certificate is shown in the client's place, where there is one for the
// server's name: in PEM and in PKCS #12 as openssl writes it.
func TestTLSTheOperatorsClientCertificateIsShown(t *testing.T) {
	t.Parallel()
	u := newMutual(t)
	pkcs12 := func(args ...string) string {
		file := filepath.Join(t.TempDir(), "alice.p12")
		succeed(t, "openssl", append([]string{"pkcs12", "-export", "-in", u.cert, "-inkey", u.key, "-out", file}, args...)...)
		return file
	}
	secret := writeFile(t, "secret", "pass:word\n")
	for _, tt := range []struct{ name, flag string }{
		{"PEM", "localhost:" + u.both},
		{"PKCS #12", "localhost:" + pkcs12("-passout", "pass:secret") + ":secret"},
		{"PKCS #12 with old ciphers", "localhost:" + pkcs12("-legacy", "-passout", "pass:secret") + ":secret"},
		{"PKCS #12 whose password is in a file", "*:" + pkcs12("-passout", "file:"+secret) + ":file:" + secret},
		{"PKCS #12 without a password", "elsewhere.test,localhost:" + pkcs12("-passout", "pass:")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := u.mitm(t, "--clientcert", "elsewhere.test:"+u.both, "--clientcert", tt.flag)
			for _, protocol := range []string{"TLSv1.2", "TLSv1.3"} {
				port := u.nginx(t, "on", "ssl_protocols "+protocol+";")
				page := curl(t, "--cacert", m.root, "-x", "socks5h://"+m.addrs[0], "https://"+at(port)+"/")
				if want := "verify=SUCCESS client=CN=alice tls=" + protocol + " connection=1\n"; page != want {
					t.Errorf("%s: the page is %q, want %q", protocol, page, want)
				}
				want := inspected("socks5>tls(h2)", at(port), "h2")
				want.version = strings.TrimPrefix(protocol, "TLSv")
				want.check(t, m.flow(t))
			}
		})
	}
}

// A certificate that is not for the server's name is not shown to it.
func TestTLSTheOperatorsClientCertificateIsForItsNames(t *testing.T) {
	t.Parallel()
	u := newMutual(t)
	m := u.mitm(t, "--clientcert", "elsewhere.test,*.localhost:"+u.both, "--mtls", "none")
	port := u.nginx(t, "optional")
	if page := curl(t, "--cacert", m.root, "-x", "socks5h://"+m.addrs[0], "https://"+at(port)+"/"); !strings.HasPrefix(page, "verify=NONE") {
		t.Errorf("the page is %q, want no certificate", page)
	}
	inspected("socks5>tls(h2)", at(port), "h2").check(t, m.flow(t))
}

package interop

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// An unusual server is one that curl has no trouble with.
type unusual struct {
	name   string
	key    []string // of openssl req: which key, and what else is in the certificate
	server []string // of s_server
	curl   []string
	action string // what becomes of a flow to it
}

func unusuals() []unusual {
	p256 := []string{"ec", "-pkeyopt", "ec_paramgen_curve:P-256"}
	rsa := []string{"rsa:2048"}
	return []unusual{
		{"a certificate of Ed448", []string{"ed448"}, nil, nil, "rescue"},
		{"a certificate of RSASSA-PSS", []string{"rsa-pss"}, nil, nil, "rescue"},
		{"a certificate with a negative serial number", append(p256, "-set_serial", "-5"), nil, nil, "rescue"},
		{"Diffie-Hellman in a finite field, in TLS 1.2", rsa, []string{"-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"}, nil, "rescue"},
		{"CCM, in TLS 1.2", p256, []string{"-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-CCM"}, []string{"--ciphers", "ECDHE-ECDSA-AES128-CCM:ECDHE-ECDSA-AES128-GCM-SHA256"}, "rescue"},
		{"CCM, in TLS 1.3", p256, []string{"-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256"}, []string{"--tls13-ciphers", "TLS_AES_128_CCM_SHA256:TLS_AES_128_GCM_SHA256"}, "rescue"},
		{"X448, in TLS 1.3", p256, []string{"-tls1_3", "-groups", "X448"}, nil, "rescue"},
		{"CBC without encrypt-then-MAC", p256, []string{"-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA", "-no_etm"}, nil, "inspect"},
		{"CBC with encrypt-then-MAC", p256, []string{"-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"}, nil, "inspect"},
		{"P-384, after a retry", p256, []string{"-tls1_3", "-groups", "P-384"}, nil, "inspect"},
	}
}

// certificate makes a self-signed certificate of openssl's.
func certificate(t *testing.T, key []string) peers.Leaf {
	t.Helper()
	dir := t.TempDir()
	cert, secret := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	succeed(t, "openssl", append([]string{
		"req", "-x509", "-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
		"-out", cert, "-keyout", secret, "-newkey",
	}, key...)...)
	return peers.Leaf{Cert: contents(t, cert), Key: contents(t, secret)}
}

// What can't be bridged, for a reason that is ours, gets through on the first try, and so
// does what can be bridged only with another hello.
func TestTLSUnusualServersAreReachedOnTheFirstTry(t *testing.T) {
	t.Parallel()
	for _, u := range unusuals() {
		t.Run(u.name, func(t *testing.T) {
			t.Parallel()
			leaf := certificate(t, u.key)
			port := reserve(t)
			start(t, peers.OpenSSLServer(port, leaf, u.server...))
			root := writeFile(t, "root.pem", leaf.Cert)
			asks := func(args ...string) string {
				return curl(t, append(append(args, u.curl...), "https://"+at(port)+"/")...)
			}
			asks("--cacert", root)
			trust := root
			if u.action == "rescue" {
				trust = "" // nothing to read there for Go
			}
			m := startTLSMitm(t, trust)
			both := writeFile(t, "both.pem", leaf.Cert+contents(t, m.root))
			for range 2 {
				page := asks("--cacert", both, "-x", "socks5h://"+m.addrs[0])
				if !strings.Contains(page, "s_server") {
					t.Errorf("the page is %q", page)
				}
				f := m.flow(t)
				if f.Action != u.action || f.Reason != "eof" {
					t.Errorf("flow %+v, want %s", f, u.action)
				}
			}
		})
	}
}

// A client that sends early data has begun with a session that is not ours: its flow is
// passed on, and the server takes what it sent.
func TestTLSEarlyDataIsRescued(t *testing.T) {
	t.Parallel()
	known := newIssuer(t, "Origin Root", nil)
	root := writeFile(t, "root.pem", known.pem)
	m := startTLSMitm(t, root)
	port := nginxTLS(t, known.server(t), nil, `ssl_early_data on; location / { return 200 "early=$ssl_early_data\n"; }`)
	session, early := filepath.Join(t.TempDir(), "session"), writeFile(t, "early", "GET / HTTP/1.0\r\n\r\n")
	asks := func(stdin string, args ...string) string {
		args = append([]string{"s_client", "-ign_eof", "-connect", at(port), "-servername", "localhost", "-verify_return_error", "-CAfile", root}, args...)
		res := run(t, stdin, "openssl", args...)
		if res.Code != 0 {
			t.Fatalf("openssl %q: exit code %d\n%s%s", args, res.Code, res.Stdout, res.Stderr)
		}
		return res.Stdout
	}
	asks("GET / HTTP/1.0\r\n\r\n", "-sess_out", session)
	got := asks("", "-sess_in", session, "-early_data", early, "-proxy", m.addrs[0])
	if !strings.Contains(got, "Early data was accepted") || !strings.Contains(got, "early=1\n") {
		t.Errorf("s_client says\n%s, want early data accepted", got)
	}
	f := m.flow(t)
	f.Reason = "eof" // nginx has closed, maybe before the client's last words came
	checkRescue(t, f, "connect", at(port), "rescued: early data")
}

// A rescue takes the server side back to where the TLS began, below another one too, which
// we have ended.
func TestTLSRescuesBelowTLS(t *testing.T) {
	t.Parallel()
	u := newMutual(t)
	m := u.mitm(t)
	port := u.nginx(t, "on")
	for range 2 { // the second one is remembered
		page := curl(t, append(append(u.show(), "--cacert", u.root, "https://"+at(port)+"/"), overTLS(m)...)...)
		if !strings.HasPrefix(page, "verify=SUCCESS client=CN=alice") {
			t.Errorf("the page is %q", page)
		}
		if f := m.flow(t); f.Path != "tls(http/1.1)>connect>tls(pass)" || f.Action != "rescue" {
			t.Errorf("flow %+v, want a rescue", f)
		}
	}
}

// A client that can check signatures by RSA alone is let through, unless there is an
// authority for it: others know nothing of that.
func TestTLSClientsThatKnowRSAAlone(t *testing.T) {
	t.Parallel()
	authority, err := peers.NewRSAAuthority()
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := authority.RSALeaf("localhost")
	if err != nil {
		t.Fatal(err)
	}
	port, root := reserve(t), writeFile(t, "root.pem", authority.PEM)
	start(t, peers.Nginx(peers.NginxConfig{TLS: port, Leaf: leaf}))
	dir := t.TempDir()
	other := filepath.Join(dir, "other.pem")
	succeed(t, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", dir+"/key.pem", "-out", dir+"/cert.pem",
		"-subj", "/CN=old", "-days", "2", "-addext", "keyUsage=critical,keyCertSign")
	if err := os.WriteFile(other, []byte(contents(t, dir+"/cert.pem")+contents(t, dir+"/key.pem")), 0o600); err != nil {
		t.Fatal(err)
	}
	without, with := startTLSMitm(t, root), startTLSMitm(t, root, "--othercacert", "load:"+other)
	for _, tt := range []struct {
		name    string
		m       *mitm
		root    string // all that the client trusts
		sigalgs string
		action  string
	}{
		{"RSA alone", without, root, "RSA-PSS+SHA256:RSA+SHA256", "rescue"},
		{"RSA alone, and an authority for it", with, dir + "/cert.pem", "RSA-PSS+SHA256:RSA+SHA256", "inspect"},
		{"ECDSA, too", with, with.root, "RSA-PSS+SHA256:RSA+SHA256:ECDSA+SHA256", "inspect"},
	} {
		for _, version := range []string{"-tls1_2", "-tls1_3"} {
			t.Run(tt.name+version, func(t *testing.T) {
				res := run(t, "GET /status HTTP/1.0\r\n\r\n", "openssl", "s_client", "-ign_eof", version, "-connect", at(port), "-servername", "localhost",
					"-verify_return_error", "-CAfile", tt.root, "-sigalgs", tt.sigalgs, "-proxy", tt.m.addrs[0])
				if res.Code != 0 || !strings.Contains(res.Stdout, "HTTP/1.1 200 OK") {
					t.Errorf("exit code %d\n%s%s", res.Code, res.Stdout, res.Stderr)
				}
				if f := tt.m.flow(t); f.Action != tt.action {
					t.Errorf("flow %+v, want %s", f, tt.action)
				}
			})
		}
	}
}

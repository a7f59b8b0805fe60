package ca

import (
	"crypto/tls"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestOpenSSLReadsTheStaplesOfEveryAuthority(t *testing.T) {
	server := newOrigin(t).leaf(t, plainServer(), newKey(t).Public())
	for name, a := range authorities(t) {
		leaf := mustStaple(t, a, server, Judgment{OK, someStatus()})
		dir := t.TempDir()
		ca, issuer, sent := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "issuer.pem"), filepath.Join(dir, "sent.pem")
		cert, response := filepath.Join(dir, "leaf.pem"), filepath.Join(dir, "staple.der")
		writeFile(t, ca, a.ExportPEM())
		writeFile(t, issuer, certificatePEM(leaf.Certificate[1]))
		writeFile(t, cert, certificatePEM(leaf.Leaf.Raw))
		writeFile(t, response, leaf.OCSPStaple)
		var chain []byte
		for _, der := range leaf.Certificate[1:] {
			chain = append(chain, certificatePEM(der)...)
		}
		writeFile(t, sent, chain)
		args := []string{"ocsp", "-respin", response, "-issuer", issuer, "-cert", cert, "-verify_other", sent, "-CAfile", ca, "-no-CApath", "-no-CAstore"}
		out, err := exec.CommandContext(t.Context(), "openssl", args...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "Response verify OK") || !strings.Contains(string(out), "leaf.pem: good") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// serveHTTPS answers every connection with an empty page, until the test ends.
func serveHTTPS(t *testing.T, cert *tls.Certificate) string {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*cert}})
	noError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			fmt.Fprint(conn, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-done
	})
	_, port, err := net.SplitHostPort(listener.Addr().String())
	noError(t, err)
	return port
}

// TestClientsAcceptTheStaple runs clients that insist on one: the server without it shows that they do.
func TestClientsAcceptTheStaple(t *testing.T) {
	server := newOrigin(t).leaf(t, plainServer(), newKey(t).Public())
	for name, a := range authorities(t) {
		if name == "P-224" {
			continue // a curve that clients have no signature scheme for
		}
		t.Run(name, func(t *testing.T) {
			ca := filepath.Join(t.TempDir(), "ca.pem")
			writeFile(t, ca, a.ExportPEM())
			plain := serveHTTPS(t, mustStaple(t, a, server, Judgment{Verdict: OK}))
			stapled := serveHTTPS(t, mustStaple(t, a, server, Judgment{OK, someStatus()}))
			curl := func(port string) (string, error) {
				return run(t, "curl", "-sS", "--cert-status", "--cacert", ca, "--resolve", "www.example.com:"+port+":127.0.0.1", "https://www.example.com:"+port+"/")
			}
			if out, err := curl(plain); err == nil || !strings.Contains(out, "No OCSP response received") {
				t.Errorf("curl without a staple: %v\n%s", err, out)
			}
			if out, err := curl(stapled); err != nil {
				t.Errorf("curl: %v\n%s", err, out)
			}
			out, err := run(t, "openssl", "s_client", "-connect", "127.0.0.1:"+stapled, "-servername", "www.example.com", "-verify_hostname", "www.example.com", "-verify_return_error", "-CAfile", ca, "-status")
			if err != nil || !strings.Contains(out, "Cert Status: good") || !strings.Contains(out, "Verify return code: 0 (ok)") {
				t.Errorf("openssl s_client: %v\n%s", err, out)
			}
			out, err = run(t, "gnutls-cli", "--x509cafile", ca, "--verify-hostname", "www.example.com", "--sni-hostname", "www.example.com", "-p", stapled, "127.0.0.1")
			if err != nil || !strings.Contains(out, "The certificate is trusted") || !strings.Contains(out, "OCSP status request") {
				t.Errorf("gnutls-cli: %v\n%s", err, out)
			}
		})
	}
}

// run runs a client without input and returns all that it says.
func run(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	return string(out), err
}

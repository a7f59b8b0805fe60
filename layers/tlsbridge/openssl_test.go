package tlsbridge

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/internal/peers"
)

// openssl runs the program until it ends, and returns what it printed.
func openssl(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "openssl", args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// writePEM writes certificates, and a key unless it is nil, to a file.
func writePEM(t *testing.T, key any, certs ...[]byte) string {
	t.Helper()
	var text []byte
	for _, der := range certs {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	if key != nil {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
	}
	file := filepath.Join(t.TempDir(), "pem")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// opensslVersions are the options that choose one protocol version. OpenSSL 3 has the
// hashes of the two oldest at security level 0 only.
var opensslVersions = map[string]uint16{
	"-tls1": tls.VersionTLS10, "-tls1_1": tls.VersionTLS11, "-tls1_2": tls.VersionTLS12, "-tls1_3": tls.VersionTLS13,
}

func TestOpenSSLIsAClient(t *testing.T) {
	root := writePEM(t, nil, mitmCA().cert.Raw)
	addr, saw := echoTLS(t, &tls.Config{
		Certificates: []tls.Certificate{*certificate("RSA")}, MinVersion: tls.VersionTLS10, CipherSuites: allSuites(), NextProtos: []string{"h2"},
	})
	for option, version := range opensslVersions {
		t.Run(option, func(t *testing.T) {
			bridgetest.Baseline(t)
			l := newLab(t, relayed(), addr, bridge.Limits{})
			out, err := openssl(t, "Q\n", "s_client", option, "-cipher", "ALL:@SECLEVEL=0", "-alpn", "h2", "-servername", serverName,
				"-verify_hostname", serverName, "-verify_return_error", "-CAfile", root, "-connect", l.addr)
			if err != nil || !strings.Contains(out, "Verification: OK") || !strings.Contains(out, "ALPN protocol: h2") {
				t.Errorf("openssl: %v\n%s", err, out)
			}
			if s := <-saw; s.state.Version != version {
				t.Errorf("the server has %s, want %s", tls.VersionName(s.state.Version), tls.VersionName(version))
			}
			l.ends(t)
		})
	}
}

// A client of OpenSSL that does not trust the certificate sends its alert in plaintext in
// TLS 1.3, which crypto/tls takes for a record that it cannot decrypt.
func TestTheAlertOfAnOpenSSLClientIsKnown(t *testing.T) {
	addr, _ := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{*certificate("ECDSA")}})
	for _, option := range []string{"-tls1_2", "-tls1_3"} {
		t.Run(option, func(t *testing.T) {
			bridgetest.Baseline(t)
			l := newLab(t, relayed(), addr, bridge.Limits{})
			out, err := openssl(t, "", "s_client", option, "-servername", serverName, "-verify_return_error", "-no-CAfile", "-no-CApath", "-connect", l.addr)
			if err == nil {
				t.Errorf("openssl trusts the certificate:\n%s", out)
			}
			_, outcome := l.ends(t)
			var failed *HandshakeError
			const unknownCA = 48
			if !errors.As(outcome.Err, &failed) || failed.Side != bridge.Client || failed.Alert != unknownCA || outcome.Reason != bridge.TLSClient {
				t.Errorf("outcome %+v, want tls_client with the alert 48", outcome)
			}
		})
	}
}

// s_client takes up the session in a file. It has read the answer when it ends, and so the
// tickets of TLS 1.3 before it.
func TestAnOpenSSLClientResumes(t *testing.T) {
	root := writePEM(t, nil, mitmCA().cert.Raw)
	for _, option := range []string{"-tls1_2", "-tls1_3"} {
		t.Run(option, func(t *testing.T) {
			bridgetest.Baseline(t)
			addr, saw := answersTLS(t)
			l := newLab(t, resuming(), addr, bridge.Limits{})
			session := filepath.Join(t.TempDir(), "session")
			for i, file := range []string{"-sess_out", "-sess_in"} {
				out, err := openssl(t, "a question\n", "s_client", option, "-ign_eof", "-servername", serverName,
					"-verify_return_error", "-CAfile", root, "-connect", l.addr, file, session)
				if err != nil {
					t.Fatalf("openssl: %v\n%s", err, out)
				}
				flow, _ := l.ends(t)
				client, server, want := strings.Contains(out, "Reused, "), (<-saw).DidResume, i > 0
				if info := infoOf(t, flow); client != want || server != want || info.Client.Resumed != want || info.Server.Resumed != want {
					t.Errorf("with %s: resumed says the client %v, the server %v, and %+v; want %v", file, client, server, info, want)
				}
			}
		})
	}
}

// In TLS 1.2 s_client takes its session up five times more, with each ticket again.
func TestAnOpenSSLClientResumesAgainAndAgain(t *testing.T) {
	bridgetest.Baseline(t)
	root := writePEM(t, nil, mitmCA().cert.Raw)
	addr, saw := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{*certificate("ECDSA")}})
	l := newLab(t, resuming(), addr, bridge.Limits{})
	out, err := openssl(t, "", "s_client", "-tls1_2", "-reconnect", "-servername", serverName,
		"-verify_return_error", "-CAfile", root, "-connect", l.addr)
	if got := strings.Count(out, "Reused, "); err != nil || got != 5 {
		t.Errorf("openssl: %v, resumed %d times, want 5:\n%s", err, got, out)
	}
	resumed := 0
	for range 6 {
		if l.ends(t); (<-saw).state.DidResume {
			resumed++
		}
	}
	if resumed != 5 {
		t.Errorf("the server has resumed %d times, want 5", resumed)
	}
}

// answersTLS is a server that answers the first thing it is told, and says goodbye.
func answersTLS(t *testing.T) (bridge.Addr, <-chan tls.ConnectionState) {
	t.Helper()
	saw, config := make(chan tls.ConnectionState, 16), &tls.Config{Certificates: []tls.Certificate{*certificate("ECDSA")}}
	return serveTCP(t, func(c *net.TCPConn) {
		s := tls.Server(c, config)
		if _, err := s.Read(make([]byte, 64)); err == nil {
			saw <- s.ConnectionState()
			io.WriteString(s, "an answer\n")
		}
		s.Close()
	}), saw
}

// A server with certificates of two kinds shows Go's hello the one that this client can't
// check.
func TestAClientThatChecksOtherSignaturesIsRescuedFromGosHello(t *testing.T) {
	bridgetest.Baseline(t)
	root := writePEM(t, nil, serverCA().cert.Raw)
	addr, _ := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{*certificate("ECDSA"), *certificate("RSA")}})
	l := newLab(t, bridge.Chain(Relay(Config{Minter: copying{}, Hello: GoHello()})), addr, bridge.Limits{})
	out, err := openssl(t, "Q\n", "s_client", "-tls1_3", "-sigalgs", "RSA-PSS+SHA256", "-servername", serverName,
		"-verify_return_error", "-CAfile", root, "-connect", l.addr)
	if err != nil || !strings.Contains(out, "Peer signature type: RSA-PSS") {
		t.Errorf("openssl: %v\n%s", err, out)
	}
	if flow, _ := l.ends(t); flow.Path() != "tls(pass)" {
		t.Errorf("path %s, want a rescue", flow.Path())
	}
}

// The client's own hello asks the server for the one that the client can check.
func TestAClientThatChecksOtherSignaturesIsInspectedWithItsOwnHello(t *testing.T) {
	bridgetest.Baseline(t)
	root := writePEM(t, nil, mitmCA().cert.Raw)
	addr, _ := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{*certificate("ECDSA"), *certificate("RSA")}})
	l := newLab(t, relayed(), addr, bridge.Limits{})
	out, err := openssl(t, "Q\n", "s_client", "-tls1_3", "-sigalgs", "RSA-PSS+SHA256:ECDSA+SHA256", "-servername", serverName,
		"-verify_return_error", "-CAfile", root, "-connect", l.addr)
	if err != nil || !strings.Contains(out, "Peer signature type: RSA-PSS") && !strings.Contains(out, "Peer signature type: ECDSA") {
		t.Errorf("openssl: %v\n%s", err, out)
	}
	if flow, _ := l.ends(t); flow.Path() != "tls" || !flow.Decrypted() {
		t.Errorf("path %s, want it inspected", flow.Path())
	}
}

func TestOpenSSLIsAServer(t *testing.T) {
	leaf := certificate("RSA")
	file := writePEM(t, leaf.PrivateKey, leaf.Certificate[0])
	for option, version := range opensslVersions {
		t.Run(option, func(t *testing.T) {
			bridgetest.Baseline(t)
			port, release, err := peers.ReservePort()
			if err != nil {
				t.Fatal(err)
			}
			defer release()
			server, err := peers.Start(t.Context(), peers.Program{
				Name: "openssl",
				Args: []string{
					"s_server", option, "-cipher", "ALL:@SECLEVEL=0", "-cert", file, "-key", file,
					"-accept", fmt.Sprintf("127.0.0.1:%d", port), "-rev",
				},
				Ports: []int{port},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer server.Stop()

			l := newLab(t, relayed(), bridge.Addr{Host: "127.0.0.1", Port: uint16(port)}, bridge.Limits{})
			c := tls.Client(l.dial(t), anything())
			io.WriteString(c, "reverse me\n")
			got := make([]byte, len("em esrever\n"))
			if _, err := io.ReadFull(c, got); err != nil || string(got) != "em esrever\n" {
				t.Errorf("got %q, %v", got, err)
			}
			if c.ConnectionState().Version != version {
				t.Errorf("the client has %s", tls.VersionName(c.ConnectionState().Version))
			}
			c.Close()
			l.ends(t)
		})
	}
}

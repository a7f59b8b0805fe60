package tlsbridge

import (
	"crypto/x509"
	"fmt"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/internal/peers"
)

// OpenSSL servers that take up what the TLS library on our side cannot do. Its clients get
// what they would get directly: bridged where another hello helps, else as it is.
func TestServersThatTakeUpWhatWeCannotDo(t *testing.T) {
	both := writePEM(t, nil, mitmCA().cert.Raw, serverCA().cert.Raw)
	for _, tt := range []struct {
		name           string
		key            string
		server, client []string
		rung           string // "": it is rescued
	}{
		{"encrypt_then_mac", "ECDSA", []string{"-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA"}, nil, "without encrypt_then_mac"},
		{"encrypt_then_mac with RSA key exchange", "RSA", []string{"-tls1_2", "-cipher", "AES128-SHA256"}, []string{"-cipher", "ALL"}, "without encrypt_then_mac"},
		{"encrypt_then_mac in TLS 1.0", "ECDSA", []string{"-tls1", "-cipher", "ALL:@SECLEVEL=0"}, []string{"-tls1", "-cipher", "ALL:@SECLEVEL=0"}, "without encrypt_then_mac"},
		{"a retry with a cookie", "ECDSA", []string{"-tls1_3", "-stateless"}, nil, "faithful"},
		{"a retry with another group", "ECDSA", []string{"-tls1_3", "-groups", "P-521"}, nil, "faithful"},
		{"a group that we lack, and one that we have", "ECDSA", []string{"-tls1_3", "-groups", "X448:P-256"}, []string{"-groups", "X448:P-256"}, "known groups"},
		{"a group that we lack, asked for by a retry", "ECDSA", []string{"-tls1_3", "-groups", "X448:P-256"}, []string{"-groups", "P-384:X448:P-256"}, "known groups"},
		{"a group that we lack, alone", "ECDSA", []string{"-tls1_3", "-groups", "X448"}, nil, ""},
		{"a suite that we lack, preferred", "RSA", []string{"-tls1_2", "-serverpref", "-cipher", "DHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"}, nil, "known suites"},
		{"a suite that we lack, alone", "RSA", []string{"-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"}, nil, ""},
		{"CCM alone", "ECDSA", []string{"-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-CCM"}, []string{"-cipher", "ALL"}, ""},
		{"CCM in TLS 1.3", "ECDSA", []string{"-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256"}, []string{"-ciphersuites", "TLS_AES_128_CCM_SHA256:TLS_AES_128_GCM_SHA256"}, ""},
		{"max_fragment_length", "ECDSA", []string{"-tls1_2"}, []string{"-maxfraglen", "512", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"}, "faithful"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bridgetest.Baseline(t)
			leaf := certificate(tt.key)
			l := newLab(t, relayed(), openSSLServer(t, writePEM(t, leaf.PrivateKey, leaf.Certificate[0]), tt.server...), bridge.Limits{})
			line := strings.Repeat("0123456789", 200) // longer than a fragment
			out, err := openssl(t, line+"\nCLOSE\n", append([]string{
				"s_client", "-quiet", "-ign_eof", "-servername", serverName, "-verify_return_error", "-CAfile", both, "-connect", l.addr,
			}, tt.client...)...)
			if want := strings.Repeat("9876543210", 200); !strings.Contains(out, want) {
				t.Errorf("openssl: %v\n%s", err, out)
			}
			flow, _ := l.ends(t)
			switch info, ok := flow.Frames()[0].Detail.(*Info); {
			case tt.rung == "" && flow.Path() != "tls(pass)":
				t.Errorf("path %s, %+v; want a rescue", flow.Path(), info)
			case tt.rung != "" && (!ok || !flow.Decrypted() || info.Rung != tt.rung):
				t.Errorf("frames %+v, %+v; want it bridged, %s", flow.Frames(), info, tt.rung)
			}
		})
	}
}

// openSSLServer starts an s_server that sends back each line reversed, and ends with its
// first client.
func openSSLServer(t *testing.T, file string, args ...string) bridge.Addr {
	t.Helper()
	port, release, err := peers.ReservePort()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	server, err := peers.Start(t.Context(), peers.Program{
		Name: "openssl",
		Args: append([]string{
			"s_server", "-cert", file, "-key", file, "-accept", fmt.Sprintf("127.0.0.1:%d", port), "-rev",
		}, args...),
		Ports: []int{port},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Stop() })
	return bridge.Addr{Host: "127.0.0.1", Port: uint16(port)}
}

// lateServer asks its client for a certificate when the client has said something (RFC 8446
// §4.6.2), and says whether it got one.
const lateServer = `
import socket, ssl, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    conn, _ = listener.accept()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(sys.argv[2])
    context.load_verify_locations(sys.argv[3])
    context.verify_mode = ssl.CERT_REQUIRED
    context.post_handshake_auth = True
    tls = context.wrap_socket(conn, server_side=True, do_handshake_on_connect=False)
    try:
        tls.do_handshake()
        tls.recv(100)
        tls.verify_client_post_handshake()
        tls.settimeout(0.05)
        peer = None
        while not peer:
            try:
                if not tls.recv(100):
                    break
            except TimeoutError:
                pass
            try:
                peer = tls.getpeercert()
            except ValueError: # not yet
                pass
        tls.settimeout(None)
        tls.write(b"I know you\n" if peer else b"I do not know you\n")
        tls.unwrap()
    except OSError:
        pass
    tls.close()
`

// A server that asks after the handshake can't be answered; the client's next connection is
// its own.
func TestAServerThatAsksLateGetsTheClientItselfTheNextTime(t *testing.T) {
	bridgetest.Baseline(t)
	leaf, template := certificate("ECDSA"), leafTemplate()
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	own := signed(template, "RSA", serverCA())
	port, release, err := peers.ReservePort()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	both := writePEM(t, nil, mitmCA().cert.Raw, serverCA().cert.Raw)
	server, err := peers.Start(t.Context(), peers.Program{
		Name:  "/usr/bin/python3",
		Files: map[string]string{"server.py": lateServer},
		Args:  []string{"server.py", fmt.Sprint(port), writePEM(t, leaf.PrivateKey, leaf.Certificate[0]), both},
		Ports: []int{port},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	l := newLab(t, relayed(), bridge.Addr{Host: "127.0.0.1", Port: uint16(port)}, bridge.Limits{})
	client := writePEM(t, own.PrivateKey, own.Certificate[0])
	for i, want := range []string{"tls", "tls(pass)"} {
		out, err := openssl(t, "hello\n", "s_client", "-quiet", "-ign_eof", "-enable_pha", "-servername", serverName,
			"-CAfile", both, "-cert", client, "-key", client, "-connect", l.addr)
		if known := strings.Contains(out, "I know you"); known != (i == 1) {
			t.Errorf("flow %d: openssl: %v\n%s", i, err, out)
		}
		if flow, _ := l.ends(t); flow.Path() != want {
			t.Errorf("flow %d: path %s, want %s", i, flow.Path(), want)
		}
	}
}

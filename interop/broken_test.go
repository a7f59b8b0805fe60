package interop

import (
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// A server whose certificate is wrong looks just as wrong through mitm: curl ends with
// the same code and the same words.
func TestBrokenServersStayBroken(t *testing.T) {
	t.Parallel()
	known, err := peers.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	unknown, err := peers.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	root := writeFile(t, "root.pem", known.PEM)
	m := startMitm(t, "--listen", "127.0.0.1:0", "--trust", root, "--no-system-roots")
	tests := []struct {
		name, verdict, path, reason string
		leaf                        func() (peers.Leaf, error)
	}{
		{"expired", "expired", "socks5>tls", "tls_client", func() (peers.Leaf, error) { return known.ExpiredLeaf("localhost") }},
		// curl compares names by itself, when the handshake is over.
		{"of another host", "wrong host", "socks5>tls>raw", "eof", func() (peers.Leaf, error) { return known.Leaf("elsewhere.test") }},
		{"of an unknown issuer", "unknown issuer", "socks5>tls", "tls_client", func() (peers.Leaf, error) { return unknown.Leaf("localhost") }},
		{"self-signed", "self-signed", "socks5>tls", "tls_client", func() (peers.Leaf, error) { return peers.SelfSignedLeaf("localhost") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			leaf, err := tt.leaf()
			if err != nil {
				t.Fatal(err)
			}
			port := reserve(t)
			start(t, peers.OpenSSLServer(port, leaf))
			url := "https://" + at(port) + "/"
			direct := run(t, "", "curl", curlArgs("--cacert", root, url)...)
			through := run(t, "", "curl", curlArgs("--cacert", m.root, "-x", "socks5h://"+m.addrs[0], url)...)
			if direct.Code != 60 || direct.Stderr == "" { // CURLE_PEER_FAILED_VERIFICATION
				t.Fatalf("without mitm curl ends with %+v, want code 60", direct)
			}
			if through != direct {
				t.Errorf("curl ends with\n%+v, without mitm\n%+v", through, direct)
			}
			f := m.flow(t)
			if f.Path != tt.path || f.Reason != tt.reason || f.EndedBy != "client" || f.TLS == nil || f.TLS.Certificate.Verdict != tt.verdict {
				t.Errorf("flow %+v, %+v, want path %s, reason %s by client, verdict %s", f, f.TLS, tt.path, tt.reason, tt.verdict)
			}
		})
	}
}

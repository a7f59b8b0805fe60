package interop

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// Processes that share an authority show one and the same certificate for a server, byte
// by byte: those that share its directory for all, and those that have only its
// certificate and key for all but RSA, whose keys can't be derived.
func TestTLSReplicasMintTheSameLeaf(t *testing.T) {
	t.Parallel()
	authority, err := peers.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	root := writeFile(t, "root.pem", authority.PEM)
	first, second, stranger := startTLSMitm(t, root), startTLSMitm(t, root), startMitm(t, "--listen", "127.0.0.1:0", "--trust", root)
	dir := filepath.Join(binaries(), "config", "bridgeio")
	both := writeFile(t, "both.pem", contents(t, filepath.Join(dir, "ca.pem"))+contents(t, filepath.Join(dir, "ca.key")))
	third := startMitm(t, "--listen", "127.0.0.1:0", "--trust", root, "--cacert", "load:"+both)
	for key, issue := range map[string]func(...string) (peers.Leaf, error){
		"ecdsa": authority.Leaf, "ed25519": authority.Ed25519Leaf, "rsa": authority.RSALeaf, "expired": authority.ExpiredLeaf,
		"self-signed": func(names ...string) (peers.Leaf, error) { return peers.SelfSignedLeaf(names...) },
	} {
		leaf, err := issue("localhost")
		if err != nil {
			t.Fatal(err)
		}
		port := serveWith(t, leaf)
		shown := func(m *mitm) string {
			_, certs, _ := strings.Cut(curl(t, "-k", "-x", "http://"+m.addrs[0], "-w", "%{certs}", "https://"+at(port)+"/"), "-----BEGIN CERTIFICATE-----")
			if certs == "" || strings.Contains(leaf.Cert, certs) {
				t.Fatalf("%s: curl is shown %q, want a certificate of mitm's", key, certs)
			}
			return certs
		}
		want := shown(first)
		if got := shown(second); got != want {
			t.Errorf("%s: one of the same directory shows\n%s, want\n%s", key, got, want)
		}
		if got := shown(third); got != want && key != "rsa" {
			t.Errorf("%s: one with the same key shows\n%s, want\n%s", key, got, want)
		}
		if got := shown(stranger); got == want {
			t.Errorf("%s: one of another authority shows the same\n%s", key, got)
		}
	}
}

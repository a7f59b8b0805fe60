package interop

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// upload is more than any buffer on the way holds.
const uploadSize = 50 << 20

// Large files pass whole, in both directions, decrypted and plain.
func TestLargeTransfers(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	m := startMitm(t, s.listen()...)
	file, want := writeLarge(t)
	secure := inspected("socks5>tls(h2)", s.target(), "h2")
	plain := line{path: "socks5>http", action: "allow", target: s.plainTarget()}
	tests := []struct {
		name, url, size string
		want            line
	}{
		{"over TLS", s.https(""), "", secure},
		{"plain", s.http(""), "", plain},
	}
	for _, tt := range tests {
		t.Run("a download "+tt.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "large")
			curl(t, "--cacert", m.root, "-x", "socks5h://"+m.addrs[0], "-o", out, tt.url+"/large")
			got, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if sha256.Sum256(got) != sha256.Sum256([]byte(peers.Large())) {
				t.Errorf("%d bytes came, which are not the %d of the file", len(got), len(peers.Large()))
			}
			f := m.flow(t)
			tt.want.check(t, f)
			if f.Bytes.FromServer < int64(len(peers.Large())) {
				t.Errorf("%d bytes from the server are counted, want those of the file", f.Bytes.FromServer)
			}
		})
		t.Run("an upload "+tt.name, func(t *testing.T) {
			got := curl(t, "--cacert", m.root, "-x", "socks5h://"+m.addrs[0], "-T", file, tt.url+"/upload")
			if !strings.HasSuffix(got, want) {
				t.Errorf("nginx got %q, want %q", got, want)
			}
			f := m.flow(t)
			tt.want.check(t, f)
			if f.Bytes.FromClient < uploadSize {
				t.Errorf("%d bytes from the client are counted, want those of the file", f.Bytes.FromClient)
			}
		})
	}
}

// writeLarge writes a file to upload, and returns what the backend says of it.
func writeLarge(t *testing.T) (file, says string) {
	t.Helper()
	content := strings.Repeat(peers.Large(), uploadSize/len(peers.Large())+1)[:uploadSize]
	return writeFile(t, "upload", content), fmt.Sprintf("size=%d sha256=%x\n", uploadSize, sha256.Sum256([]byte(content)))
}

// A client that ends its direction still gets what the server has to say, which says
// it only then.
func TestAHalfClosePasses(t *testing.T) {
	t.Parallel()
	leaf, root := issue(t, "localhost")
	plain, secure, dante := reserve(t), reserve(t), reserve(t)
	start(t, hasher(plain, "TCP-LISTEN", "", peers.Leaf{}))
	start(t, hasher(secure, "OPENSSL-LISTEN", ",cert="+peers.Here+"/both.pem,verify=0", leaf))
	p, err := peers.Dante(dante, "", "")
	if err != nil {
		t.Fatal(err)
	}
	start(t, p)
	flags := []string{"--listen", "127.0.0.1:0", "--trust", root, "--no-system-roots"}
	open := startMitm(t, flags...)
	relay := startMitm(t, append(flags, "--connect", at(dante))...)
	inspect := startMitm(t, append(flags, "--connect", at(secure))...)

	content := peers.Large()
	want := fmt.Sprintf("%x  -\n", sha256.Sum256([]byte(content)))
	tests := []struct {
		name string
		m    *mitm
		to   func(m *mitm) string
		want line
	}{
		{"through SOCKS4a, which we serve", open, func(m *mitm) string { return socks4a(m, plain) }, line{path: "socks4>raw", action: "allow", target: at(plain)}},
		{"through SOCKS4, relayed to dante", relay, func(m *mitm) string {
			return strings.Replace(socks4a(m, plain), "SOCKS4A", "SOCKS4", 1) // it knows no names in version 4
		}, line{path: "socks4>raw", action: "allow", target: fmt.Sprintf("127.0.0.1:%d", plain)}},
		{"through CONNECT, which we serve", open, func(m *mitm) string {
			host, port, _ := strings.Cut(m.addrs[0], ":")
			return fmt.Sprintf("PROXY:%s:localhost:%d,proxyport=%s", host, plain, port)
		}, line{path: "connect>raw", action: "allow", target: at(plain)}},
		{"through TLS, bridged", inspect, func(m *mitm) string {
			return "OPENSSL:" + m.addrs[0] + ",cafile=" + m.root + ",commonname=localhost"
		}, inspected("tls>raw", at(secure), "")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// -t: how long it waits for the other direction, when one has ended.
			res := run(t, content, "socat", "-t", "60", "-", tt.to(tt.m))
			if res.Code != 0 || res.Stdout != want {
				t.Errorf("socat: exit code %d, %q, want %q\n%s", res.Code, res.Stdout, want, res.Stderr)
			}
			f := tt.m.flow(t)
			tt.want.check(t, f)
			if f.Bytes.FromClient != int64(len(content)) || f.Bytes.FromServer != int64(len(want)) {
				t.Errorf("bytes %+v, want %d and %d", f.Bytes, len(content), len(want))
			}
		})
	}
}

func socks4a(m *mitm, port int) string {
	host, at, _ := strings.Cut(m.addrs[0], ":")
	return fmt.Sprintf("SOCKS4A:%s:localhost:%d,socksport=%s", host, port, at)
}

// hasher is a server that says the hash of what it was sent when the client has ended.
func hasher(port int, listen, options string, leaf peers.Leaf) peers.Program {
	return peers.Program{
		Name:  "socat",
		Args:  []string{"-t", "60", fmt.Sprintf("%s:%d,bind=127.0.0.1,reuseaddr,fork%s", listen, port, options), "EXEC:sha256sum"},
		Files: map[string]string{"both.pem": leaf.Cert + leaf.Key},
		Ports: []int{port},
	}
}

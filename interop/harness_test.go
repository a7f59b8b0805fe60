package interop

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/internal/peers"
	"github.com/coder/websocket"
)

// runTimeout bounds a client's run; a client that hangs is a failure, not a wait.
const runTimeout = 2 * time.Minute

// start starts a program for the length of the test, and shows what it said when
// the test fails.
func start(t *testing.T, p peers.Program) *peers.Process {
	t.Helper()
	proc, err := peers.Start(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(proc.Logs())
		}
		proc.Stop()
	})
	return proc
}

func reserve(t *testing.T) int {
	t.Helper()
	port, release, err := peers.ReservePort()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return port
}

// run runs a client to its end and returns what it said, whatever its exit code.
func run(t *testing.T, stdin, name string, args ...string) peers.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
	defer cancel()
	res, err := peers.Run(ctx, strings.NewReader(stdin), name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// succeed runs a client that must exit with 0, and returns its stdout.
func succeed(t *testing.T, name string, args ...string) string {
	t.Helper()
	res := run(t, "", name, args...)
	if res.Code != 0 {
		t.Fatalf("%s %q: exit code %d\n%s%s", name, args, res.Code, res.Stdout, res.Stderr)
	}
	return res.Stdout
}

// curl runs curl without its configuration file or proxy variables, and returns
// the body. Further lines of stdout are what the arguments ask for with -w.
func curl(t *testing.T, args ...string) string {
	t.Helper()
	return succeed(t, "curl", curlArgs(args...)...)
}

func curlArgs(args ...string) []string {
	return append([]string{"-q", "--silent", "--show-error", "--noproxy", "", "--max-time", "90"}, args...)
}

// writeFile writes a file for the length of the test and returns its name.
func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// issue makes a leaf for the names, and a file with the root that signed it.
func issue(t *testing.T, names ...string) (leaf peers.Leaf, root string) {
	t.Helper()
	authority, err := peers.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	if leaf, err = authority.Leaf(names...); err != nil {
		t.Fatal(err)
	}
	return leaf, writeFile(t, "root.pem", authority.PEM)
}

// keyPair is a leaf as crypto/tls wants it.
func keyPair(t *testing.T, leaf peers.Leaf) tls.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair([]byte(leaf.Cert), []byte(leaf.Key))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// password hashes a password as Dante ("-6") and Squid ("-apr1") want it.
func password(t *testing.T, kind, clear string) string {
	t.Helper()
	return strings.TrimSpace(succeed(t, "openssl", "passwd", kind, clear))
}

// A site is an nginx behind which a backend of the standard library stands.
type site struct {
	plain, tls int
	root       string // file with the certificate that signed its leaf
	leaf       peers.Leaf
	nginx      *peers.Process
}

func startSite(t *testing.T) site {
	t.Helper()
	leaf, root := issue(t, "localhost", "127.0.0.1", "app.test")
	s := site{plain: reserve(t), tls: reserve(t), root: root, leaf: leaf}
	s.nginx = start(t, peers.Nginx(peers.NginxConfig{
		Plain: s.plain, TLS: s.tls, Leaf: leaf, Backend: startBackend(t),
	}))
	return s
}

func (s site) http(path string) string { return fmt.Sprintf("http://localhost:%d%s", s.plain, path) }

func (s site) https(path string) string { return fmt.Sprintf("https://localhost:%d%s", s.tls, path) }

// startBackend serves what nginx hands on, and returns its address: a WebSocket on /ws
// that answers each message with the same, and on /upload a page that says what came.
func startBackend(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/ws", serveEcho)
	mux.HandleFunc("/upload", serveSum)
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

func serveEcho(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // it has answered
	}
	defer c.CloseNow()
	for {
		kind, msg, err := c.Read(r.Context())
		if err != nil {
			return // the client's end
		}
		if err := c.Write(r.Context(), kind, msg); err != nil {
			return
		}
	}
}

// serveSum answers with the method, the framing, the size and the hash of a request.
func serveSum(w http.ResponseWriter, r *http.Request) {
	hash := sha256.New()
	n, err := io.Copy(hash, r.Body)
	if err != nil {
		return // the client's end
	}
	fmt.Fprintf(w, "method=%s coding=%s size=%d sha256=%x\n", r.Method, strings.Join(r.TransferEncoding, ","), n, hash.Sum(nil))
}

// echo sends a message through a WebSocket and wants it back.
func echo(t *testing.T, url string, client *http.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
	defer cancel()
	c, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	want := bytes.Repeat([]byte("echo "), 1000)
	if err := c.Write(ctx, websocket.MessageBinary, want); err != nil {
		t.Fatal(err)
	}
	if _, got, err := c.Read(ctx); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("echo of %d bytes: %d bytes, %v", len(want), len(got), err)
	}
	if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Errorf("close: %v", err)
	}
}

// fields reads the key=value words of a /status page.
func fields(t *testing.T, page string) map[string]string {
	t.Helper()
	m := map[string]string{}
	for _, word := range strings.Fields(page) {
		key, value, ok := strings.Cut(word, "=")
		if !ok {
			t.Fatalf("status page %q: word %q has no =", page, word)
		}
		m[key] = value
	}
	return m
}

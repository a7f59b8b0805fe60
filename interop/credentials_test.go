package interop

import (
	"bufio"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
)

// A witness is an HTTP server that remembers the heads that it got.
type witness struct {
	*httptest.Server
	mu   sync.Mutex
	seen []http.Header
}

func newWitness(t *testing.T) *witness {
	t.Helper()
	w := &witness{}
	w.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.seen = append(w.seen, r.Header.Clone())
	}))
	t.Cleanup(w.Close)
	return w
}

func (w *witness) heads() []http.Header {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen
}

func (w *witness) port() int { return w.Listener.Addr().(*net.TCPAddr).Port }

const (
	rightPassword = "correct-horse-7f3a"
	wrongPassword = "wrong-battery-91bc"
)

// basic is the Proxy-Authorization of alice.
func basic(password string) string {
	return "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("alice:"+password)) + "\r\n"
}

// rfc1929 is the message with alice's password.
func rfc1929(password string) string {
	return "\x01\x05alice" + string(rune(len(password))) + password
}

func TestWrongAndMissingCredentialsAreRefused(t *testing.T) {
	w := newWitness(t)
	m := startFronts(t, "--auth", "alice:"+rightPassword, "--auth", "bob:x", "--log-level", "debug")
	before := m.descriptors(t)
	ask := "\x05\x01\x00\x01\x7f\x00\x00\x01" + port16(w.port())
	for _, tt := range []struct {
		name      string
		to        front
		say, want string
		reason    string
	}{
		{"SOCKS5 without a password", autoFront, "\x05\x01\x00" + ask, "\x05\xff", "auth"},
		{"SOCKS5 without a password, to the SOCKS server", socksFront, "\x05\x01\x00" + ask, "\x05\xff", "auth"},
		{"SOCKS5 with the wrong password", autoFront, "\x05\x01\x02" + rfc1929(wrongPassword) + ask, "\x05\x02\x01\x01", "auth"},
		{"SOCKS5 with an empty password", autoFront, "\x05\x01\x02" + rfc1929("") + ask, "\x05\x02\x01\x01", "auth"},
		{"SOCKS5 with another's password", autoFront, "\x05\x01\x02" + rfc1929("x") + ask, "\x05\x02\x01\x01", "auth"},
		{"SOCKS5 that offers both and shows none", autoFront, "\x05\x02\x00\x02" + ask, "\x05\x02\x01\x01", "auth desync"},
		{"SOCKS4", autoFront, ask4("127.0.0.1", w.port()), "\x00\x5b", "auth"},
		{"SOCKS4a, with the name of a user", socksFront, "\x04\x01\x01\xbb\x00\x00\x00\x01alice\x00localhost\x00", "\x00\x5b", "auth"},
		{"CONNECT without a password, and then gone", autoFront, "CONNECT 127.0.0.1:9 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 407 ", "auth"},
		{"HTTP/1.0 without a password", connectFront, "GET http://127.0.0.1:9/ HTTP/1.0\r\n\r\n", "HTTP/1.1 407 ", "auth"},
		{"content without a password", connectFront, "POST http://127.0.0.1:9/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 407 ", "auth"},
		{"TLS with a server name", autoFront, hello(t, "app.test"), "", "auth"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := call(t, m.addrs[tt.to])
			c.trySay(tt.say)
			if got := c.end(); !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
				t.Errorf("answered %q, want %q", got, tt.want)
			}
			c.Close()
			m.ended(t, c, strings.Fields(tt.reason)...)
		})
	}
	if got := w.heads(); len(got) > 0 {
		t.Errorf("the server got %d requests from clients that may not ask", len(got))
	}
	m.settles(t, before)
}

// exchange sends a request on a connection that stays and returns the answer's status.
func (c *caller) exchange(r *bufio.Reader, request string) int {
	c.t.Helper()
	c.say(request)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		c.t.Error(err)
	}
	return res.StatusCode
}

// Credentials count for the request that shows them, a 407 keeps the connection, and the
// server never sees them.
func TestCredentialsCountOnceAndGoNoFurther(t *testing.T) {
	w := newWitness(t)
	m := startFronts(t, "--auth", "alice:"+rightPassword, "--log-level", "debug")
	c := call(t, m.addrs[autoFront])
	r := bufio.NewReader(c)
	get := func(head string) string {
		return "GET " + w.URL + "/ HTTP/1.1\r\nHost: " + w.Listener.Addr().String() + "\r\n" + head + "\r\n"
	}
	for _, tt := range []struct {
		name, request string
		want          int
	}{
		{"none", get(""), 407},
		{"wrong", get(basic(wrongPassword)), 407},
		{"right", get(basic(rightPassword)), 200},
		{"none after right", get(""), 407},
		{"right twice, of which nobody knows which counts", get(basic(rightPassword) + basic(wrongPassword)), 407},
		{"of another scheme", get("Proxy-Authorization: Bearer " + rightPassword + "\r\n"), 407},
		{"for the server", get("Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("alice:"+rightPassword)) + "\r\n"), 407},
		{"right, with fields of the hop", get(basic(rightPassword) + "Proxy-Connection: keep-alive\r\nConnection: keep-alive, X-Secret\r\nX-Secret: 1\r\n"), 200},
	} {
		if got := c.exchange(r, tt.request); got != tt.want {
			t.Errorf("%s: status %d, want %d", tt.name, got, tt.want)
		}
	}
	// Of two requests at once the second one is not served on the first one's credentials.
	c.say(get(basic(rightPassword)))
	if got := c.exchange(r, get("")); got != 200 {
		t.Errorf("the first of two: status %d, want 200", got)
	}
	if got := c.exchange(r, ""); got != 407 {
		t.Errorf("the second of two: status %d, want 407", got)
	}
	c.Close()
	for _, head := range w.heads() {
		for name := range head {
			if strings.HasPrefix(name, "Proxy-") || name == "X-Secret" || name == "Authorization" {
				t.Errorf("the server saw %s: %s", name, head[name])
			}
		}
	}
	if got := len(w.heads()); got != 3 {
		t.Errorf("the server saw %d requests, want 3", got)
	}
	t.Run("a tunnel by SOCKS5", func(t *testing.T) {
		c := call(t, m.addrs[autoFront])
		c.say("\x05\x01\x02" + rfc1929(rightPassword) + "\x05\x01\x00\x01\x7f\x00\x00\x01" + port16(w.port()))
		c.hear("\x05\x02\x01\x00\x05\x00\x00\x01\x7f\x00\x00\x01")
		c.Close()
		m.flowsOf(t, c)
	})
	m.flowsOf(t, c)
	m.keepsSecret(t)
}

// keepsSecret wants no password in anything that the process has written.
func (m *mitm) keepsSecret(t *testing.T) {
	t.Helper()
	flows, err := os.ReadFile(m.flowLog)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"stdout": m.Stdout(), "stderr": m.Stderr(), "the flow log": string(flows)} {
		for _, secret := range []string{rightPassword, wrongPassword} {
			for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte("alice:" + secret))} {
				if strings.Contains(text, form) {
					t.Errorf("%s holds a password:\n%s", name, text)
				}
			}
		}
	}
}

// A URL with a password in it, and one in what is no request at all, are errors whose text
// is logged.
func TestMalformedRequestsDoNotLogTheirPasswords(t *testing.T) {
	m := startFronts(t, "--auth", "alice:"+rightPassword, "--log-level", "debug")
	for _, tt := range []struct {
		to  front
		say string
	}{
		{autoFront, "GET http://alice:" + rightPassword + "@127.0.0.1:9/ HTTP/1.1\r\nHost: x\r\n\r\n"},
		{autoFront, "CONNECT alice:" + rightPassword + "@127.0.0.1:9 HTTP/1.1\r\nHost: x\r\n\r\n"},
		{connectFront, "GET http://127.0.0.1:9/ HTTP/1.1\r\nHost: x\r\n" + basic(rightPassword) + " folded\r\n\r\n"},
		{connectFront, "GET http://127.0.0.1:9/ HTTP/1.1\r\nHost: x\r\n" + basic(rightPassword) + "bad line\r\n\r\n"},
		{socksFront, "\x05\x01\x02" + rfc1929(rightPassword) + "\x09"},
		{socksFront, "\x05\x01\x02\x02" + rfc1929(rightPassword)[1:] + rightPassword},
		{autoFront, "alice " + rightPassword + "\r\n"},
	} {
		c := call(t, m.addrs[tt.to])
		c.trySay(tt.say)
		c.end()
		c.Close()
		m.flowsOf(t, c)
	}
	m.keepsSecret(t)
}

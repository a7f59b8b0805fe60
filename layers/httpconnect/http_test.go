package httpconnect_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/layers/httpconnect"
)

// proxied is a running HTTP proxy, and the flows that have ended.
type proxied struct {
	url *url.URL

	mu    sync.Mutex
	flows []string
}

// serveProxy runs a proxy until the test is over, when all its flows must end by themselves.
func serveProxy(t *testing.T, layers ...bridge.Layer) *proxied {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxied{url: &url.URL{Scheme: "http", Host: l.Addr().String()}}
	proxy := &bridge.Proxy{Handler: bridge.Chain(layers...), Observer: &bridge.Observer{Close: p.closed}}
	done := make(chan error, 1)
	go func() { done <- proxy.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		if err := errors.Join(proxy.Shutdown(context.Background()), <-done); err != nil {
			t.Errorf("the proxy: %v", err)
		}
	})
	return p
}

func (p *proxied) closed(f *bridge.Flow, out bridge.Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flows = append(p.flows, fmt.Sprintf("%s %s %s", f.Path(), f.Target(), out.Reason))
}

// client is an HTTP client of the proxy.
func (p *proxied) client(t *testing.T, user *url.Userinfo) *http.Client {
	u := *p.url
	u.User = user
	transport := &http.Transport{Proxy: http.ProxyURL(&u), ExpectContinueTimeout: time.Minute, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// serveOrigin runs a server until the test is over.
func serveOrigin(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// echo answers with what it was sent, and says what that was.
func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Trailer", "X-Seen")
	for name := range r.Header {
		if strings.HasPrefix(name, "Proxy-") {
			http.Error(w, name+" was passed on", http.StatusTeapot)
			return
		}
	}
	w.Header().Set("X-Request", r.Method+" "+r.RequestURI+" "+r.Host)
	w.WriteHeader(http.StatusOK) // and goes on reading
	http.NewResponseController(w).EnableFullDuplex()
	io.Copy(w, r.Body)
	w.Header().Set("X-Seen", r.Trailer.Get("X-Sent"))
}

// do sends a request and returns the response with its content.
func do(t *testing.T, c *http.Client, r *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := c.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	return resp, string(body)
}

func newRequest(t *testing.T, method, url string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestNetHTTPThroughTheProxy(t *testing.T) {
	p := serveProxy(t, httpconnect.Terminate(httpconnect.Config{Auth: alice}))
	a, b := serveOrigin(t, echo), serveOrigin(t, echo)
	c := p.client(t, url.UserPassword("alice", "secret"))
	for i, server := range []*httptest.Server{a, a, b, a, b, b} {
		resp, body := do(t, c, newRequest(t, "POST", server.URL+"/x?y=%20z", strings.NewReader("hello")))
		want := "POST /x?y=%20z " + strings.TrimPrefix(server.URL, "http://")
		if got := resp.Header.Get("X-Request"); resp.StatusCode != 200 || got != want || body != "hello" {
			t.Errorf("request %d: %s, the server saw %q, content %q", i, resp.Status, got, body)
		}
	}
	resp, _ := do(t, p.client(t, url.UserPassword("alice", "wrong")), newRequest(t, "GET", a.URL, nil))
	if resp.StatusCode != 407 || !strings.HasPrefix(resp.Header.Get("Proxy-Authenticate"), "Basic ") {
		t.Errorf("with a wrong password: %s %v", resp.Status, resp.Header)
	}
	resp, _ = do(t, http.DefaultClient, newRequest(t, "GET", p.url.String(), nil))
	http.DefaultClient.CloseIdleConnections()
	if resp.StatusCode != 421 {
		t.Errorf("as a server: %s", resp.Status)
	}
}

func TestConnectionsAreReused(t *testing.T) {
	p := serveProxy(t, httpconnect.Terminate(httpconnect.Config{}))
	s := serveOrigin(t, echo)
	c := p.client(t, nil)
	var ports []string
	for range 3 {
		r := newRequest(t, "GET", s.URL, nil)
		r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
			ports = append(ports, i.Conn.LocalAddr().String())
		}}))
		do(t, c, r)
	}
	if ports[0] != ports[1] || ports[1] != ports[2] {
		t.Errorf("the client's connections: %v", ports)
	}
}

func TestLargeContentBothWays(t *testing.T) {
	p := serveProxy(t, httpconnect.Terminate(httpconnect.Config{}))
	s := serveOrigin(t, echo)
	data := make([]byte, 8<<20)
	for i := range data {
		data[i] = byte(i * i >> 7)
	}
	for _, c := range []struct {
		name string
		body io.Reader
	}{
		{"with a length", bytes.NewReader(data)},
		{"in chunks", io.MultiReader(bytes.NewReader(data))},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRequest(t, "PUT", s.URL+"/", c.body)
			r.Trailer = http.Header{"X-Sent": nil}
			if r.ContentLength < 0 || c.name == "in chunks" {
				r.ContentLength = -1
				r.Trailer.Set("X-Sent", "all")
			} else {
				r.Trailer = nil
			}
			resp, body := do(t, p.client(t, nil), r)
			if sha256.Sum256([]byte(body)) != sha256.Sum256(data) {
				t.Errorf("%s: %d bytes came back of %d", resp.Status, len(body), len(data))
			}
			if got, want := resp.Trailer.Get("X-Seen"), r.Trailer.Get("X-Sent"); got != want {
				t.Errorf("trailer %q, want %q", got, want)
			}
		})
	}
}

func TestExpectContinue(t *testing.T) {
	p := serveProxy(t, httpconnect.Terminate(httpconnect.Config{}))
	s := serveOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			w.WriteHeader(http.StatusExpectationFailed)
			return
		}
		body, _ := io.ReadAll(r.Body) // which asks for it
		w.Write(body)
	})
	c := p.client(t, nil)
	for _, path := range []string{"/yes", "/no", "/yes"} {
		continued := false
		r := newRequest(t, "POST", s.URL+path, strings.NewReader("hello"))
		r.Header.Set("Expect", "100-continue")
		r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{Got100Continue: func() { continued = true }}))
		resp, body := do(t, c, r)
		if want := path == "/yes"; continued != want || (body == "hello") != want {
			t.Errorf("%s: %s, asked for the content: %t, %q", path, resp.Status, continued, body)
		}
	}
}

func TestEarlyHintsAreForwarded(t *testing.T) {
	p := serveProxy(t, httpconnect.Terminate(httpconnect.Config{}))
	s := serveOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusNoContent)
	})
	var hints []int
	r := newRequest(t, "GET", s.URL, nil)
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, _ textproto.MIMEHeader) error { hints = append(hints, code); return nil },
	}))
	if resp, _ := do(t, p.client(t, nil), r); resp.StatusCode != 204 || len(hints) != 1 || hints[0] != 103 {
		t.Errorf("%s after %v", resp.Status, hints)
	}
}

func TestServerSentEventsArriveOneByOne(t *testing.T) {
	p := serveProxy(t, httpconnect.Terminate(httpconnect.Config{}))
	more := make(chan bool)
	s := serveOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		for range more {
			io.WriteString(w, "event\n")
			w.(http.Flusher).Flush()
		}
	})
	go func() { more <- true }()
	resp, err := p.client(t, nil).Do(newRequest(t, "GET", s.URL, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	r := bufio.NewReader(resp.Body)
	for i := range 3 {
		if line, err := r.ReadString('\n'); line != "event\n" {
			t.Fatalf("event %d: %q, %v", i, line, err)
		}
		if i < 2 {
			more <- true
		}
	}
	close(more)
	if rest, err := io.ReadAll(r); len(rest) > 0 || err != nil {
		t.Errorf("after the last event: %q, %v", rest, err)
	}
}

func TestWebSocketThroughTheProxy(t *testing.T) {
	s := serveOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		for {
			kind, data, err := c.Read(r.Context())
			if err != nil {
				return
			}
			c.Write(r.Context(), kind, append([]byte("echo "), data...))
		}
	})
	p := serveProxy(t, httpconnect.Terminate(httpconnect.Config{}))
	c, _, err := websocket.Dial(t.Context(), s.URL, &websocket.DialOptions{HTTPClient: p.client(t, nil)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	for i := range 3 {
		if err := c.Write(t.Context(), websocket.MessageText, fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
		if _, data, err := c.Read(t.Context()); string(data) != fmt.Sprintf("echo %d", i) {
			t.Fatalf("message %d came back as %q, %v", i, data, err)
		}
	}
	if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Errorf("close: %v", err)
	}
}

// TestTLSThroughTwoProxies has net/http speak TLS inside a CONNECT that is relayed to a proxy that terminates it.
func TestTLSThroughTwoProxies(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(echo))
	defer s.Close()
	second := serveProxy(t, httpconnect.Terminate(httpconnect.Config{Auth: alice}))
	hop, err := bridge.ParseAddr(second.url.Host)
	if err != nil {
		t.Fatal(err)
	}
	first := serveProxy(t, bridge.Layer{Name: "hop", Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
		b.SetHop(hop)
		return next(ctx, b)
	}}, httpconnect.Relay())
	c := first.client(t, url.UserPassword("alice", "secret"))
	c.Transport.(*http.Transport).TLSClientConfig = s.Client().Transport.(*http.Transport).TLSClientConfig
	if resp, body := do(t, c, newRequest(t, "POST", s.URL+"/", strings.NewReader("hello"))); resp.StatusCode != 200 || body != "hello" {
		t.Errorf("%s %q", resp.Status, body)
	}
	c.CloseIdleConnections()
	_, err = first.client(t, nil).Do(newRequest(t, "GET", s.URL, nil))
	if err == nil || !strings.Contains(err.Error(), "Proxy Authentication Required") {
		t.Errorf("without a password: %v", err)
	}
}

func TestServerThatTimesOutIdleConnections(t *testing.T) {
	p := serveProxy(t, httpconnect.Terminate(httpconnect.Config{}))
	closed := make(chan bool, 8)
	s := httptest.NewUnstartedServer(http.HandlerFunc(echo))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- true
		}
	}
	s.Config.IdleTimeout = time.Millisecond
	s.Start()
	defer s.Close()
	c := p.client(t, nil)
	for i := range 5 {
		// The server's FIN and the next request may cross, and a GET is sent again then.
		if resp, _ := do(t, c, newRequest(t, "GET", s.URL, nil)); resp.StatusCode != 200 {
			t.Fatalf("request %d: %s", i, resp.Status)
		}
		<-closed
	}
}

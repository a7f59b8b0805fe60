package interop

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// recorded is how much of each direction a recorder keeps: both hellos and a server's
// whole first flight, below a proxy's handshake.
const recorded = 64 << 10

// A recorder is a relay on loopback that keeps the beginning of what it relays.
type recorder struct {
	net.Listener
	dial func() (net.Conn, error) // to what is behind it, handshakes with proxies included

	wg    sync.WaitGroup
	mu    sync.Mutex
	talks []*conversation
}

// A conversation is one connection through a recorder.
type conversation struct {
	client, server *net.TCPConn
	fromClient     head
	fromServer     head
}

// A head keeps the beginning of what is written to it.
type head struct {
	mu sync.Mutex
	b  []byte
}

func (h *head) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.b = append(h.b, p[:min(len(p), recorded-len(h.b))]...)
	return len(p), nil
}

func (h *head) bytes() []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return bytes.Clone(h.b)
}

// newRecorder starts one. Its dial need not make a TCP connection, but must return one.
func newRecorder(dial func() (net.Conn, error)) (*recorder, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &recorder{Listener: l, dial: dial}
	r.wg.Go(r.serve)
	return r, nil
}

func (r *recorder) addr() string { return r.Addr().String() }

func (r *recorder) port() string { return strings.TrimPrefix(r.addr(), "127.0.0.1:") }

func (r *recorder) serve() {
	for {
		c, err := r.Accept()
		if err != nil {
			return
		}
		r.wg.Go(func() { r.handle(c.(*net.TCPConn)) })
	}
}

func (r *recorder) handle(client *net.TCPConn) {
	defer client.Close()
	conn, err := r.dial()
	if err != nil {
		return // the client sees an end without an answer
	}
	server := conn.(*net.TCPConn)
	defer server.Close()
	c := &conversation{client: client, server: server}
	r.mu.Lock()
	r.talks = append(r.talks, c)
	r.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { relay(server, client, &c.fromClient) })
	both.Go(func() { relay(client, server, &c.fromServer) })
	both.Wait()
}

// relay hands on an end as an end, and a reset as a reset.
func relay(to, from *net.TCPConn, keep *head) {
	if _, err := io.Copy(to, io.TeeReader(from, keep)); err != nil {
		_ = to.SetLinger(0)
		to.Close()
		from.Close()
		return
	}
	_ = to.CloseWrite()
}

// take ends all talks so far, waits until they are over, and returns those in which the
// client said something.
func (r *recorder) take() []*conversation {
	r.mu.Lock()
	talks := r.talks
	r.talks = nil
	r.mu.Unlock()
	var spoken []*conversation
	for _, c := range talks {
		c.client.Close()
		c.server.Close()
		if len(c.fromClient.bytes()) > 0 {
			spoken = append(spoken, c)
		}
	}
	return spoken
}

// Close ends everything and waits for it.
func (r *recorder) Close() error {
	err := r.Listener.Close()
	r.take()
	r.wg.Wait()
	return err
}

// dialer dials an address, and there asks for a target in the way of a path.
func dialer(ctx context.Context, addr, path, target string) func() (net.Conn, error) {
	return func() (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		if err := askProxy(c, path, target); err != nil {
			c.Close()
			return nil, err
		}
		return c, nil
	}
}

func askProxy(c net.Conn, path, target string) error {
	request, err := proxyRequest(path, target)
	if err != nil || request == "" {
		return err
	}
	if err := c.SetDeadline(time.Now().Add(runTimeout)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, request); err != nil {
		return err
	}
	// Byte by byte: what follows the answer is the server's.
	if err := skipAnswer(path, bufio.NewReaderSize(oneByte{c}, 16)); err != nil {
		return err
	}
	return c.SetDeadline(time.Time{})
}

type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(len(p), 1)]) }

func proxyRequest(path, target string) (string, error) {
	if path == "direct" {
		return "", nil
	}
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return "", err
	}
	number, err := net.LookupPort("tcp", port)
	if err != nil {
		return "", err
	}
	if path == "connect" {
		return askConnect(host, number), nil
	}
	return ask5Name(host, number), nil
}

// skipAnswer reads what a proxy says before the server's first byte.
func skipAnswer(path string, from *bufio.Reader) error {
	switch path {
	case "connect":
		res, err := http.ReadResponse(from, &http.Request{Method: http.MethodConnect})
		if err != nil {
			return err
		}
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("the proxy answers %s", res.Status)
		}
	case "socks5":
		return skipReply5(from)
	}
	return nil
}

// skipReply5 reads a method, none being wanted, and a reply (RFC 1928 §3 and §6).
func skipReply5(from *bufio.Reader) error {
	var b [6]byte
	if _, err := io.ReadFull(from, b[:]); err != nil {
		return err
	}
	if string(b[:4]) != "\x05\x00\x05\x00" {
		return fmt.Errorf("the proxy answers %x", b)
	}
	size := map[byte]int{1: 4, 4: 16}[b[5]] // of BND.ADDR
	if b[5] == 3 {
		n, err := from.ReadByte()
		if err != nil {
			return err
		}
		size = int(n)
	}
	_, err := from.Discard(size + 2)
	return err
}

// skipRequest reads what a client says to a proxy before its TLS begins.
func skipRequest(path string, from *bufio.Reader) error {
	switch path {
	case "connect":
		_, err := http.ReadRequest(from)
		return err
	case "socks5":
		return skipRequest5(from)
	}
	return nil
}

// skipRequest5 reads a greeting and a request (RFC 1928 §3 and §4).
func skipRequest5(from *bufio.Reader) error {
	var greeting [2]byte
	if _, err := io.ReadFull(from, greeting[:]); err != nil {
		return err
	}
	if _, err := from.Discard(int(greeting[1])); err != nil {
		return err
	}
	var request [5]byte
	if _, err := io.ReadFull(from, request[:]); err != nil {
		return err
	}
	size := map[byte]int{1: 3, 3: int(request[4]), 4: 15}[request[3]] // what is left of DST.ADDR
	_, err := from.Discard(size + 2)
	return err
}

// below is what a recording holds below the proxy's handshake.
func below(b []byte, skip func(string, *bufio.Reader) error, path string) ([]byte, error) {
	r := bufio.NewReaderSize(bytes.NewReader(b), recorded)
	if err := skip(path, r); err != nil {
		return nil, fmt.Errorf("skip %s in %q: %w", path, b[:min(len(b), 200)], err)
	}
	return io.ReadAll(r)
}

// Each way of asking is spoken by the recorder, to a mitm that grants it, and found
// again in what another recorder in between has kept.
func TestARecorderKeepsWhatIsBelowAProxy(t *testing.T) {
	t.Parallel()
	m := startMitm(t, "--listen", "127.0.0.1:0")
	server := startTCPEcho(t)
	for _, path := range []string{"direct", "socks5", "connect"} {
		t.Run(path, func(t *testing.T) {
			addr := m.addrs[0]
			if path == "direct" {
				addr = server
			}
			middle := recording(t, dialer(t.Context(), addr, "direct", ""))
			front := recording(t, dialer(t.Context(), middle.addr(), path, strings.Replace(server, "127.0.0.1", "localhost", 1)))
			c, err := net.Dial("tcp", front.addr())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			checkSame(t, c, "over there")
			c.Close()
			for _, r := range []*recorder{front, middle} {
				talks := r.take()
				if len(talks) != 1 {
					t.Fatalf("%d talks, want 1", len(talks))
				}
				above := path
				if r == front {
					above = "direct"
				}
				up, err := below(talks[0].fromClient.bytes(), skipRequest, above)
				if err != nil || string(up) != "over there" {
					t.Errorf("from the client %q, %v", up, err)
				}
				down, err := below(talks[0].fromServer.bytes(), skipAnswer, above)
				if err != nil || string(down) != "over there" {
					t.Errorf("from the server %q, %v", down, err)
				}
			}
		})
	}
}

func recording(t *testing.T, dial func() (net.Conn, error)) *recorder {
	t.Helper()
	r, err := newRecorder(dial)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func checkSame(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(runTimeout)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		t.Fatalf("echo %q, %v, want %q", got, err, text)
	}
}

// startTCPEcho serves one connection at a time.
func startTCPEcho(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go serveTCPEcho(l, done)
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

func serveTCPEcho(l net.Listener, done chan<- struct{}) {
	defer close(done)
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		io.Copy(c, c)
		c.Close()
	}
}

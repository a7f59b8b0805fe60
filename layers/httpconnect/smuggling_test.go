package httpconnect

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
)

// view is a request as somebody reads it.
type view struct {
	method, target, host string
	content              int
}

// ourView reads requests as the layer does, and returns them with the bytes that go to the server.
func ourView(stream []byte) (views []view, forwarded []byte) {
	for {
		q, n, err := parseRequest(stream)
		if err != nil || q.form != absoluteForm {
			return views, forwarded
		}
		stream = stream[n:]
		body := q.body
		k, err := body.Next(stream)
		if err != nil || !body.Done() {
			return views, forwarded // it never comes to its end
		}
		views = append(views, view{q.method, q.origin, q.authority, contentOf(q, stream[:k])})
		forwarded = append(append(forwarded, q.forward...), stream[:k]...)
		stream = stream[k:]
	}
}

// contentOf returns the length of a request's content without its framing.
func contentOf(q *request, body []byte) int {
	if q.body.kind != inChunks {
		return len(body)
	}
	head := "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	_, n, _ := readRequest(bufio.NewReader(io.MultiReader(strings.NewReader(head), bytes.NewReader(body))))
	return n
}

// readRequest reads a request as net/http's server does.
func readRequest(r *bufio.Reader) (*http.Request, int, error) {
	q, err := http.ReadRequest(r)
	if err != nil {
		return nil, 0, err
	}
	n, err := io.Copy(io.Discard, q.Body)
	return q, int(n), err
}

// checkViews holds what is forwarded to what we took it for. net/http may refuse more than we do, such as a path that is
// no URL, and reads no further then.
func checkViews(t *testing.T, views []view, forwarded []byte) {
	t.Helper()
	r := bufio.NewReader(bytes.NewReader(forwarded))
	for i := 0; ; i++ {
		q, n, err := readRequest(r)
		if err == io.EOF && i != len(views) {
			t.Fatalf("we forward %d requests, net/http reads %d of %q", len(views), i, forwarded)
		}
		if err != nil {
			return
		}
		if i == len(views) {
			t.Fatalf("we forward %d requests, net/http reads more of %q", len(views), forwarded)
		}
		if got := (view{q.Method, q.RequestURI, q.Host, n}); got != views[i] {
			t.Fatalf("request %d is %+v to us, and %+v to net/http, of %q", i, views[i], got, forwarded)
		}
		for name := range q.Header {
			if isProxyField(name) {
				t.Errorf("%s was passed on", name)
			}
		}
	}
}

// requests are beginnings of what a client sends to an HTTP proxy.
func requests() []string {
	all := []string{
		"GET http://a.example/ HTTP/1.1\r\n" + host + "\r\n" + "GET http://b.example/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST http://a.example HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\nGET /GET http://a.example/ HTTP/1.1\r\n" + host + "\r\n",
		"POST http://a.example HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n5;a\r\nhello\r\n0\r\nA: b\r\n\r\n" +
			"OPTIONS http://a.example HTTP/1.0\r\nConnection: x\r\nX: 1\r\n\r\n",
		"\r\nHEAD http://[::1]:80/?a HTTP/1.1\r\nConnection: close, upgrade\r\nUpgrade: h2c\r\n" + host + "Proxy-A: b\r\n\r\n",
		"CONNECT a.example:443 HTTP/1.1\r\n\r\n\x16\x03\x01",
		"GET http://a.example/%zz HTTP/1.1\r\n" + host + "\r\n",
	}
	for _, c := range smuggling {
		all = append(all, c.text)
	}
	return all
}

// FuzzForward holds that net/http reads what we forward as we do: as many requests, of the same methods, for the same
// targets, with as much content. It knows no I/O, so it is fast.
func FuzzForward(f *testing.F) {
	for _, text := range requests() {
		if len(text) < 4<<10 {
			f.Add([]byte(text))
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		views, forwarded := ourView(stream)
		checkViews(t, views, forwarded)
	})
}

// FuzzTerminate sends any bytes to the layer. Each server reads its requests by net/http and answers each; whatever it
// reads must be for the destination that was dialled, and the client must get as many responses as there were requests.
func FuzzTerminate(f *testing.F) {
	for _, text := range requests() {
		if len(text) < 4<<10 {
			f.Add([]byte(text))
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		synctest.Test(t, func(t *testing.T) { terminateAny(t, stream) })
	})
}

// answerOf is how the servers of FuzzTerminate answer.
const answerOf = "HTTP/1.1 200 From the server\r\nContent-Length: 0\r\n\r\n"

func terminateAny(t *testing.T, stream []byte) {
	var servers []*origin
	proxy := &bridge.Proxy{
		Handler: bridge.Chain(Terminate(Config{})),
		Dial: func(_ context.Context, hop bridge.Addr, _ *bridge.Flow) (net.Conn, error) {
			theirs, ours := bridgetest.Pipe(1 << 20)
			s := &origin{hop: hop, served: make(chan struct{})}
			servers = append(servers, s)
			go s.serve(theirs)
			return ours, nil
		},
	}
	client, ours := bridgetest.Pipe(1 << 20)
	client.Write(stream)
	client.CloseWrite()
	out := proxy.ServeConn(t.Context(), ours)
	got, _ := io.ReadAll(client)
	client.Close()
	if out.Reason == bridge.Internal || out.Reason == bridge.Panic {
		t.Errorf("%q: outcome %s: %v", stream, out.Reason, out.Err)
	}
	if bytes.Contains(got, []byte(established)) {
		return // what goes through a tunnel is the client's own
	}
	requests := 0
	for _, s := range servers {
		<-s.served
		requests += s.check(t)
	}
	if n := bytes.Count(got, []byte(answerOf)); n != requests {
		t.Errorf("%q: the servers read %d requests, the client got %d responses", stream, requests, n)
	}
}

// origin is a server, and what it has read.
type origin struct {
	hop      bridge.Addr
	requests []*http.Request
	served   chan struct{}
}

func (o *origin) serve(c *bridgetest.Conn) {
	defer close(o.served)
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		q, _, err := readRequest(r)
		if err != nil {
			return
		}
		o.requests = append(o.requests, q)
		if _, err := io.WriteString(c, answerOf); err != nil {
			return
		}
	}
}

// check returns how many requests the server has read, all for itself.
func (o *origin) check(t *testing.T) int {
	for _, q := range o.requests {
		u, err := parseAbsolute("GET", "http://"+q.Host)
		if err != nil || u.dst != o.hop {
			t.Errorf("the server at %s read a request for %q", o.hop, q.Host)
		}
		if strings.Contains(q.RequestURI, "://") && !strings.HasPrefix(q.RequestURI, "/") {
			t.Errorf("the server at %s read the target %q", o.hop, q.RequestURI)
		}
	}
	return len(o.requests)
}

// TestTerminateRefusesWhatCouldSmuggle sends each piece of the corpus as a second request. The server must hear of none.
func TestTerminateRefusesWhatCouldSmuggle(t *testing.T) {
	const first = "GET http://a.example/ HTTP/1.1\r\n" + host + "\r\n"
	for _, c := range smuggling {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var heard bytes.Buffer
				served := make(chan struct{})
				proxy := &bridge.Proxy{
					Handler: bridge.Chain(Terminate(Config{})),
					Dial: func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) {
						theirs, ours := bridgetest.Pipe(1 << 20)
						go answerOnce(theirs, &heard, served)
						return ours, nil
					},
				}
				client, ours := bridgetest.Pipe(1 << 20)
				io.WriteString(client, first+c.text)
				out := make(chan bridge.Outcome, 1)
				go func() { out <- proxy.ServeConn(t.Context(), ours) }()
				got, _ := io.ReadAll(client)
				client.Close()
				<-served
				want := answerOf + fmt.Sprintf("HTTP/1.1 %d ", c.status)
				if !strings.HasPrefix(string(got), want) || !strings.Contains(string(got), "\r\nConnection: close\r\n") {
					t.Errorf("the client got %q, want %q", got, want)
				}
				if want := "GET / HTTP/1.1\r\n" + host + "\r\n"; heard.String() != want {
					t.Errorf("the server got %q, want %q", heard.String(), want)
				}
				if o := <-out; o.Reason != bridge.Desynced && o.Reason != bridge.Limit {
					t.Errorf("outcome %s: %v", o.Reason, o.Err)
				}
			})
		})
	}
}

// answerOnce answers when it has heard anything, and reads until the end.
func answerOnce(c *bridgetest.Conn, heard *bytes.Buffer, served chan<- struct{}) {
	defer close(served)
	defer c.Close()
	io.CopyN(heard, c, 1)
	io.WriteString(c, answerOf)
	io.Copy(heard, c)
}

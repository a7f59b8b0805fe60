package httpconnect_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/bridgeio/bridgeio/bridge"
	. "github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/layers/httpconnect"
)

const (
	ask     = "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\nUser-Agent: x/1\r\n\r\n"
	askWith = "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\nProxy-Authorization: Basic YWxpY2U6c2VjcmV0\r\n\r\n"
	grant   = "HTTP/1.1 200 Connection established\r\n\r\n"
	who     = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 4\r\n\r\nwho?"
)

// frame looks at the flow's innermost frame.
func frame(look func(testing.TB, bridge.Frame, *httpconnect.Handshake)) Option {
	return Flow(func(t testing.TB, f *bridge.Flow) {
		t.Helper()
		frames := f.Frames()
		if len(frames) == 0 {
			t.Error("the flow has no frame")
			return
		}
		last := frames[len(frames)-1]
		h, ok := last.Detail.(*httpconnect.Handshake)
		if !ok {
			t.Errorf("detail %T", last.Detail)
			return
		}
		look(t, last, h)
	})
}

// user expects who the frame says has asked.
func user(want string) Option {
	return frame(func(t testing.TB, f bridge.Frame, _ *httpconnect.Handshake) {
		t.Helper()
		if f.User != want {
			t.Errorf("user %q, want %q", f.User, want)
		}
	})
}

// responded expects what the frame says of the requests and the last response.
func responded(requests, status int, note string) Option {
	return frame(func(t testing.TB, f bridge.Frame, h *httpconnect.Handshake) {
		t.Helper()
		if h.Requests != requests || h.Status != status || f.Note != note {
			t.Errorf("%d requests, status %d, note %q; want %d, %d, %q", h.Requests, h.Status, f.Note, requests, status, note)
		}
	})
}

func TestRelay(t *testing.T) {
	handler := bridge.Chain(httpconnect.Relay())
	for _, c := range []struct {
		name    string
		script  Script
		options []Option
	}{
		{
			"a tunnel",
			Script{C(ask), S(grant), C("hello"), S("welcome"), C("bye")},
			[]Option{Path("connect"), Target("a.example:443"), responded(1, 200, "")},
		}, {
			"a tunnel whose server speaks first",
			Script{C(ask), S(grant + "220 ready\r\n"), C("QUIT\r\n")},
			[]Option{Path("connect"), Target("a.example:443")},
		}, {
			"a grant that has no reason and a length that does not count",
			Script{C("CONNECT [::1]:22 HTTP/1.0\n\n"), S("HTTP/1.0 200\nContent-Length: 3\n\n"), S("SSH-2.0-x\r\n"), C("SSH-2.0-y\r\n")},
			[]Option{Path("connect"), Target("[::1]:22")},
		}, {
			"a target without a port",
			Script{C("CONNECT a.example HTTP/1.1\r\n\r\n"), S(grant), C("hello")},
			[]Option{Path("connect"), Target("192.0.2.80:1080")},
		}, {
			"interim responses",
			Script{C(ask), S("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + grant), C("hello")},
			[]Option{Path("connect"), Target("a.example:443"), responded(1, 200, "")},
		}, {
			"a client that authenticates at the second request",
			Script{C(ask), S(who), C(askWith), S(grant), C("hello"), S("welcome")},
			[]Option{Path("connect"), Target("a.example:443"), user("alice"), responded(2, 200, "")},
		}, {
			"three requests with chunked refusals",
			Script{
				C("CONNECT a.example:443 HTTP/1.1\r\nProxy-Authorization: NTLM TlRMTVNTUAAB\r\n\r\n"),
				S("HTTP/1.1 407 Who\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nwho?\r\n0\r\nTrailer: a\r\n\r\n"),
				C("CONNECT a.example:443 HTTP/1.1\r\nProxy-Authorization: NTLM TlRMTVNTUAAC\r\n\r\n"),
				S("HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n"),
				C("CONNECT b.example:443 HTTP/1.1\r\nProxy-Authorization: NTLM TlRMTVNTUAAD\r\n\r\n"),
				S(grant), C("hello"),
			},
			[]Option{Path("connect"), Target("b.example:443"), user(""), responded(3, 200, "")},
		}, {
			"a refusal",
			Script{C(ask), S("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")},
			[]Option{Path("connect"), Target("a.example:443"), responded(1, 403, "refused: 403")},
		}, {
			"a request with content",
			Script{
				C("CONNECT a.example:443 HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd"), S(who),
				C("CONNECT a.example:443 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"), S(grant), C("hello"),
			},
			[]Option{Path("connect"), Target("a.example:443"), responded(2, 200, "")},
		}, {
			"a request whose content is asked for",
			Script{
				C("CONNECT a.example:443 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"),
				S("HTTP/1.1 100 Continue\r\n\r\n"), C("abcd"), S(grant), C("hello"),
			},
			[]Option{Path("connect"), Target("a.example:443"), responded(1, 200, ""), NoPipelining()},
		}, {
			"a refusal before the request's end",
			Script{
				C("CONNECT a.example:443 HTTP/1.1\r\nContent-Length: 4\r\n\r\nab"), S(who), C("cd"), C(askWith), S(grant), C("hello"),
			},
			[]Option{Path("connect"), user("alice"), responded(2, 200, ""), NoPipelining()},
		}, {
			"a grant before the request's end",
			Script{
				C("CONNECT a.example:443 HTTP/1.1\r\nContent-Length: 4\r\n\r\nab"), S(grant), C("cd"), S("hello"),
			},
			[]Option{Path("connect>raw"), Target("a.example:443"), NoPipelining()},
		}, {
			"another method",
			Script{C("GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n"), S("HTTP/1.1 200 OK\r\n\r\n")},
			[]Option{Path("connect>raw")},
		}, {
			"another method after a refusal",
			Script{C(ask), S(who), C("GET http://a.example/ HTTP/1.1\r\n\r\n"), S("HTTP/1.1 200 OK\r\n\r\n")},
			[]Option{Path("connect>raw")},
		}, {
			"a folded field",
			Script{C("CONNECT a.example:443 HTTP/1.1\r\nA: b\r\n c\r\n\r\n"), S(grant), C("hello")},
			[]Option{Path("connect>raw")},
		}, {
			"NUL in a field",
			Script{C("CONNECT a.example:443 HTTP/1.1\r\nA: \x00\r\n\r\n"), S(grant), C("hello")},
			[]Option{Path("connect>raw")},
		}, {
			"an unknown coding",
			Script{C("CONNECT a.example:443 HTTP/1.1\r\nTransfer-Encoding: x\r\n\r\n"), S(grant), C("hello")},
			[]Option{Path("connect>raw")},
		}, {
			"content that is malformed",
			Script{C("CONNECT a.example:443 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc"), S(grant), C("hello")},
			[]Option{Path("connect>raw")},
		}, {
			"a response that is none",
			Script{C(ask), S("SSH-2.0-x\r\n"), C("hello")},
			[]Option{Path("connect>raw")},
		}, {
			"a refusal with a folded field",
			Script{C(ask), S("HTTP/1.1 407 Who\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n"), C("hello")},
			[]Option{Path("connect>raw")},
		}, {
			"a refusal whose chunks are malformed",
			Script{C(ask), S("HTTP/1.1 407 Who\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"), C("hello")},
			[]Option{Path("connect>raw")},
		}, {
			"a user whose name can't be printed",
			Script{
				C("CONNECT a.example:443 HTTP/1.1\r\nProxy-Authorization: Basic G1szMW06eA==\r\n\r\n"), S(grant), C("hello"),
			},
			[]Option{Path("connect"), user("\uFFFD[31m")},
		}, {
			"a response with two ends",
			Script{C(ask), S("HTTP/1.1 407 Who\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nwho?"), C("hello")},
			[]Option{Path("connect>raw")},
		}, {
			"a switch of protocols",
			Script{C(ask), S("HTTP/1.1 101 Switching\r\n\r\n"), C("hello")},
			[]Option{Path("connect>raw")},
		},
	} {
		t.Run(c.name, func(t *testing.T) { Relay(t, handler, c.script, c.options...) })
	}
}

func TestRelayOfARefusalThatEndsWithTheConnection(t *testing.T) {
	Relay(t, bridge.Chain(httpconnect.Relay()),
		Script{C(ask), S("HTTP/1.0 503 Busy\r\n\r\ncome back later")}, Path("connect"))
}

func TestRelayThatFailsClosed(t *testing.T) {
	closed := Limits(bridge.Limits{Fail: bridge.FailClosed})
	handler := bridge.Chain(httpconnect.Relay())
	t.Run("passes on a refusal", func(t *testing.T) {
		Relay(t, handler, Script{C(ask), S("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")}, closed, MayWithhold(), Path("connect"))
	})
	t.Run("passes on nothing else", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, accepted := Pipe(1 << 20)
			proxy := &bridge.Proxy{
				Handler: handler,
				Hop:     bridge.FixedHop(bridge.Addr{Host: "192.0.2.1", Port: 3128}),
				Limits:  bridge.Limits{Fail: bridge.FailClosed},
			}
			got := make(chan []byte, 1)
			go say(c, []byte("GET http://a.example/ HTTP/1.1\r\n\r\n"), got)
			if out := proxy.ServeConn(t.Context(), accepted); out.Reason != bridge.Desynced {
				t.Errorf("outcome %s: %v", out.Reason, out.Err)
			}
			if answer := <-got; len(answer) > 0 {
				t.Errorf("the client got %q", answer)
			}
		})
	})
}

func TestRelayOfMuch(t *testing.T) {
	for _, c := range []struct{ name, client, server, path string }{
		{
			"a refusal that is too large to wait for", ask + ask + "hello",
			"HTTP/1.1 502 Bad\r\nContent-Length: 70000\r\n\r\n" + strings.Repeat("x", 70000) + grant, "connect",
		}, {
			"a refusal in more chunks than can be waited for", ask + ask + "hello",
			"HTTP/1.1 502 Bad\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1\r\nx\r\n", 20000) + "0\r\n\r\n" + grant, "connect",
		}, {
			"a response whose head is too large", ask + "hello",
			"HTTP/1.1 200 OK\r\nA: " + strings.Repeat("b", 70000) + "\r\n\r\n", "connect>raw",
		}, {
			"a request whose head is too large", "CONNECT a.example:443 HTTP/1.1\r\nA: " + strings.Repeat("b", 70000) + "\r\n\r\n",
			grant, "connect>raw",
		}, {
			"a client that does not give up", strings.Repeat(ask, 17), strings.Repeat(who, 16) + grant, "connect>raw",
		}, {
			"a server that does not come to its response", ask, strings.Repeat("HTTP/1.1 103 Early\r\n\r\n", 17) + grant, "connect>raw",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := transparent(t, []byte(c.client), []byte(c.server)); got != c.path {
				t.Errorf("path %q, want %q", got, c.path)
			}
		})
	}
}

// TestRelayRedials has the handshake done again on a second connection, where the server answers other bytes.
func TestRelayRedials(t *testing.T) {
	const no = "HTTP/1.1 407 Again\r\nContent-Length: 1\r\n\r\nx"
	ntlm := strings.ReplaceAll(askWith, "Basic", "NTLM")
	for _, c := range []struct{ name, client, first, second, want string }{
		{"a grant", ask, grant, "HTTP/1.0 200\n\n", ""},
		{"a refusal, then a grant", ask + askWith, who + grant, no + grant, ""},
		{"a refusal in place of the grant", ask, grant, who, "redial: the server answered 2 at first, and 4 now"},
		{"a challenge that was answered", ask + ntlm, who + grant, who + grant, `redial: the client authenticates by "ntlm"`},
		{
			"a request with content", "CONNECT a.example:443 HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", grant, grant,
			"redial: a request has content",
		},
		{
			"a refusal that ends with the connection", ask + ask, "HTTP/1.1 403 No\r\nContent-Length: 66000\r\n\r\n" + strings.Repeat("x", 66000) + grant, grant,
			"redial: a response is too long to be heard again",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			said, err := redialled(t, c.client, c.first, c.second)
			if got := fmt.Sprint(err); err != nil && got != c.want || err == nil && c.want != "" {
				t.Errorf("redial: %v, want %q", err, c.want)
			}
			if err == nil && said != c.client {
				t.Errorf("on the second connection the client says %q, want %q", said, c.client)
			}
		})
	}
}

// redialled relays the handshake, redials, and returns what the server heard the second time, and what came of it.
func redialled(t *testing.T, client, first, second string) (said string, result error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		answers := []string{first, second}
		var heard []chan []byte
		proxy := &bridge.Proxy{
			Hop: bridge.FixedHop(bridge.Addr{Host: "192.0.2.1", Port: 3128}),
			Dial: func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) {
				ours, theirs := Pipe(1 << 20)
				heard = append(heard, make(chan []byte, 1))
				go say(theirs, []byte(answers[len(heard)-1]), heard[len(heard)-1])
				return ours, nil
			},
			Handler: bridge.ChainTo(func(ctx context.Context, b *bridge.Bridge) error {
				result = b.Redial(ctx)
				return nil
			}, httpconnect.Relay()),
		}
		c, accepted := Pipe(1 << 20)
		got := make(chan []byte, 1)
		go say(c, []byte(client), got)
		proxy.ServeConn(t.Context(), accepted)
		<-got
		for _, h := range heard {
			said = string(<-h)
		}
	})
	return said, result
}

// FuzzRelay lets two peers say anything: each must get exactly what the other has said.
func FuzzRelay(f *testing.F) {
	for _, seed := range [][2]string{
		{ask + "hello", grant + "welcome"},
		{ask + askWith + "hello", who + grant},
		{ask, "HTTP/1.0 403 No\r\n\r\nno"},
		{"CONNECT a HTTP/1.1\r\nContent-Length: 2\r\n\r\nab", "HTTP/1.1 100 \r\n\r\n" + grant},
	} {
		f.Add([]byte(seed[0]), []byte(seed[1]))
	}
	f.Fuzz(func(t *testing.T, client, server []byte) { transparent(t, client, server) })
}

package httpconnect_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	. "github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/layers/httpconnect"
)

func terminate(c httpconnect.Config) bridge.Handler { return bridge.Chain(httpconnect.Terminate(c)) }

// alice is who may use the proxy.
func alice(user, password string) bool { return user == "alice" && password == "secret" }

// ours is an answer of our own that ends the connection.
func ours(status int, line string) string {
	return string(httpconnect.AppendAnswer(nil, httpconnect.Answer{Status: status, Line: line, Realm: "proxy", Close: true}))
}

const askWho = "This proxy wants a user and a password."

// whoAreYou is our 407 that keeps the connection.
func whoAreYou() string {
	return string(httpconnect.AppendAnswer(nil, httpconnect.Answer{Status: 407, Line: askWho, Realm: "proxy"}))
}

func TestTerminateConnect(t *testing.T) {
	fails := func(reason bridge.Reason) error { return bridge.Fails(reason, bridge.ByMITM, fmt.Errorf("test")) }
	for _, c := range []struct {
		name    string
		config  httpconnect.Config
		script  Script
		options []Option
	}{
		{
			"a tunnel",
			httpconnect.Config{},
			Script{Send(ask), Dials("a.example:443"), Recv(grant), Tunnel()},
			[]Option{Path("connect"), Target("a.example:443")},
		}, {
			"a tunnel for HTTP/1.0 to an IPv6 address",
			httpconnect.Config{},
			Script{Send("CONNECT [2001:db8::1]:443 HTTP/1.0\r\n\r\n"), Dials("[2001:db8::1]:443"), Recv(grant), Tunnel()},
			[]Option{Path("connect"), Target("[2001:db8::1]:443")},
		}, {
			"another hop than was asked for",
			httpconnect.Config{Hop: func(asked bridge.Addr) bridge.Addr {
				return bridge.Addr{Host: "192.0.2.1", Port: asked.Port}
			}},
			Script{Send(ask), Dials("192.0.2.1:443"), Recv(grant), Tunnel()},
			[]Option{Path("connect"), Target("a.example:443")},
		}, {
			"credentials at once",
			httpconnect.Config{Auth: alice},
			Script{Send(askWith), Dials("a.example:443"), Recv(grant), Tunnel()},
			[]Option{Path("connect"), user("alice")},
		}, {
			"credentials at the third request",
			httpconnect.Config{Auth: alice},
			Script{
				Send(ask), Recv(whoAreYou()), Send(strings.ReplaceAll(askWith, "YWxp", "YWxq")), Recv(whoAreYou()),
				Send(askWith), Dials("a.example:443"), Recv(grant), Tunnel(),
			},
			[]Option{Path("connect"), user("alice")},
		}, {
			"wrong credentials, for a client that closes",
			httpconnect.Config{Auth: alice},
			Script{Send("CONNECT a.example:443 HTTP/1.0\r\n\r\n"), Recv(ours(407, askWho))},
			[]Option{Reason(bridge.Auth), Path("connect")},
		}, {
			"no credentials, and no further request",
			httpconnect.Config{Auth: alice},
			Script{Send(ask), Recv(whoAreYou())},
			[]Option{Reason(bridge.Auth), Path("connect"), Target("a.example:443")},
		}, {
			"no authority",
			httpconnect.Config{},
			Script{Send("CONNECT a.example HTTP/1.1\r\n\r\n"), Recv(ours(400, "CONNECT wants host:port, or [IPv6 address]:port."))},
			[]Option{Reason(bridge.Desynced)},
		}, {
			"a server that refuses",
			httpconnect.Config{},
			Script{Send(ask), DialFails("a.example:443", dialError(syscall.ECONNREFUSED)), Recv(ours(502, "a.example:443 refused the connection."))},
			[]Option{Reason(bridge.Refused), Target("a.example:443")},
		}, {
			"a network that is unreachable",
			httpconnect.Config{},
			Script{Send(ask), DialFails("a.example:443", dialError(syscall.ENETUNREACH)), Recv(ours(502, "a.example:443 can't be reached."))},
			[]Option{Reason(bridge.Unreachable)},
		}, {
			"a name that does not resolve",
			httpconnect.Config{},
			Script{Send(ask), DialFails("a.example:443", &net.DNSError{Err: "x"}), Recv(ours(502, "The name in a.example:443 does not resolve."))},
			[]Option{Reason(bridge.DNS)},
		}, {
			"a server that does not answer",
			httpconnect.Config{},
			Script{Send(ask), DialFails("a.example:443", dialError(syscall.ETIMEDOUT)), Recv(ours(504, "a.example:443 does not answer."))},
			[]Option{Reason(bridge.Timeout)},
		}, {
			"a dial that takes too long",
			httpconnect.Config{},
			Script{Send(ask), DialFails("a.example:443", context.DeadlineExceeded), Recv(ours(504, "a.example:443 does not answer."))},
			[]Option{Reason(bridge.Timeout)},
		}, {
			"a destination that is denied",
			httpconnect.Config{},
			Script{Send(ask), DialFails("a.example:443", fails(bridge.Denied)), Recv(ours(403, "This proxy does not let you reach a.example:443."))},
			[]Option{Reason(bridge.Denied)},
		}, {
			"a destination that is blocked",
			httpconnect.Config{},
			Script{Send(ask), DialFails("a.example:443", fails(bridge.Block)), Recv(ours(403, "This proxy does not let you reach a.example:443."))},
			[]Option{Reason(bridge.Block)},
		}, {
			"a destination that is ourselves",
			httpconnect.Config{},
			Script{Send(ask), DialFails("a.example:443", fails(bridge.Loop)), Recv(ours(403, "a.example:443 is this proxy."))},
			[]Option{Reason(bridge.Loop)},
		}, {
			"a request for a server",
			httpconnect.Config{Help: "Help!"},
			Script{Send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"), Recv(ours(421, "Help!"))},
			[]Option{Reason(bridge.Desynced), Path("raw")},
		}, {
			"a URL of https",
			httpconnect.Config{},
			Script{Send("GET https://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n"), Recv(ours(400, "https is reached by CONNECT, not by an absolute URL."))},
			[]Option{Reason(bridge.Desynced)},
		}, {
			"another version",
			httpconnect.Config{},
			Script{Send("GET / HTTP/2.0\r\n"), Recv(ours(505, "This proxy speaks HTTP/1.0 and HTTP/1.1."))},
			[]Option{Reason(bridge.Desynced)},
		},
	} {
		t.Run(c.name, func(t *testing.T) { Terminate(t, terminate(c.config), c.script, c.options...) })
	}
}

func dialError(errno error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: errno} }

// Requests in absolute-form, and as the server gets them.
const (
	get     = "GET http://a.example/b HTTP/1.1\r\nHost: a.example\r\nProxy-Connection: keep-alive\r\n\r\n"
	getAs   = "GET /b HTTP/1.1\r\nHost: a.example\r\n\r\n"
	ok      = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	post    = "POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\n"
	postAs  = "POST / HTTP/1.1\r\nHost: a.example\r\n"
	length4 = "Content-Length: 4\r\n\r\n"
	chunked = "Transfer-Encoding: chunked\r\n\r\n"
	chunks  = "3\r\nabc\r\n1;x=y\r\nd\r\n0\r\nDigest: z\r\n\r\n"
)

// TestTerminateForwards plays one exchange after which the connection ends.
func TestTerminateForwards(t *testing.T) {
	const last = "HTTP/1.1 200 OK\r\nConnection: close\r\n"
	for _, c := range []struct {
		name   string
		script Script
	}{
		{"a response with a length", Script{C(get).As(getAs), Dials("a.example:80"), S(last + length4 + "abcd")}},
		{"a response in chunks", Script{C(get).As(getAs), Dials("a.example:80"), S(last + chunked + chunks)}},
		{"a response that ends with the connection", Script{C(get).As(getAs), Dials("a.example:80"), S("HTTP/1.1 200 OK\r\n\r\nall")}},
		{"a response of HTTP/1.0", Script{C(get).As(getAs), Dials("a.example:80"), S("HTTP/1.0 200\nA: b\n\nall")}},
		{"a response without content", Script{C(get).As(getAs), Dials("a.example:80"), S(last + "Content-Length: 0\r\n\r\n")}},
		{"content with a length", Script{C(post + length4).As(postAs + length4), Dials("a.example:80"), C("abcd"), S(last + length4 + "abcd")}},
		{"content in chunks", Script{C(post + chunked).As(postAs + chunked), Dials("a.example:80"), C(chunks), S(last + length4 + "abcd")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			Terminate(t, terminate(httpconnect.Config{}), c.script, Path("http"), Target("a.example:80"))
		})
	}
}

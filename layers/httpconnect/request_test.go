package httpconnect

import (
	"errors"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
)

// host is the field that every request of HTTP/1.1 has.
const host = "Host: a.example\r\n"

func TestParseTarget(t *testing.T) {
	addr := func(host string, port uint16) bridge.Addr { return bridge.Addr{Host: host, Port: port} }
	for _, c := range []struct {
		method, text string
		want         target
	}{
		{"GET", "/a?b", target{form: originForm, origin: "/a?b"}},
		{"GET", "//a.example/b", target{form: originForm, origin: "//a.example/b"}},
		{"OPTIONS", "*", target{form: originForm, origin: "*"}},
		{"CONNECT", "a.example:443", target{authorityForm, addr("a.example", 443), "a.example:443", ""}},
		{"CONNECT", "[2001:db8::1]:443", target{authorityForm, addr("2001:db8::1", 443), "[2001:db8::1]:443", ""}},
		{"GET", "http://a.example/b/c?d=e", target{absoluteForm, addr("a.example", 80), "a.example", "/b/c?d=e"}},
		{"GET", "HTTP://A.example:8080/", target{absoluteForm, addr("A.example", 8080), "A.example:8080", "/"}},
		{"GET", "http://[::1]/", target{absoluteForm, addr("::1", 80), "[::1]", "/"}},
		{"GET", "http://192.0.2.1:80", target{absoluteForm, addr("192.0.2.1", 80), "192.0.2.1:80", "/"}},
		{"GET", "http://a.example?b", target{absoluteForm, addr("a.example", 80), "a.example", "/?b"}},
		{"GET", "http://a.example/http://b.example/", target{absoluteForm, addr("a.example", 80), "a.example", "/http://b.example/"}},
		{"GET", "http://a.example?http://b.example/", target{absoluteForm, addr("a.example", 80), "a.example", "/?http://b.example/"}},
		{"OPTIONS", "http://a.example", target{absoluteForm, addr("a.example", 80), "a.example", "*"}},
		{"OPTIONS", "http://a.example/", target{absoluteForm, addr("a.example", 80), "a.example", "/"}},
		{"OPTIONS", "http://a.example?b", target{absoluteForm, addr("a.example", 80), "a.example", "/?b"}},
	} {
		if got, err := parseTarget(c.method, c.text); err != nil || got != c.want {
			t.Errorf("parseTarget(%s %s) = %+v, %v; want %+v", c.method, c.text, got, err, c.want)
		}
	}
}

func TestParseTargetRefuses(t *testing.T) {
	for _, c := range []struct{ name, method, text string }{
		{"CONNECT without a port", "CONNECT", "a.example"},
		{"CONNECT with port 0", "CONNECT", "a.example:0"},
		{"CONNECT with a port that overflows", "CONNECT", "a.example:65536"},
		{"CONNECT with an IPv6 address without brackets", "CONNECT", "::1:443"},
		{"CONNECT with a URL", "CONNECT", "http://a.example/"},
		{"CONNECT with a path", "CONNECT", "a.example:443/"},
		{"CONNECT with a user", "CONNECT", "u@a.example:443"},
		{"CONNECT without a host", "CONNECT", ":443"},
		{"authority-form with another method", "GET", "a.example:80"},
		{"https", "GET", "https://a.example/"},
		{"ftp", "GET", "ftp://a.example/"},
		{"a scheme without slashes", "GET", "http:a.example"},
		{"no host", "GET", "http:///a"},
		{"a user", "GET", "http://u:p@a.example/"},
		{"a user that looks like the host", "GET", "http://a.example@b.example/"},
		{"a backslash", "GET", `http://a.example\@b.example/`},
		{"a fragment", "GET", "http://a.example/#b"},
		{"a fragment that looks like the host's end", "GET", "http://a.example#@b.example/"},
		{"an empty port", "GET", "http://a.example:/"},
		{"a port that is no number", "GET", "http://a.example:b/"},
		{"a zone", "GET", "http://[fe80::1%25eth0]/"},
		{"a name that is not ASCII", "GET", "http://b\u00fccher.example/"},
		{"a percent-encoded name", "GET", "http://a%2eexample/"},
		{"a bare word", "GET", "word"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseTarget(c.method, c.text)
			if r, ok := asRefusal(err); !ok || r.status != statusBadRequest || got != (target{}) {
				t.Errorf("parseTarget(%s %s) = %+v, %v; want a refusal with 400", c.method, c.text, got, err)
			}
		})
	}
}

func TestForward(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{
			"curl", "GET http://a.example/b HTTP/1.1\r\nHost: a.example\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n" +
				"Proxy-Connection: Keep-Alive\r\n\r\n",
			"GET /b HTTP/1.1\r\nHost: a.example\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n",
		}, {
			"fields in their order and spelling", "GET http://a.example/ HTTP/1.1\r\nx-B:1 \r\nHOST:\ta.example\r\nX-a:  2\r\nx-b:3\r\n\r\n",
			"GET / HTTP/1.1\r\nx-B:1 \r\nHOST:\ta.example\r\nX-a:  2\r\nx-b:3\r\n\r\n",
		}, {
			"another Host", "GET http://a.example:8080/ HTTP/1.1\r\nA: 1\r\nhost: b.example\r\nB: 2\r\n\r\n",
			"GET / HTTP/1.1\r\nA: 1\r\nhost: a.example:8080\r\nB: 2\r\n\r\n",
		}, {
			"an empty Host", "GET http://a.example/ HTTP/1.1\r\nHost:\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
		}, {
			"HTTP/1.0 without Host", "GET http://a.example HTTP/1.0\r\nA: 1\r\n\r\n",
			"GET / HTTP/1.0\r\nHost: a.example\r\nA: 1\r\n\r\n",
		}, {
			"HTTP/1.0 that would persist", "GET http://a.example HTTP/1.0\r\nConnection: keep-alive\r\nKeep-Alive: 5\r\n\r\n",
			"GET / HTTP/1.0\r\nHost: a.example\r\n\r\n",
		}, {
			"credentials for us", "GET http://a.example/ HTTP/1.1\r\n" + host + "proxy-authorization: Basic YTpi\r\nAuthorization: Basic YTpi\r\n\r\n",
			"GET / HTTP/1.1\r\n" + host + "Authorization: Basic YTpi\r\n\r\n",
		}, {
			"fields that Connection names", "GET http://a.example/ HTTP/1.1\r\n" + host + "X-A: 1\r\nConnection: x-a, TE\r\nTE: trailers\r\nX-B: 2\r\nconnection: ,x-b,\r\n\r\n",
			"GET / HTTP/1.1\r\n" + host + "\r\n",
		}, {
			"a client that closes", "GET http://a.example/ HTTP/1.1\r\n" + host + "Connection: Close, x-a\r\nX-A: 1\r\n\r\n",
			"GET / HTTP/1.1\r\n" + host + "Connection: Close\r\n\r\n",
		}, {
			"an upgrade", "GET http://a.example/ HTTP/1.1\r\n" + host + "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
			"GET / HTTP/1.1\r\n" + host + "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
		}, {
			"an upgrade in HTTP/1.0", "GET http://a.example/ HTTP/1.0\r\n" + host + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
			"GET / HTTP/1.0\r\n" + host + "\r\n",
		}, {
			"an upgrade to HTTP/2, whose settings are for us", "GET http://a.example/ HTTP/1.1\r\n" + host + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
			"GET / HTTP/1.1\r\n" + host + "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
		}, {
			"empty lines before it", "\r\n\r\nOPTIONS http://a.example HTTP/1.1\r\n" + host + "\r\n",
			"OPTIONS * HTTP/1.1\r\n" + host + "\r\n",
		}, {
			"content", "POST http://a.example/ HTTP/1.1\r\n" + host + "content-length:  3\r\nExpect: 100-continue\r\n\r\n",
			"POST / HTTP/1.1\r\n" + host + "content-length:  3\r\nExpect: 100-continue\r\n\r\n",
		}, {
			"bytes above ASCII", "GET http://a.example/\xff HTTP/1.1\r\n" + host + "A: \xfe\r\n\r\n",
			"GET /\xff HTTP/1.1\r\n" + host + "A: \xfe\r\n\r\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			q, n, err := parseRequest([]byte(c.in + "surplus"))
			if err != nil || n != len(c.in) {
				t.Fatalf("parseRequest(%q) has the length %d, %v; want %d", c.in, n, err, len(c.in))
			}
			if got := string(q.forward); got != c.want {
				t.Errorf("the server gets\n\t%q, want\n\t%q", got, c.want)
			}
			for i := range len(c.in) {
				if _, _, err := parseRequest([]byte(c.in[:i])); !errors.Is(err, bridge.ErrShort) {
					t.Errorf("parseRequest(%q), a truncation: %v", c.in[:i], err)
				}
			}
		})
	}
}

// smuggling is what two recipients could read differently, or cannot read at all.
var smuggling = []struct {
	name, text string
	status     int
}{
	{"no Host", "GET http://a.example/ HTTP/1.1\r\n\r\n", 400},
	{"two Hosts", "GET http://a.example/ HTTP/1.1\r\n" + host + host + "\r\n", 400},
	{"two Hosts in HTTP/1.0", "GET http://a.example/ HTTP/1.0\r\n" + host + host + "\r\n", 400},
	{"a Host with a path", "GET http://a.example/ HTTP/1.1\r\nHost: a.example/b\r\n\r\n", 400},
	{"a list of Hosts", "GET http://a.example/ HTTP/1.1\r\nHost: a.example, b.example\r\n\r\n", 400},
	{"CL.TE", "POST http://a.example/ HTTP/1.1\r\n" + host + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", 400},
	{"TE.CL", "POST http://a.example/ HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n1\r\nG\r\n0\r\n\r\n", 400},
	{"TE behind a blank", "POST http://a.example/ HTTP/1.1\r\n" + host + "Transfer-Encoding : chunked\r\nContent-Length: 3\r\n\r\n", 400},
	{"TE behind a tab", "POST http://a.example/ HTTP/1.1\r\n" + host + "Transfer-Encoding:\vchunked\r\n\r\n", 400},
	{"TE twice", "POST http://a.example/ HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n\r\n", 400},
	{"TE in a folded line", "POST http://a.example/ HTTP/1.1\r\n" + host + "Transfer-Encoding:\r\n chunked\r\n\r\n", 400},
	{"TE in a line that another one hides", "POST http://a.example/ HTTP/1.1\r\n" + host + "A: b\nTransfer-Encoding: chunked\r\n\r\n", 400},
	{"TE behind a bare CR", "POST http://a.example/ HTTP/1.1\r\n" + host + "A: b\rTransfer-Encoding: chunked\r\n\r\n", 400},
	{"TE in HTTP/1.0", "POST http://a.example/ HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n", 400},
	{"differing lengths", "POST http://a.example/ HTTP/1.1\r\n" + host + "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", 400},
	{"a length with a sign", "POST http://a.example/ HTTP/1.1\r\n" + host + "Content-Length: +3\r\n\r\n", 400},
	{"a length taken out by Connection", "POST http://a.example/ HTTP/1.1\r\n" + host + "Connection: content-length\r\nContent-Length: 3\r\n\r\n", 400},
	{"a coding taken out by Connection", "POST http://a.example/ HTTP/1.1\r\n" + host + "Connection: close, Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
	{"Host taken out by Connection", "GET http://a.example/ HTTP/1.1\r\n" + host + "Connection: host\r\n\r\n", 400},
	{"a Connection that is no list", "GET http://a.example/ HTTP/1.1\r\n" + host + "Connection: a b\r\n\r\n", 400},
	{"a Trailer that frames", "POST http://a.example/ HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n", 400},
	{"NUL in a value", "GET http://a.example/ HTTP/1.1\r\n" + host + "A: \x00\r\n\r\n", 400},
	{"a control character in a value", "GET http://a.example/ HTTP/1.1\r\n" + host + "A: \x0b\r\n\r\n", 400},
	{"a name that is no token", "GET http://a.example/ HTTP/1.1\r\n" + host + "A(: b\r\n\r\n", 400},
	{"a name above ASCII", "GET http://a.example/ HTTP/1.1\r\n" + host + "\xc4: b\r\n\r\n", 400},
	{"an empty name", "GET http://a.example/ HTTP/1.1\r\n" + host + ": b\r\n\r\n", 400},
	{"a line without a colon", "GET http://a.example/ HTTP/1.1\r\n" + host + "A\r\n\r\n", 400},
	{"a fold before the first field", "GET http://a.example/ HTTP/1.1\r\n " + host + "\r\n", 400},
	{"a request line that ends in LF", "GET http://a.example/ HTTP/1.1\n" + host + "\r\n", 400},
	{"an empty line in LF", "\nGET http://a.example/ HTTP/1.1\r\n" + host + "\r\n", 400},
	{"an end in LF", "GET http://a.example/ HTTP/1.1\r\n" + host + "\n", 400},
	{"two blanks in the request line", "GET  http://a.example/ HTTP/1.1\r\n" + host + "\r\n", 400},
	{"a tab in the request line", "GET\thttp://a.example/ HTTP/1.1\r\n" + host + "\r\n", 400},
	{"a blank in the target", "GET http://a.example/a b HTTP/1.1\r\n" + host + "\r\n", 400},
	{"no version", "GET http://a.example/\r\n", 400},
	{"CONNECT with content", "CONNECT a.example:443 HTTP/1.1\r\n" + host + "Content-Length: 3\r\n\r\n", 400},
	{"CONNECT in chunks", "CONNECT a.example:443 HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n", 400},
	{"CONNECT with two Hosts", "CONNECT a.example:443 HTTP/1.1\r\n" + host + host + "\r\n", 400},
	{"CONNECT without a port", "CONNECT a.example HTTP/1.1\r\n" + host + "\r\n", 400},
	{"not HTTP at all", "\x16\x03\x01\x02\x00\x01", 400},
	{"HTTP/1.2", "GET http://a.example/ HTTP/1.2\r\n" + host + "\r\n", 505},
	{"HTTP/2", "GET http://a.example/ HTTP/2.0\r\n" + host + "\r\n", 505},
	{"HTTP/2 with its preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
	{"a version that is none", "GET http://a.example/ HTTQ/1.1\r\n" + host + "\r\n", 400},
	{"lower case", "GET http://a.example/ http/1.1\r\n" + host + "\r\n", 400},
	{"a head that is too large", "GET http://a.example/ HTTP/1.1\r\n" + host + "A: " + strings.Repeat("b", MaxHead) + "\r\n\r\n", 431},
	{"a target that is too large", "GET http://a.example/" + strings.Repeat("b", MaxHead), 431},
	{"too many fields", "GET http://a.example/ HTTP/1.1\r\n" + host + strings.Repeat("A:\r\n", 2000) + "\r\n", 431},
	{"empty lines without end", strings.Repeat("\r\n", MaxHead), 431},
}

func TestParseRequestRefuses(t *testing.T) {
	for _, c := range smuggling {
		t.Run(c.name, func(t *testing.T) {
			q, n, err := parseRequest([]byte(c.text))
			if r, ok := asRefusal(err); !ok || r.status != c.status || q != nil || n != 0 {
				t.Errorf("parseRequest(%.80q) = %v, %d, %v; want a refusal with %d", c.text, q, n, err, c.status)
			}
		})
	}
}

func TestParseRequestServesConnect(t *testing.T) {
	for _, c := range []struct{ name, text string }{
		{"with Host", "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n"},
		{"without Host", "CONNECT a.example:443 HTTP/1.1\r\n\r\n"},
		{"in HTTP/1.0", "CONNECT a.example:443 HTTP/1.0\r\n\r\n"},
		{"with a length of 0", "CONNECT a.example:443 HTTP/1.1\r\nContent-Length: 0\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			q, n, err := parseRequest([]byte(c.text + "\x16\x03\x01"))
			if err != nil || n != len(c.text) || q.dst != (bridge.Addr{Host: "a.example", Port: 443}) {
				t.Errorf("parseRequest(%q) = %+v, %d, %v", c.text, q, n, err)
			}
		})
	}
}

func TestPersists(t *testing.T) {
	for _, c := range []struct {
		text string
		want bool
	}{
		{"GET http://a.example/ HTTP/1.1\r\n" + host + "\r\n", true},
		{"GET http://a.example/ HTTP/1.1\r\n" + host + "Connection: keep-alive\r\n\r\n", true},
		{"GET http://a.example/ HTTP/1.1\r\n" + host + "Connection: x, CLOSE\r\n\r\n", false},
		{"GET http://a.example/ HTTP/1.0\r\n" + host + "Connection: keep-alive\r\n\r\n", false},
	} {
		q, _, err := parseRequest([]byte(c.text))
		if err != nil || q.persists() != c.want {
			t.Errorf("%q persists: %t, %v; want %t", c.text, q.persists(), err, c.want)
		}
	}
}

func TestParseCredentials(t *testing.T) {
	for _, c := range []struct {
		name   string
		fields []string
		want   credentials
	}{
		{"none", nil, credentials{}},
		{"of RFC 7617", []string{"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}, credentials{"basic", "Aladdin", "open sesame", true}},
		{"in lower case", []string{"basic dGVzdDoxMjPCow=="}, credentials{"basic", "test", "123\u00a3", true}},
		{"with colons", []string{"Basic YTpiOmM="}, credentials{"basic", "a", "b:c", true}},
		{"both empty", []string{"Basic Og=="}, credentials{"basic", "", "", true}},
		{"without a colon", []string{"Basic YQ=="}, credentials{scheme: "basic", user: "a"}},
		{"not base64", []string{"Basic ???"}, credentials{scheme: "basic"}},
		{"another scheme", []string{"NTLM TlRMTVNTUAAB"}, credentials{scheme: "ntlm"}},
		{"twice", []string{"Basic YTpi", "Basic YTpi"}, credentials{scheme: "basic"}},
		{"empty", []string{""}, credentials{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := parseCredentials(c.fields); got != c.want {
				t.Errorf("parseCredentials(%q) = %+v, want %+v", c.fields, got, c.want)
			}
		})
	}
}

func TestAppendAnswer(t *testing.T) {
	for _, c := range []struct {
		name string
		a    Answer
		want string
	}{
		{
			"a refusal",
			Answer{Status: 502, Line: "Gone.", Close: true},
			"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 6\r\nConnection: close\r\n\r\nGone.\n",
		}, {
			"a challenge",
			Answer{Status: 407, Line: "Who?", Realm: "a \"b\"\r\n\\"},
			"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 5\r\n" +
				"Proxy-Authenticate: Basic realm=\"a \\\"b\\\"\\\\\", charset=\"UTF-8\"\r\n\r\nWho?\n",
		}, {
			"an answer to HEAD",
			Answer{Status: 400, Line: "No.", NoContent: true},
			"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 4\r\n\r\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := string(AppendAnswer([]byte("x"), c.a)); got != "x"+c.want {
				t.Errorf("AppendAnswer(%+v) = %q, want %q", c.a, got, c.want)
			}
			if _, n, err := ParseResponseHead([]byte(c.want)); err != nil || n == 0 {
				t.Errorf("ParseResponseHead(%q): %v", c.want, err)
			}
		})
	}
}

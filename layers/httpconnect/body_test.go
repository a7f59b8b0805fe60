package httpconnect

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/detect"
)

// headOf parses a request head with these field lines.
func headOf(t testing.TB, line, fields string) *detect.RequestHead {
	t.Helper()
	h, _, err := detect.ParseRequestHead([]byte(line + "\r\n" + fields + "\r\n"))
	if err != nil {
		t.Fatalf("%q: %v", line+fields, err)
	}
	return h
}

// framing describes a body.
func framing(x Body, err error) string {
	switch {
	case err != nil:
		return asMalformed(err).Field
	case x.kind == inChunks:
		return "chunks"
	case x.kind == untilClose:
		return "until close"
	}
	return fmt.Sprint(x.left)
}

func TestRequestBody(t *testing.T) {
	const length, codings, both = "Content-Length", "Transfer-Encoding", "Content-Length with Transfer-Encoding"
	for _, c := range []struct{ name, fields, want string }{
		{"none", "", "0"},
		{"a length", "Content-Length: 12\r\n", "12"},
		{"a length of nothing", "content-length:0\r\n", "0"},
		{"the greatest length", "Content-Length: 9223372036854775807\r\n", "9223372036854775807"},
		{"a length that overflows", "Content-Length: 9223372036854775808\r\n", length},
		{"a length with a sign", "Content-Length: +1\r\n", length},
		{"a negative length", "Content-Length: -1\r\n", length},
		{"a length with an underscore", "Content-Length: 1_0\r\n", length},
		{"a hexadecimal length", "Content-Length: 0x10\r\n", length},
		{"a list of lengths", "Content-Length: 3, 3\r\n", length},
		{"an empty length", "Content-Length:\r\n", length},
		{"equal lengths", "Content-Length: 3\r\nContent-Length: 3\r\n", length},
		{"differing lengths", "Content-Length: 3\r\nContent-Length: 4\r\n", length},
		{"chunks", "Transfer-Encoding: chunked\r\n", "chunks"},
		{"chunks in capitals", "Transfer-Encoding: CHUNKED\r\n", "chunks"},
		{"chunks and a length", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", both},
		{"gzip, then chunks", "Transfer-Encoding: gzip, chunked\r\n", codings},
		{"chunks twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", codings},
		{"identity", "Transfer-Encoding: identity\r\n", codings},
		{"an empty coding", "Transfer-Encoding:\r\n", codings},
		{"chunks with a parameter", "Transfer-Encoding: chunked;a=b\r\n", codings},
		{"chunks behind a vertical tab", "Transfer-Encoding: \vchunked\r\n", codings},
		{"another word", "Transfer-Encoding: xchunked\r\n", codings},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := framing(RequestBody(headOf(t, "POST / HTTP/1.1", c.fields))); got != c.want {
				t.Errorf("RequestBody(%q) = %s, want %s", c.fields, got, c.want)
			}
		})
	}
	if got := framing(RequestBody(headOf(t, "POST / HTTP/1.0", "Transfer-Encoding: chunked\r\n"))); got != codings {
		t.Errorf("chunks in HTTP/1.0: %s", got)
	}
}

func TestResponseBody(t *testing.T) {
	const length, codings, both = "Content-Length", "Transfer-Encoding", "Content-Length with Transfer-Encoding"
	const lines = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"
	for _, c := range []struct{ name, method, head, want string }{
		{"a length", "GET", "1.1 200\r\nContent-Length: 5\r\n", "5"},
		{"chunks", "GET", "1.1 200\r\nTransfer-Encoding: chunked\r\n", "chunks"},
		{"gzip, then chunks", "GET", "1.1 200\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", "chunks"},
		{"gzip alone", "GET", "1.1 200\r\nTransfer-Encoding: gzip\r\n", "until close"},
		{"nothing said", "GET", "1.1 200\r\n", "until close"},
		{"an answer to HEAD", "HEAD", "1.1 200\r\nContent-Length: 5\r\n", "0"},
		{"204", "GET", "1.1 204\r\nContent-Length: 5\r\n", "0"},
		{"304", "GET", "1.1 304\r\nContent-Length: 5\r\n", "0"},
		{"an interim one", "GET", "1.1 103\r\nContent-Length: 5\r\n", "0"},
		{"a grant of CONNECT", "CONNECT", "1.1 200\r\n" + lines, "0"},
		{"a refusal of CONNECT", "CONNECT", "1.1 407\r\nContent-Length: 5\r\n", "5"},
		{"both", "GET", "1.1 200\r\n" + lines, both},
		{"two lengths", "GET", "1.1 200\r\nContent-Length: 5\r\nContent-Length: 5\r\n", length},
		{"chunks in HTTP/1.0", "GET", "1.0 200\r\nTransfer-Encoding: chunked\r\n", codings},
		{"chunks, then gzip", "GET", "1.1 200\r\nTransfer-Encoding: chunked, gzip\r\n", codings},
		{"chunks twice", "GET", "1.1 200\r\nTransfer-Encoding: chunked, chunked\r\n", codings},
		{"a coding that is none", "GET", "1.1 200\r\nTransfer-Encoding: \vchunked\r\n", codings},
		{"no coding", "GET", "1.1 200\r\nTransfer-Encoding: ,\r\n", codings},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, _, err := ParseResponseHead([]byte("HTTP/" + c.head + "\r\n"))
			if err != nil {
				t.Fatal(err)
			}
			if got := framing(ResponseBody(h, c.method)); got != c.want {
				t.Errorf("ResponseBody(%q) = %s, want %s", c.head, got, c.want)
			}
		})
	}
}

func TestBodyOfALengthEndsThere(t *testing.T) {
	x := Body{left: 5}
	for _, c := range []struct {
		in   string
		n    int
		done bool
	}{{"", 0, false}, {"ab", 2, false}, {"cdeGET", 3, true}, {"GET", 0, true}} {
		if n, err := x.Next([]byte(c.in)); n != c.n || err != nil || x.Done() != c.done {
			t.Errorf("Next(%q) = %d, %v, done %t; want %d, %t", c.in, n, err, x.Done(), c.n, c.done)
		}
	}
}

func TestBodyUntilCloseNeverEnds(t *testing.T) {
	x := Body{kind: untilClose}
	if n, err := x.Next([]byte("all")); n != 3 || err != nil || x.Done() || !x.IsUntilClose() {
		t.Errorf("Next = %d, %v, done %t", n, err, x.Done())
	}
}

// chunkedBodies are complete bodies, and what of them only a response may hold.
var chunkedBodies = []struct {
	name, text string
	lenient    bool
}{
	{"no chunk", "0\r\n\r\n", false},
	{"two chunks", "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", false},
	{"hexadecimal sizes", "a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n", false},
	{"leading zeros", "0005\r\nhello\r\n000\r\n\r\n", false},
	{"extensions", "5;a=b;c=\"d e\"\r\nhello\r\n0;x\r\n\r\n", false},
	{"trailers", "0\r\nDigest: abc\r\nX-A:\r\n\r\n", false},
	{"data that looks like an end", "5\r\n0\r\n\r\n\r\n0\r\n\r\n", false},
	{"blanks behind a size", "5  \r\nhello\r\n0\t\r\n\r\n", true},
	{"a blank before an extension", "5 ;a\r\nhello\r\n0\r\n\r\n", true},
	{"a trailer of the head", "0\r\nContent-Length: 3\r\n\r\n", true},
	{"a trailer for the proxy", "0\r\nProxy-Authorization: a\r\n\r\n", true},
}

// scan follows a body in steps of a size, and returns where it ended.
func scan(x Body, text string, step int) (n int, done bool, err error) {
	for n < len(text) && !x.Done() && err == nil {
		var k int
		k, err = x.Next([]byte(text[n:min(len(text), n+step)]))
		n += k
	}
	return n, x.Done(), err
}

func chunkedBody(strict bool) Body { return Body{kind: inChunks, chunks: chunks{strict: strict}} }

func TestChunkedBodyEndsWhereItEnds(t *testing.T) {
	for _, c := range chunkedBodies {
		t.Run(c.name, func(t *testing.T) {
			for step := range len(c.text) + 4 {
				n, done, err := scan(chunkedBody(false), c.text+"GET ", step+1)
				if n != len(c.text) || !done || err != nil {
					t.Errorf("in steps of %d: %d, %t, %v; want %d", step+1, n, done, err, len(c.text))
				}
				if _, _, err := scan(chunkedBody(true), c.text, step+1); (err != nil) != c.lenient {
					t.Errorf("in a request, in steps of %d: %v", step+1, err)
				}
			}
			for i := range len(c.text) {
				if n, done, err := scan(chunkedBody(false), c.text[:i], i+1); n != i || done || err != nil {
					t.Errorf("%q, a truncation: %d, %t, %v", c.text[:i], n, done, err)
				}
			}
		})
	}
}

func TestChunkedBodyRefuses(t *testing.T) {
	for _, c := range []struct {
		name, text, field string
		at                int
	}{
		{"no size", "\r\n", "chunk-size", 0},
		{"a sign", "+5\r\nhello", "chunk-size", 0},
		{"a negative size", "-5\r\nhello", "chunk-size", 0},
		{"a blank before the size", " 5\r\nhello", "chunk-size", 0},
		{"a prefix", "0x5\r\nhello", "chunk-size", 1},
		{"another letter", "5g\r\nhello", "chunk-size", 1},
		{"a size that ends in LF", "5\nhello", "chunk-size", 1},
		{"CR without LF behind the size", "5\r5\r\n", "chunk-size", 2},
		{"a size of 64 bits", "8000000000000000\r\n", "chunk-size", 15},
		{"a size of 17 digits", "00000000000000005\r\n", "chunk-size", 16},
		{"LF in an extension", "5;a\nhello", "chunk-ext", 3},
		{"NUL in an extension", "5;\x00\r\n", "chunk-ext", 2},
		{"CR in an extension", "5;a\rb\r\n", "chunk-size", 4},
		{"an extension without end", "5;" + strings.Repeat("a", maxChunkLine), "chunk-ext", maxChunkLine},
		{"more data than the size", "2\r\nabc\r\n", "chunk-data", 5},
		{"data that ends in LF", "2\r\nab\n0\r\n\r\n", "chunk-data", 5},
		{"CR without LF behind the data", "2\r\nab\r0\r\n", "chunk-data", 6},
		{"a trailer without a colon", "0\r\nabc\r\n\r\n", "trailer-section", 6},
		{"a trailer without a name", "0\r\n: a\r\n\r\n", "trailer-section", 3},
		{"a folded trailer", "0\r\nA: b\r\n c\r\n\r\n", "trailer-section", 9},
		{"a blank in a trailer's name", "0\r\nA : b\r\n\r\n", "trailer-section", 4},
		{"a trailer that ends in LF", "0\r\nA: b\n\r\n", "trailer-section", 7},
		{"an end in LF", "0\r\n\n", "trailer-section", 3},
		{"CR without LF at the end", "0\r\n\rG", "trailer-section", 4},
		{"trailers without end", "0\r\nA: " + strings.Repeat("a", maxTrailers), "trailer-section", maxTrailers + 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, strict := range []bool{false, true} {
				n, done, err := scan(chunkedBody(strict), c.text, len(c.text))
				if bad := asMalformed(err); bad == nil || bad.Field != c.field || n != c.at || done {
					t.Errorf("%.40q is %d, %t, %v; want malformed %s at %d", c.text, n, done, err, c.field, c.at)
				}
			}
		})
	}
}

// FuzzChunkedBody holds the scanner to its laws: how the bytes are cut up makes no difference, and what it takes for a
// complete body net/http does, too, and finds the same end of it.
func FuzzChunkedBody(f *testing.F) {
	for _, c := range chunkedBodies {
		f.Add([]byte(c.text+"GET / HTTP/1.1\r\n"), uint8(3))
	}
	f.Fuzz(func(t *testing.T, text []byte, step uint8) {
		n, done, err := scan(chunkedBody(true), string(text), len(text)+1)
		m, again, stepErr := scan(chunkedBody(true), string(text), int(step)+1)
		if n != m || done != again || (err == nil) != (stepErr == nil) {
			t.Fatalf("%q: %d, %t, %v at once; %d, %t, %v in steps of %d", text, n, done, err, m, again, stepErr, step+1)
		}
		if !done {
			return
		}
		rest := bufio.NewReader(strings.NewReader("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + string(text)))
		q, err := http.ReadRequest(rest)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, q.Body); err != nil {
			return // net/http has further limits
		}
		left, err := io.ReadAll(rest)
		if err != nil || string(left) != string(text[n:]) {
			t.Errorf("%q: we leave %q, net/http %q, %v", text, text[n:], left, err)
		}
	})
}

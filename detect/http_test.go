package detect_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bridgeio/bridgeio/detect"
)

func httpVerdicts(testing.TB) []verdictTest {
	h1, connect, h2 := detect.HTTP1(), detect.Connect(), detect.HTTP2()
	yes := func(protocol, version, verb, host string, port uint16) detect.Verdict {
		return detect.Yes(detect.Info{Protocol: protocol, Version: version, Verb: verb, Host: host, Port: port})
	}
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	fill := func(n int) string { return strings.Repeat("a", n) }
	tests := []struct {
		d        detect.Detector
		name, in string
		want     detect.Verdict
	}{
		{h1, "nothing", "", detect.More(13)},
		{h1, "a letter", "G", detect.More(13)},
		{h1, "a method", "GET", detect.More(15)},
		{h1, "a method and a space", "GET ", detect.More(15)},
		{h1, "half a target", "GET /ab", detect.More(17)},
		{h1, "half a version", "GET / HTTP", detect.More(15)},
		{h1, "a version", "GET / HTTP/1.1", detect.More(15)},
		{h1, "a CR", "GET / HTTP/1.1\r", detect.More(16)},
		{h1, "a request", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", yes("http", "1.1", "GET", "", 0)},
		{h1, "a head with a body", "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody", yes("http", "1.1", "PUT", "", 0)},
		{h1, "a head that ends lines with LF", "GET / HTTP/1.1\nHost: a\n\n", yes("http", "1.1", "GET", "", 0)},
		{h1, "LF only", "POST /x HTTP/1.0\n", yes("http", "1.0", "POST", "", 0)},
		{h1, "a method of one's own", "x-y_z * HTTP/1.9\r\n", yes("http", "1.9", "x-y_z", "", 0)},
		{h1, "a target in UTF-8", "GET /é HTTP/1.1\r\n", yes("http", "1.1", "GET", "", 0)},
		{h1, "empty lines first", "\r\n\r\nGET / HTTP/1.1\r\n", yes("http", "1.1", "GET", "", 0)},
		{h1, "half an empty line", "\r", detect.More(15)},
		{h1, "an empty line", "\r\n", detect.More(15)},
		{h1, "absolute-form", "GET http://a.test/x HTTP/1.1\r\n", yes("http", "1.1", "GET", "a.test", 80)},
		{h1, "absolute-form with a port", "GET HTTP://a.test:81?q HTTP/1.1\r\n", yes("http", "1.1", "GET", "a.test", 81)},
		{h1, "absolute-form with IPv6", "GET https://[2001:db8::1]/ HTTP/1.1\r\n", yes("http", "1.1", "GET", "2001:db8::1", 443)},
		{h1, "absolute-form with a user", "GET http://u:p@a.test/ HTTP/1.1\r\n", yes("http", "1.1", "GET", "", 0)},
		{h1, "absolute-form of another scheme", "GET ftp://a.test/ HTTP/1.1\r\n", yes("http", "1.1", "GET", "", 0)},
		{h1, "CONNECT", "CONNECT a.test:443 HTTP/1.1\r\n", yes("http", "1.1", "CONNECT", "a.test", 443)},
		{h1, "the longest method", fill(64) + " / HTTP/1.1\r\n", yes("http", "1.1", fill(64), "", 0)},
		{h1, "a method that is too long", fill(65), detect.No()},
		{h1, "the longest line", "GET /" + fill(8<<10-16) + " HTTP/1.1\r\n", yes("http", "1.1", "GET", "", 0)},
		{h1, "a line that is too long", "GET /" + fill(8<<10-15) + " HTTP/1.1\r\n", detect.No()},
		{h1, "a target that leaves no room for a version", "GET /" + fill(8<<10-14), detect.No()},
		{h1, "empty lines without end", strings.Repeat("\r\n", 4<<10), detect.No()},
		{h1, "a bare CR first", "\rG", detect.No()},
		{h1, "the signature of PROXY version 2", "\r\n\r\n\x00", detect.No()},
		{h1, "a space first", " GET / HTTP/1.1\r\n", detect.No()},
		{h1, "two spaces", "GET  / HTTP/1.1\r\n", detect.No()},
		{h1, "a tab", "GET\t/ HTTP/1.1\r\n", detect.No()},
		{h1, "a space in the target", "GET /a b", detect.No()},
		{h1, "DEL in the target", "GET /\x7f", detect.No()},
		{h1, "HTTP/0.9", "GET /\r\n", detect.No()},
		{h1, "a line without a target", "QUIT\r\n", detect.No()},
		{h1, "HTTP/2.0", "PRI * HTTP/2", detect.No()},
		{h1, "HTTP/1.x", "GET / HTTP/1.x", detect.No()},
		{h1, "HTTP/1.10", "GET / HTTP/1.10", detect.No()},
		{h1, "a CR that no LF follows", "GET / HTTP/1.1\r\r", detect.No()},
		{h1, "RTSP", "OPTIONS * RTSP/1.0\r\n", detect.No()},
		{h1, "RTSP with GET", "GET / RTSP/1.0\r\n", detect.No()},
		{h1, "SIP", "INVITE sip:bob@biloxi.com SIP/2.0\r\n", detect.No()},
		{h1, "ICAP", "REQMOD icap://a.test/x ICAP/1.0\r\n", detect.No()},
		{h1, "SMTP", "EHLO a.test\r\n", detect.No()},
		{h1, "Redis", "PING\r\n", detect.No()},
		{h1, "IRC", "NICK bob\r\nUSER bob 0 * :Bob\r\n", detect.No()},
		{h1, "SSH", "SSH-", detect.No()},
		{h1, "SSH with a comment", "SSH-2.0-x / HTTP/1.1\r\n", detect.No()},
		{h1, "PROXY", "PROXY UNKNOWN HTTP/1.1\r\n", detect.No()},
		{h1, "memcached", "get key\r\n", detect.No()},

		{connect, "nothing", "", detect.More(19)},
		{connect, "a method", "CONNECT", detect.More(19)},
		{connect, "a method and a space", "CONNECT ", detect.More(19)},
		{connect, "a target", "CONNECT a.test:443", detect.More(28)},
		{connect, "a name", "CONNECT a.test:443 HTTP/1.1\r\nHost", yes("connect", "1.1", "CONNECT", "a.test", 443)},
		{connect, "an IPv4 address", "CONNECT 192.0.2.1:1 HTTP/1.0\n", yes("connect", "1.0", "CONNECT", "192.0.2.1", 1)},
		{connect, "an IPv6 address", "CONNECT [::1]:443 HTTP/1.1\r\n", yes("connect", "1.1", "CONNECT", "::1", 443)},
		{connect, "no port", "CONNECT a.test HTTP/1.1\r\n", yes("connect", "1.1", "CONNECT", "", 0)},
		{connect, "a port that is none", "CONNECT a.test:65536 HTTP/1.1\r\n", yes("connect", "1.1", "CONNECT", "", 0)},
		{connect, "another method", "CONNECTED ", detect.No()},
		{connect, "the method in small letters", "connect a.test:443 HTTP/1.1\r\n", detect.No()},
		{connect, "another protocol", "CONNECT a.test:443 RTSP/1.0\r\n", detect.No()},
		{connect, "an empty line first", "\r\nCONNECT a.test:443 HTTP/1.1\r\n", detect.No()},

		{h2, "nothing", "", detect.More(24)},
		{h2, "all but one byte", preface[:23], detect.More(24)},
		{h2, "the preface", preface, detect.Yes(detect.Info{Protocol: "http2", Version: "2"})},
		{h2, "the preface and a frame", preface + "\x00\x00\x00\x04", detect.Yes(detect.Info{Protocol: "http2", Version: "2"})},
		{h2, "a POST", "PO", detect.No()},
		{h2, "a last byte that is wrong", preface[:23] + "x", detect.No()},
	}
	var all []verdictTest
	for _, tt := range tests {
		all = append(all, verdictTest{tt.name, tt.d, []byte(tt.in), tt.want})
	}
	return all
}

func TestSplitAuthority(t *testing.T) {
	for in, want := range map[string]struct {
		host string
		port uint16
		ok   bool
	}{
		"a.test:443":         {"a.test", 443, true},
		"[2001:db8::1]:1":    {"2001:db8::1", 1, true},
		"192.0.2.1:65535":    {"192.0.2.1", 65535, true},
		"":                   {},
		":443":               {},
		"a.test":             {},
		"a.test:":            {},
		"a.test:0":           {},
		"a.test:65536":       {},
		"a.test:+80":         {},
		"a.test:000080":      {},
		"2001:db8::1:443":    {},
		"[2001:db8::1]":      {},
		"[2001:db8::1":       {},
		"[fe80::1%eth0]:443": {},
		"[192.0.2.1]:443":    {},
		"[]:443":             {},
		"u@a.test:443":       {},
		"a b:443":            {},
		"a\x00:443":          {},
	} {
		host, port, ok := detect.SplitAuthority(in)
		if host != want.host || port != want.port || ok != want.ok {
			t.Errorf("SplitAuthority(%q) = %q, %d, %v, want %+v", in, host, port, ok, want)
		}
	}
}

func TestParseRequestLine(t *testing.T) {
	for in, want := range map[string]detect.RequestLine{
		"GET /a HTTP/1.1\r\n":        {Method: "GET", Target: "/a", Major: 1, Minor: 1},
		"M a:b HTTP/1.0\n":           {Method: "M", Target: "a:b", Major: 1, HasBareLF: true},
		"\r\nGET / HTTP/1.1\r\n":     {Method: "GET", Target: "/", Major: 1, Minor: 1, LeadingCRLF: true},
		"\n\r\nGET / HTTP/1.9\r\n":   {Method: "GET", Target: "/", Major: 1, Minor: 9, LeadingCRLF: true, HasBareLF: true},
		"PROXY UNKNOWN HTTP/1.1\r\n": {Method: "PROXY", Target: "UNKNOWN", Major: 1, Minor: 1},
	} {
		got, n, err := detect.ParseRequestLine([]byte(in + "Host: a\r\n"))
		if err != nil || n != len(in) || got != want {
			t.Errorf("ParseRequestLine(%q) = %+v, %d, %v, want %+v", in, got, n, err, want)
		}
	}
	for in, field := range map[string]string{
		"G(T":                               "method",
		"GET \t":                            "request-target",
		"GET / HTTP/2":                      "HTTP-version",
		"GET / HTTP/1.1\rx":                 "HTTP-version",
		"\rx":                               "request-line",
		"GET /" + strings.Repeat("a", 9000): "request-line",
	} {
		_, _, err := detect.ParseRequestLine([]byte(in))
		wantMalformed(t, err, field)
	}
}

func TestParseRequestHead(t *testing.T) {
	const in = "GET /a HTTP/1.1\r\nHost: a.test\r\nX-Empty:\r\nx-y:\t two  words \t\r\nHOST: b\r\n\r\n"
	h, n, err := detect.ParseRequestHead([]byte(in + "body"))
	if err != nil || n != len(in) {
		t.Fatalf("ParseRequestHead = %d, %v", n, err)
	}
	want := &detect.RequestHead{
		RequestLine: detect.RequestLine{Method: "GET", Target: "/a", Major: 1, Minor: 1},
		Fields: []detect.Field{
			{Name: "Host", Value: "a.test", Start: 17, End: 31},
			{Name: "X-Empty", Start: 31, End: 41},
			{Name: "x-y", Value: "two  words", Start: 41, End: 61},
			{Name: "HOST", Value: "b", Start: 61, End: 70},
		},
	}
	if d := cmp.Diff(want, h); d != "" {
		t.Errorf("head (-want +got):\n%s", d)
	}
	if got := h.Values("host"); !slices.Equal(got, []string{"a.test", "b"}) {
		t.Errorf("Values(host) = %q", got)
	}
	if got := h.Values("none"); got != nil {
		t.Errorf("Values(none) = %q", got)
	}
	if got := in[h.Fields[2].Start:h.Fields[2].End]; got != "x-y:\t two  words \t\r\n" {
		t.Errorf("the raw line is %q", got)
	}
}

func TestParseRequestHeadNotesWhatAStrictRecipientRefuses(t *testing.T) {
	line := detect.RequestLine{Method: "GET", Target: "/", Major: 1, Minor: 1}
	bareLF, leading := line, line
	bareLF.HasBareLF, leading.LeadingCRLF = true, true
	tests := []struct {
		name, in string
		want     detect.RequestHead
		fields   []string // name=value
	}{
		{"nothing to note", "GET / HTTP/1.1\r\nA: b\r\n\r\n", detect.RequestHead{RequestLine: line}, []string{"A=b"}},
		{"no fields", "GET / HTTP/1.1\r\n\r\n", detect.RequestHead{RequestLine: line}, nil},
		{"a bare LF after the request line", "GET / HTTP/1.1\n\r\n", detect.RequestHead{RequestLine: bareLF}, nil},
		{"a bare LF after a field", "GET / HTTP/1.1\r\nA: b\n\r\n", detect.RequestHead{RequestLine: bareLF}, []string{"A=b"}},
		{"a bare LF at the end", "GET / HTTP/1.1\r\nA: b\r\n\n", detect.RequestHead{RequestLine: bareLF}, []string{"A=b"}},
		{"an empty line first", "\r\nGET / HTTP/1.1\r\n\r\n", detect.RequestHead{RequestLine: leading}, nil},
		{"a bare CR in a value", "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", detect.RequestHead{RequestLine: line, HasBareCR: true}, []string{"A=b\rc"}},
		{"two CRs", "GET / HTTP/1.1\r\nA: b\r\r\n\r\n", detect.RequestHead{RequestLine: line, HasBareCR: true}, []string{"A=b\r"}},
		{
			"a line of two CRs, which is not empty", "GET / HTTP/1.1\r\n\r\r\n\r\n",
			detect.RequestHead{RequestLine: line, HasBareCR: true, BadFieldName: true},
			[]string{"=\r"},
		},
		{"a NUL", "GET / HTTP/1.1\r\nA: b\x00\r\n\r\n", detect.RequestHead{RequestLine: line, HasNUL: true}, []string{"A=b\x00"}},
		{"a fold", "GET / HTTP/1.1\r\nA: b\r\n  c\r\n\td \r\nE: f\r\n\r\n", detect.RequestHead{RequestLine: line, HasObsFold: true}, []string{"A=b c d", "E=f"}},
		{"a fold after an empty value", "GET / HTTP/1.1\r\nA:\r\n b\r\n\r\n", detect.RequestHead{RequestLine: line, HasObsFold: true}, []string{"A=b"}},
		{"a fold of nothing", "GET / HTTP/1.1\r\n A: b\r\n\r\n", detect.RequestHead{RequestLine: line, HasObsFold: true}, []string{"=A: b"}},
		{"a space before the colon", "GET / HTTP/1.1\r\nA : b\r\n\r\n", detect.RequestHead{RequestLine: line, SpaceBeforeColon: true}, []string{"A=b"}},
		{"a space in a name", "GET / HTTP/1.1\r\nA B: c\r\n\r\n", detect.RequestHead{RequestLine: line, BadFieldName: true}, []string{"A B=c"}},
		{"no name", "GET / HTTP/1.1\r\n: c\r\n\r\n", detect.RequestHead{RequestLine: line, BadFieldName: true}, []string{"=c"}},
		{"no colon", "GET / HTTP/1.1\r\nabc\r\n\r\n", detect.RequestHead{RequestLine: line, BadFieldName: true}, []string{"=abc"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, n, err := detect.ParseRequestHead([]byte(tt.in))
			if err != nil || n != len(tt.in) {
				t.Fatalf("ParseRequestHead(%q) = %d, %v", tt.in, n, err)
			}
			var fields []string
			for _, f := range h.Fields {
				fields = append(fields, f.Name+"="+f.Value)
			}
			if !slices.Equal(fields, tt.fields) {
				t.Errorf("fields = %q, want %q", fields, tt.fields)
			}
			if h.Fields = nil; !cmp.Equal(*h, tt.want) {
				t.Errorf("flags (-want +got):\n%s", cmp.Diff(tt.want, *h))
			}
			anyParser("ParseRequestHead", detect.ParseRequestHead).check(t, []byte(tt.in))
		})
	}
}

func TestParseRequestHeadIsBounded(t *testing.T) {
	head := func(size int) []byte {
		const frame = "GET / HTTP/1.1\r\nA: \r\n\r\n"
		return []byte("GET / HTTP/1.1\r\nA: " + strings.Repeat("b", size-len(frame)) + "\r\n\r\n")
	}
	fits := head(detect.MaxRequestHead)
	if _, n, err := detect.ParseRequestHead(fits); err != nil || n != len(fits) {
		t.Errorf("a head of 64 KiB: %d, %v", n, err)
	}
	if _, _, err := detect.ParseRequestHead(fits[:len(fits)-1]); err != detect.ErrShort {
		t.Errorf("a head of 64 KiB without its last byte: %v, want ErrShort", err)
	}
	_, _, err := detect.ParseRequestHead(head(detect.MaxRequestHead + 1))
	wantMalformed(t, err, "length")
	_, _, err = detect.ParseRequestHead(append([]byte("GET /"), bytes.Repeat([]byte("a"), detect.MaxRequestHead)...))
	wantMalformed(t, err, "request-line")

	line := "GET /" + strings.Repeat("a", 20000) + " HTTP/1.1\r\n\r\n"
	if h, _, err := detect.ParseRequestHead([]byte(line)); err != nil || len(h.Target) != 20001 {
		t.Errorf("a request line of 20,000 bytes in a head: %v", err)
	}
	fields := func(n int) []byte { return []byte("GET / HTTP/1.1\r\n" + strings.Repeat("a:\r\n", n) + "\r\n") }
	if h, _, err := detect.ParseRequestHead(fields(1024)); err != nil || len(h.Fields) != 1024 {
		t.Errorf("1,024 fields: %v", err)
	}
	_, _, err = detect.ParseRequestHead(fields(1025))
	wantMalformed(t, err, "field line count")
}

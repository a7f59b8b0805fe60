package detect

import (
	"bytes"
	"strings"
)

const (
	// MaxRequestLine is the most bytes in which [HTTP1], [Connect] and [ParseRequestLine] look for the end of a
	// request line, empty lines before it included. RFC 9112 §3 recommends 8,000 at least.
	MaxRequestLine = 8 << 10

	// maxMethod bounds a method; the longest that is registered has 17 characters. Without it any long word would
	// stay undecided.
	maxMethod = 64

	httpVersion = "HTTP/1."
)

// RequestLine is the first line of an HTTP/1.x request (RFC 9112 §3).
type RequestLine struct {
	Method string // a token, in the case in which it was sent
	Target string // request-target, raw: one or more bytes above space and without DEL
	Major  int    // 1
	Minor  int    // 0 to 9

	LeadingCRLF bool // empty lines stood before it (RFC 9112 §2.2 lets a server ignore one)
	HasBareLF   bool // a line ended with LF instead of CR LF
}

// ParseRequestLine parses the request line at the beginning of buf, in [MaxRequestLine] bytes at most.
func ParseRequestLine(buf []byte) (RequestLine, int, error) {
	s, r := scanRequestLine(buf, MaxRequestLine)
	if !r.isComplete() {
		return RequestLine{}, 0, r.err("http")
	}
	return s.line(buf), r.n, nil
}

// lineScan is where the parts of a request line are in the buffer.
type lineScan struct {
	start, methodEnd, targetEnd int
	bareLF                      bool
}

func (s lineScan) line(buf []byte) RequestLine {
	return RequestLine{
		Method:      string(buf[s.start:s.methodEnd]),
		Target:      string(buf[s.methodEnd+1 : s.targetEnd]),
		Major:       1,
		Minor:       int(buf[s.targetEnd+1+len(httpVersion)] - '0'),
		LeadingCRLF: s.start > 0,
		HasBareLF:   s.bareLF,
	}
}

// Least numbers of bytes from some point of a request line to its end.
const (
	afterTarget = len(" HTTP/1.1\n")
	afterMethod = len(" *") + afterTarget
)

// scanRequestLine scans method SP request-target SP HTTP-version and the line end. RFC 9112 §3 lets a recipient split
// at any white space instead; two recipients that split differently are what smuggling is made of, so this does not.
func scanRequestLine(b []byte, limit int) (s lineScan, r result) {
	b = b[:min(len(b), limit)]
	if r = s.emptyLines(b); r.isComplete() {
		r = s.method(b)
	}
	if r.isComplete() {
		r = s.target(b)
	}
	if r.isComplete() {
		r = s.version(b)
	}
	if r.need > limit {
		r = bad("request-line", limit)
	}
	return s, r
}

// emptyLines scans the empty lines before the request line.
func (s *lineScan) emptyLines(b []byte) result {
	for s.start < len(b) {
		switch {
		case b[s.start] == '\n':
			s.bareLF = true
			s.start++
		case b[s.start] != '\r':
			return complete(s.start)
		case s.start+1 == len(b):
			return short(s.start + 2 + len("X") + afterMethod)
		case b[s.start+1] != '\n':
			return bad("request-line", s.start)
		default:
			s.start += 2
		}
	}
	return short(s.start + len("X") + afterMethod)
}

func (s *lineScan) method(b []byte) result {
	i := s.start
	for i < len(b) && isTokenChar(b[i]) {
		i++
	}
	s.methodEnd = i
	switch {
	case i-s.start > maxMethod:
		return bad("method", s.start+maxMethod)
	case i == len(b):
		return short(i + afterMethod)
	case i == s.start || b[i] != ' ':
		return bad("method", i)
	}
	return complete(i)
}

func (s *lineScan) target(b []byte) result {
	i := s.methodEnd + 1
	for i < len(b) && b[i] > ' ' && b[i] != 0x7f {
		i++
	}
	s.targetEnd = i
	switch {
	case i == len(b) && i == s.methodEnd+1:
		return short(i + 1 + afterTarget)
	case i == len(b):
		return short(i + afterTarget)
	case i == s.methodEnd+1 || b[i] != ' ':
		return bad("request-target", i)
	}
	return complete(i)
}

func (s *lineScan) version(b []byte) result {
	i := s.targetEnd + 1
	rest := b[i:]
	for j := range min(len(rest), len(httpVersion)) {
		if rest[j] != httpVersion[j] {
			return bad("HTTP-version", i+j)
		}
	}
	const minor = len(httpVersion)
	switch {
	case len(rest) > minor && (rest[minor] < '0' || rest[minor] > '9'):
		return bad("HTTP-version", i+minor)
	case len(rest) > minor+1 && rest[minor+1] == '\n':
		s.bareLF = true
		return complete(i + minor + 2)
	case len(rest) > minor+1 && rest[minor+1] != '\r':
		return bad("HTTP-version", i+minor+1)
	case len(rest) > minor+2 && rest[minor+2] != '\n':
		return bad("HTTP-version", i+minor+2)
	case len(rest) > minor+2:
		return complete(i + minor + 3)
	}
	return short(max(len(b)+1, i+minor+2))
}

// isTokenChar says whether c is a tchar (RFC 9110 §5.6.2).
func isTokenChar(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// HTTP1 detects an HTTP/1.x request of any method, at the end of its request line: only the version at the end tells
// it from RTSP, SIP and other protocols of the same shape. CONNECT is among them; ask [Connect] first.
func HTTP1() Detector {
	return Func("http", MaxRequestLine, detectHTTP1)
}

func detectHTTP1(client []byte) Verdict {
	// A PROXY header of family UNKNOWN and an SSH identification end in free text, which could look like the rest of
	// a request line.
	if bytes.HasPrefix(client, []byte("PROXY ")) || bytes.HasPrefix(client, []byte("SSH-")) {
		return No()
	}
	return detectRequest(client, "http")
}

// Connect detects an HTTP/1.x CONNECT request, at the end of its request line. Host and Port are set when its target is
// host:port (see [SplitAuthority]); it is a match otherwise, too, for somebody has to refuse it.
func Connect() Detector {
	return Func("connect", MaxRequestLine, func(client []byte) Verdict {
		const connect = "CONNECT "
		switch hasPrefix(client, connect) {
		case NoMatch:
			return No()
		case NeedMore:
			return More(len(connect) + len("*") + afterTarget)
		}
		return detectRequest(client, "connect")
	})
}

func detectRequest(client []byte, protocol string) Verdict {
	s, r := scanRequestLine(client, MaxRequestLine)
	if !r.isComplete() {
		return r.undecided()
	}
	l := s.line(client)
	info := Info{Protocol: protocol, Version: "1." + string(rune('0'+l.Minor)), Verb: l.Method}
	info.Host, info.Port = l.authority()
	return Yes(info)
}

// authority returns the host and port that the request-target names: authority-form for CONNECT, or an absolute-form
// of http or https. Else they are zero.
func (l RequestLine) authority() (string, uint16) {
	if l.Method == "CONNECT" {
		host, port, _ := SplitAuthority(l.Target)
		return host, port
	}
	scheme, rest, _ := strings.Cut(l.Target, "://")
	defaultPort := ":80"
	switch strings.ToLower(scheme) {
	case "http":
	case "https":
		defaultPort = ":443"
	default:
		return "", 0
	}
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	host, port, ok := SplitAuthority(rest)
	if !ok {
		host, port, _ = SplitAuthority(rest + defaultPort)
	}
	return host, port
}

package detect

import "bytes"

// HTTP09 detects a Simple-Request of HTTP/0.9 (RFC 1945 §5): GET, one space, and a Request-URI that begins with a slash,
// whole line. It is weak and not among [Clients]: the version that tells HTTP/1 from other protocols is what it lacks.
// Protocol is http, Path what stands before a question mark.
func HTTP09() Detector {
	return weak(scanned("http09", MaxRequestLine, scanHTTP09, func(b []byte) Info {
		target, _ := textLine(b, len("GET "), "Request-URI")
		path, _, _ := bytes.Cut(target, []byte{'?'})
		return Info{Protocol: "http", Version: "0.9", Verb: "GET", Path: clean(path)}
	}))
}

func scanHTTP09(b []byte) result {
	const start, shortest = "GET /", len("GET /\n")
	if r := fixed(b, 0, start, "method"); r.need > 0 {
		return short(shortest)
	} else if !r.isComplete() {
		return r
	}
	b = b[:min(len(b), MaxRequestLine)]
	target, r := textLine(b, len("GET "), "Request-URI")
	if i := bytes.IndexAny(target, " \t"); i >= 0 {
		return bad("Request-URI", len("GET ")+i)
	}
	return r
}

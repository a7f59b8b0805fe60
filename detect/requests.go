package detect

import (
	"bytes"
	"strings"
)

// The protocols of this file have HTTP's request line, and another name in its end.

// RTSP detects a request of the Real Time Streaming Protocol (RFC 7826 §20.2), at the end of its request line.
func RTSP() Detector { return requestOf("rtsp", "RTSP/", "rtsp", "554") }

// SIP detects a request of the Session Initiation Protocol (RFC 3261 §7.1), at the end of its request line.
func SIP() Detector { return requestOf("sip", "SIP/", "sip", "5060") }

// ICAP detects a request of the Internet Content Adaptation Protocol (RFC 3507 §4.3.2), at the end of its request line.
func ICAP() Detector { return requestOf("icap", "ICAP/", "icap", "1344") }

func requestOf(name, version, scheme, port string) Detector {
	least := len("X * ") + len(version) + len("1.0\n")
	scan := func(b []byte) result {
		b = b[:min(len(b), MaxRequestLine)]
		i := 0
		for i < len(b) && isTokenChar(b[i]) {
			i++
		}
		switch {
		case i > maxMethod, i < len(b) && (i == 0 || b[i] != ' '):
			return bad("method", i)
		case bytes.HasPrefix(b, []byte("SSH-")): // the comments of its identification may look like the rest
			return bad("method", 0)
		case i == len(b):
			return short(max(i+least-1, least))
		}
		line, r := textLine(b, i+1, "request-line")
		target, found, spaced := bytes.Cut(line, []byte{' '})
		switch {
		case r.field != "":
			return r
		case spaced && !matchesVersion(found, version, r.isComplete()):
			return bad("version", i+1+len(target))
		case spaced && string(target) != "*" && bytes.IndexByte(target, ':') < 1:
			return bad("Request-URI", i+1)
		case !r.isComplete() && !spaced:
			return short(max(len(b)+least-len("X *"), i+least-1))
		case !r.isComplete():
			return short(max(r.need, i+1+len(target)+1+len(version)+len("1.0\n")))
		case !spaced:
			return bad("request-line", i)
		}
		return r
	}
	return scanned(name, MaxRequestLine, scan, func(b []byte) Info {
		line, _ := textLine(b, 0, "request-line")
		method, rest, _ := bytes.Cut(line, []byte{' '})
		target, v, _ := bytes.Cut(rest, []byte{' '})
		info := Info{Protocol: name, Verb: string(method), Version: string(v[len(version):])}
		info.Host, info.Port, info.User = uriHost(string(target), scheme, port)
		return info
	})
}

// matchesVersion compares with the name of a protocol and N.N, as far as it goes unless it is whole.
func matchesVersion(b []byte, version string, whole bool) bool {
	b = trimCR(b)
	n := min(len(b), len(version))
	if string(b[:n]) != version[:n] {
		return false
	}
	rest := b[n:]
	if len(rest) > 3 || whole && len(rest) != 3 {
		return false
	}
	for i, c := range rest {
		if i == 1 && c != '.' || i != 1 && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// uriHost is the destination of a URI like rtsp://host:port/ and sips:user@host;parameters.
func uriHost(uri, scheme, defaultPort string) (host string, port uint16, user string) {
	rest, found := strings.CutPrefix(strings.ToLower(uri[:min(len(uri), len(scheme))])+uri[min(len(uri), len(scheme)):], scheme)
	if !found {
		return "", 0, ""
	}
	rest = strings.TrimPrefix(rest, "s")
	if rest, found = strings.CutPrefix(rest, ":"); !found {
		return "", 0, ""
	}
	rest = strings.TrimPrefix(rest, "//")
	if end := strings.IndexAny(rest, "/;?"); end >= 0 {
		rest = rest[:end]
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		user, _, _ = strings.Cut(rest[:at], ":")
		user, rest = clean([]byte(user)), rest[at+1:]
	}
	host, port, ok := SplitAuthority(rest)
	if !ok {
		host, port, _ = SplitAuthority(rest + ":" + defaultPort)
	}
	return host, port, user
}

package detect

import "bytes"

const (
	maxXMPPHeader  = 2048
	xmlDeclaration = "<?xml"
	xmppStream     = "<stream:stream"
)

// XMPP detects the initial stream header of XMPP (RFC 6120 §4.7), with or without an XML declaration. Host is its "to",
// User its "from", Version its version, once the header has come.
func XMPP() Detector {
	return scanned("xmpp", maxXMPPHeader, func(b []byte) result {
		_, r := xmppStart(b)
		return r
	}, func(b []byte) Info {
		at, _ := xmppStart(b)
		info := Info{Protocol: "xmpp"}
		tag, _, found := bytes.Cut(b[at:], []byte{'>'})
		if !found {
			return info
		}
		info.Version = ascii(xmlAttribute(tag, "version"))
		if to := xmlAttribute(tag, "to"); isHost(to) {
			info.Host = string(to)
		}
		info.User = clean(xmlAttribute(tag, "from"))
		return info
	})
}

// xmppStart returns where the attributes of the stream header begin.
func xmppStart(b []byte) (int, result) {
	at := 0
	if r := fixed(b, 0, xmlDeclaration, "declaration"); r.isComplete() {
		end := bytes.IndexByte(b, '>')
		if bytes.IndexByte(b[:max(end, 0)], 0) >= 0 || hasNUL(b) {
			return 0, bad("declaration", 0)
		}
		if end < 0 {
			return 0, short(len(b) + 1 + len(xmppStream) + 1)
		}
		if at = end + 1; b[end-1] != '?' {
			return 0, bad("declaration", end)
		}
	} else if len(b) > 1 && b[1] == '?' && r.need > 0 {
		return 0, short(len("<?xml?>") + len(xmppStream) + 1)
	}
	for at < len(b) && (b[at] == ' ' || b[at] == '\n' || b[at] == '\r' || b[at] == '\t') {
		if at++; at == 1 {
			return 0, bad("header", 0)
		}
	}
	r := fixed(b, at, xmppStream, "header")
	switch {
	case r.need > 0 && at == 0 && len(b) < 2:
		return 0, short(len(xmppStream) + 1)
	case r.need > 0:
		return 0, short(r.need + 1)
	case !r.isComplete():
		return 0, r
	case len(b) == r.n:
		return 0, short(r.n + 1)
	case b[r.n] != ' ' && b[r.n] != '\n' && b[r.n] != '\r' && b[r.n] != '\t' && b[r.n] != '>':
		return 0, bad("header", r.n)
	}
	return r.n, complete(r.n + 1)
}

func hasNUL(b []byte) bool { return bytes.IndexByte(b, 0) >= 0 }

// xmlAttribute returns the value of an attribute in a start tag, raw, or nil.
func xmlAttribute(tag []byte, name string) []byte {
	for i := 0; i+len(name) < len(tag); i++ {
		rest := tag[i:]
		if i == 0 || !isXMLSpace(tag[i-1]) || !bytes.HasPrefix(rest, []byte(name)) {
			continue
		}
		rest = bytes.TrimLeft(rest[len(name):], " \t\r\n")
		if len(rest) < 2 || rest[0] != '=' {
			continue
		}
		if rest = bytes.TrimLeft(rest[1:], " \t\r\n"); len(rest) > 0 && (rest[0] == '\'' || rest[0] == '"') {
			if value, _, found := bytes.Cut(rest[1:], rest[:1]); found {
				return value
			}
		}
	}
	return nil
}

func isXMLSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

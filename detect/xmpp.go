package detect

import (
	"bytes"
	"cmp"
	"strings"
)

const (
	maxXMPPHeader  = 2048
	xmlDeclaration = "<?xml "
	xmppStream     = "<stream:stream"
)

// XMPP detects the initial stream header of XMPP (RFC 6120 §4.7), with or without an XML declaration, at the end of its
// name. Host is its "to", User its "from", Version its version, each once it has come.
func XMPP() Detector {
	return scanned("xmpp", maxXMPPHeader, func(b []byte) result {
		at, r := xmlDeclared(b)
		if r.isComplete() {
			r = streamTag(b, at)
		}
		return r
	}, func(b []byte) Info {
		at, _ := xmlDeclared(b)
		return xmppInfo(b[at+len(xmppStream):])
	})
}

// xmlDeclared scans an XML declaration, if there is one, and the white space behind it.
func xmlDeclared(b []byte) (int, result) {
	if len(b) < 2 || b[1] != '?' {
		return 0, complete(0)
	}
	const shortest = len(xmlDeclaration+"?>"+xmppStream) + 1
	if r := fixed(b, 0, xmlDeclaration, "declaration"); r.need > 0 {
		return 0, short(shortest)
	} else if !r.isComplete() {
		return 0, r
	}
	end := bytes.IndexByte(b, '>')
	switch {
	case end < 0 && b[len(b)-1] == '?':
		return 0, short(len(b) + len(">"+xmppStream) + 1)
	case end < 0:
		return 0, short(len(b) + len("?>"+xmppStream) + 1)
	case b[end-1] != '?':
		return 0, bad("declaration", end)
	}
	at := end + 1
	for at < len(b) && isXMLSpace(b[at]) {
		at++
	}
	return at, complete(at)
}

// streamTag scans the name of the stream header, and the byte behind it that ends it.
func streamTag(b []byte, at int) result {
	r := fixed(b, at, xmppStream, "header")
	switch {
	case r.field != "":
		return r
	case len(b) <= at+len(xmppStream):
		return short(at + len(xmppStream) + 1)
	case !isXMLSpace(b[r.n]) && b[r.n] != '>':
		return bad("header", r.n)
	}
	return complete(r.n + 1)
}

// xmppInfo reads the attributes of the stream header. None may stand twice (XML 1.0 §3.1); if one does, what was said
// first stays so.
func xmppInfo(attributes []byte) Info {
	info := Info{Protocol: "xmpp"}
	for {
		name, value, rest, ok := xmlAttribute(attributes)
		if !ok {
			return info
		}
		attributes = rest
		switch string(name) {
		case "version":
			info.Version = cmp.Or(info.Version, ascii(value))
		case "from":
			info.User = cmp.Or(info.User, clean(value))
		case "to":
			if isHost(value) {
				info.Host = cmp.Or(info.Host, string(value))
			}
		}
	}
}

// xmlAttribute cuts the next attribute off (XML 1.0 §3.1), raw. It is not ok at the end of the tag, nor when the value
// is not all there.
func xmlAttribute(b []byte) (name, value, rest []byte, ok bool) {
	name, rest, found := bytes.Cut(b, []byte{'='})
	rest = bytes.TrimLeft(rest, xmlSpace)
	if !found || bytes.IndexByte(name, '>') >= 0 || len(rest) == 0 || rest[0] != '\'' && rest[0] != '"' {
		return nil, nil, nil, false
	}
	value, rest, found = bytes.Cut(rest[1:], rest[:1])
	return bytes.Trim(name, xmlSpace), value, rest, found
}

const xmlSpace = " \t\r\n"

func isXMLSpace(c byte) bool { return strings.IndexByte(xmlSpace, c) >= 0 }

package starttls

import (
	"bytes"
	"strings"

	"github.com/bridgeio/bridgeio/bridge"
)

const whitespace = " \t\r\n"

// item is a piece of an XMPP stream (RFC 6120 §4).
type item struct {
	kind itemKind
	name string // of a tag or element, without its prefix
	tag  string // the tag, or the start tag of an element
}

type itemKind uint8

const (
	space   itemKind = iota // whitespace between elements
	prolog                  // <?xml … ?>
	opening                 // the start tag of the stream
	element                 // a child of the stream, to its end
	closing                 // the end tag of the stream
)

// parseItem reads an item. Comments, processing instructions and document types are not allowed in a stream (RFC 6120
// §11.1), and nor are most control characters in XML.
func parseItem(buf []byte) (item, int, error) {
	legal := bytes.IndexFunc(buf, func(r rune) bool { return r < ' ' && r != '\t' && r != '\r' && r != '\n' })
	if legal < 0 {
		return scanItem(buf)
	}
	i, n, err := scanItem(buf[:legal])
	if err == bridge.ErrShort {
		return item{}, 0, malformed("xmpp", "character", legal)
	}
	return i, n, err
}

func scanItem(buf []byte) (item, int, error) {
	if n := len(buf) - len(bytes.TrimLeft(buf, whitespace)); n > 0 {
		return item{kind: space}, n, nil
	}
	switch markupOf(buf) {
	case instruction:
		end := bytes.Index(buf, []byte("?>"))
		if end < 0 {
			return item{}, 0, bridge.ErrShort
		}
		return item{kind: prolog}, end + 2, nil
	case undecided:
		return item{}, 0, bridge.ErrShort
	case startTag, endTag:
		return scanElement(buf)
	}
	return item{}, 0, malformed("xmpp", "stream", 0)
}

// scanElement reads a tag of the stream, or an element with all that is in it.
func scanElement(buf []byte) (item, int, error) {
	var first item
	for n, depth := 0, 0; ; {
		at := bytes.IndexByte(buf[n:], '<')
		if at < 0 {
			return item{}, 0, bridge.ErrShort
		}
		n += at
		kind := markupOf(buf[n:])
		end, closed, err := markupEnd(buf[n:], kind)
		if err != nil {
			return item{}, 0, err
		}
		tag := string(buf[n : n+end])
		if n += end; depth == 0 {
			first = item{kind: element, name: localName(tag), tag: tag}
		}
		switch {
		case depth == 0 && kind == endTag:
			first.kind = closing
			return first, n, nil
		case depth == 0 && kind == startTag && first.name == "stream" && !closed:
			first.kind = opening
			return first, n, nil
		case kind == startTag && !closed:
			depth++
		case kind == endTag:
			depth--
		}
		if depth == 0 {
			return first, n, nil
		}
	}
}

// markup is what begins with a <.
type markup uint8

const (
	undecided markup = iota
	startTag
	endTag
	instruction
	cdata
	forbidden // or no markup at all
)

const cdataOpen = "<![CDATA["

func markupOf(buf []byte) markup {
	switch {
	case len(buf) == 0:
		return undecided
	case buf[0] != '<':
		return forbidden
	case len(buf) == 1:
		return undecided
	case buf[1] == '/':
		return endTag
	case buf[1] == '?':
		return instruction
	case buf[1] != '!':
		return startTag
	case bytes.HasPrefix(buf, []byte(cdataOpen)):
		return cdata
	case bytes.HasPrefix([]byte(cdataOpen), buf):
		return undecided
	}
	return forbidden
}

// markupEnd returns where markup inside of an element ends, and whether it is a tag that opens nothing.
func markupEnd(buf []byte, kind markup) (n int, closed bool, err error) {
	switch kind {
	case undecided:
		return 0, false, bridge.ErrShort
	case startTag, endTag:
		return tagEnd(buf)
	case cdata:
		if end := bytes.Index(buf, []byte("]]>")); end >= 0 {
			return end + 3, true, nil
		}
		return 0, false, bridge.ErrShort
	}
	return 0, false, malformed("xmpp", "markup", 0)
}

// tagEnd returns where a tag ends, which is not in the value of an attribute.
func tagEnd(buf []byte) (n int, closed bool, err error) {
	quote := byte(0)
	for i, c := range buf {
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"', c == '\'':
			quote = c
		case c == '>':
			return i + 1, buf[i-1] == '/', nil
		}
	}
	return 0, false, bridge.ErrShort
}

// localName returns the name of a tag without its prefix.
func localName(tag string) string {
	name := tag[1:]
	if name[0] == '/' {
		name = name[1:]
	}
	for i := range name {
		switch name[i] {
		case ':':
			return localName(name[i:])
		case ' ', '\t', '\r', '\n', '/', '>':
			return name[:i]
		}
	}
	return name
}

// attribute returns the value of an attribute of a tag, as it is written; "" when it has none of that name.
func attribute(tag, name string) string {
	for rest := tag; ; {
		before, after, ok := strings.Cut(rest, "=")
		value := strings.TrimLeft(after, whitespace)
		if !ok || value == "" {
			return ""
		}
		value, rest, ok = strings.Cut(value[1:], value[:1])
		words := strings.Fields(before)
		if !ok || len(words) == 0 {
			return ""
		}
		if words[len(words)-1] == name {
			return value
		}
	}
}

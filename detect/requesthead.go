package detect

import (
	"bytes"
	"strings"
)

const (
	// MaxRequestHead is the most bytes of a request head, the empty line that ends it included.
	MaxRequestHead = 64 << 10

	// maxFields bounds what a head of very short lines costs in memory. Servers stop at 100 or so.
	maxFields = 1024
)

// RequestHead is the head of an HTTP/1.x request, up to and with its empty line (RFC 9112 §2.1).
//
// The parser reads what common parsers read and notes what a strict recipient refuses; it does not judge, since a
// relay forwards the bytes as they are.
type RequestHead struct {
	RequestLine // HasBareLF is about all lines of the head

	Fields []Field // in order

	HasBareCR        bool // a CR that no LF follows, in a field line
	HasNUL           bool // a NUL, in a field line
	HasObsFold       bool // a line that begins with space or tab (RFC 9112 §5.2)
	SpaceBeforeColon bool // white space between name and colon (RFC 9112 §5.1)
	BadFieldName     bool // a name that is no token, or a line without colon; white space at its end does not count
}

// Field is one field line of a head, with the lines that continue it.
type Field struct {
	Name  string // as it was sent, without white space at its end; empty in a line without colon
	Value string // without white space around it; a continuation is joined by one space (RFC 9112 §5.2)

	// Start and End are where the raw lines stand in the parsed buffer, line end included.
	Start, End int
}

// Values returns the values of all fields with this name, in order, whatever its case.
func (h *RequestHead) Values(name string) []string {
	var values []string
	for _, f := range h.Fields {
		if strings.EqualFold(f.Name, name) {
			values = append(values, f.Value)
		}
	}
	return values
}

// ParseRequestHead parses the request head at the beginning of buf. The request line must be one (see
// [ParseRequestLine], but here it may take as much as the head); the field lines may hold anything, and flags tell
// what they hold. A head above [MaxRequestHead] bytes or 1,024 field lines is malformed.
func ParseRequestHead(buf []byte) (*RequestHead, int, error) {
	s, r := scanRequestLine(buf, MaxRequestHead)
	if !r.isComplete() {
		return nil, 0, r.err("http")
	}
	lines, r := scanFieldLines(buf, r.n)
	if !r.isComplete() {
		return nil, 0, r.err("http")
	}
	h := &RequestHead{RequestLine: s.line(buf), Fields: make([]Field, 0, lines.count)}
	text := string(buf[:r.n])
	for start := lines.start; start < r.n; {
		end := start + strings.IndexByte(text[start:], '\n') + 1
		h.fieldLine(text, start, end)
		start = end
	}
	return h, r.n, nil
}

// fieldLines is where the field lines begin, and how many there are.
type fieldLines struct{ start, count int }

// scanFieldLines scans lines from start to the first empty one.
func scanFieldLines(b []byte, start int) (fieldLines, result) {
	lines := fieldLines{start: start}
	within := b[:min(len(b), MaxRequestHead)]
	for {
		n := bytes.IndexByte(within[start:], '\n')
		switch {
		case n < 0 && len(b) >= MaxRequestHead:
			return lines, bad("length", MaxRequestHead)
		case n < 0:
			return lines, short(len(b) + 1)
		case n == 0, n == 1 && within[start] == '\r':
			return lines, complete(start + n + 1)
		case lines.count == maxFields:
			return lines, bad("field line count", start)
		}
		lines.count++
		start += n + 1
	}
}

// fieldLine adds the line at text[start:end], its line end included.
func (h *RequestHead) fieldLine(text string, start, end int) {
	line, crlf := strings.CutSuffix(text[start:end], "\r\n")
	if !crlf {
		h.HasBareLF = true
		line = line[:len(line)-1]
	}
	if line == "" {
		return
	}
	h.HasBareCR = h.HasBareCR || strings.IndexByte(line, '\r') >= 0
	h.HasNUL = h.HasNUL || strings.IndexByte(line, 0) >= 0
	if isBlank(line[0]) {
		h.fold(trimBlanks(line), start, end)
		return
	}
	name, value, found := strings.Cut(line, ":")
	if !found {
		h.BadFieldName = true
		h.Fields = append(h.Fields, Field{Value: trimBlanks(line), Start: start, End: end})
		return
	}
	bare := strings.TrimRight(name, " \t")
	h.SpaceBeforeColon = h.SpaceBeforeColon || len(bare) < len(name)
	h.BadFieldName = h.BadFieldName || !isToken(bare)
	h.Fields = append(h.Fields, Field{Name: bare, Value: trimBlanks(value), Start: start, End: end})
}

// fold joins a continuation line to the field before it. Where there is none it is a field without a name.
func (h *RequestHead) fold(text string, start, end int) {
	h.HasObsFold = true
	if len(h.Fields) == 0 {
		h.Fields = append(h.Fields, Field{Value: text, Start: start, End: end})
		return
	}
	f := &h.Fields[len(h.Fields)-1]
	f.Value = strings.TrimLeft(f.Value+" "+text, " ")
	f.End = end
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

func trimBlanks(s string) string { return strings.Trim(s, " \t") }

func isToken(s string) bool {
	for i := range len(s) {
		if !isTokenChar(s[i]) {
			return false
		}
	}
	return s != ""
}

package httpconnect

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// MaxHead is the most bytes of a head, the empty line that ends it included.
const MaxHead = detect.MaxRequestHead

// ResponseHead is the head of an HTTP/1.x response, up to and with its empty line (RFC 9112 §2.1).
//
// The parser reads what common clients read, which includes a status line without a reason and lines that end in LF
// alone (RFC 9112 §2.2), and notes in Fault what they read differently.
type ResponseHead struct {
	Minor  int    // HTTP/1.Minor, 0 to 9
	Status int    // 100 to 999
	Reason string // as it was sent; it may be empty
	Fields []detect.Field

	// Fault is the first thing in the field lines that a strict recipient refuses, in the specification's word, such
	// as "obs-fold"; empty when there is none.
	Fault string
}

// class is the first digit of the status code (RFC 9110 §15).
func (h *ResponseHead) class() int { return h.Status / 100 }

// Values returns the values of all fields with this name, in order, whatever its case.
func (h *ResponseHead) Values(name string) []string { return values(h.Fields, name) }

// hasOption reports whether Connection holds the option.
func (h *ResponseHead) hasOption(option string) bool {
	return slices.ContainsFunc(elements(h.Values("Connection")), func(o string) bool { return strings.EqualFold(o, option) })
}

func values(fields []detect.Field, name string) []string {
	var all []string
	for _, f := range fields {
		if strings.EqualFold(f.Name, name) {
			all = append(all, f.Value)
		}
	}
	return all
}

// ParseResponseHead parses the response head at the beginning of buf. It returns bridge.ErrShort, or a
// *detect.MalformedError, also for a head above MaxHead bytes. The head is a copy.
func ParseResponseHead(buf []byte) (*ResponseHead, int, error) {
	within := buf[:min(len(buf), MaxHead)]
	n, err := checkStatusLine(within)
	if err == nil {
		n, err = findHeadEnd(within, n)
	}
	switch {
	case err == nil:
		return newResponseHead(string(within[:n])), n, nil
	case err == bridge.ErrShort && len(buf) >= MaxHead:
		return nil, 0, malformed("length", MaxHead)
	}
	return nil, 0, err
}

func malformed(field string, offset int) error {
	return &detect.MalformedError{Protocol: "http", Field: field, Offset: offset}
}

// asMalformed returns the malformed part of a message in err; nil when that is not what is wrong.
func asMalformed(err error) *detect.MalformedError {
	bad := (*detect.MalformedError)(nil)
	errors.As(err, &bad)
	return bad
}

// statusLineForm is a status line up to its reason, with 0 for any digit.
const statusLineForm = "HTTP/1.0 000"

// checkStatusLine returns the length of the status line. RFC 9112 §4: "A server MUST send the space that separates the
// status-code from the reason-phrase even when the reason-phrase is absent"; not every server does.
func checkStatusLine(buf []byte) (int, error) {
	const status, reason = len("HTTP/1.0 "), len(statusLineForm)
	for i := range min(len(buf), reason) {
		want, c := statusLineForm[i], buf[i]
		if c != want && (want != '0' || !isDigit(c)) || i == status && c == '0' {
			return 0, malformed("status-line", i)
		}
	}
	if len(buf) <= reason {
		return 0, bridge.ErrShort
	}
	if c := buf[reason]; c != ' ' && c != '\r' && c != '\n' {
		return 0, malformed("status-line", reason)
	}
	line := buf[reason:]
	end := bytes.IndexByte(line, '\n')
	if end >= 0 {
		line = line[:end]
	}
	if i := bytes.IndexAny(line, "\r\x00"); i >= 0 && i+1 < len(line) || i >= 0 && line[i] == 0 {
		return 0, malformed("status-line", reason+i)
	}
	if end < 0 {
		return 0, bridge.ErrShort
	}
	return reason + end + 1, nil
}

// findHeadEnd returns the length of the head whose field lines begin at start.
func findHeadEnd(buf []byte, start int) (int, error) {
	for {
		n := bytes.IndexByte(buf[start:], '\n')
		switch {
		case n < 0:
			return 0, bridge.ErrShort
		case n == 0, n == 1 && buf[start] == '\r':
			return start + n + 1, nil
		}
		start += n + 1
	}
}

func newResponseHead(text string) *ResponseHead {
	start := strings.IndexByte(text, '\n') + 1
	line := strings.TrimRight(text[:start], "\r\n")
	h := &ResponseHead{
		Minor:  int(line[len("HTTP/1.")] - '0'),
		Status: int(line[9]-'0')*100 + int(line[10]-'0')*10 + int(line[11]-'0'),
		Reason: strings.TrimPrefix(line[len(statusLineForm):], " "),
	}
	for start < len(text) {
		end := start + strings.IndexByte(text[start:], '\n') + 1
		h.fieldLine(text[start:end], start, end)
		start = end
	}
	return h
}

// fieldLine adds a line of the head, which the empty one at its end is, too.
func (h *ResponseHead) fieldLine(line string, start, end int) {
	line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	if line == "" {
		return
	}
	name, value, found := strings.Cut(line, ":")
	switch {
	case line[0] == ' ' || line[0] == '\t':
		// RFC 9112 §5.2: a proxy that receives an obs-fold in a response "MUST either discard the message and replace
		// it with a 502 (Bad Gateway) response [...] or replace each received obs-fold with one or more SP".
		h.fault("obs-fold")
	case strings.ContainsAny(line, "\r\x00"):
		h.fault("field-value")
	case found && name != strings.TrimRight(name, " \t"):
		h.fault("white space before the colon")
	case !found || !isToken(name):
		h.fault("field-name")
	}
	name = strings.TrimRight(name, " \t")
	h.Fields = append(h.Fields, detect.Field{Name: name, Value: trimBlanks(value), Start: start, End: end})
}

func (h *ResponseHead) fault(word string) {
	if h.Fault == "" {
		h.Fault = word
	}
}

func trimBlanks(s string) string { return strings.Trim(s, " \t") }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// isToken reports whether s is a token (RFC 9110 §5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		if !isTokenChar(s[i]) {
			return false
		}
	}
	return s != ""
}

func isTokenChar(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', isDigit(c):
		return true
	}
	return strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

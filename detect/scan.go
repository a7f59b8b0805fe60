package detect

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// ErrShort is what a parser returns when the buffer holds only the beginning of a message. It is [io.ErrUnexpectedEOF],
// so that code which knows parsers only by their shape can compare with that; package bridge has the same value under
// the same name, and neither imports the other.
var ErrShort = io.ErrUnexpectedEOF

// MalformedError says that the bytes cannot be a message of the protocol, whatever follows. Find it with errors.As.
type MalformedError struct {
	Protocol string // "tls"
	Field    string // the specification's word for what is wrong: "cipher_suites"
	Offset   int    // of the first byte that cannot be, in the parsed buffer
}

func (e *MalformedError) Error() string {
	return fmt.Sprintf("%s: malformed %s at byte %d", e.Protocol, e.Field, e.Offset)
}

// result is how a scan of a buffer ended: complete, short or malformed. Scans are the one place where a protocol's
// rules stand; they allocate nothing, so that a detector can use them for verdicts and a parser for errors.
type result struct {
	n     int    // length of the message when it is complete
	need  int    // when short, fewer bytes than these cannot complete it
	field string // what is malformed,
	at    int    // and where
}

func complete(n int) result           { return result{n: n} }
func short(need int) result           { return result{need: need} }
func bad(field string, at int) result { return result{field: field, at: at} }

// shortWithin is short, or malformed when what is needed is above the limit.
func shortWithin(limit, need int) result {
	if need > limit {
		return bad("length", limit)
	}
	return short(need)
}

func (r result) isComplete() bool { return r.field == "" && r.need == 0 }

// err is the error of a parser, nil when the message is complete.
func (r result) err(protocol string) error {
	switch {
	case r.field != "":
		return &MalformedError{Protocol: protocol, Field: r.field, Offset: r.at}
	case r.need > 0:
		return ErrShort
	}
	return nil
}

// undecided is the verdict of a result that is not complete.
func (r result) undecided() Verdict {
	if r.need > 0 {
		return More(r.need)
	}
	return No()
}

// scanned makes a detector of a scan over the client's bytes, and of what they say once it is complete. Neither sees
// a byte beyond the limit.
func scanned(name string, limit int, scan func([]byte) result, info func([]byte) Info) Detector {
	return Func(name, limit, func(client []byte) Verdict { return verdictOf(client, limit, scan, info) })
}

// scannedServer is scanned over the server's bytes. The protocol may have a detector of the client's bytes, too, so
// info names it.
func scannedServer(name string, limit int, scan func([]byte) result, info func([]byte) Info) Detector {
	return Detector{Name: name, Limit: limit, ServerFirst: true, Func: func(in Input) Verdict {
		return verdictOf(in.Server, limit, scan, info)
	}}
}

// weak marks a detector as such.
func weak(d Detector) Detector {
	d.Weak = true
	return d
}

func verdictOf(b []byte, limit int, scan func([]byte) result, info func([]byte) Info) Verdict {
	b = b[:min(len(b), limit)]
	r := scan(b)
	switch {
	case r.isComplete():
		return Yes(info(b))
	case r.need > limit:
		return No()
	}
	return r.undecided()
}

// fixed scans bytes that have to stand at a place.
func fixed(b []byte, at int, want, field string) result {
	for i := at; i < min(len(b), at+len(want)); i++ {
		if b[i] != want[i-at] {
			return bad(field, i)
		}
	}
	if len(b) < at+len(want) {
		return short(at + len(want))
	}
	return complete(at + len(want))
}

// textLine scans a line of text without control characters (but for tabs), which ends with CR LF or LF, and returns it
// without its end.
func textLine(b []byte, start int, field string) ([]byte, result) {
	for i := start; i < len(b); i++ {
		switch c := b[i]; {
		case c == '\n':
			return bytes.TrimSuffix(b[start:i], []byte{'\r'}), complete(i + 1)
		case c == '\r':
			if i+1 < len(b) && b[i+1] != '\n' {
				return nil, bad(field, i)
			}
		case c < ' ' && c != '\t', c == 0x7f:
			return nil, bad(field, i)
		}
	}
	return b[min(start, len(b)):], short(max(len(b), start) + 1)
}

// endsInVersion says whether a line ends as a request of HTTP, RTSP, SIP or ICAP does: in SP, name, slash and N.N.
func endsInVersion(line []byte) bool {
	const version = "/1.1"
	slash := len(line) - len(version)
	if slash < 0 || line[slash] != '/' || line[slash+2] != '.' || !isDigits(line[slash+1:slash+2]) || !isDigits(line[slash+3:]) {
		return false
	}
	switch string(line[bytes.LastIndexByte(line, ' ')+1 : slash]) {
	case "HTTP", "RTSP", "SIP", "ICAP":
		return true
	}
	return false
}

// clean returns text for an Info: what holds control characters is left out.
func clean(text []byte) string {
	if hasControl(text) {
		return ""
	}
	return string(text)
}

// ascii is clean for what has to be printable ASCII.
func ascii(text []byte) string {
	for _, c := range text {
		if c < ' ' || c > '~' {
			return ""
		}
	}
	return string(text)
}

func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }
func le32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }
func le16(b []byte) int    { return int(binary.LittleEndian.Uint16(b)) }

// trimCR is a line without a CR at its end, whose LF may be to come.
func trimCR(b []byte) []byte { return bytes.TrimSuffix(b, []byte{'\r'}) }

package detect

import (
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

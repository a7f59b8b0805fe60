package detect_test

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"

	"github.com/bridgeio/bridgeio/detect"
)

// parser is a parser whose type of message is forgotten.
type parser struct {
	name  string
	parse func([]byte) (any, int, error)
}

func anyParser[M any](name string, parse func([]byte) (M, int, error)) parser {
	return parser{name, func(b []byte) (any, int, error) { return parse(b) }}
}

func parsers() []parser {
	return []parser{
		anyParser("ParseClientHello", detect.ParseClientHello),
		anyParser("ParseRequestLine", detect.ParseRequestLine),
		anyParser("ParseRequestHead", detect.ParseRequestHead),
		anyParser("ParseSOCKS4Request", detect.ParseSOCKS4Request),
		anyParser("ParseSOCKS5Greeting", detect.ParseSOCKS5Greeting),
		anyParser("ParseProxyHeader", detect.ParseProxyHeader),
		anyParser("ParseSSHIdentification", detect.ParseSSHIdentification),
		anyParser("ParsePostgresRequest", detect.ParsePostgresRequest),
		anyParser("ParseMySQLGreeting", detect.ParseMySQLGreeting),
		anyParser("ParseMySQLResponse", detect.ParseMySQLResponse),
		anyParser("ParseTDSPrelogin", detect.ParseTDSPrelogin),
		anyParser("ParseLDAPMessage", detect.ParseLDAPMessage),
	}
}

// check holds the parser to what all parsers promise, on every prefix of a buffer (of a long one, its last 3,000).
func (p parser) check(t *testing.T, buf []byte) {
	t.Helper()
	whole, size, final := p.parse(buf)
	if final != nil && (size != 0 || !reflect.ValueOf(whole).IsZero()) {
		t.Errorf("%s(%q) = %v, %d with error %v, want zeros", p.name, buf, whole, size, final)
	}
	if final == nil && (size <= 0 || size > len(buf)) {
		t.Fatalf("%s(%q) takes %d of %d bytes", p.name, buf, size, len(buf))
	}
	var broken *detect.MalformedError
	if final != nil && final != detect.ErrShort && !errors.As(final, &broken) {
		t.Fatalf("%s(%q) = %v, want ErrShort or a MalformedError", p.name, buf, final)
	}
	malformed := false
	for n := max(0, len(buf)-3000); n < len(buf); n++ {
		got, m, err := p.parse(buf[:n:n])
		switch {
		case final == nil && n >= size:
			if err != nil || m != size || !reflect.DeepEqual(got, whole) {
				t.Fatalf("%s(%q) = %v, %d, %v, but with bytes behind it %v, %d", p.name, buf[:n], got, m, err, whole, size)
			}
		case final == nil, final == detect.ErrShort:
			if err != detect.ErrShort {
				t.Fatalf("%s(%q) = %v, but more bytes make it %v", p.name, buf[:n], err, final)
			}
		case err == nil, malformed && err == detect.ErrShort:
			t.Fatalf("%s(%q) = %v, but more bytes make it %v", p.name, buf[:n], err, final)
		case err != detect.ErrShort:
			malformed = true // more bytes may show a better reason, but no way back
		}
	}
	if final == nil {
		p.checkCopies(t, buf, whole, size)
	}
}

// checkCopies overwrites the buffer, which may not show in the message.
func (p parser) checkCopies(t *testing.T, buf []byte, whole any, size int) {
	t.Helper()
	scratch := bytes.Clone(buf)
	got, _, _ := p.parse(scratch)
	if !bytes.Equal(scratch, buf) {
		t.Fatalf("%s(%q) changed its input", p.name, buf)
	}
	for i := range scratch {
		scratch[i] ^= 0xff
	}
	if !reflect.DeepEqual(got, whole) {
		t.Fatalf("%s(%q) keeps its input", p.name, buf[:size])
	}
}

func TestParsersOnEveryPrefixOfEveryOpening(t *testing.T) {
	for _, p := range parsers() {
		t.Run(p.name, func(t *testing.T) {
			accepted := 0
			for _, b := range openings(t) {
				p.check(t, append(bytes.Clone(b), "surplus"...)) // its prefixes are those of b and b itself
				if _, _, err := p.parse(b); err == nil {
					accepted++
				}
			}
			if accepted < 3 {
				t.Errorf("only %d openings are accepted", accepted)
			}
		})
	}
}

func TestErrShortIsUnexpectedEOF(t *testing.T) {
	if !errors.Is(detect.ErrShort, io.ErrUnexpectedEOF) {
		t.Error("code that knows parsers by their shape only would take ErrShort for malformed")
	}
}

// wantMalformed checks that an error says what is malformed.
func wantMalformed(t *testing.T, err error, field string) {
	t.Helper()
	var broken *detect.MalformedError
	if !errors.As(err, &broken) || broken.Field != field {
		t.Errorf("error = %v, want malformed %s", err, field)
	}
}

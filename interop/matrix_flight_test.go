package interop

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"testing"
)

// An agreement is what a server's first flight says, in the clear, about a handshake.
type agreement struct {
	version, suite uint16
	group          uint16 // 0: no (EC)DHE, or not known to be one
	alpn           string // TLS 1.2; TLS 1.3 encrypts it
	retry          bool   // a HelloRetryRequest came first
}

// helloRetry is the Random of a HelloRetryRequest (RFC 8446 §4.1.3).
const helloRetry = "\xcf\x21\xad\x74\xe5\x9a\x61\x11\xbe\x1d\x8c\x02\x1e\x65\xb8\x91\xc2\xa2\x11\x16\x7a\xbb\x8c\x5e\x07\x9e\x09\xe2\xc8\xa8\x33\x9c"

var errNoServerHello = errors.New("no ServerHello")

// A cursor reads what is left of a message; at its end it reads nothing, and is short.
type cursor struct {
	left  []byte
	short bool
}

func (c *cursor) take(n int) []byte {
	if n > len(c.left) {
		c.left, c.short = nil, true
		return make([]byte, n)
	}
	b := c.left[:n]
	c.left = c.left[n:]
	return b
}

// number reads one of some bytes, and vector what such a number is the length of.
func (c *cursor) number(size int) int {
	n := 0
	for _, b := range c.take(size) {
		n = n<<8 | int(b)
	}
	return n
}

func (c *cursor) vector(size int) []byte { return c.take(c.number(size)) }

// readAgreement reads what a server sent: the plaintext part of its first flight.
func readAgreement(b []byte) (agreement, error) {
	messages, err := plaintext(b)
	if err != nil {
		return agreement{}, err
	}
	var a agreement
	for c := (cursor{left: messages}); len(c.left) > 0; {
		kind, body := c.number(1), c.vector(3)
		if c.short {
			break // cut off by the end of the recording
		}
		switch kind {
		case 2:
			if err := a.serverHello(cursor{left: body}); err != nil {
				return agreement{}, err
			}
		case 12:
			a.serverKeyExchange(body)
		}
	}
	if a.version == 0 {
		return agreement{}, errNoServerHello
	}
	return a, nil
}

// plaintext joins the handshake records before the first that is none. The
// change_cipher_spec in between two hellos of TLS 1.3 is left out.
func plaintext(b []byte) ([]byte, error) {
	const changeCipherSpec, alert, handshake = 20, 21, 22
	var messages []byte
	for c := (cursor{left: b}); len(c.left) > 0; {
		kind := c.number(1)
		c.take(2) // legacy_record_version
		body := c.vector(2)
		switch {
		case c.short:
			return messages, nil
		case kind == handshake:
			messages = append(messages, body...)
		case kind == alert && len(messages) == 0 && len(body) == 2:
			return nil, fmt.Errorf("alert %d", body[1])
		case kind != changeCipherSpec:
			return messages, nil
		}
	}
	return messages, nil
}

// serverHello reads RFC 8446 §4.1.3, or RFC 5246 §7.4.1.3.
func (a *agreement) serverHello(c cursor) error {
	a.version = uint16(c.number(2))
	a.retry = string(c.take(32)) == helloRetry || a.retry
	c.vector(1) // session_id
	a.suite = uint16(c.number(2))
	c.take(1) // compression_method
	if len(c.left) > 0 {
		for e := (cursor{left: c.vector(2)}); len(e.left) > 0 && !e.short; c.short = c.short || e.short {
			a.extension(uint16(e.number(2)), e.vector(2))
		}
	}
	if c.short {
		return io.ErrUnexpectedEOF
	}
	return nil
}

func (a *agreement) extension(id uint16, data []byte) {
	const alpn, supportedVersions, keyShare = 16, 43, 51
	switch {
	case id == supportedVersions && len(data) == 2:
		a.version = binary.BigEndian.Uint16(data)
	case id == keyShare && len(data) >= 2:
		a.group = binary.BigEndian.Uint16(data)
	case id == alpn && len(data) >= 3:
		a.alpn = string(data[3:])
	}
}

// serverKeyExchange reads the curve of RFC 8422 §5.4. Finite-field parameters begin
// with the length of a prime, which no server makes long enough to be taken for it.
func (a *agreement) serverKeyExchange(s []byte) {
	const namedCurve = 3
	if len(s) > 3 && s[0] == namedCurve {
		a.group = binary.BigEndian.Uint16(s[1:])
	}
}

func TestReadAgreement(t *testing.T) {
	record := func(kind byte, body string) string {
		return string([]byte{kind, 3, 3, 0, byte(len(body))}) + body
	}
	hello := func(random, tail string) string {
		body := "\x03\x03" + random + "\x00" + tail
		return string([]byte{2, 0, 0, byte(len(body))}) + body
	}
	const (
		random = "0123456789abcdef0123456789abcdef"
		v13    = "\x13\x01\x00\x00\x0c\x00\x2b\x00\x02\x03\x04\x00\x33\x00\x02\x00\x17" // the key is left out
		v12    = "\xc0\x2b\x00\x00\x09\x00\x10\x00\x05\x00\x03\x02h2"
		curve  = "\x0c\x00\x00\x05\x03\x00\x1d\x00\x00"
		done   = "\x0e\x00\x00\x00"
	)
	tests := []struct {
		name, text string
		want       agreement
		err        string
	}{
		{"TLS 1.3", record(22, hello(random, v13)) + record(20, "\x01") + record(23, "secret"), agreement{version: 0x304, suite: 0x1301, group: 0x17}, ""},
		{"TLS 1.3 after a retry", record(22, hello(helloRetry, v13)) + record(20, "\x01") + record(22, hello(random, v13)), agreement{version: 0x304, suite: 0x1301, group: 0x17, retry: true}, ""},
		{"TLS 1.2", record(22, hello(random, v12)) + record(22, curve+done), agreement{version: 0x303, suite: 0xc02b, group: 0x1d, alpn: "h2"}, ""},
		{"TLS 1.2 in one record, without extensions", record(22, hello(random, v12[:3])+done), agreement{version: 0x303, suite: 0xc02b}, ""},
		{"an alert", record(21, "\x02\x28"), agreement{}, "alert 40"},
		{"nothing", "", agreement{}, "no ServerHello"},
		{"half a record", record(22, hello(random, v12))[:30], agreement{}, "no ServerHello"},
		{"a hello that is cut short", record(22, "\x02\x00\x00\x01\x03"), agreement{}, "unexpected EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readAgreement([]byte(tt.text))
			if got != tt.want || (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
				t.Errorf("readAgreement() = %+v, %v, want %+v, %q", got, err, tt.want, tt.err)
			}
		})
	}
}

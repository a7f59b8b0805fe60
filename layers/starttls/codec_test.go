package starttls

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// codec is a parser of any type, with examples.
type codec struct {
	name     string
	parse    func([]byte) (any, int, error)
	examples []string

	// runs says of a message that it has no end: more of the same kind makes it longer.
	runs func(any) bool
}

func of[M any](p bridge.Parser[M]) func([]byte) (any, int, error) {
	return func(buf []byte) (any, int, error) { return p(buf) }
}

// dialects are all protocols of lines.
func dialects() []dialect {
	return []dialect{smtp(), ftp(), reply220(), imap(), pop3(), nntp(), managesieve()}
}

func commands() []string {
	return []string{
		"EHLO a\r\n", "lhlo a\r\n", "STARTTLS\r\n", "starttls\n", "MAIL FROM:<>\r\n", "QUIT", "\x16\x03\x01", "\r\n", "\r\r\n",
		"FEAT\r\n", "AUTH TLS\r\n", "auth ssl\r\n", "AUTH GSSAPI\r\n", "USER a\r\n", "a STARTTLS\r\n", "a NOOP\r\n", "* NOOP\r\n",
		"a ID {3}\r\n", "a\r\n", " \r\n", "STLS\r\n", "CAPA\r\n", "CAPABILITIES\r\n", "MODE READER\r\n", "NOOP \"a\"\r\n",
	}
}

func replies() []string {
	return []string{
		"220 a\r\n", "220-a\r\n", "220\r\n", "250 a\n", "22", "2x0 a\r\n", "999 a\r\n", "2200\r\n", "120 soon\r\n", " text\r\n", "234 go\r\n",
		"* OK a\r\n", "a OK\r\n", "a NO\r\n", "+ go\r\n", "* ID {3}\r\na\x00b)\r\n", "* {99999}\r\n", "* {1}\r\n", "* \r\n", "*\r\n",
		"+OK\r\n", "-ERR\r\n", ".\r\n", "101 list\r\n", "382 go\r\n", "\"SASL\" {2+}\r\n\r\n\r\n", "OK\r\n", "NO \"a\"\r\n", "BYE\r\n", "\x00",
	}
}

func codecs() []codec {
	var all []codec
	for _, d := range dialects() {
		all = append(all,
			codec{name: d.proto + " command", parse: of(d.parseCommand), examples: commands()},
			codec{name: d.proto + " greeting", parse: of(d.parseReply(command{}, reply{})), examples: replies()},
			codec{name: d.proto + " reply", parse: of(d.parseReply(command{kind: upgrade, tag: "a"}, reply{})), examples: replies()},
			codec{
				name: d.proto + " line", parse: of(d.parseReply(command{name: "CAPA", tag: "a"}, reply{class: '2', code: "220", more: true})),
				examples: replies(),
			},
		)
	}
	items := []string{
		" \r\n", "<?xml version='1.0'?>", "<stream:stream to='a' version='1.0'>", "<stream:stream/>", "</stream:stream>", "<a/>", "<a b='/>'>t<c/></a>",
		"<a><![CDATA[</a>]]></a>", "<a><!-- --></a>", "<!DOCTYPE a>", "<a b=\">\"/>", "<>", "</>", "<:/>", "x", "<a>\x00</a>", "<a><b></a></b>", "<a", "<a><?x?></a>",
	}
	return append(
		all,
		codec{name: "xmpp", parse: of(parseItem), examples: items, runs: func(m any) bool { return m.(item).kind == space }},
		codec{name: "postgres answer", parse: of(parsePostgresAnswer(detect.PostgresSSLRequest)), examples: []string{"S", "N", "E", "G", "x"}},
		codec{name: "mysql greeting", parse: of(parseMySQLGreeting), examples: []string{
			"\x13\x00\x00\x00\xff\x10\x04Too many clients",
			"\x2f\x00\x00\x00\x0a8.0\x00\x01\x00\x00\x00abcdefgh\x00\xff\xff\x2d\x02\x00\xff\x81\x15" +
				"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00abcdefghijkl\x00",
		}},
		codec{name: "ldap response", parse: of(ldapResponse(1)), examples: []string{
			"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00", "\x30\x0c\x02\x01\x02\x78\x07\x0a\x01\x00\x04\x00\x04\x00",
		}},
		codec{name: "rdp request", parse: of(parseRDPRequest), examples: []string{
			"\x03\x00\x00\x0b\x06\xe0\x00\x00\x00\x00\x00", "\x03\x00\x00\x21\x1c\xe0\x00\x00\x00\x00\x00Cookie: mstshash=a\r\n\x01\x00",
		}},
		codec{name: "rdp confirm", parse: of(parseRDPConfirm), examples: []string{
			"\x03\x00\x00\x0b\x06\xd0\x00\x00\x00\x00\x00", "\x03\x00\x00\x13\x0e\xd0\x00\x00\x00\x00\x00\x02\x00\x08\x00\x01\x00\x00\x00",
			"\x03\x00\x00\x13\x0e\xd0\x00\x00\x00\x00\x00\x04\x00\x08\x00\x01\x00\x00\x00",
		}},
		codec{name: "tds prelogin", parse: of(tdsPrelogin(false)), examples: []string{
			"\x12\x01\x00\x1a\x00\x00\x00\x00\x00\x00\x0b\x00\x06\x01\x00\x11\x00\x01\xff\x10\x00\x0f\xa0\x00\x00\x01",
			"\x04\x01\x00\x1a\x00\x00\x00\x00\x00\x00\x0b\x00\x06\x01\x00\x11\x00\x01\xff\x10\x00\x0f\xa0\x00\x00\x01",
		}},
	)
}

// check holds a codec to its laws. Of any bytes it says a message, short, or malformed, and with either of the latter two
// nothing else. It changes nothing. Whatever follows a message does not change it, and every truncation of it is short.
// What is malformed, or is not for us (the length 0), more bytes do not mend.
func (c codec) check(t *testing.T, buf []byte) {
	t.Helper()
	given := bytes.Clone(buf)
	m, n, err := c.parse(buf)
	if !bytes.Equal(buf, given) {
		t.Fatalf("%s: Parse changed %q into %q", c.name, given, buf)
	}
	bad := (*detect.MalformedError)(nil)
	switch {
	case err == nil && n < 0, n > len(buf):
		t.Fatalf("%s: Parse(%q) has the length %d", c.name, buf, n)
	case errors.Is(err, bridge.ErrShort):
		if n != 0 || !reflect.ValueOf(m).IsZero() {
			t.Errorf("%s: Parse(%q) = %+v, %d with %v", c.name, buf, m, n, err)
		}
		return
	case err != nil && !errors.As(err, &bad) && !errors.Is(err, errPlain):
		t.Errorf("%s: Parse(%q): %v, neither short nor malformed", c.name, buf, err)
	case err != nil && (n != 0 || !reflect.ValueOf(m).IsZero()):
		t.Errorf("%s: Parse(%q) = %+v, %d with %v", c.name, buf, m, n, err)
	}
	if err == nil && c.runs != nil && c.runs(m) {
		return
	}
	m2, n2, err2 := c.parse(append(given, "\n\x00"...))
	if n2 != n || (err == nil) != (err2 == nil) || errors.Is(err2, bridge.ErrShort) || n > 0 && !reflect.DeepEqual(m, m2) {
		t.Errorf("%s: Parse(%q) = %+v, %d, %v; and with more behind it %+v, %d, %v", c.name, buf, m, n, err, m2, n2, err2)
	}
	for i := range n {
		if _, _, err := c.parse(given[:i:i]); !errors.Is(err, bridge.ErrShort) && i > 0 {
			t.Errorf("%s: Parse(%q), a truncation of %q: %v", c.name, given[:i], given[:n], err)
		}
	}
}

func TestCodecsKeepTheirLaws(t *testing.T) {
	for _, c := range codecs() {
		for _, example := range c.examples {
			for i := 1; i <= len(example); i++ {
				c.check(t, []byte(example[:i]))
			}
			c.check(t, []byte(example+example))
		}
	}
}

func fuzz(f *testing.F, names ...string) {
	var chosen []codec
	for _, c := range codecs() {
		for _, name := range names {
			if c.name == name {
				chosen = append(chosen, c)
			}
		}
	}
	if len(chosen) != len(names) {
		f.Fatalf("%d codecs of %q", len(chosen), names)
	}
	for _, c := range chosen {
		for _, example := range c.examples {
			f.Add([]byte(example))
		}
	}
	f.Fuzz(func(t *testing.T, buf []byte) {
		for _, c := range chosen {
			if len(buf) > 0 && len(buf) <= 1<<10 {
				c.check(t, buf)
			}
		}
	})
}

func lines(proto string) []string {
	return []string{proto + " command", proto + " greeting", proto + " reply", proto + " line"}
}

func FuzzSMTP(f *testing.F)        { fuzz(f, lines("smtp")...) }
func FuzzFTP(f *testing.F)         { fuzz(f, lines("ftp")...) }
func FuzzReply220(f *testing.F)    { fuzz(f, lines("220")...) }
func FuzzIMAP(f *testing.F)        { fuzz(f, lines("imap")...) }
func FuzzPOP3(f *testing.F)        { fuzz(f, lines("pop3")...) }
func FuzzNNTP(f *testing.F)        { fuzz(f, lines("nntp")...) }
func FuzzManageSieve(f *testing.F) { fuzz(f, lines("sieve")...) }
func FuzzXMPP(f *testing.F)        { fuzz(f, "xmpp") }
func FuzzPostgreSQL(f *testing.F)  { fuzz(f, "postgres answer") }
func FuzzMySQL(f *testing.F)       { fuzz(f, "mysql greeting") }
func FuzzLDAP(f *testing.F)        { fuzz(f, "ldap response") }
func FuzzRDP(f *testing.F)         { fuzz(f, "rdp request", "rdp confirm") }
func FuzzTDS(f *testing.F)         { fuzz(f, "tds prelogin") }

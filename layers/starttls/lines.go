package starttls

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/bridgeio/bridgeio/bridge"
)

// maxCommand bounds a client's line. RFC 5321 §4.5.3.1.4 has 512 bytes, RFC 9051 §4 asks servers for 8 KiB.
const maxCommand = 8 << 10

// dialect is a protocol of commands and replies in lines, in which the server speaks first. Its functions are pure.
type dialect struct {
	proto string

	// command reads a command, without its CRLF.
	command func(line string) command

	// reply reads a line of the reply to a command, without its CRLF; of the greeting, and of what nobody asked for,
	// when that is the zero command. before is the line before it, the zero reply for the first. It says false when
	// that is no reply.
	reply func(line string, to command, before reply) (reply, bool)

	// lineEnd finds the end of a server's line; nil means endOfLine.
	lineEnd func(buf []byte) (n int, err error)

	// after returns the dialect to go on with after a command; nil means this one.
	after func(command) dialect
}

// kind is what a command means to us.
type kind uint8

const (
	other     kind = iota // the conversation goes on to what TLS was not asked for
	harmless              // TLS may still be asked for
	deducible             // harmless, and may be said again to another server, with the same effect
	upgrade               // asks for TLS
)

// command is a client's line.
type command struct {
	kind   kind
	name   string // the verb, in upper case
	tag    string // of IMAP
	client string // what the client calls itself
	proto  string // the protocol, where the command says which of the dialect's it is
}

// reply is a line of a server's reply.
type reply struct {
	class byte   // of which kind it is: the first digit of its code, or the first letter of its word
	code  string // of the lines that follow, where they have one
	more  bool   // others follow
	ok    bool   // it grants TLS
	text  string // the line
}

// classOf is what must be the same when the conversation is had again.
func classOf(r reply) any { return reply{class: r.class, more: r.more, ok: r.ok} }

// talk relays greeting, commands and replies until TLS begins.
//
// Each line is passed on as soon as it is complete, and not with the whole of a reply: servers make clients wait
// between the lines of a greeting, to see who does not.
func (d dialect) talk(ctx context.Context, s *session) error {
	s.frame.Proto = d.proto
	if err := d.relayReply(ctx, s, command{}); err != nil { // the greeting
		return err
	}
	for {
		c, err := d.nextCommand(ctx, s)
		if err != nil {
			return err
		}
		if s.note(c); d.after != nil {
			d = d.after(c)
		}
		switch c.kind {
		case other:
			return errPlain
		case upgrade:
			if granted, err := d.upgrade(ctx, s, c); err != nil || granted {
				return err
			}
			continue
		case harmless:
			s.noRedial()
		}
		if _, err := turn(ctx, s, bridge.Client, d.parseCommand, bridge.Max(maxCommand)); err != nil {
			return err
		}
		if err := d.relayReply(ctx, s, c); err != nil {
			return err
		}
	}
}

// nextCommand waits for a command, and passes on what the server says meanwhile: that it will not wait any longer, for
// one thing.
func (d dialect) nextCommand(ctx context.Context, s *session) (command, error) {
	for {
		c, _, err := bridge.Expect(ctx, s.b, bridge.Client, d.parseCommand,
			bridge.Max(maxCommand), bridge.Within(s.b.Limits().Idle))
		if desync := (*bridge.Desync)(nil); !errors.As(err, &desync) || desync.Why != bridge.OutOfTurn {
			return c, ending(err)
		}
		s.noRedial()
		if err := d.relayReply(ctx, s, command{}); err != nil {
			return c, err
		}
	}
}

// note keeps what a command says of the client.
func (s *session) note(c command) {
	if c.client != "" {
		s.plain.Client = clean(c.client)
	}
	if c.proto != "" {
		s.frame.Proto = c.proto
	}
}

// relayReply relays all lines of a reply.
func (d dialect) relayReply(ctx context.Context, s *session, to command) error {
	for before := (reply{}); ; {
		r, err := turn(ctx, s, bridge.Server, d.parseReply(to, before), bridge.Class(classOf))
		if err != nil {
			return err
		}
		s.heard(r)
		if !r.more {
			return nil
		}
		before = r
	}
}

// heard keeps the first line of the greeting.
func (s *session) heard(r reply) {
	if s.plain.Greeting == "" {
		s.plain.Greeting = clean(r.text)
	}
}

// upgrade relays the command that asks for TLS, and its reply.
func (d dialect) upgrade(ctx context.Context, s *session, c command) (granted bool, err error) {
	if _, err := ask(ctx, s, d.parseCommand); err != nil {
		return false, err
	}
	for before := (reply{}); ; {
		r, err := answer(ctx, s, d.parseReply(c, before), func(r reply) bool { return r.ok }, bridge.Class(classOf))
		switch {
		case err != nil || r.ok:
			return r.ok, err
		case !r.more:
			s.plain.Refusal = clean(r.text)
			return false, nil
		}
		before = r
	}
}

// parseCommand reads a command. What is not the text of a line that all servers would end where we do, with CRLF, is
// other, with the length 0: it is for the server alone to understand.
func (d dialect) parseCommand(buf []byte) (command, int, error) {
	i := bytes.IndexByte(buf, '\n')
	if i < 0 {
		if text, _ := bytes.CutSuffix(buf, []byte("\r")); !isASCII(text) {
			return command{}, 0, nil
		}
		return command{}, 0, bridge.ErrShort
	}
	text, crlf := bytes.CutSuffix(buf[:i], []byte("\r"))
	if !crlf || !isASCII(text) {
		return command{}, 0, nil
	}
	c := d.command(string(text))
	if c.kind == other {
		return c, 0, nil
	}
	return c, i + 1, nil
}

// parseReply reads a line of a reply.
func (d dialect) parseReply(to command, before reply) bridge.Parser[reply] {
	return func(buf []byte) (reply, int, error) {
		text, n, err := d.parseLine(buf)
		if err != nil {
			return reply{}, 0, err
		}
		r, ok := d.reply(text, to, before)
		if !ok {
			return reply{}, 0, malformed(d.proto, "reply", 0)
		}
		r.text = text
		return r, n, nil
	}
}

// parseLine reads a server's line, without its end.
func (d dialect) parseLine(buf []byte) (string, int, error) {
	end := d.lineEnd
	if end == nil {
		end = endOfLine
	}
	n, err := end(buf)
	if err != nil {
		return "", 0, err
	}
	text := bytes.TrimSuffix(buf[:n], []byte("\n"))
	return string(bytes.TrimSuffix(text, []byte("\r"))), n, nil
}

// endOfLine finds the end of a line of text. A server may end it with LF alone: clients take that.
func endOfLine(buf []byte) (int, error) {
	for i, c := range buf {
		switch {
		case c == '\n':
			return i + 1, nil
		case c < ' ' && c != '\t' && c != '\r', c == 0x7f:
			return 0, malformed("line", "text", i)
		}
	}
	return 0, bridge.ErrShort
}

// endOfLiterals finds the end of a line that may hold literals: {n} or {n+} at the end of a line of text, and then n
// bytes of any kind, after which the line goes on (RFC 9051 §4.3, RFC 5804 §1.2).
func endOfLiterals(buf []byte) (int, error) {
	n := 0
	for {
		line, err := endOfLine(buf[n:])
		if err != nil {
			return 0, err
		}
		literal, ok := literalOf(buf[n : n+line])
		n += line
		switch {
		case !ok:
			return n, nil
		case literal > maxLiteral:
			return 0, malformed("line", "literal", n)
		case len(buf)-n < literal:
			return 0, bridge.ErrShort
		}
		n += literal
	}
}

// maxLiteral bounds what is waited for as a part of one line.
const maxLiteral = 32 << 10

// literalOf returns the length of the literal that a line announces.
func literalOf(line []byte) (length int, ok bool) {
	text := strings.TrimRight(string(line), "\r\n")
	open := strings.LastIndexByte(text, '{')
	if open < 0 || !strings.HasSuffix(text, "}") {
		return 0, false
	}
	digits := strings.TrimSuffix(text[open+1:len(text)-1], "+")
	length64, err := strconv.ParseUint(digits, 10, 31)
	return int(length64), err == nil
}

// isASCII reports whether text is of printable ASCII.
func isASCII(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// words cuts a command into its verb, in upper case, and the rest.
func words(line string) (verb, rest string) {
	verb, rest, _ = strings.Cut(line, " ")
	return strings.ToUpper(verb), rest
}

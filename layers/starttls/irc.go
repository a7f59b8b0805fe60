package starttls

import (
	"context"
	"strings"

	"github.com/bridgeio/bridgeio/bridge"
)

// IRC returns the layer for IRC with STARTTLS (IRCv3, "tls"; deprecated, and still in use), which is for before the
// registration only.
//
// Nobody has a turn in IRC: what either peer says is passed on line by line, whenever it comes.
func IRC() bridge.Layer { return layer("irc", ircTalk) }

func ircTalk(ctx context.Context, s *session) error {
	if err := s.b.Dial(ctx); err != nil {
		return err
	}
	s.noRedial() // what the server says has no order that it could be held to
	for asked := false; ; {
		said, err := ircSaid(ctx, s, &asked)
		if err != nil || said == granted {
			return err
		}
		if said == nothing {
			if err := s.wait(ctx, s.b.Limits().Turn); err != nil {
				return err
			}
		}
	}
}

// outcome of a look at what has come.
type seen uint8

const (
	nothing seen = iota // no whole line
	passed              // a line was passed on
	granted             // that was the one which grants TLS
)

// ircSaid passes on a line of the server's, or else one of the client's.
func ircSaid(ctx context.Context, s *session, asked *bool) (seen, error) {
	reply, n, err := ircLine(s.b.Server.Buffered())
	switch {
	case err != nil:
		return nothing, err
	case n > 0:
		return ircHeard(ctx, s, reply, n, asked)
	}
	if *asked && len(s.b.Client.Buffered()) > 0 {
		return nothing, errCommandInjection()
	}
	c, n, err := ircCommand(s.b.Client.Buffered())
	switch {
	case err != nil || n == 0:
		return nothing, err
	case c.kind == other:
		return nothing, errPlain
	case c.kind == upgrade && len(s.b.Client.Buffered()) > n:
		return nothing, errCommandInjection()
	}
	*asked = c.kind == upgrade
	return passed, s.b.Pass(ctx, bridge.Client, n)
}

// ircHeard passes on a line of the server's.
func ircHeard(ctx context.Context, s *session, line string, n int, asked *bool) (seen, error) {
	if s.plain.Greeting == "" {
		s.plain.Greeting = clean(line)
	}
	kind := passed
	switch numeric := ircNumeric(line); {
	case numeric == "001": // RPL_WELCOME: the client is registered
		if err := s.b.Pass(ctx, bridge.Server, n); err != nil {
			return nothing, err
		}
		return nothing, errPlain
	case !*asked:
	case len(s.b.Client.Buffered()) > 0:
		return nothing, errCommandInjection()
	case numeric == "670": // RPL_STARTTLS
		if len(s.b.Server.Buffered()) > n {
			return nothing, errResponseInjection()
		}
		kind, s.plain.Refusal = granted, ""
	case numeric >= "400": // ERR_STARTTLS is 691; of a server that does not know the command, 421 or 451
		*asked, s.plain.Refusal = false, clean(line)
	}
	return kind, s.b.Pass(ctx, bridge.Server, n)
}

// ircLine reads a line without its end; one that has not come to its end has the length 0. What is no line of text, or
// is longer than any, makes the rest go on as it is.
func ircLine(buf []byte) (line string, n int, err error) {
	n, err = endOfLine(buf)
	switch {
	case err == bridge.ErrShort && len(buf) < maxCommand:
		return "", 0, nil
	case err != nil:
		return "", 0, errPlain
	}
	return strings.TrimRight(string(buf[:n]), "\r\n"), n, nil
}

// ircCommand reads a client's line (RFC 2812 §2.3): with tags and a source, which clients have no use for, it is other.
func ircCommand(buf []byte) (c command, n int, err error) {
	line, n, err := ircLine(buf)
	if err != nil || n == 0 {
		return c, n, err
	}
	c.name, _ = words(line)
	switch c.name {
	case "CAP", "NICK", "USER", "PASS", "WEBIRC", "PING", "PONG", "QUIT", "ERROR", "":
		c.kind = harmless
	case "STARTTLS":
		c.kind = upgrade
	}
	return c, n, nil
}

// ircNumeric returns the three digits of a numeric reply, behind the server's tags and source.
func ircNumeric(line string) string {
	for _, mark := range []string{"@", ":"} {
		if strings.HasPrefix(line, mark) {
			_, line, _ = strings.Cut(line, " ")
			line = strings.TrimLeft(line, " ")
		}
	}
	word, _ := words(line)
	if len(word) != 3 || !isDigit(word[0]) || !isDigit(word[1]) || !isDigit(word[2]) {
		return ""
	}
	return word
}

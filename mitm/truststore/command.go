package truststore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// command is a program to run.
type command struct {
	name   string
	args   []string
	source string // the file that its standard input is shown as; empty: it has none
}

// String returns it as one types it into a shell.
func (c command) String() string {
	words := make([]string, 0, len(c.args)+2)
	for _, word := range append([]string{c.name}, c.args...) {
		words = append(words, quote(word))
	}
	if c.source != "" {
		words = append(words, "<"+quote(c.source))
	}
	return strings.Join(words, " ")
}

// quote returns a word as POSIX shells read it (XCU 2.2.2).
func quote(word string) string {
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_./:,=+@%", r)
	}
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool { return !plain(r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// The bounds of a program: certutil that wants a password and has no terminal asks for ever, and writes so.
const (
	maxTime   = time.Minute
	maxOutput = 1 << 20
)

var errTooMuch = errors.New("it does not stop writing")

// run runs it and returns what it wrote. An error is one line, with what the program said last.
func (c command) run(ctx context.Context, stdin []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	out := &limited{full: cancel}
	cmd := exec.CommandContext(ctx, c.name, c.args...)
	cmd.Stdout, cmd.Stderr = out, out
	if stdin != nil {
		cmd.Stdin = bytes.NewReader(stdin)
	}
	cmd.WaitDelay = time.Second // its own children may hold its output open
	err := cmd.Run()
	switch {
	case len(out.kept) >= maxOutput:
		err = errTooMuch
	case ctx.Err() != nil:
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("%w%s", err, lastLine(out.kept))
	}
	return out.kept, nil
}

// limited keeps what fits, and calls full when it does not.
type limited struct {
	kept []byte
	full func()
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), maxOutput-len(l.kept))
	l.kept = append(l.kept, p[:n]...)
	if n < len(p) {
		l.full()
		return n, io.ErrShortWrite
	}
	return n, nil
}

// lastLine is what a program said last, in brackets.
func lastLine(out []byte) string {
	out = bytes.TrimSpace(out[max(0, len(out)-1000):])
	line := out[bytes.LastIndexByte(out, '\n')+1:]
	if len(line) == 0 {
		return ""
	}
	return fmt.Sprintf(" (%q)", line)
}

func (i Install) run(c command) step {
	return step{line: c.String(), program: c.name, do: func(ctx context.Context) error {
		var stdin []byte
		if c.source != "" {
			stdin = i.pem()
		}
		_, err := c.run(ctx, stdin)
		return err
	}}
}

func (i Install) source() string {
	if i.Source == "" {
		return "ca.pem"
	}
	return i.Source
}

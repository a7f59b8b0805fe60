package tproxy

import (
	"errors"
	"fmt"
	"strings"
)

// command is a program to run. Its words need no quotes in a shell.
type command struct {
	name  string
	args  []string
	stdin string
}

// String returns it as a shell reads it.
func (c command) String() string {
	line := strings.Join(append([]string{c.name}, c.args...), " ")
	if c.stdin == "" {
		return line
	}
	return line + " <<'EOF'\n" + c.stdin + "EOF"
}

// commandError is that of a program that has failed.
type commandError struct {
	command   command
	complaint string // its own words; may be empty
	err       error
}

func (e *commandError) Error() string {
	line := strings.Join(append([]string{e.command.name}, e.command.args...), " ")
	if e.complaint == "" {
		return fmt.Sprintf("%s: %v", line, e.err)
	}
	return line + ": " + e.complaint
}

func (e *commandError) Unwrap() error { return e.err }

// says reports whether an error is that of a program with these words.
func says(err error, words string) bool {
	var e *commandError
	return errors.As(err, &e) && strings.Contains(e.complaint, words)
}

// complaint is the first error that nft or ip wrote, in one line. nft shows the line of its
// input below it; where it says only the line's number, the line follows here.
func complaint(text, stdin string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	found := lines[0]
	for _, line := range lines {
		if strings.Contains(line, "Error:") {
			found = line
			break
		}
	}
	found = strings.TrimSpace(found)
	var number int
	if n, _ := fmt.Sscanf(found, "/dev/stdin:%d:", &number); n == 1 {
		if input := strings.Split(stdin, "\n"); number >= 1 && number <= len(input) {
			_, cause, _ := strings.Cut(found, "Error: ")
			return fmt.Sprintf("%s: %s", cause, strings.TrimSpace(input[number-1]))
		}
	}
	return found
}

package tproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
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

// maxTime bounds a program that hangs.
const maxTime = 30 * time.Second

// path is where a program is: users other than root have no sbin in their PATH.
func (c command) path() (string, error) {
	file, err := exec.LookPath(c.name)
	if err == nil {
		return file, nil
	}
	for _, dir := range []string{"/usr/sbin/", "/sbin/"} {
		if file, sbinErr := exec.LookPath(dir + c.name); sbinErr == nil {
			return file, nil
		}
	}
	return "", fmt.Errorf("%s is not installed: on Debian it is in the package %s", c.name, map[string]string{"nft": "nftables", "ip": "iproute2"}[c.name])
}

// run runs it and returns what it wrote to stdout.
func (c command) run(ctx context.Context) ([]byte, error) {
	file, err := c.path()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(ctx, file, c.args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(c.stdin), &out, &errOut
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, &commandError{c, complaint(errOut.String(), c.stdin), err}
	}
	return out.Bytes(), nil
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

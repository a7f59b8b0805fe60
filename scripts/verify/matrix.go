package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// tablePath is where a full run leaves what it saw.
const tablePath = "interop/FULL.md"

// A matrix collects the outcome of every interop test and of each of its cases.
type matrix struct{ rows []testEvent }

func (m *matrix) add(e testEvent) { m.rows = append(m.rows, e) }

// write replaces the table, unless there is nothing to say.
func (m *matrix) write(out io.Writer, now time.Time) error {
	if len(m.rows) == 0 {
		return fmt.Errorf("write %s: no interop test ran", tablePath)
	}
	if err := os.WriteFile(tablePath, m.markdown(now, versions()), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(out, "wrote %s\n", tablePath)
	return nil
}

// markdown lists the tests in the order of their names, a row for each case.
func (m *matrix) markdown(now time.Time, peers []string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# The last full run\n\nWritten by `make full` on %s with %s on %s/%s.\n\n",
		now.UTC().Format("2006-01-02 15:04 UTC"), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, p := range peers {
		fmt.Fprintf(&b, "- %s\n", p)
	}
	fmt.Fprintf(&b, "\n| test | case | result | time |\n|---|---|---|---|\n")
	rows := slices.Clone(m.rows)
	slices.SortStableFunc(rows, func(x, y testEvent) int { return strings.Compare(x.Test, y.Test) })
	for _, e := range rows {
		test, name, _ := strings.Cut(e.Test, "/")
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", test, strings.ReplaceAll(name, "|", `\|`), e.Action, seconds(e.Elapsed))
	}
	return b.Bytes()
}

// versions asks the peers what they are, since a result speaks of those only.
func versions() []string {
	var list []string
	for _, args := range [][]string{
		{"curl", "--version"},
		{"openssl", "version"},
		{"gnutls-cli", "--version"},
		{"wget", "--version"},
		{"node", "--version"},
		{"nginx", "-v"},
		{"haproxy", "-v"},
		{"squid", "-v"},
		{"danted", "-v"},
		{"tinyproxy", "-v"},
		{"tshark", "--version"},
	} {
		list = append(list, args[0]+": "+versionOf(exec.Command(args[0], args[1:]...)))
	}
	return list
}

// versionOf is the first line that a program writes: some write it to stderr, and others warnings.
func versionOf(cmd *exec.Cmd) string {
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	for _, text := range []string{out.String(), errOut.String()} {
		if first, _, _ := strings.Cut(strings.TrimSpace(text), "\n"); first != "" {
			return first
		}
	}
	return fmt.Sprint(err)
}

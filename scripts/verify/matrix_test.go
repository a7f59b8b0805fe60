package main

import (
	"os/exec"
	"testing"
)

func TestVersionOf(t *testing.T) {
	for script, want := range map[string]string{
		"echo tool 1.0; echo more":                   "tool 1.0",
		"echo tool 1.0 >&2; exit 1":                  "tool 1.0",
		"echo a warning >&2; echo; echo 'tool 1.0 '": "tool 1.0",
		"exit 3": "exit status 3",
	} {
		if got := versionOf(exec.Command("sh", "-c", script)); got != want {
			t.Errorf("%s: %q, want %q", script, got, want)
		}
	}
}

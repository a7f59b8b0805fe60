package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/fstest"
)

func TestTheLastLineCountsEverything(t *testing.T) {
	counts := func(t tally, err error) stage {
		return stage{"count", func(context.Context, io.Writer) (tally, error) { return t, err }}
	}
	tests := []struct {
		name   string
		stages []stage
		last   string
		ok     bool
	}{
		{"all is well", []stage{counts(tally{}, nil), counts(tally{passed: 3}, nil), counts(tally{passed: 4}, nil)}, "7 passed, 0 failed", true},
		{"a test failed, and the rest is not run", []stage{counts(tally{2, 1}, nil), counts(tally{passed: 4}, nil)}, "2 passed, 1 failed", false},
		{"a stage failed that counts nothing", []stage{counts(tally{}, errors.New("vet")), counts(tally{passed: 4}, nil)}, "0 passed, 1 failed", false},
		{"a failure is not counted twice", []stage{counts(tally{1, 2}, errors.New("go test: 2 failed"))}, "1 passed, 2 failed", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			if got := runStages(t.Context(), &out, tt.stages); got != tt.ok {
				t.Errorf("runStages() = %v, want %v", got, tt.ok)
			}
			lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
			if got := lines[len(lines)-1]; got != tt.last {
				t.Errorf("last line %q, want %q", got, tt.last)
			}
		})
	}
}

func TestAnInterruptedRunHasFailed(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stages := []stage{{"stop", func(context.Context, io.Writer) (tally, error) { cancel(); return tally{passed: 1}, nil }}}
	if runStages(ctx, t.Output(), stages) {
		t.Error("runStages() = true, want false")
	}
}

func TestPlan(t *testing.T) {
	names := func(args ...string) string {
		stages, err := plan(args, func(string) string { return "" })
		if err != nil {
			return err.Error()
		}
		var list []string
		for _, s := range stages {
			list = append(list, s.name)
		}
		return strings.Join(list, " ")
	}
	for args, want := range map[string]string{
		"test":    "peers lint test interop fuzz",
		"full":    "peers lint test mutations interop table fuzz",
		"lint":    "lint",
		"interop": "peers interop",
		"fuzz":    "fuzz",
		"tset":    `unknown run "tset": want test, full, lint, interop or fuzz`,
	} {
		if got := names(args); got != want {
			t.Errorf("plan(%q): %s, want %s", args, got, want)
		}
	}
	if got := names(); !strings.HasPrefix(got, "usage: ") {
		t.Errorf("plan(): %s, want the usage", got)
	}
	if _, err := plan([]string{"fuzz"}, func(string) string { return "soon" }); err == nil {
		t.Error("plan(fuzz) with FUZZ_S=soon: no error")
	}
}

func TestNoHostsFindsARegistry(t *testing.T) {
	clean := fstest.MapFS{"a.go": {Data: []byte("package a\n")}, ".git/config": {Data: []byte(hosts[0])}, "b.pcap": {Data: []byte(hosts[1])}}
	if err := noHosts(clean); err != nil {
		t.Errorf("noHosts() of clean files: %v", err)
	}
	for _, host := range hosts {
		err := noHosts(fstest.MapFS{"docs/a.md": {Data: []byte("one\ntwo https://" + host + "/x\n")}})
		if want := "docs/a.md:2: names the registry " + host; err == nil || err.Error() != want {
			t.Errorf("noHosts() = %v, want %s", err, want)
		}
	}
}

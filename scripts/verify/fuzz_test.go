package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFuzzAllRunsEveryTargetAndFailsOnAFinding(t *testing.T) {
	makeModule(t, `func FuzzGood(f *testing.F) { f.Add([]byte("a")); f.Fuzz(func(*testing.T, []byte) {}) }
func FuzzBad(f *testing.F) { f.Add([]byte("a")); f.Fuzz(func(t *testing.T, b []byte) { if len(b) != 1 { t.Error("found") } }) }`)
	var out bytes.Buffer
	got, err := fuzzAll(t.Context(), &out, 2*time.Second, false)
	if want := (tally{passed: 1, failed: 1}); err != nil || got != want {
		t.Fatalf("fuzzAll() = %+v, %v, want %+v\n%s", got, err, want, &out)
	}
	for _, want := range []string{"2 targets in 1 packages", "ok    example.test/m FuzzGood", "FAIL  example.test/m FuzzBad", "found"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output lacks %q:\n%s", want, &out)
		}
	}
	kept, err := filepath.Glob("testdata/fuzz/FuzzBad/*")
	if err != nil || len(kept) != 1 {
		t.Errorf("findings kept: %q, %v, want one", kept, err)
	}
}

func TestFuzzAllFailsWhenItFindsNoTarget(t *testing.T) {
	makeModule(t, "func TestA(*testing.T) {}")
	if got, err := fuzzAll(t.Context(), t.Output(), time.Second, false); err == nil {
		t.Errorf("fuzzAll() = %+v, no error", got)
	}
}

func TestFuzzBudget(t *testing.T) {
	tests := []struct {
		name string
		text string
		full bool
		want time.Duration
		ok   bool
	}{
		{"the default", "", false, 90 * time.Second, true},
		{"the default of a full run", "", true, 30 * time.Minute, true},
		{"a number of seconds", "7", true, 7 * time.Second, true},
		{"no time at all", "0", false, 0, false},
		{"a duration", "7s", false, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := fuzzBudget(tt.text, tt.full)
			if got != tt.want || (err == nil) != tt.ok {
				t.Errorf("fuzzBudget(%q, %v) = %v, %v, want %v, ok %v", tt.text, tt.full, got, err, tt.want, tt.ok)
			}
		})
	}
	if got, want := share(90*time.Second, 45), 2*time.Second; got != want {
		t.Errorf("share() = %v, want %v", got, want)
	}
	if got, want := share(2*time.Second, 45), time.Second; got != want {
		t.Errorf("share() of too little = %v, want %v", got, want)
	}
}

func TestTargetNames(t *testing.T) {
	list := "FuzzA\nFuzzB_c\nok  \texample.test/Fuzz\t0.003s\n?   \texample.test/x\t[no test files]\nFuzz me\n"
	if got, want := targetNames(list), []string{"FuzzA", "FuzzB_c"}; !slices.Equal(got, want) {
		t.Errorf("targetNames() = %q, want %q", got, want)
	}
}

func TestDeadlineRaceIsToldFromAFinding(t *testing.T) {
	tests := []struct {
		name string
		text string
		want bool
	}{
		{"the engine's own end", "fuzz: elapsed: 3s, execs: 40 (13/sec)\n--- FAIL: FuzzA (3.20s)\n    context deadline exceeded\nFAIL\nexit status 1\n", true},
		{"a finding", "--- FAIL: FuzzA (0.20s)\n    --- FAIL: FuzzA (0.00s)\n        a_test.go:5: context deadline exceeded\n    \n    Failing input written to testdata/fuzz/FuzzA/1\nFAIL\n", false},
		{"a finding that says the same", "--- FAIL: FuzzA (0.20s)\n    a_test.go:5: context deadline exceeded\nFAIL\n", false},
		{"a panic", "panic: boom\n", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := deadlineRace(tt.text); got != tt.want {
				t.Errorf("deadlineRace(%q) = %v, want %v", tt.text, got, tt.want)
			}
		})
	}
}

func TestCorpusCountsTheFindings(t *testing.T) {
	p := fuzzPackage{dir: t.TempDir()}
	if got := p.corpus("FuzzA"); got != 0 {
		t.Errorf("corpus() without a folder = %d, want 0", got)
	}
	dir := filepath.Join(p.dir, "testdata", "fuzz", "FuzzA")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "1"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := p.corpus("FuzzA"); got != 1 {
		t.Errorf("corpus() = %d, want 1", got)
	}
}

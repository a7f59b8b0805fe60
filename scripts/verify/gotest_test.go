package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestGoTestCountsWhatRan(t *testing.T) {
	tests := []struct {
		name   string
		source string
		want   tally
		fails  bool
		shows  string
		hides  string
	}{
		{
			name:   "passing tests, examples and seeds count one each, cases do not",
			source: "func TestA(t *testing.T) { t.Log(\"quiet\"); t.Run(\"x\", func(t *testing.T) {}) }\nfunc FuzzA(f *testing.F) { f.Add(1); f.Fuzz(func(*testing.T, int) {}) }\nfunc ExampleA() { println(); print()\n\t// Output:\n}\nfunc A() {}",
			want:   tally{passed: 3},
			shows:  "ok    example.test/m (3 passed",
			hides:  "quiet",
		},
		{
			name:   "a failing case fails its test once and is shown",
			source: "func TestA(t *testing.T) { t.Run(\"x\", func(t *testing.T) { t.Error(\"loud\") }) }\nfunc TestB(*testing.T) {}",
			want:   tally{passed: 1, failed: 1},
			fails:  true,
			shows:  "loud",
		},
		{
			name:   "a skipped test has failed",
			source: "func TestA(t *testing.T) { t.Skip(\"no such program\") }",
			want:   tally{failed: 1},
			fails:  true,
			shows:  "no such program",
		},
		{
			name:   "a panic shows the test that it cut short",
			source: "func TestA(*testing.T) { panic(\"boom\") }",
			want:   tally{failed: 1},
			fails:  true,
			shows:  "boom",
		},
		{
			name:   "a package that fails after its tests passed",
			source: "func TestA(*testing.T) {}\nfunc TestMain(m *testing.M) { m.Run(); println(\"leak\"); panic(\"leak\") }",
			want:   tally{passed: 1, failed: 1},
			fails:  true,
			shows:  "leak",
		},
		{
			name:   "a file that does not compile",
			source: "func TestA(*testing.T) { undefined() }",
			want:   tally{failed: 1},
			fails:  true,
			shows:  "undefined: undefined",
		},
		{
			name:   "no test at all",
			source: "var _ testing.TB",
			fails:  true,
			hides:  "ok ",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			makeModule(t, tt.source)
			var out bytes.Buffer
			got, err := goTest(t.Context(), &out, nil, nil, []string{"./..."})
			if got != tt.want || (err != nil) != tt.fails {
				t.Errorf("goTest() = %+v, %v, want %+v, an error %v", got, err, tt.want, tt.fails)
			}
			if !strings.Contains(out.String(), tt.shows) {
				t.Errorf("output lacks %q:\n%s", tt.shows, &out)
			}
			if tt.hides != "" && strings.Contains(out.String(), tt.hides) {
				t.Errorf("output shows %q:\n%s", tt.hides, &out)
			}
		})
	}
}

func TestGoTestRecordsTheMatrix(t *testing.T) {
	makeModule(t, "func TestB(t *testing.T) { t.Run(\"curl|h2\", func(t *testing.T) {}) }\nfunc TestA(*testing.T) {}")
	m := &matrix{}
	if _, err := goTest(t.Context(), t.Output(), nil, m, []string{"./..."}); err != nil {
		t.Fatal(err)
	}
	text := string(m.markdown(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), []string{"curl: curl 8"}))
	for _, want := range []string{"2026-01-02 03:04 UTC", "- curl: curl 8", "| TestA |  | pass |", `| TestB | curl\|h2 | pass |`} {
		if !strings.Contains(text, want) {
			t.Errorf("table lacks %q:\n%s", want, text)
		}
	}
	if strings.Index(text, "TestA") > strings.Index(text, "TestB") {
		t.Errorf("table is not in order:\n%s", text)
	}
}

func TestAReportPassesOnWhatIsNoEvent(t *testing.T) {
	var out bytes.Buffer
	r := newReport(&out, nil)
	if err := r.read(strings.NewReader("go: something\n{\"Action\":\"start\"}\nno newline")); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "go: something\nno newline"; got != want {
		t.Errorf("read() printed %q, want %q", got, want)
	}
}

func TestGoTestEndsWithItsContext(t *testing.T) {
	makeModule(t, "func TestA(*testing.T) { select {} }")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := goTest(ctx, t.Output(), nil, nil, []string{"./..."}); err == nil {
		t.Error("goTest() with an ended context: no error")
	}
}

// makeModule makes a module of one test file and works in it.
func makeModule(t *testing.T, source string) {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("GOFLAGS", "-count=1")
	for name, text := range map[string]string{
		"go.mod":    "module example.test/m\n\ngo 1.26.0\n",
		"a_test.go": "package m\n\nimport \"testing\"\n\n" + source + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

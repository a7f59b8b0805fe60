package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	switch role := os.Getenv(roleVariable); role {
	case "":
		goleak.VerifyTestMain(m)
	case roleBurn:
		burn()
	case roleGrow:
		grow()
	default:
		fmt.Fprintln(os.Stderr, play(role))
		os.Exit(1)
	}
}

// onlyForMeasurements are programs that scripts/install-peers installs for make bench
// alone.
var onlyForMeasurements = regexp.MustCompile("^(sslsplit|mitmproxy)")

func TestAQuickRunMeasuresEverything(t *testing.T) {
	file := filepath.Join(t.TempDir(), "report.json")
	var out strings.Builder
	if err := run(t.Context(), []string{"-quick", "-without", onlyForMeasurements.String(), "-json", file}, &out); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got report
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	next := 0
	for _, w := range workloads() {
		w = w.without(onlyForMeasurements)
		for _, m := range w.metrics {
			if next == len(got.Tables) {
				t.Fatalf("no table for %s: %s", w.name, m.unit)
			}
			checkTable(t, got.Tables[next], w, m)
			if heading := w.name + ": " + m.unit + "\n"; !strings.Contains(out.String(), heading) {
				t.Errorf("the output lacks %q:\n%s", heading, &out)
			}
			next++
		}
	}
	if next != len(got.Tables) {
		t.Errorf("%d tables, want %d", len(got.Tables), next)
	}
}

func checkTable(t *testing.T, got *table, w workload, m metric) {
	t.Helper()
	if got.Workload != w.name || got.Unit != m.unit || len(got.Rows) != len(w.contenders) {
		t.Fatalf("table %s: %s with %d rows, want %s: %s with %d", got.Workload, got.Unit, len(got.Rows), w.name, m.unit, len(w.contenders))
	}
	for i, r := range got.Rows {
		if r.Contender != w.contenders[i].name || len(r.Values) == 0 {
			t.Errorf("%s: row %d is of %s with %d values, want %s", w.name, i, r.Contender, len(r.Values), w.contenders[i].name)
		}
		for _, v := range r.Values {
			// A few flows may fit into memory that a proxy already had.
			if v <= 0 && !strings.HasPrefix(m.unit, "KiB") {
				t.Errorf("%s: %s: %v %s", w.name, r.Contender, v, m.unit)
			}
		}
	}
}

func TestEveryAimAndRatioNamesContendersOfItsWorkload(t *testing.T) {
	seen := map[string]bool{}
	for _, w := range workloads() {
		if seen[w.name] {
			t.Errorf("two workloads are called %s", w.name)
		}
		seen[w.name] = true
		takesPart := map[string]bool{"": true}
		for _, c := range w.contenders {
			if takesPart[c.name] {
				t.Errorf("%s: two contenders are called %q", w.name, c.name)
			}
			takesPart[c.name] = true
		}
		for _, m := range w.metrics {
			if !takesPart[m.versus] {
				t.Errorf("%s: ratios to %s, which takes no part", w.name, m.versus)
			}
			for _, a := range m.aims {
				if a.Of == "" || !takesPart[a.Of] || !takesPart[a.Versus] {
					t.Errorf("%s: an aim of %q against %q: one takes no part", w.name, a.Of, a.Versus)
				}
			}
		}
	}
}

func TestWithoutSomeProgramsNothingRefersToThem(t *testing.T) {
	for _, w := range workloads() {
		less := w.without(regexp.MustCompile("HAProxy"))
		if len(less.contenders) == 0 || len(less.metrics) != len(w.metrics) {
			t.Errorf("%s has %d contenders and %d metrics left", w.name, len(less.contenders), len(less.metrics))
		}
		for _, c := range less.contenders {
			if strings.Contains(c.name, "HAProxy") {
				t.Errorf("%s still has %s", w.name, c.name)
			}
		}
		for _, m := range less.metrics {
			if strings.Contains(m.versus, "HAProxy") {
				t.Errorf("%s still has ratios to %s", w.name, m.versus)
			}
			for _, a := range m.aims {
				if strings.Contains(a.Versus, "HAProxy") {
					t.Errorf("%s still has the aim %+v", w.name, a)
				}
			}
		}
	}
}

func TestTheCommandLine(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want string // of the error; "": none
	}{
		{"nothing", nil, ""},
		{"all of it", []string{"-quick", "-run", "relay", "-json", "f"}, ""},
		{"a refreshed table", []string{"-write"}, ""},
		{"an unknown flag", []string{"-slow"}, "not defined"},
		{"an argument", []string{"relay"}, `unknown argument "relay"`},
		{"a bad pattern", []string{"-run", "("}, "-run: error parsing regexp"},
		{"a table of quick numbers", []string{"-write", "-quick"}, "-write wants the whole run"},
		{"a table of some numbers", []string{"-write", "-run", "relay"}, "-write wants the whole run"},
		{"a table of some programs", []string{"-write", "-without", "nginx"}, "-write wants the whole run"},
		{"a bad pattern of programs", []string{"-without", "("}, "-without: error parsing regexp"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse(tt.args)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("parse(%q) = %v, want %q", tt.args, err, tt.want)
			}
		})
	}
	if err := run(t.Context(), []string{"-run", "nothing like it"}, t.Output()); err == nil || !strings.Contains(err.Error(), "no workload matches") {
		t.Errorf("run() of no workload = %v", err)
	}
}

func TestTheReadmeHasTheTableOfEveryWorkload(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), tableBegins)
	results, _, ended := strings.Cut(rest, tableEnds)
	if !ended {
		t.Fatal("no results in the README")
	}
	if !regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\d, go1\.`).MatchString(results) {
		t.Error("the results have no date")
	}
	for _, w := range workloads() {
		for _, m := range w.metrics {
			if row := fmt.Sprintf("| **%s**, %s | ", w.name, m.unit); !strings.Contains(results, row) {
				t.Errorf("the results lack %q: run go run ./bench -write", row)
			}
		}
	}
}

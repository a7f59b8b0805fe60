package main

import (
	"math"
	"slices"
	"testing"
)

func TestMedianAndSpread(t *testing.T) {
	tests := []struct {
		values []float64
		want   spread
	}{
		{[]float64{3}, spread{3, 3, 3}},
		{[]float64{9, 1}, spread{5, 1, 9}},
		{[]float64{5, 100, 1}, spread{5, 1, 100}},
		{[]float64{4, 1, 3, 2}, spread{2.5, 1, 4}},
	}
	for _, tt := range tests {
		kept := slices.Clone(tt.values)
		if got := spreadOf(tt.values); got != tt.want {
			t.Errorf("spreadOf(%v) = %v, want %v", tt.values, got, tt.want)
		}
		if !slices.Equal(kept, tt.values) {
			t.Errorf("spreadOf(%v) changed its argument to %v", kept, tt.values)
		}
	}
}

func TestRatiosAreTakenRoundByRound(t *testing.T) {
	// A neighbour slowed the second round down, for both.
	if got := ratios([]float64{1, 30, 2}, []float64{2, 60, 4}); !slices.Equal(got, []float64{.5, .5, .5}) {
		t.Errorf("ratios() = %v, want .5 three times", got)
	}
	if got := ratios([]float64{1, 2}, []float64{1, 0}); got != nil {
		t.Errorf("ratios() to zero = %v, want none", got)
	}
}

func TestNumbersHaveThreeDigits(t *testing.T) {
	for v, want := range map[float64]string{0: "0", .01234: "0.0123", .5: "0.500", 1: "1.00", 9.876: "9.88", 98.76: "98.8", 987.6: "988", 98765: "98765", -1.5: "-1.50"} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %s, want %s", v, got, want)
		}
	}
}

func TestAnAimIsJudged(t *testing.T) {
	tests := []struct {
		name           string
		aim            aim
		values, versus []float64
		want           outcome
	}{
		{"a ratio below", aim{"a", "b", .5}, []float64{1, 2, 3}, []float64{4, 4, 4}, outcome{Got: .5, Met: true}},
		{"a ratio above", aim{"a", "b", .5}, []float64{3, 3, 3}, []float64{4, 4, 4}, outcome{Got: .75}},
		{"a value that rounds to the bound", aim{"a", "", 2}, []float64{2.004}, nil, outcome{Got: 2.004, Met: true}},
		{"a value above the bound", aim{"a", "", 2}, []float64{2.01}, nil, outcome{Got: 2.01}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.aim = tt.aim
			if got := tt.aim.judge(tt.values, tt.versus); got != tt.want {
				t.Errorf("judge() = %+v, want %+v", got, tt.want)
			}
		})
	}
}

// example is a table of two contenders and three rounds.
func example() *table {
	w := workload{name: "some load", contenders: []contender{{name: "ours"}, {name: "theirs"}}}
	m := metric{unit: "CPU-s per unit", versus: "theirs", aims: []aim{{"ours", "theirs", .4}, {Of: "ours", AtMost: .5}}}
	return newTable(w, m, [][]float64{{.1, .3, .2}, {.2, .6, .8}})
}

func TestATableAsText(t *testing.T) {
	const want = `some load: CPU-s per unit
           median   spread        of theirs   spread      aim
  ours     0.200    0.100–0.300   0.50        0.25–0.50   ≤ 0.4 of theirs: missed at 0.50, ≤ 0.5: met at 0.20
  theirs   0.600    0.200–0.800   1.00        1.00–1.00
`
	if got := example().String(); got != want {
		t.Errorf("String() =\n%s, want\n%s", got, want)
	}
}

func TestAReportAsMarkdown(t *testing.T) {
	r := &report{Date: "2026-01-02", Go: "go1.26", Kernel: "6.1", CPUs: 2, Load: "0.30", Programs: []string{"theirs 1.0"}, Tables: []*table{example()}}
	const want = `
2026-01-02, go1.26, Linux 6.1, 2 CPUs, load 0.30, theirs 1.0.

| workload | program | median | spread | ratio | spread | aim |
|---|---|---|---|---|---|---|
| **some load**, CPU-s per unit | ours | 0.200 | 0.100–0.300 | 0.50 of theirs | 0.25–0.50 | ≤ 0.4 of theirs: missed at 0.50, ≤ 0.5: met at 0.20 |
|  | theirs | 0.600 | 0.200–0.800 | 1.00 | 1.00–1.00 |  |

`
	if got := r.markdown(); got != want {
		t.Errorf("markdown() =\n%s, want\n%s", got, want)
	}
	if got, want := r.verdict(), "1 aims met, 1 missed\n  some load: ours: ≤ 0.4 of theirs: missed at 0.50"; got != want {
		t.Errorf("verdict() = %q, want %q", got, want)
	}
}

func TestResultsAreReplacedInPlace(t *testing.T) {
	text := "above\n" + tableBegins + "old\n" + tableEnds + "below\n"
	want := "above\n" + tableBegins + "new\n" + tableEnds + "below\n"
	if got, err := withResults(text, "new\n"); got != want || err != nil {
		t.Errorf("withResults() = %q, %v, want %q", got, err, want)
	}
	for _, text := range []string{"", tableBegins, tableEnds + tableBegins} {
		if got, err := withResults(text, "new\n"); got != "" || err == nil {
			t.Errorf("withResults(%q) = %q, %v, want an error", text, got, err)
		}
	}
}

func TestATableWithoutAReferenceHasNoRatios(t *testing.T) {
	w := workload{name: "w", contenders: []contender{{name: "a"}, {name: "b"}}}
	for _, versus := range []string{"", "b"} {
		for _, r := range newTable(w, metric{unit: "u", versus: versus}, [][]float64{{1}, {0}}).Rows {
			if r.Ratio != nil || math.IsInf(r.Spread.Median, 0) {
				t.Errorf("versus %q: row %+v, want no ratio", versus, r)
			}
		}
	}
}

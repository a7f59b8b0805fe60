package main

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
)

// A table is what is known about one metric of a workload.
type table struct {
	Workload string `json:"workload"`
	Unit     string `json:"unit"`
	Versus   string `json:"versus,omitempty"`
	Rows     []row  `json:"rows"`
}

// A row is one contender's.
type row struct {
	Contender string    `json:"contender"`
	Values    []float64 `json:"values"` // one for each round
	Spread    spread    `json:"spread"`
	Ratio     *spread   `json:"ratio,omitempty"` // of the rounds' ratios to Versus
	Aims      []outcome `json:"aims,omitempty"`
}

// An outcome is an aim and what came of it.
type outcome struct {
	aim
	Got float64 `json:"got"`
	Met bool    `json:"met"`
}

// newTable works out the rows from each contender's values, one for each round.
func newTable(w workload, m metric, values [][]float64) *table {
	t := &table{Workload: w.name, Unit: m.unit, Versus: m.versus}
	byName := map[string][]float64{}
	for i, c := range w.contenders {
		byName[c.name] = values[i]
	}
	for i, c := range w.contenders {
		r := row{Contender: c.name, Values: values[i], Spread: spreadOf(values[i])}
		if m.versus != "" {
			r.compare(byName[m.versus])
		}
		for _, a := range m.aims {
			if a.Of == c.name {
				r.Aims = append(r.Aims, a.judge(values[i], byName[a.Versus]))
			}
		}
		t.Rows = append(t.Rows, r)
	}
	return t
}

func (r *row) compare(versus []float64) {
	if by := ratios(r.Values, versus); by != nil {
		ratio := spreadOf(by)
		r.Ratio = &ratio
	}
}

// judge holds an aim against the values, and those that it is relative to. What
// rounds to the bound, at two decimals, meets it: nothing here is measured better.
func (a aim) judge(values, versus []float64) outcome {
	got := median(values)
	if a.Versus != "" {
		got = median(ratios(values, versus))
	}
	return outcome{a, got, got < a.AtMost+.005}
}

func (o outcome) String() string {
	of, verdict := "", "missed"
	if o.Versus != "" {
		of = " of " + o.Versus
	}
	if o.Met {
		verdict = "met"
	}
	return fmt.Sprintf("≤ %s%s: %s at %.2f", strconv.FormatFloat(o.AtMost, 'f', -1, 64), of, verdict, o.Got)
}

// String returns the table as text for people.
func (t *table) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", t.Workload, t.Unit)
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	versus := ""
	if t.Versus != "" {
		versus = "of " + t.Versus
	}
	fmt.Fprintf(w, "\tmedian\tspread\t%s\tspread\taim\n", versus)
	for _, r := range t.Rows {
		fmt.Fprintln(w, strings.TrimRight("  "+strings.Join(r.cells(), "\t"), "\t"))
	}
	w.Flush()
	return trimLines(b.String())
}

// cells returns the contender, its median and spread, its ratio and spread, its aims.
func (r row) cells() []string {
	cells := []string{r.Contender, number(r.Spread.Median), r.Spread.String(), "", "", ""}
	if r.Ratio != nil {
		cells[3], cells[4] = fmt.Sprintf("%.2f", r.Ratio.Median), fmt.Sprintf("%.2f–%.2f", r.Ratio.Min, r.Ratio.Max)
	}
	var aims []string
	for _, o := range r.Aims {
		aims = append(aims, o.String())
	}
	cells[5] = strings.Join(aims, ", ")
	return cells
}

func (s spread) String() string { return number(s.Min) + "–" + number(s.Max) }

func number(v float64) string { return strconv.FormatFloat(v, 'f', decimals(v), 64) }

// trimLines removes the spaces that the columns leave at the ends of lines.
func trimLines(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return b.String()
}

package policy

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// Verdict is what a rule says of a flow when it is explained.
type Verdict string

// The verdicts.
const (
	Matches  Verdict = "match"
	Differs  Verdict = "no"
	Awaiting Verdict = "awaits"   // it can't be told before the server was asked
	Inactive Verdict = "inactive" // it was not asked
)

// Step is a rule that was asked, and what it said.
type Step struct {
	Rule        string  `json:"rule"` // its number, "default", or the option that it is
	Line        int     `json:"line,omitzero"`
	Type        string  `json:"type,omitempty"`
	Expression  string  `json:"expression,omitempty"`
	Description string  `json:"description,omitempty"`
	Verdict     Verdict `json:"verdict"`
	Why         string  `json:"why,omitempty"`
}

// String is the step for people.
func (s Step) String() string {
	var b strings.Builder
	b.WriteString(s.Rule)
	if s.Line > 0 {
		fmt.Fprintf(&b, " (line %d)", s.Line)
	}
	if s.Type != "" {
		fmt.Fprintf(&b, " %s", s.Type)
	}
	if s.Expression != "" {
		fmt.Fprintf(&b, " %s", printable(shortened(s.Expression)))
	}
	if s.Description != "" {
		fmt.Fprintf(&b, " %q", shortened(s.Description))
	}
	fmt.Fprintf(&b, ": %s", s.Verdict)
	if s.Why != "" {
		fmt.Fprintf(&b, ": %s", s.Why)
	}
	return b.String()
}

// printable quotes what a terminal would obey.
func printable(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
		return strconv.Quote(s)
	}
	return s
}

// Explain decides on a flow as Decide does, and says how that came about: which rules were asked up to the one that has
// decided.
func (r *Rules) Explain(f Facts) (Decision, []Step) {
	if r == nil {
		return r.Decide(f), nil
	}
	book := r.current.Load()
	steps := r.explainPassed(book.passed, &f)
	if last := len(steps) - 1; book.ruleset != nil && (last < 0 || steps[last].Verdict != Matches) {
		steps = append(steps, book.ruleset.explain(&query{Facts: f, sni: f.name(), failures: r.failures})...)
	}
	return r.Decide(f), steps
}

// explainPassed explains the options that go before the rules.
func (r *Rules) explainPassed(p *passedNames, f *Facts) (steps []Step) {
	by, _ := p.passes(f)
	why := seenName(&query{Facts: *f, sni: f.name()})
	if p.all {
		why = "everything is passed on"
	}
	for _, option := range []struct {
		name  string
		given bool
	}{
		{"bypassexact", len(r.sources.BypassExact) > 0},
		{"bypass", p.all || len(p.expressions) > 0},
	} {
		if !option.given {
			continue
		}
		step := Step{Rule: option.name, Verdict: Differs, Why: why}
		if by == option.name {
			step.Verdict = Matches
			return append(steps, step)
		}
		steps = append(steps, step)
	}
	return steps
}

// explain asks each rule, one after the other, as the index does not.
func (s *ruleset) explain(q *query) (steps []Step) {
	for i := range s.rules {
		step := s.rules[i].explain(i+1, q)
		steps = append(steps, step)
		if step.Verdict == Matches {
			return steps
		}
	}
	return append(steps, Step{Rule: "default", Verdict: Matches, Why: "no rule before it matches"})
}

func (r *rule) explain(number int, q *query) Step {
	step := Step{
		Rule: fmt.Sprintf("rule %d", number), Line: r.line, Type: r.kind,
		Expression: r.expression, Description: r.description, Verdict: Differs,
	}
	if !r.active {
		step.Verdict = Inactive
		return step
	}
	_, ofHello := r.matcher.(interface{ hello() })
	if ofHello && q.NonTLS {
		step.Why = "it is not TLS"
		return step
	}
	step.Why = r.matcher.seen(q)
	switch r.says(q) {
	case yes:
		step.Verdict = Matches
	case open:
		step.Verdict = Awaiting
	}
	return step
}

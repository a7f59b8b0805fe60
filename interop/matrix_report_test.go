package interop

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// A cellCount is how many cells were bridged, of those that work without us.
type cellCount struct{ bridged, possible int }

func (c cellCount) String() string {
	if c.possible == 0 {
		return "–"
	}
	return fmt.Sprintf("%d/%d", c.bridged, c.possible)
}

// matrixReport writes what a whole run saw.
func matrixReport(outcomes []outcome, exceptions []exception, day time.Time) string {
	var b strings.Builder
	total := countCells(outcomes, func(cell) bool { return true })
	fmt.Fprintf(&b, `# The matrix of TLS peers

Written by `+"`make full`"+` on %s.

Of %d cells, %d work without mitm, and all of those are bridged but what is said below: the page
arrives, decrypted on its way; version, ALPN, group, and before TLS 1.3 the cipher suite are the
same on both sides. For %d of them, JA3 and JA4 of the hello that reaches the server are the
client's; each count below is of those. It is over two versions of TLS, three keys, three choices
of ALPN, and three paths: direct, SOCKS5, CONNECT.

`, day.UTC().Format(time.DateOnly), len(outcomes), total.possible, total.bridged)
	d := dimensions()
	fmt.Fprintf(&b, "| client | %s |\n|---|%s\n", strings.Join(d[1], " | "), strings.Repeat("---|", len(d[1])))
	for _, client := range d[0] {
		fmt.Fprintf(&b, "| %s |", client)
		for _, server := range d[1] {
			fmt.Fprintf(&b, " %s |", countCells(outcomes, func(c cell) bool { return c.client == client && c.server == server }))
		}
		b.WriteString("\n")
	}
	reportUnable(&b, outcomes)
	reportExceptions(&b, outcomes, exceptions)
	reportFailures(&b, judgeMatrix(outcomes, exceptions, true))
	return b.String()
}

func countCells(outcomes []outcome, in func(cell) bool) cellCount {
	var n cellCount
	for _, o := range outcomes {
		if o.direct != nil || !in(o.cell) {
			continue
		}
		n.possible++
		if o.bridged == nil {
			n.bridged++
		}
	}
	return n
}

func reportUnable(b *strings.Builder, outcomes []outcome) {
	reasons := map[string]int{}
	for _, o := range outcomes {
		if o.direct != nil {
			reasons[cmp.Or(o.unable(), o.direct.Error())]++
		}
	}
	if len(reasons) == 0 {
		return
	}
	b.WriteString("\n## What does not work without mitm\n\n| cells | because |\n|---|---|\n")
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		fmt.Fprintf(b, "| %d | %s |\n", reasons[reason], reason)
	}
}

func reportExceptions(b *strings.Builder, outcomes []outcome, exceptions []exception) {
	if len(exceptions) == 0 {
		return
	}
	b.WriteString("\n## Exceptions\n\n| cells | which | because | see |\n|---|---|---|---|\n")
	for _, e := range exceptions {
		n := countCells(outcomes, e.matches)
		fmt.Fprintf(b, "| %d | `%s` | %s | %s |\n", n.possible-n.bridged, e.pattern, e.reason, e.reference)
	}
}

func reportFailures(b *strings.Builder, wrong []string) {
	if len(wrong) == 0 {
		return
	}
	b.WriteString("\n## Failures\n\n")
	for _, text := range wrong {
		first, _, _ := strings.Cut(text, "\n")
		fmt.Fprintf(b, "- %s\n", first)
	}
}

func TestAReportCounts(t *testing.T) {
	one := cell{"curl", "go", "1.3", "rsa", "h2", "direct"}
	other := one
	other.path = "socks5"
	broken := one
	broken.alpn = "h1"
	none := cell{"wget", "go", "1.3", "rsa", "h2", "direct"}
	got := matrixReport([]outcome{{one, nil, nil}, {other, nil, &otherHello{"bad"}}, {broken, nil, errors.New("broken\nbecause")}, {none, errors.New("no"), nil}},
		[]exception{{"*/*/*/*/*/socks5", "so it is", "RFC 1"}}, time.Date(2026, 1, 2, 23, 59, 0, 0, time.UTC))
	for _, want := range []string{
		"on 2026-01-02.", "Of 4 cells, 3 work without mitm,", "For 1 of them",
		"| client | nginx | s_server | gnutls-serv | node | go |\n",
		"| curl | – | – | – | – | 1/3 |\n", "| wget | – | – | – | – | – |\n",
		"## Failures\n\n- curl/go/1.3/rsa/h1/direct: broken\n",
		"| 1 | the client offers no ALPN |\n", "| 1 | `*/*/*/*/*/socks5` | so it is | RFC 1 |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the report lacks %q:\n%s", want, got)
		}
	}
}

package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// A report is a whole run.
type report struct {
	Date     string   `json:"date"`
	Go       string   `json:"go"`
	Kernel   string   `json:"kernel"`
	CPUs     int      `json:"cpus"`
	Load     string   `json:"load"`     // average of the minute before: what else the machine does
	Programs []string `json:"programs"` // what they were compared with
	Scale    scale    `json:"scale"`
	Tables   []*table `json:"tables"`
}

func newReport(ctx context.Context, s scale) *report {
	return &report{
		Date:     time.Now().UTC().Format(time.DateOnly),
		Go:       runtime.Version(),
		Kernel:   kernel(),
		CPUs:     runtime.NumCPU(),
		Load:     loadAverage(),
		Programs: programs(ctx),
		Scale:    s,
	}
}

func kernel() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(name.Release[:])
}

func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	minute, _, _ := strings.Cut(string(text), " ")
	return minute
}

// programs asks the package database which versions the peers have; not all of them
// would say. Elsewhere than on Debian nothing is said.
func programs(ctx context.Context) []string {
	res, err := peers.Run(ctx, nil, "dpkg-query", "-W", "-f", `${Package} ${Version}\n`, "haproxy", "nginx-light", "microsocks", "tinyproxy", "sslsplit", "mitmproxy")
	if err != nil || res.Stdout == "" {
		return nil // it also fails when it does not know one of them
	}
	return strings.Split(strings.TrimSpace(res.Stdout), "\n")
}

func (r *report) heading() string {
	words := []string{r.Date, r.Go, "Linux " + r.Kernel, fmt.Sprintf("%d CPUs", r.CPUs), "load " + r.Load}
	return strings.Join(append(words, r.Programs...), ", ")
}

// verdict counts the aims.
func (r *report) verdict() string {
	met, missed := 0, []string(nil)
	for _, t := range r.Tables {
		for _, row := range t.Rows {
			for _, o := range row.Aims {
				if o.Met {
					met++
				} else {
					missed = append(missed, fmt.Sprintf("  %s: %s: %s", t.Workload, row.Contender, o))
				}
			}
		}
	}
	return strings.Join(append([]string{fmt.Sprintf("%d aims met, %d missed", met, len(missed))}, missed...), "\n")
}

// readme is the file with the table, seen from the module's root.
const readme = "bench/README.md"

// The table stands between these lines of it.
const (
	tableBegins = "<!-- results: written by go run ./bench -write -->\n"
	tableEnds   = "<!-- end of results -->\n"
)

func (o options) writeReadme(r *report) error {
	if !o.write {
		return nil
	}
	text, err := os.ReadFile(readme)
	if err != nil {
		return err
	}
	updated, err := withResults(string(text), r.markdown())
	if err != nil {
		return fmt.Errorf("%s: %w", readme, err)
	}
	return os.WriteFile(readme, []byte(updated), 0o644)
}

// withResults replaces what stands between the two lines.
func withResults(text, results string) (string, error) {
	before, rest, ok := strings.Cut(text, tableBegins)
	_, after, ended := strings.Cut(rest, tableEnds)
	if !ok || !ended {
		return "", fmt.Errorf("no %q with %q after it", strings.TrimSpace(tableBegins), strings.TrimSpace(tableEnds))
	}
	return before + tableBegins + results + tableEnds + after, nil
}

// markdown returns all tables as one.
func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s.\n\n", r.heading())
	b.WriteString("| workload | program | median | spread | ratio | spread | aim |\n|---|---|---|---|---|---|---|\n")
	for _, t := range r.Tables {
		name := fmt.Sprintf("**%s**, %s", t.Workload, t.Unit)
		for _, row := range t.Rows {
			cells := row.cells()
			if row.Ratio != nil && row.Contender != t.Versus {
				cells[3] += " of " + t.Versus
			}
			fmt.Fprintf(&b, "| %s | %s |\n", name, strings.Join(cells, " | "))
			name = ""
		}
	}
	return b.String() + "\n"
}

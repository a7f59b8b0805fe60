package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A fuzzPackage is a package with fuzz targets, and its instrumented test binary.
type fuzzPackage struct {
	name    string
	dir     string
	targets []string
	binary  string
}

// fuzzBudget returns the time that all targets share, from the text of FUZZ_S.
func fuzzBudget(text string, full bool) (time.Duration, error) {
	switch {
	case text == "" && full:
		return 1800 * time.Second, nil
	case text == "":
		return 90 * time.Second, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("FUZZ_S=%q: want a number of seconds", text)
	}
	return time.Duration(n) * time.Second, nil
}

// share is each target's part of the budget. Less than a second would end before
// the seeds were measured.
func share(budget time.Duration, targets int) time.Duration {
	return max(budget/time.Duration(targets), time.Second)
}

// fuzzAll finds every fuzz target and fuzzes as many at a time as there are
// processors: what the engine does before and after, which is most of a short run,
// has one to itself. It fails when it finds none. A finding stays in testdata/fuzz, where
// it is a seed of the ordinary tests from then on.
//
// Each package is built once, rather than once for each of its targets as go test
// -fuzz does. Short runs begin from the seeds, so that they cost the same every
// time; a full run keeps what it learnt in .cache/fuzz.
func fuzzAll(ctx context.Context, out io.Writer, budget time.Duration, full bool) (tally, error) {
	tmp, err := os.MkdirTemp("", "fuzz")
	if err != nil {
		return tally{}, err
	}
	defer os.RemoveAll(tmp)
	pkgs, n, err := fuzzPackages(ctx)
	if err != nil {
		return tally{}, err
	}
	if n == 0 {
		return tally{}, errors.New("no fuzz target found")
	}
	began := time.Now()
	if err := buildFuzzers(ctx, out, pkgs, tmp); err != nil {
		return tally{failed: 1}, err
	}
	atOnce := runtime.GOMAXPROCS(0)
	each := share(budget*time.Duration(atOnce), n)
	fmt.Fprintf(out, "%d targets in %d packages, built in %s; %s each\n",
		n, len(pkgs), time.Since(began).Round(time.Second), each.Round(100*time.Millisecond))
	cache := tmp
	if full {
		if cache, err = filepath.Abs(".cache/fuzz"); err != nil {
			return tally{}, err
		}
	}
	var (
		running sync.WaitGroup
		slots   = make(chan struct{}, atOnce)
		mu      sync.Mutex
		t       tally
	)
	for _, p := range pkgs {
		for _, target := range p.targets {
			if ctx.Err() != nil {
				break
			}
			slots <- struct{}{}
			running.Go(func() {
				defer func() { <-slots }()
				ok, text := p.fuzz(ctx, target, each, filepath.Join(cache, p.name))
				mu.Lock()
				defer mu.Unlock()
				fmt.Fprint(out, text)
				if ok {
					t.passed++
				} else {
					t.failed++
				}
			})
		}
	}
	running.Wait()
	return t, ctx.Err()
}

// fuzzPackages asks each package that mentions a fuzz target for its list. Only
// those are asked, because the answer costs a linked test binary.
func fuzzPackages(ctx context.Context) ([]fuzzPackage, int, error) {
	const format = `{{.ImportPath}}{{"\t"}}{{.Dir}}{{range .TestGoFiles}}{{"\t"}}{{.}}{{end}}{{range .XTestGoFiles}}{{"\t"}}{{.}}{{end}}`
	list, err := prepare(ctx, "go", "list", "-f", format, "./...").Output()
	if err != nil {
		return nil, 0, fmt.Errorf("go list: %w", explain(err))
	}
	var pkgs []fuzzPackage
	var n int
	for line := range strings.Lines(string(list)) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		p := fuzzPackage{name: fields[0], dir: fields[1]}
		mentioned, err := mentionsFuzz(p.dir, fields[2:])
		if err != nil {
			return nil, 0, err
		}
		if !mentioned {
			continue
		}
		names, err := prepare(ctx, "go", "test", "-list", "^Fuzz", p.name).Output()
		if err != nil {
			return nil, 0, fmt.Errorf("go test -list %s: %w\n%s", p.name, explain(err), names)
		}
		if p.targets = targetNames(string(names)); len(p.targets) > 0 {
			pkgs = append(pkgs, p)
			n += len(p.targets)
		}
	}
	return pkgs, n, nil
}

func mentionsFuzz(dir string, files []string) (bool, error) {
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return false, err
		}
		if bytes.Contains(text, []byte("*testing.F)")) {
			return true, nil
		}
	}
	return false, nil
}

// targetNames picks the targets out of what go test -list prints: one name a
// line, then a line about the package.
func targetNames(list string) []string {
	var names []string
	for line := range strings.Lines(list) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "Fuzz") && !strings.ContainsAny(line, " \t") {
			names = append(names, line)
		}
	}
	return names
}

func buildFuzzers(ctx context.Context, out io.Writer, pkgs []fuzzPackage, dir string) error {
	for i := range pkgs {
		pkgs[i].binary = filepath.Join(dir, strconv.Itoa(i)+".test")
		if err := command(ctx, out, "go", "test", "-c", "-fuzz=^Fuzz", "-o", pkgs[i].binary, pkgs[i].name); err != nil {
			return err
		}
	}
	return nil
}

// fuzz runs one target for d and reports whether nothing was found, and what is to be said.
func (p fuzzPackage) fuzz(ctx context.Context, target string, d time.Duration, cache string) (ok bool, say string) {
	// The engine has no limit of its own for an input that hangs.
	ctx, cancel := context.WithTimeout(ctx, d+2*time.Minute)
	defer cancel()
	before := p.corpus(target)
	// Minimizing, which also what merely covers more goes through, is bounded by
	// executions: by time it would eat the whole of a short run.
	cmd := prepare(ctx, p.binary, "-test.run=^$", "-test.fuzz=^"+target+"$", "-test.fuzzcachedir="+cache,
		"-test.fuzztime="+d.String(), "-test.fuzzminimizetime=20x", "-test.parallel=1", "-test.paniconexit0")
	cmd.Dir = p.dir
	text, err := cmd.CombinedOutput()
	switch {
	case err == nil:
		return true, fmt.Sprintf("ok    %s %s (%s)\n", p.name, target, executions(string(text)))
	case ctx.Err() == nil && p.corpus(target) == before && deadlineRace(string(text)):
		return true, fmt.Sprintf("ok    %s %s (%s; ended by the engine's deadline race)\n", p.name, target, executions(string(text)))
	}
	return false, fmt.Sprintf("%s\nFAIL  %s %s: %v\n", text, p.name, target, err)
}

// corpus counts the target's committed inputs, to which a finding adds one.
func (p fuzzPackage) corpus(target string) int {
	entries, err := os.ReadDir(filepath.Join(p.dir, "testdata", "fuzz", target))
	if err != nil {
		return 0 // the folder appears with the first finding
	}
	return len(entries)
}

// deadlineRace recognises a failure that is none. Up to Go 1.26 the engine may
// take the end of -fuzztime for an error of the target (go.dev/issue/75804); it
// then prints this line alone, and writes no input.
func deadlineRace(text string) bool {
	_, after, ok := strings.Cut(text, "--- FAIL: ")
	if !ok {
		return false
	}
	_, after, _ = strings.Cut(after, "\n")
	before, _, _ := strings.Cut(after, "FAIL")
	return strings.TrimSpace(before) == "context deadline exceeded"
}

// executions returns the last count that the engine printed.
func executions(text string) string {
	i := strings.LastIndex(text, "execs: ")
	if i < 0 {
		return "seeds only"
	}
	count, _, _ := strings.Cut(text[i+len("execs: "):], " ")
	return count + " executions"
}

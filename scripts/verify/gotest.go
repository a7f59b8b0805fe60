package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// A tally counts top-level tests, examples and fuzz targets.
type tally struct{ passed, failed int }

// testEvent is one line of go test -json; see go doc test2json, and go help
// buildjson for the lines of a failed build.
type testEvent struct {
	Action      string
	Package     string
	Test        string
	Elapsed     float64
	Output      string
	ImportPath  string // of build-output and build-fail
	FailedBuild string // of a package's fail
}

// unitTests runs the tests of all packages but interop. A full run repeats them,
// shuffled anew, so that an order or a race that is rare gets its chance.
func unitTests(ctx context.Context, out io.Writer, full bool) (tally, error) {
	units, _, err := goList(ctx)
	if err != nil {
		return tally{}, err
	}
	args := []string{"-race", "-shuffle=on", "-timeout=10m"}
	if full {
		args = append(args, "-count=5", "-timeout=45m")
	}
	return goTest(ctx, out, nil, nil, append(args, units...))
}

// mutationTests sends 100,000 mutated hellos where the other tests send 5,000. Races are for
// those: without their detector it takes minutes.
func mutationTests(ctx context.Context, out io.Writer) (tally, error) {
	return goTest(ctx, out, []string{"MITM_MUTATIONS=100000"}, nil,
		[]string{"-run=^TestMutatedHellos", "-count=1", "-timeout=30m", "./layers/tlsbridge/..."})
}

// interopTests runs interop: a sample of its matrices, or all of them.
func interopTests(ctx context.Context, out io.Writer, full bool, record *matrix) (tally, error) {
	_, interop, err := goList(ctx)
	if err != nil {
		return tally{}, err
	}
	if len(interop) == 0 {
		return tally{}, errors.New("no interop package")
	}
	scope, timeout := "sample", "-timeout=10m"
	if full {
		scope, timeout = "full", "-timeout=60m"
	}
	args := append([]string{"-race", "-shuffle=on", "-count=1", timeout}, interop...)
	return goTest(ctx, out, []string{"INTEROP=" + scope}, record, args)
}

// goTest runs go test and reports on it. A run that executed no test has failed.
func goTest(ctx context.Context, out io.Writer, env []string, record *matrix, args []string) (tally, error) {
	cmd := prepare(ctx, "go", append([]string{"test", "-json"}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	var complaints bytes.Buffer // not out: two writers would race for it
	cmd.Stderr = &complaints
	events, err := cmd.StdoutPipe()
	if err != nil {
		return tally{}, err
	}
	if err := cmd.Start(); err != nil {
		return tally{}, err
	}
	r := newReport(out, record)
	readErr := r.read(events)
	err = cmd.Wait()
	fmt.Fprint(out, &complaints)
	switch {
	case err != nil:
		return r.tally, fmt.Errorf("go test: %w", err)
	case readErr != nil:
		return r.tally, readErr
	case r.tally == tally{}:
		return r.tally, errors.New("go test: no test ran")
	case r.tally.failed > 0:
		return r.tally, fmt.Errorf("go test: %d failed", r.tally.failed)
	}
	return r.tally, nil
}

// A report follows the events of one go test run. It keeps the output of what is
// running, prints it when that fails, and forgets it when that passes.
type report struct {
	out    io.Writer
	record *matrix // nil: nobody wants the table
	tally  tally
	output map[string][]string // by package and test, and by the package of a build
	counts map[string]tally    // by package
}

func newReport(out io.Writer, record *matrix) *report {
	return &report{out: out, record: record, output: map[string][]string{}, counts: map[string]tally{}}
}

func (r *report) read(events io.Reader) error {
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			r.line(line)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read test events: %w", err)
		}
	}
}

// line takes one event. Anything else on the stream is for the reader.
func (r *report) line(line string) {
	var e testEvent
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		fmt.Fprint(r.out, line)
		return
	}
	switch e.Action {
	case "output":
		r.keep(e.Package+" "+e.Test, e.Output)
	case "build-output":
		r.keep(e.ImportPath, e.Output)
	case "pass", "fail", "skip":
		if e.Test != "" {
			r.test(e)
		} else {
			r.pkg(e)
		}
	}
}

func (r *report) keep(key, text string) {
	if progress(text) {
		return
	}
	r.output[key] = append(r.output[key], text)
}

// progress reports whether a line of output only says where the run is.
func progress(text string) bool {
	return slices.ContainsFunc([]string{"=== RUN", "=== PAUSE", "=== CONT", "=== NAME"}, func(p string) bool {
		return strings.HasPrefix(text, p)
	})
}

func (r *report) test(e testEvent) {
	key := e.Package + " " + e.Test
	if r.record != nil {
		r.record.add(e)
	}
	if e.Action == "skip" {
		// A check that is skipped is one that nobody runs: install what it needs.
		fmt.Fprintf(r.out, "--- SKIPPED, which counts as failed: %s %s\n", e.Package, e.Test)
	}
	if e.Action != "pass" {
		fmt.Fprint(r.out, strings.Join(r.output[key], ""))
	}
	delete(r.output, key)
	top, _, sub := strings.Cut(e.Test, "/")
	switch {
	case e.Action == "skip" && sub:
		r.count(e.Package, tally{failed: 1})
	case sub:
	case e.Action == "pass":
		r.count(e.Package, tally{passed: 1})
	default:
		r.count(e.Package, tally{failed: 1})
		fmt.Fprintf(r.out, "FAIL  %s %s (%s)\n", e.Package, top, seconds(e.Elapsed))
	}
}

func (r *report) pkg(e testEvent) {
	if e.Action == "fail" {
		r.unfinished(e)
		if r.counts[e.Package].failed == 0 {
			// A build, TestMain, a panic or a timeout: nothing else counted it.
			r.count(e.Package, tally{failed: 1})
		}
		fmt.Fprintf(r.out, "FAIL  %s (%s)\n", e.Package, seconds(e.Elapsed))
		return
	}
	delete(r.output, e.Package+" ")
	if n := r.counts[e.Package].passed; n > 0 {
		fmt.Fprintf(r.out, "ok    %s (%d passed, %s)\n", e.Package, n, seconds(e.Elapsed))
	}
}

// unfinished prints what is still kept of a failed package: the compiler's words,
// the output of tests that a panic cut short, and that of the package itself.
func (r *report) unfinished(e testEvent) {
	keys := []string{e.FailedBuild}
	for key := range r.output {
		if strings.HasPrefix(key, e.Package+" ") {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		fmt.Fprint(r.out, strings.Join(r.output[key], ""))
		delete(r.output, key)
	}
}

func (r *report) count(pkg string, t tally) {
	c := r.counts[pkg]
	r.counts[pkg] = tally{c.passed + t.passed, c.failed + t.failed}
	r.tally.passed += t.passed
	r.tally.failed += t.failed
}

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(10 * time.Millisecond)
}

// Verify runs the project's checks: what make test, make full, make lint, make
// interop and make fuzz call.
//
//	go run ./scripts/verify test      peers, lint, tests under -race, interop sample, fuzz
//	go run ./scripts/verify full      the same with whole matrices, repeated, and longer
//
// The stages run in order and stop at the first that fails. The last line is always
// "N passed, M failed", counting tests and fuzz targets, and one for a stage that
// failed otherwise; the exit code is 1 unless M is 0. It is a program rather than
// a shell script so that its parsing, its counting and its budget have tests.
//
// Environment: FUZZ_S, the seconds that all fuzz targets share (90; full: 1800).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A stage is one step of a run. It prints what a reader needs and returns what it
// counted; an error means that it failed, whatever it counted.
type stage struct {
	name string
	run  func(ctx context.Context, out io.Writer) (tally, error)
}

func main() {
	if err := os.Chdir(moduleRoot()); err != nil {
		fmt.Fprintln(os.Stderr, "verify:", err)
		os.Exit(2)
	}
	stages, err := plan(os.Args[1:], os.Getenv)
	if err != nil {
		fmt.Fprintln(os.Stderr, "verify:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if !runStages(ctx, os.Stdout, stages) {
		os.Exit(1)
	}
}

// plan turns the command line into stages.
func plan(args []string, getenv func(string) string) ([]stage, error) {
	if len(args) != 1 {
		return nil, errors.New("usage: verify test|full|lint|interop|fuzz")
	}
	full := args[0] == "full"
	budget, err := fuzzBudget(getenv("FUZZ_S"), full)
	if err != nil {
		return nil, err
	}
	record := &matrix{}
	peers := stage{"peers", func(ctx context.Context, out io.Writer) (tally, error) { return installPeers(ctx, out, full) }}
	lint := stage{"lint", lintAll}
	tests := stage{"test", func(ctx context.Context, out io.Writer) (tally, error) { return unitTests(ctx, out, full) }}
	mutations := stage{"mutations", mutationTests}
	interop := stage{"interop", func(ctx context.Context, out io.Writer) (tally, error) { return interopTests(ctx, out, full, record) }}
	fuzz := stage{"fuzz", func(ctx context.Context, out io.Writer) (tally, error) { return fuzzAll(ctx, out, budget, full) }}
	switch args[0] {
	case "test":
		return []stage{peers, lint, tests, interop, fuzz}, nil
	case "full":
		table := stage{"table", func(_ context.Context, out io.Writer) (tally, error) { return tally{}, record.write(out, time.Now()) }}
		return []stage{peers, lint, tests, mutations, interop, table, fuzz}, nil
	case "lint":
		return []stage{lint}, nil
	case "interop":
		return []stage{peers, interop}, nil
	case "fuzz":
		return []stage{fuzz}, nil
	}
	return nil, fmt.Errorf("unknown run %q: want test, full, lint, interop or fuzz", args[0])
}

// runStages runs the stages until one fails, prints the summary, and reports
// whether all went well.
func runStages(ctx context.Context, out io.Writer, stages []stage) bool {
	var total tally
	var done []string
	began := time.Now()
	for _, s := range stages {
		fmt.Fprintf(out, "== %s\n", s.name)
		start := time.Now()
		t, err := s.run(ctx, out)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			fmt.Fprintf(out, "%s: %v\n", s.name, err)
			t.failed = max(t.failed, 1)
		}
		total.passed += t.passed
		total.failed += t.failed
		done = append(done, summary(s.name, t, time.Since(start)))
		if t.failed > 0 {
			done = append(done, "stopped there")
			break
		}
	}
	fmt.Fprintf(out, "== %s, %s in all\n", strings.Join(done, ", "), time.Since(began).Round(time.Second))
	fmt.Fprintf(out, "%d passed, %d failed\n", total.passed, total.failed)
	return total.failed == 0
}

func summary(name string, t tally, took time.Duration) string {
	s := name
	if t.passed > 0 {
		s += " " + strconv.Itoa(t.passed) + " passed"
	}
	if t.failed > 0 {
		s += " " + strconv.Itoa(t.failed) + " FAILED"
	}
	return fmt.Sprintf("%s (%s)", s, took.Round(100*time.Millisecond))
}

func installPeers(ctx context.Context, out io.Writer, full bool) (tally, error) {
	var more []string
	if full {
		more = []string{"daemons"}
	}
	return tally{}, command(ctx, out, "scripts/install-peers", more...)
}

// command runs a program, its output going to out. When ctx ends the program is
// told to stop, and killed if it does not.
func command(ctx context.Context, out io.Writer, name string, args ...string) error {
	cmd := prepare(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return nil
}

func prepare(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	// A group of its own, so that the end reaches what the go command started too.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// goList returns the packages of the module, of which interop is one or more.
func goList(ctx context.Context) (units, interop []string, err error) {
	out, err := prepare(ctx, "go", "list", "./...").Output()
	if err != nil {
		return nil, nil, fmt.Errorf("go list: %w", explain(err))
	}
	for _, name := range strings.Fields(string(out)) {
		if strings.HasSuffix(name, "/interop") || strings.Contains(name, "/interop/") {
			interop = append(interop, name)
		} else {
			units = append(units, name)
		}
	}
	return units, interop, nil
}

// explain adds what a failed program wrote to its error, which Output keeps.
func explain(err error) error {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && len(exit.Stderr) > 0 {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
	}
	return err
}

func moduleRoot() string {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "."
	}
	return strings.TrimSuffix(strings.TrimSpace(string(out)), "/go.mod")
}

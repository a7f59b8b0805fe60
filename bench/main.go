// Bench measures mitm side by side with other proxies: HAProxy, nginx, microsocks,
// tinyproxy, sslsplit, mitmproxy, and the shortest Go program that does the same.
//
//	go run ./bench                 the table, in some ten minutes
//	go run ./bench -run 'relay'    some of it
//	go run ./bench -without 'sslsplit|mitmproxy'
//	go run ./bench -write          and refreshes the table in bench/README.md
//
// What counts is the CPU time that the operating system has charged the proxy with,
// per unit of work: not the time that passed, which on a busy machine says more about
// the neighbours. All programs of a workload run at once and take turns, round after
// round, so that what drifts drifts for all; they are compared within a round. The
// README says how to read the numbers.
//
// Client, origin and proxy are on loopback. The loads are of fixed size and have a
// deadline, check the bytes that come through, and end every program they started.
// Linux only.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/bridgeio/bridgeio/internal/peers"
)

func main() {
	if role := os.Getenv(roleVariable); role != "" {
		fmt.Fprintln(os.Stderr, play(role))
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := run(ctx, os.Args[1:], os.Stdout); {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// options are what the flags amount to.
type options struct {
	only    *regexp.Regexp
	without *regexp.Regexp // contenders; nil: all take part
	scale   scale
	json    string
	write   bool
}

func parse(args []string) (options, error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	quick := f.Bool("quick", false, "small loads and one round: whether it works, not how fast it is")
	only := f.String("run", "", "only the workloads whose names match this `regexp`")
	without := f.String("without", "", "leave out the programs whose names match this `regexp`, and what is relative to them")
	file := f.String("json", "", "write every value of every round to this `file` too")
	write := f.Bool("write", false, "refresh the table in "+readme)
	if err := f.Parse(args); err != nil {
		return options{}, err
	}
	if f.NArg() > 0 {
		return options{}, fmt.Errorf("unknown argument %q", f.Arg(0))
	}
	pattern, err := regexp.Compile(*only)
	if err != nil {
		return options{}, fmt.Errorf("-run: %w", err)
	}
	if *write && (*quick || *only != "" || *without != "") {
		return options{}, errors.New("-write wants the whole run: no -quick, -run or -without")
	}
	o := options{only: pattern, scale: whole, json: *file, write: *write}
	if *without != "" {
		if o.without, err = regexp.Compile(*without); err != nil {
			return options{}, fmt.Errorf("-without: %w", err)
		}
	}
	if *quick {
		o.scale = quickly
	}
	return o, nil
}

// run measures what the command line asks for, prints each table when it is known, and
// writes the files at the end.
func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	var chosen []workload
	for _, w := range workloads() {
		if o.only.MatchString(w.name) {
			chosen = append(chosen, w.without(o.without))
		}
	}
	if len(chosen) == 0 {
		return fmt.Errorf("no workload matches %q", o.only)
	}
	l, err := newLab(ctx)
	if err != nil {
		return err
	}
	defer l.close()

	report := newReport(ctx, o.scale)
	fmt.Fprintln(out, report.heading())
	for _, w := range chosen {
		tables, err := w.measure(ctx, l, o.scale)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		for _, t := range tables {
			fmt.Fprintf(out, "\n%s", t)
		}
		report.Tables = append(report.Tables, tables...)
	}
	fmt.Fprintf(out, "\n%s\n", report.verdict())
	return errors.Join(o.writeJSON(report), o.writeReadme(report))
}

func (o options) writeJSON(r *report) error {
	if o.json == "" {
		return nil
	}
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(o.json, append(text, '\n'), 0o644)
}

// A lab is what the contenders are made of.
type lab struct {
	self   string // this program, which plays the Go proxies
	mitm   string // our own command
	dir    string
	module string // our own sources
	certs  certificates

	pattern pattern
}

// newLab builds our command, and raises the descriptor limit: what the loads hold
// open, client's and origin's ends together, is more than most systems allow at first.
func newLab(ctx context.Context) (*lab, error) {
	if err := allowDescriptors(); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	certs, err := newCertificates()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return nil, err
	}
	l := &lab{self: self, mitm: filepath.Join(dir, "mitm"), dir: dir, certs: certs, pattern: newPattern()}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	l.module, err = findModule(ctx)
	if err := errors.Join(err, peers.BuildMitm(ctx, l.mitm, false), os.WriteFile(l.roots(), []byte(certs.root.PEM), 0o644)); err != nil {
		l.close()
		return nil, err
	}
	if err := l.makeAuthority(ctx); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// findModule returns the folder of the module that the working directory is in.
func findModule(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find our sources: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// makeAuthority makes mitm's authority and the RSA keys of its leaves beforehand: they
// take seconds of CPU once, which are no cost of a connection.
func (l *lab) makeAuthority(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, l.mitm, "ca", "init")
	cmd.Env = append(os.Environ(), l.home()...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mitm ca init: %w: %s", err, out)
	}
	return nil
}

// home is the environment in which mitm finds that authority.
func (l *lab) home() []string {
	return []string{"HOME=" + l.dir, "XDG_CONFIG_HOME=" + filepath.Join(l.dir, "config")}
}

// roots is the file of what the origin's certificate is verified against.
func (l *lab) roots() string { return filepath.Join(l.dir, "roots.pem") }

func (l *lab) close() { os.RemoveAll(l.dir) }

// allowDescriptors raises the limit to the hard one. Saying so expressly also hands
// it on to the programs that we start.
func allowDescriptors() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("descriptor limit: %w", err)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raise descriptor limit: %w", err)
	}
	if want := uint64(2*mostFlows + 200); limit.Cur < want {
		return fmt.Errorf("this needs %d descriptors and may open %d: raise the limit (ulimit -Hn)", want, limit.Cur)
	}
	return nil
}

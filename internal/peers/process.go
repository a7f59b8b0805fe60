// Package peers starts programs that we did not write, on loopback, so that tests
// and measurements have real clients and servers to talk to.
//
// A [Program] is a value: what to run, the files of its configuration, the ports
// that it will listen on. Functions such as [Nginx] and [Microsocks] make them.
// [Start] gives a program a folder of its own, runs it there in the foreground and
// returns when it listens; [Process.Stop] ends it and leaves nothing behind.
// [Run] is for programs that end by themselves.
//
//	port, release, err := peers.ReservePort()
//	...
//	proxy, err := peers.Start(ctx, peers.Microsocks(port, "", ""))
//	...
//	defer proxy.Stop()
//
// Nothing here alters the machine: no user, no file outside the temporary folder,
// no address but loopback ones. Linux only.
package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Here stands for the program's own folder in its arguments, environment and files.
const Here = "@HERE@"

// readyTimeout bounds the time from a program's start until it listens. It is long,
// because a busy machine is not a broken program.
const readyTimeout = time.Minute

// A Program says what to start.
type Program struct {
	Name  string
	Args  []string
	Env   []string          // added to ours
	Files map[string]string // written into the program's folder first, by relative name
	Ports []int             // it is ready when it listens on all of these TCP ports

	// Ready decides from what the program wrote to stderr whether it is ready.
	// Nil means that Ports decide.
	Ready func(stderr string) bool

	// Nobody is for a program that refuses to run as root: it gets another user,
	// and that user its folder.
	Nobody bool

	// Namespace is the network namespace that it runs in, by its name; "" is ours. It takes
	// root.
	Namespace string

	// Debris lists files outside of its folder that it leaves when it is killed.
	Debris []string
}

// A Process is a started program. Its methods may be called from any goroutine.
type Process struct {
	Dir string // its folder, until Stop

	prog           Program
	cmd            *exec.Cmd
	stdout, stderr buffer
	done           chan struct{} // closed when it has ended
	err            error         // how; valid when done is closed
	stop           sync.Once
}

// outputDelay is how long the output of a program that has ended is waited for: long, as
// this process may be the one that has to wait for its turn, and bounded, as a child may
// hold the output open.
const outputDelay = 15 * time.Second

// Start runs p and returns when it is ready. It fails when the program is not
// installed, ends early or is not ready within a minute. The caller calls Stop.
func Start(ctx context.Context, p Program) (*Process, error) {
	file, err := find(p.Name)
	if err != nil {
		return nil, err
	}
	dir, err := lay(p)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.Name, err)
	}
	proc := &Process{Dir: dir, prog: p, done: make(chan struct{})}
	proc.cmd = exec.Command(file, in(dir, p.Args)...)
	proc.cmd.Dir = dir
	proc.cmd.Env = append(environ(os.Environ()), in(dir, p.Env)...)
	proc.cmd.Stdout, proc.cmd.Stderr = &proc.stdout, &proc.stderr
	proc.cmd.SysProcAttr = attributes(p.Nobody)
	proc.cmd.WaitDelay = outputDelay
	if err := Within(p.Namespace, proc.cmd.Start); err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("start %s: %w", p.Name, err)
	}
	go proc.wait()
	if err := proc.awaitReady(ctx); err != nil {
		logs := proc.Logs()
		proc.Stop()
		return nil, fmt.Errorf("start %s: %w\n%s", p.Name, err, logs)
	}
	return proc, nil
}

// lay makes the program's folder and its files.
func lay(p Program) (string, error) {
	dir, err := os.MkdirTemp("", "peer-"+filepath.Base(p.Name)+"-")
	if err != nil {
		return "", err
	}
	if err := fill(dir, p); err != nil {
		os.RemoveAll(dir)
		return "", err
	}
	return dir, nil
}

func fill(dir string, p Program) error {
	// A program may give up root, and must still reach its files.
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	for name, text := range p.Files {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, Here, dir)), 0o644); err != nil {
			return err
		}
	}
	if p.Nobody && os.Getuid() == 0 {
		return os.Chown(dir, nobody, nobody)
	}
	return nil
}

// nobody is the overflow user and group ID of every Linux.
const nobody = 65534

// attributes puts the program at the head of a process group, so that Stop reaches
// what it forks, and lets the kernel kill it should we die first.
func attributes(asNobody bool) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if asNobody && os.Getuid() == 0 {
		attr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	return attr
}

func in(dir string, texts []string) []string {
	texts = slices.Clone(texts)
	for i := range texts {
		texts[i] = strings.ReplaceAll(texts[i], Here, dir)
	}
	return texts
}

// environ leaves out what would send a program through the user's own proxy, or
// configure it or mitm otherwise than a test says.
func environ(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(pair string) bool {
		name, _, _ := strings.Cut(strings.ToLower(pair), "=")
		return strings.HasSuffix(name, "_proxy") || strings.HasPrefix(name, "mitm_") || name == "sslkeylogfile" || name == "curl_ca_bundle"
	})
}

func (p *Process) wait() {
	p.err = p.cmd.Wait()
	close(p.done)
}

// awaitReady asks the kernel's table of sockets rather than connecting: a connection
// would show up in the logs of whatever stands behind a proxy.
func (p *Process) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if ready, err := p.ready(); ready || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-p.done:
			return fmt.Errorf("ended before it was ready: %v", p.err)
		case <-ctx.Done():
			return fmt.Errorf("wait until it is ready: %w", ctx.Err())
		}
	}
}

func (p *Process) ready() (bool, error) {
	if p.prog.Ready != nil {
		return p.prog.Ready(p.Stderr()), nil
	}
	return listening(p.Pid(), p.prog.Ports)
}

// Stdout returns what the program has written to it so far.
func (p *Process) Stdout() string { return p.stdout.String() }

// Stderr returns what the program has written to it so far.
func (p *Process) Stderr() string { return p.stderr.String() }

// Logs returns all that the program said so far, its log files included.
func (p *Process) Logs() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s stdout:\n%s\n%s stderr:\n%s\n", p.prog.Name, p.Stdout(), p.prog.Name, p.Stderr())
	files, err := filepath.Glob(filepath.Join(p.Dir, "*.log"))
	if err != nil {
		return b.String() // a bad pattern: cannot be
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			text = []byte(err.Error())
		}
		fmt.Fprintf(&b, "%s %s:\n%s\n", p.prog.Name, filepath.Base(file), text)
	}
	return b.String()
}

// Pid returns the process ID, for measurements.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Terminate asks the program to end with SIGTERM and returns its exit code, or an
// error when a signal ended it, or ctx did first.
func (p *Process) Terminate(ctx context.Context) (int, error) {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return -1, fmt.Errorf("terminate %s: %w", p.prog.Name, err)
	}
	return p.Wait(ctx)
}

// Wait waits until the program has ended by itself and returns its exit code.
func (p *Process) Wait(ctx context.Context) (int, error) {
	select {
	case <-p.done:
		if code := p.cmd.ProcessState.ExitCode(); code >= 0 {
			return code, nil
		}
		return -1, fmt.Errorf("wait for %s: %w", p.prog.Name, p.err)
	case <-ctx.Done():
		return -1, fmt.Errorf("wait for %s: %w", p.prog.Name, ctx.Err())
	}
}

// Stop kills the program and its children, waits for it and removes its folder.
// It may be called more than once.
func (p *Process) Stop() {
	p.stop.Do(func() {
		// The group outlives its leader, so children are reached when it is gone.
		syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.done
		os.RemoveAll(p.Dir)
		for _, file := range p.prog.Debris {
			os.Remove(file)
		}
	})
}

// A buffer is written by the goroutine that copies a program's output, and read by
// any other. It keeps the first mebibyte: a program that never stops talking must
// not exhaust us.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if room := 1<<20 - b.b.Len(); room > 0 {
		b.b.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// A Result is what a program left that has ended.
type Result struct {
	Stdout, Stderr string
	Code           int
}

// Run runs a program to its end and returns what it said, whatever its exit code.
// It fails when the program is not installed or ctx ends first.
func Run(ctx context.Context, stdin io.Reader, name string, args ...string) (Result, error) {
	file, err := find(name)
	if err != nil {
		return Result{}, err
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, file, args...)
	cmd.Env = environ(os.Environ())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	cmd.SysProcAttr = attributes(false)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = outputDelay
	err = cmd.Run()
	res := Result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
	if ctx.Err() != nil {
		return res, fmt.Errorf("run %s: %w\n%s%s", name, ctx.Err(), res.Stdout, res.Stderr)
	}
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		return res, fmt.Errorf("run %s: %w", name, err)
	}
	return res, nil
}

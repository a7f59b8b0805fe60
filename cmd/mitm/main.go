// Command mitm is a man in the middle: a forward proxy that decrypts what passes
// through it and writes it as a capture. See its help and the README.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process as if we did not listen
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// exit is an error that carries its exit code. An error without one is a failure at
// run time; those of the command line itself are cobra's, and usage errors.
type exit struct {
	code int
	err  error // nil: everything was said already
}

func (e *exit) Error() string {
	if e.err == nil {
		return "exit"
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// usage marks an error as wrong usage or configuration.
func usage(format string, args ...any) error {
	return &exit{exitUsage, fmt.Errorf(format, args...)}
}

// failed marks an error as one of run time.
func failed(err error) error {
	if err == nil {
		return nil
	}
	return &exit{exitFailed, err}
}

// streams are what a command reads and writes.
type streams struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// run runs the command and returns its exit code. An error is one line on stderr.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	root := newRoot(streams{in, out, errOut})
	root.SetArgs(bareBypass(args))
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	var e *exit
	switch {
	case err == nil:
		return exitOK
	case !errors.As(err, &e):
		e = &exit{exitUsage, err}
	}
	if e.err != nil {
		fmt.Fprintf(errOut, "mitm: %v\n", e.err)
	}
	return e.code
}

func newRoot(s streams) *cobra.Command {
	root := newRun(s, "mitm [run]")
	root.Long = rootHelp
	root.Example = runExamples
	root.SilenceUsage, root.SilenceErrors = true, true
	root.PersistentPreRunE = fromEnvironment
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(newRun(s, "run"), newDemo(s), newCA(s), newDetect(s), newExplain(s), newTProxy(s), newDoctor(s), newVersion(s))
	if err := completeFlags(root); err != nil {
		panic(err) // an option is completed twice
	}
	return root
}

const rootHelp = `mitm stands between clients and servers. It speaks SOCKS4, 4a and 5, HTTP proxy
and TLS, nested to any depth, relays each handshake between the two real peers,
and decrypts TLS with a certificate that mirrors the server's.

Without flags it listens on 127.0.0.1:8080, takes whatever comes, makes a
certificate authority on first use, and prints one line per flow.

Use it only on traffic that you are allowed to read.`

const runExamples = `  mitm                                     listen on 127.0.0.1:8080
  mitm -w traffic.pcap -f flows.jsonl      write what was decrypted, and a log
  mitm -x ca.pem                           write the CA's certificate for clients
  mitm --socks 1080 --auth alice:secret    a SOCKS server with a password
  mitm --connect 192.0.2.1:1080            relay everything to that server

  curl --cacert ca.pem -x socks5h://127.0.0.1:8080 https://example.com/
  curl --cacert ca.pem -x http://127.0.0.1:8080 https://example.com/`

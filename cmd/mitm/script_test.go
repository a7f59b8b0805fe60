package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"mitm": main})
}

// TestScripts runs each file of testdata/script: arguments, output, exit code. The
// variable USED is an address that is listened on, HELLOS where the hellos of real
// clients are, DATAGRAMS where their datagrams, CAPTURES where goldens of package capture, LINES two
// values, of which the second is no address.
func TestScripts(t *testing.T) {
	used, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { used.Close() }) // the scripts run in parallel, after this function
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("USED", used.Addr().String())
			env.Setenv("HELLOS", root+"/testdata/hellos")
			env.Setenv("DATAGRAMS", root+"/testdata/datagrams")
			env.Setenv("LINES", "127.0.0.1:0\nnowhere")
			env.Setenv("CAPTURES", root+"/mitm/capture/testdata")
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("XDG_CONFIG_HOME", env.WorkDir+"/config")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": code},
	})
}

// code runs the command and wants an exit code: code 2 mitm --wrong.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N command [args...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if exit, ok := err.(interface{ ExitCode() int }); ok {
		got = string(rune('0' + exit.ExitCode()))
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != args[0] {
		ts.Fatalf("exit code %s, want %s", got, args[0])
	}
}

// TestRunStopsWithItsContext holds that the end of the context ends the proxy in order.
func TestRunStopsWithItsContext(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if got := run(ctx, []string{"--listen", "127.0.0.1:0"}, os.Stdin, t.Output(), t.Output()); got != exitOK {
		t.Errorf("exit code %d, want %d", got, exitOK)
	}
}

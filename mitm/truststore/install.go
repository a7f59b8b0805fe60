package truststore

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
)

// Stores is a set of stores.
type Stores uint8

// The stores that are known.
const (
	System Stores = 1 << iota // Debian's, which is root's
	NSS                       // the databases of the user's browsers
)

// Install is what to do. Certificate, Stores and Out are required.
type Install struct {
	Certificate *x509.Certificate
	Stores      Stores

	// Remove takes the certificate out instead.
	Remove bool

	// DryRun only prints what would be done. It needs neither rights nor programs.
	DryRun bool

	// Out gets the commands, a line each, before they run; and what needs no command, as
	// comments of a shell.
	Out io.Writer

	// Source names the certificate's file in what is printed: it is the standard input of
	// commands. Empty means ca.pem.
	Source string

	// Root is the folder in which Debian's store is; empty means that of the system.
	// Home is the user's; empty means os.UserHomeDir.
	Root, Home string
}

// Run does it. Nothing has been done when a program is missing, or rights are. Otherwise it does what it can, and the
// error is that of all stores that failed.
func (i Install) Run(ctx context.Context) error {
	var steps []step
	if i.Stores&System != 0 {
		steps = append(steps, i.system()...)
	}
	if i.Stores&NSS != 0 {
		nss, err := i.nss()
		if err != nil {
			return err
		}
		steps = append(steps, nss...)
	}
	if !i.DryRun {
		if err := i.check(steps, os.Geteuid()); err != nil {
			return err
		}
	}
	var failed error
	for _, s := range steps {
		fmt.Fprintln(i.Out, s.line)
		if s.do == nil || i.DryRun {
			continue
		}
		if err := s.do(ctx); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", s.line, err))
			if ctx.Err() != nil {
				break
			}
		}
	}
	return failed
}

// step is something to do, and the line that says so.
type step struct {
	line    string
	program string // that it runs; empty: none
	root    bool   // only root may
	do      func(context.Context) error
}

func note(format string, args ...any) step { return step{line: "# " + fmt.Sprintf(format, args...)} }

// packages are Debian's, by the program.
func packages() map[string]string {
	return map[string]string{updateProgram: "ca-certificates", certutil: "libnss3-tools"}
}

// check looks for what the steps need before the first is done.
func (i Install) check(steps []step, euid int) error {
	for _, s := range steps {
		if s.root && i.Root == "" && euid != 0 {
			return errors.New("the system's store is root's: run it with sudo, or choose the browsers' alone")
		}
	}
	var missing []string
	for _, s := range steps {
		if s.program == "" || slices.Contains(missing, s.program) {
			continue
		}
		if _, err := exec.LookPath(s.program); err != nil {
			missing = append(missing, s.program)
		}
	}
	var err error
	for _, program := range missing {
		err = errors.Join(err, fmt.Errorf("%s is not installed: on Debian it is in the package %s", program, packages()[program]))
	}
	return err
}

// id is the part of names that is the certificate's own.
func (i Install) id() string {
	sum := sha256.Sum256(i.Certificate.Raw)
	return hex.EncodeToString(sum[:4])
}

func (i Install) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Certificate.Raw})
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// lintAll runs every static check, so that one run shows all there is to mend.
func lintAll(ctx context.Context, out io.Writer) (tally, error) {
	return tally{}, errors.Join(
		formatted(ctx, out),
		command(ctx, out, "go", "vet", "./..."),
		command(ctx, out, "go", "tool", "-modfile=tools/go.mod", "staticcheck", "./..."),
		elsewhere(ctx, out, "darwin"),
		elsewhere(ctx, out, "windows"),
		noHosts(os.DirFS(".")),
	)
}

// elsewhere builds what is not about this machine for another system.
func elsewhere(ctx context.Context, out io.Writer, goos string) error {
	cmd := prepare(ctx, "go", "build", "./bridge/...", "./detect/...", "./layers/...", "./mitm/...", "./cmd/...")
	cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build for %s: %w", goos, err)
	}
	return nil
}

// formatted fails when gofumpt would change a file; it lists those, and exits 0.
func formatted(ctx context.Context, out io.Writer) error {
	cmd := prepare(ctx, "go", "tool", "-modfile=tools/go.mod", "gofumpt", "-l", ".")
	cmd.Stderr = out
	list, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("gofumpt: %w", err)
	}
	if len(list) > 0 {
		return fmt.Errorf("gofumpt: not formatted (make fmt does it):\n%s", list)
	}
	return nil
}

// hosts are the package registries that no file may name: a build takes them from
// its environment, and a name that creeps into a script breaks one that uses a
// mirror. They are written in two pieces, or this file would be the first to fail.
var hosts = []string{
	"proxy." + "golang.org", "sum." + "golang.org", "registry." + "npmjs.org", "deb." + "debian.org", "security." + "debian.org",
}

// noHosts reads every file but what git, builds and large goldens leave.
func noHosts(root fs.FS) error {
	var found []error
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (name == ".git" || name == ".cache"):
			return fs.SkipDir
		case !d.Type().IsRegular() || filepath.Ext(name) == ".pcap":
			return nil
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		for _, host := range hosts {
			if before, _, ok := strings.Cut(string(text), host); ok {
				found = append(found, fmt.Errorf("%s:%d: names the registry %s", name, 1+strings.Count(before, "\n"), host))
			}
		}
		return nil
	})
	return errors.Join(append(found, err)...)
}

//go:build !linux

package tproxy

import (
	"context"
	"errors"
	"log/slog"
)

var errNotLinux = errors.New("the rules of transparent mode are for Linux; print shows them")

// Up is for Linux.
func (Rules) Up(context.Context, *slog.Logger) (down func(context.Context) error, err error) {
	return nil, errNotLinux
}

// Apply is for Linux.
func (Rules) Apply(context.Context, func(line string)) error { return errNotLinux }

// Down is for Linux.
func Down(context.Context, func(line string)) error { return errNotLinux }

// Diagnose is for Linux.
func (Rules) Diagnose(context.Context, string) []Finding {
	return []Finding{problem(errNotLinux.Error(), "run it on Linux")}
}

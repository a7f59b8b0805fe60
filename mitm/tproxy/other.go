//go:build !linux

package tproxy

import (
	"context"
	"errors"
	"log/slog"
)

var errNotLinux = errors.New("the rules of transparent mode are for Linux; print shows them")

// Hold is for Linux.
type Hold struct{}

// Up is for Linux.
func (Rules) Up(context.Context, *slog.Logger) (*Hold, error) { return nil, errNotLinux }

// Release is for Linux.
func (*Hold) Release(context.Context) error { return errNotLinux }

// Down is for Linux.
func (*Hold) Down(context.Context) error { return errNotLinux }

// Apply is for Linux.
func (Rules) Apply(context.Context, func(line string)) error { return errNotLinux }

// Down is for Linux.
func Down(context.Context, func(line string)) (held bool, err error) { return false, errNotLinux }

// Diagnose is for Linux.
func (Rules) Diagnose(context.Context, string) []Finding {
	return []Finding{problem(errNotLinux.Error(), "run it on Linux")}
}

//go:build !linux

package capture

import (
	"errors"
	"os"
)

// lock reports that a file which we made is ours.
func lock(*os.File) bool { return true }

// openOrphan finds none: without locks nobody knows whether a file is still written.
func openOrphan(string) (*os.File, error) { return nil, nil }

// rename renames a file unless the new name is taken.
func rename(from, to string) error { return renameUnlessTaken(from, to) }

// space does not know.
func space(string) (free, size int64, err error) { return 0, 0, errors.ErrUnsupported }

//go:build unix

package bridge

import (
	"math"
	"syscall"
)

// descriptorLimit returns how many descriptors the process may open.
func descriptorLimit() int {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 1024
	}
	return int(min(uint64(r.Cur), math.MaxInt32))
}

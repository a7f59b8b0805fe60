//go:build !unix

package bridge

// descriptorLimit returns how many descriptors the process may open. Where there is
// no such limit, it is one that memory can hold.
func descriptorLimit() int { return 1 << 16 }

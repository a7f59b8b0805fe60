package tproxy

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// capabilitySet are effective capabilities, by the bits of capabilities(7).
type capabilitySet uint64

const (
	capNetAdmin = 12
	capNetRaw   = 13
)

func (s capabilitySet) has(bit uint) bool { return s>>bit&1 == 1 }

func capabilities() (capabilitySet, error) {
	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		return 0, fmt.Errorf("capabilities: %w", err)
	}
	return parseCapabilities(string(status))
}

// parseCapabilities reads proc_pid_status(5).
func parseCapabilities(status string) (capabilitySet, error) {
	for line := range strings.Lines(status) {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			bits, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			if err != nil {
				return 0, fmt.Errorf("capabilities: %w", err)
			}
			return capabilitySet(bits), nil
		}
	}
	return 0, errors.New("capabilities: the kernel does not say them")
}

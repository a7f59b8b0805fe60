package policy

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	// MaxCount is the greatest number of refusals that can be asked for.
	MaxCount = 1_000_000

	maxPeriod = 365 * 24 * time.Hour
)

// ParseBypassOnFail parses when a client that refuses is let through: COUNT:SECONDS, which are the arguments of
// NewBypass, or off. SECONDS may also be a duration like 15m.
func ParseBypassOnFail(s string) (count int, period time.Duration, off bool, err error) {
	if s == "off" {
		return 0, 0, true, nil
	}
	before, after, found := strings.Cut(s, ":")
	if !found {
		return 0, 0, false, fmt.Errorf("%q: want COUNT:SECONDS like 1:900, or off", s)
	}
	if count, err = parseCount(before); err != nil {
		return 0, 0, false, fmt.Errorf("%q: count %w", s, err)
	}
	if period, err = parsePeriod(after); err != nil {
		return 0, 0, false, fmt.Errorf("%q: seconds %w", s, err)
	}
	return count, period, false, nil
}

func parseCount(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange):
		return 0, fmt.Errorf("%q: want a number", s)
	case err != nil || n > MaxCount:
		return 0, fmt.Errorf("%q: want at most %d", s, MaxCount)
	case n == 0:
		return 0, fmt.Errorf("%q: want at least 1, or off in the place of both", s)
	}
	return int(n), nil
}

func parsePeriod(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if n, numeric := strconv.ParseUint(s, 10, 64); numeric == nil || errors.Is(numeric, strconv.ErrRange) {
		d, err = time.Duration(min(n, 1+uint64(maxPeriod/time.Second)))*time.Second, nil
	}
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q: want a number, or a duration like 15m", s)
	case d < time.Second:
		return 0, fmt.Errorf("%q: want at least 1, or off in the place of both", s)
	case d > maxPeriod:
		return 0, fmt.Errorf("%q: want at most %d", s, maxPeriod/time.Second)
	}
	return d, nil
}

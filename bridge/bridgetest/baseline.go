package bridgetest

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// baselinePatience bounds how long what a test has started may take to end.
const baselinePatience = 10 * time.Second

// Baseline makes the test fail unless, when it and its later cleanups are over, the goroutines are those of now and,
// on Linux, the open descriptors, too. It waits for them, and prints the stacks of the goroutines that are left. Call
// it first. Tests that run in parallel see each other's.
func Baseline(t testing.TB) {
	t.Helper()
	before := takeInventory()
	t.Cleanup(func() {
		t.Helper()
		poll := time.NewTicker(2 * time.Millisecond)
		defer poll.Stop()
		for deadline := time.Now().Add(baselinePatience); ; <-poll.C {
			left := takeInventory().less(before)
			if left == "" {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("left behind after %v:\n%s", baselinePatience, left)
				return
			}
		}
	})
}

// inventory is the goroutines by their number, and the descriptors by theirs.
type inventory struct {
	goroutines  map[string]string
	descriptors map[string]string
}

func takeInventory() inventory {
	return inventory{goroutines(), descriptors()}
}

// less describes what is in i and not in before.
func (i inventory) less(before inventory) string {
	var left []string
	for id, stack := range i.goroutines {
		if _, ok := before.goroutines[id]; !ok {
			left = append(left, stack)
		}
	}
	for fd, target := range i.descriptors {
		if before.descriptors[fd] != target {
			left = append(left, fmt.Sprintf("descriptor %s: %s", fd, target))
		}
	}
	slices.Sort(left)
	return strings.Join(left, "\n\n")
}

// goroutines returns the stacks of the goroutines that are neither the runtime's nor package testing's.
func goroutines() map[string]string {
	buf := make([]byte, 1<<16)
	n := runtime.Stack(buf, true)
	for n == len(buf) {
		buf = make([]byte, 2*len(buf))
		n = runtime.Stack(buf, true)
	}
	all := map[string]string{}
	for i, stack := range strings.Split(string(buf[:n]), "\n\n") {
		id, _, _ := strings.Cut(strings.TrimPrefix(stack, "goroutine "), " ")
		if i > 0 && !isForeign(stack) { // the first is our own
			all[id] = stack
		}
	}
	return all
}

func isForeign(stack string) bool {
	for _, creator := range []string{"testing.", "runtime", "os/signal."} {
		if strings.Contains(stack, "\ncreated by "+creator) {
			return true
		}
	}
	return false
}

// descriptors returns what the process has open, where the system tells.
func descriptors() map[string]string {
	open := map[string]string{}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return open
	}
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		// Those that are gone were the listing's own. The runtime's poller is opened once, and stays.
		if err == nil && !strings.HasPrefix(target, "anon_inode:[event") {
			open[e.Name()] = target
		}
	}
	return open
}

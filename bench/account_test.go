package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// Roles of this test's own binary.
const (
	roleBurn = "burn" // uses CPU, says how much on stderr, and ends or waits
	roleGrow = "grow" // uses memory, says so, and waits
)

// burn uses more than 200 ms, and knows from getrusage(2) how much exactly.
func burn() {
	used := time.Duration(0)
	for used < 200*time.Millisecond {
		var r syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
			panic(err)
		}
		used = time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	fmt.Fprintln(os.Stderr, used.Nanoseconds())
	if os.Getenv("ONCE") == "" {
		select {}
	}
}

const grown = 64 << 20

// grow maps its memory itself: the race detector would add to what Go allocates.
func grow() {
	block, err := unix.Mmap(-1, 0, grown, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_POPULATE)
	if err != nil {
		panic(err)
	}
	fmt.Fprintln(os.Stderr, len(block))
	select {}
}

// shell starts a script that runs this binary in a role, and returns when stderr has
// the given number of lines.
func shell(t *testing.T, script, role string, lines int) *peers.Process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	proc, err := peers.Start(t.Context(), peers.Program{
		Name:  "sh",
		Args:  []string{"-c", script},
		Env:   []string{"SELF=" + self, roleVariable + "=" + role},
		Ready: func(stderr string) bool { return strings.Count(stderr, "\n") >= lines },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proc.Stop)
	return proc
}

func TestAnAccountCountsTheCPUOfAllProcessesOfItsGroupOnly(t *testing.T) {
	tests := []struct {
		name    string
		script  string
		burners int
	}{
		{"one process", `exec "$SELF"`, 1},
		{"a child", `"$SELF" & wait`, 1},
		{"a child that has ended", `ONCE=1 "$SELF"; exec sleep 600`, 1},
		{"two children, and one of them has ended", `ONCE=1 "$SELF"; "$SELF" & wait`, 2},
	}
	procs := make([]*peers.Process, len(tests))
	for i, tt := range tests {
		procs[i] = shell(t, tt.script, roleBurn, tt.burners)
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var want time.Duration
			for line := range strings.Lines(procs[i].Stderr()) {
				n, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				want += time.Duration(n)
			}
			got, err := account(procs[i].Pid()).settled(t.Context())
			// They cost a little more after they have said it.
			if err != nil || got < want*9/10 || got > want*13/10 {
				t.Errorf("settled() = %v, %v, want about %v", got, err, want)
			}
		})
	}
}

func TestAnAccountCountsMemory(t *testing.T) {
	small, large := shell(t, `ONCE= "$SELF" & wait`, roleBurn, 1), shell(t, `"$SELF" & wait`, roleGrow, 1)
	var memory [2]int64
	for i, proc := range []*peers.Process{small, large} {
		var err error
		if memory[i], err = account(proc.Pid()).settledMemory(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	if more := memory[1] - memory[0]; memory[0] <= 0 || more < grown*3/4 || more > grown*5/4 {
		t.Errorf("memory() = %d without and %d with %d bytes in use", memory[0], memory[1], grown)
	}
}

func TestAnAccountCountsDescriptors(t *testing.T) {
	var counts [2]int64
	for i, script := range []string{
		`echo ready >&2; sleep 600 & wait`,
		`exec 7</dev/null 8</dev/null; echo ready >&2; sleep 600 & wait`,
	} {
		proc := shell(t, script, "", 1)
		// Both have two processes once sleep is there.
		err := poll(t.Context(), time.Millisecond, time.Minute, func() (bool, error) {
			members, err := account(proc.Pid()).members()
			return len(members) == 2, err
		})
		if err != nil {
			t.Fatal(err)
		}
		if counts[i], err = account(proc.Pid()).descriptors(); err != nil {
			t.Fatal(err)
		}
	}
	if counts[1] != counts[0]+4 {
		t.Errorf("descriptors() = %d, and %d with two more in each of two processes", counts[0], counts[1])
	}
}

func TestAnAccountOfNobodyIsAnError(t *testing.T) {
	proc := shell(t, "echo ready >&2; exec sleep 600", "", 1)
	a := account(proc.Pid())
	proc.Stop()
	if got, err := a.cpu(); err == nil {
		t.Errorf("cpu() of a group that has ended = %v, no error", got)
	}
}

func TestParseStat(t *testing.T) {
	const rest = " S 1 77 77 0 -1 4194560 100 200 0 0 5 6 150 50 20 0 8 0 12345"
	tests := []struct {
		name string
		text string
		want member
		ok   bool
	}{
		{"an ordinary process", "77 (nginx)" + rest, member{77, 77, 2 * time.Second}, true},
		{"a name with parentheses and spaces", "78 (a) S (b)" + rest, member{78, 77, 2 * time.Second}, true},
		{"no name", "77 nginx" + rest, member{}, false},
		{"too short", "77 (nginx) S 1 77 77 0 -1", member{}, false},
		{"a group that is no number", "77 (nginx) S 1 x" + rest[7:], member{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := parseStat([]byte(tt.text)); got != tt.want || (err == nil) != tt.ok {
				t.Errorf("parseStat(%q) = %+v, %v, want %+v", tt.text, got, err, tt.want)
			}
		})
	}
}

func TestParsePSS(t *testing.T) {
	if got, err := parsePSS([]byte("5600-7ffe ---p 00 00:00 0 [rollup]\nRss:   9 kB\nPss:   7 kB\nPss_Anon: 5 kB\n")); got != 7<<10 || err != nil {
		t.Errorf("parsePSS() = %d, %v, want 7168", got, err)
	}
	for _, text := range []string{"", "Pss_Anon: 5 kB\n", "Pss: many kB\n"} {
		if got, err := parsePSS([]byte(text)); got != 0 || err == nil {
			t.Errorf("parsePSS(%q) = %d, %v, want an error", text, got, err)
		}
	}
}

func TestPollEndsForEachOfItsReasons(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	failure := errors.New("failure")
	tests := []struct {
		name string
		ctx  context.Context
		done func() (bool, error)
		want error
	}{
		{"yes", t.Context(), func() (bool, error) { return true, nil }, nil},
		{"an error", t.Context(), func() (bool, error) { return false, failure }, failure},
		{"the limit", t.Context(), func() (bool, error) { return false, nil }, nil},
		{"the context", ended, func() (bool, error) { return false, nil }, context.Canceled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := poll(tt.ctx, time.Millisecond, 50*time.Millisecond, tt.done); !errors.Is(err, tt.want) {
				t.Errorf("poll() = %v, want %v", err, tt.want)
			}
		})
	}
}

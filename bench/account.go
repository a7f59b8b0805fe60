package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// An account tells what a process group has used. A program that internal/peers
// started is the leader of one, so its number is the group's.
type account int

// A member is one process of the group, as /proc/PID/stat shows it.
type member struct {
	pid    int
	group  int
	reaped time.Duration // CPU of the children that ended and were waited for
}

// cpu returns the CPU time of the group's processes, user and system, since they
// began. Time that the kernel spends on their behalf while they sleep is nobody's.
func (a account) cpu() (time.Duration, error) {
	members, err := a.members()
	if err != nil {
		return 0, err
	}
	var total time.Duration
	for _, m := range members {
		var t unix.Timespec
		if err := unix.ClockGettime(cpuClock(m.pid), &t); err != nil {
			return 0, fmt.Errorf("CPU clock of process %d: %w", m.pid, err)
		}
		total += time.Duration(t.Nano()) + m.reaped
	}
	return total, nil
}

// cpuClock returns the clock that counts a process's CPU time, threads that ended
// included, in nanoseconds; the ticks of /proc/PID/stat are 10 ms. Its number is what
// clock_getcpuclockid(3) works out.
func cpuClock(pid int) int32 {
	const sched = 2 // CPUCLOCK_SCHED
	return int32(^pid<<3 | sched)
}

// settled waits until the group computes no more, and returns its CPU time. A program
// may still have to close what its client has closed; one that never rests is cut off
// after a second.
func (a account) settled(ctx context.Context) (time.Duration, error) {
	const still = 100 * time.Microsecond
	last, err := a.cpu()
	if err != nil {
		return 0, err
	}
	err = poll(ctx, 10*time.Millisecond, time.Second, func() (bool, error) {
		now, err := a.cpu()
		quiet := now-last < still
		last = now
		return quiet, err
	})
	return last, err
}

// memory returns the group's proportional set size in bytes: its resident memory, in
// which a page that others map too counts in part.
func (a account) memory() (int64, error) {
	return a.sum(func(pid int) (int64, error) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return 0, err
		}
		return parsePSS(text)
	})
}

// settledMemory waits until memory has not changed for a number of looks, which are a
// tenth of a second apart, at most for five seconds: a garbage collector gives back
// what it can spare a little later.
func (a account) settledMemory(ctx context.Context, looks int) (int64, error) {
	last, err := a.memory()
	if err != nil {
		return 0, err
	}
	quiet := 0
	err = poll(ctx, 100*time.Millisecond, 5*time.Second, func() (bool, error) {
		now, err := a.memory()
		if quiet++; now > last+last/200 || now < last-last/200 {
			quiet = 0
		}
		last = now
		return quiet == looks, err
	})
	return last, err
}

// descriptors returns how many descriptors the group's processes have open.
func (a account) descriptors() (int64, error) {
	return a.sum(func(pid int) (int64, error) {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		return int64(len(entries)), err
	})
}

func (a account) sum(of func(pid int) (int64, error)) (int64, error) {
	members, err := a.members()
	if err != nil {
		return 0, err
	}
	var total int64
	for _, m := range members {
		n, err := of(m.pid)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// members returns the group's processes. There being none is an error: the program
// that was to be measured has ended.
func (a account) members() ([]member, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var members []member
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		text, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue // it has ended meanwhile
		}
		m, err := parseStat(text)
		if err != nil {
			return nil, fmt.Errorf("read /proc/%s/stat: %w", e.Name(), err)
		}
		if m.group == int(a) {
			members = append(members, m)
		}
	}
	if len(members) == 0 {
		return nil, fmt.Errorf("process group %d has ended", int(a))
	}
	return members, nil
}

// parseStat parses a /proc/PID/stat: "pid (comm) state ppid pgrp …" with cutime and
// cstime as the 16th and 17th field. The name of the command may hold anything.
func parseStat(text []byte) (member, error) {
	const tick = time.Second / 100 // USER_HZ is 100 wherever Go runs
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return member{}, fmt.Errorf("no command in %q", text)
	}
	fields := strings.Fields(string(text[end+1:]))
	if len(fields) < 15 {
		return member{}, fmt.Errorf("%d fields after the command, want 15", len(fields))
	}
	var numbers [4]int
	for i, field := range []string{strings.TrimSpace(string(text[:open])), fields[2], fields[13], fields[14]} {
		n, err := strconv.Atoi(field)
		if err != nil {
			return member{}, err
		}
		numbers[i] = n
	}
	return member{numbers[0], numbers[1], time.Duration(numbers[2]+numbers[3]) * tick}, nil
}

// parsePSS finds the line "Pss: 1234 kB" of a smaps_rollup.
func parsePSS(text []byte) (int64, error) {
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "Pss:" && f[2] == "kB" {
			kib, err := strconv.ParseInt(f[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("no Pss in %q", text)
}

// poll asks done every interval until it says yes or fails, ctx ends, or, which is no
// error, the limit has passed.
func poll(ctx context.Context, interval, limit time.Duration, done func() (bool, error)) error {
	tick, end := time.NewTicker(interval), time.NewTimer(limit)
	defer tick.Stop()
	defer end.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-end.C:
			return nil
		case <-tick.C:
		}
		if ok, err := done(); ok || err != nil {
			return err
		}
	}
}

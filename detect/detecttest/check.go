package detecttest

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"

	"github.com/bridgeio/bridgeio/detect"
)

// pace says which prefixes are looked at. The work on one is linear in it, so on a long sample that is quadratic.
type pace struct {
	undecided int // while there is no verdict, each up to this length,
	decided   int // and this many after the verdict;
	stride    int // then steps of this length
	fillers   int // in how many ways a sample is continued to the limit
}

// A stride is a prime, to meet no boundary by rule.
func exhaustive() pace { return pace{stride: 1, fillers: fillers} }
func thorough() pace   { return pace{undecided: 4096, decided: 64, stride: 61, fillers: fillers} }
func brisk() pace      { return pace{undecided: 96, decided: 16, stride: 211, fillers: 1} }

// checker goes over the prefixes of a sample in rising length, so the first violation is the shortest.
type checker struct {
	d      detect.Detector
	sample []byte
	pace   pace
	broken *Violation

	settled   bool
	settledAt int            // the first length with a verdict that must stand
	verdict   detect.Verdict // the last one, once settled,
	verdictAt int            // and its length
	need      int            // the largest Need so far
	needAt    int
	first     int // prefixes from this length
	silent    int // up to this one have no match, and must not allocate; -1: none
}

// law records a violation if the condition does not hold, unless there is one already.
func (c *checker) law(name string, holds bool, prefix []byte, format string, args ...any) {
	if holds || c.broken != nil {
		return
	}
	c.broken = &Violation{
		Detector: c.d.Name, Law: name, Prefix: bytes.Clone(prefix), Detail: fmt.Sprintf(format, args...),
	}
}

// prefixes checks the prefixes of the sample and the sample.
func (c *checker) prefixes() {
	for n := 0; n <= len(c.sample) && c.broken == nil; n = c.next(n, len(c.sample)) {
		c.prefix(c.sample[:n])
	}
}

// next is the length to look at after n, when the whole is size long.
func (c *checker) next(n, size int) int {
	every := n < c.pace.undecided
	if c.settled {
		every = every && n < c.settledAt+c.pace.decided
	}
	if every || n == size {
		return n + 1
	}
	return min(n+c.pace.stride, size)
}

// beyond continues the sample in some ways up to the limit, where the detector has to have made up its mind.
func (c *checker) beyond() {
	limit := c.d.MaxBytes()
	if len(c.sample) >= limit || c.settled || c.d.Datagram || c.broken != nil {
		return
	}
	for i := range c.pace.fillers {
		filler := c.filler(len(c.sample) + i)
		long := append(bytes.Clone(c.sample), bytes.Repeat([]byte{filler}, limit+1-len(c.sample))...)
		each, seen := *c, len(c.sample)
		for _, n := range []int{len(c.sample) + 1, limit - 1, limit, limit + 1} {
			if n > seen {
				each.prefix(long[:n])
				seen = n
			}
		}
		if each.broken != nil {
			c.broken = each.broken
			return
		}
	}
}

// fillers is how many bytes filler chooses from: some fixed ones, and the last of the sample.
const (
	fixedFillers = "\x00a \n\xff"
	fillers      = len(fixedFillers) + 1
)

func (c *checker) filler(i int) byte {
	if i %= fillers; i == len(fixedFillers) && len(c.sample) > 0 {
		return c.sample[len(c.sample)-1]
	}
	return fixedFillers[i%len(fixedFillers)]
}

// prefix checks all laws but the one about allocations on one prefix.
func (c *checker) prefix(p []byte) {
	v, ok := c.ask(p, input(c.d, bytes.Clone(p)))
	if !ok {
		return
	}
	c.law("shape", v.Kind <= detect.Match, p, "the kind of the verdict is %d", v.Kind)
	c.law("shape", (v.Kind == detect.Match) == (v.Info != nil), p, "%v comes with info %v", v.Kind, v.Info)
	if c.d.Datagram {
		c.datagram(p, v)
	} else {
		c.progress(p, v)
		c.stability(p, v)
	}
	c.chunkIndependence(p, v)
}

// datagram is what holds instead of progress and stability: each prefix is a datagram of its own, and whole.
func (c *checker) datagram(p []byte, v detect.Verdict) {
	c.law("progress", v.Kind != detect.NeedMore, p, "need more of a datagram")
	if v.Kind == detect.NoMatch && len(p) == len(c.sample) {
		c.first, c.silent = len(p), len(p)
	}
}

// ask calls the detector's own function, since Detect would hide what that does beyond its limit.
func (c *checker) ask(p []byte, in detect.Input) (v detect.Verdict, ok bool) {
	defer func() {
		r := recover()
		ok = r == nil
		c.law("bounded work", ok, p, "panic: %v", r)
	}()
	return c.d.Func(in), true
}

func (c *checker) progress(p []byte, v detect.Verdict) {
	limit := c.d.MaxBytes()
	switch v.Kind {
	case detect.NeedMore:
		c.law("bounded work", len(p) < limit, p, "need more at the limit of %d", limit)
		c.law("bounded work", v.Need <= limit, p, "need %d is above the limit of %d", v.Need, limit)
		c.law("progress", v.Need > len(p), p, "need %d of %d that are there", v.Need, len(p))
		if v.Need > c.need {
			c.need, c.needAt = v.Need, len(p)
		}
	case detect.Match:
		c.law("progress", len(p) >= c.need, p, "match, but at %d bytes it needed %d", c.needAt, c.need)
	}
	if v.Kind != detect.Match && len(p) <= len(c.sample) {
		c.silent = len(p)
	}
}

func (c *checker) stability(p []byte, v detect.Verdict) {
	if !c.settled {
		c.settled, c.settledAt = v.Kind != detect.NeedMore, len(p)
		c.verdict, c.verdictAt = v, len(p)
		return
	}
	c.law("stability", v.Kind == c.verdict.Kind, p, "%v, but at %d bytes it was %v", v.Kind, c.verdictAt, c.verdict.Kind)
	if v.Info != nil && c.verdict.Info != nil {
		c.law("stability", grows(*c.verdict.Info, *v.Info), p, "info %+v, but at %d bytes it was %+v",
			*v.Info, c.verdictAt, *c.verdict.Info)
	}
	c.verdict, c.verdictAt = v, len(p)
}

// grows says whether later says all that earlier did.
func grows(earlier, later detect.Info) bool {
	a, b := reflect.ValueOf(earlier), reflect.ValueOf(later)
	for i := range a.NumField() {
		if !a.Field(i).IsZero() && !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			return false
		}
	}
	return true
}

// chunkIndependence checks that the verdict v depends on the bytes of p and on nothing else.
func (c *checker) chunkIndependence(p []byte, v detect.Verdict) {
	const law = "chunk independence"

	// A reader's buffer goes on after what was read, and is filled again when the verdict is long given.
	buffer := append(bytes.Clone(p), bytes.Repeat([]byte{0xa5}, 64)...)
	got, ok := c.ask(p, input(c.d, buffer[:len(p)]))
	if !ok {
		return
	}
	c.law(law, same(got, v), p, "%v in a larger buffer, and %v in one of its size", got, v)
	c.law("purity", bytes.Equal(buffer[:len(p)], p), p, "the input was changed")
	c.law("purity", bytes.Count(buffer[len(p):], []byte{0xa5}) == 64, p, "the buffer behind the input was changed")
	for i := range buffer {
		buffer[i] ^= 0xff
	}
	c.law("purity", same(got, v), p, "the info changed with the buffer: %+v", got.Info)

	other := input(c.d, p)
	if c.d.ServerFirst {
		other.Client = []byte("noise")
	} else {
		other.Server = []byte("noise")
	}
	got, ok = c.ask(p, other)
	c.law(law, !ok || same(got, v), p, "%v when the other side spoke, else %v", got, v)

	ended := input(c.d, p)
	ended.ClientEnded, ended.ServerEnded = true, true
	got, ok = c.ask(p, ended)
	c.law(law, !ok || same(got, v) || v.Kind == detect.NeedMore, p, "%v when the sides ended, else %v", got, v)
}

func same(a, b detect.Verdict) bool {
	return a.Kind == b.Kind && a.Need == b.Need && reflect.DeepEqual(a.Info, b.Info)
}

// allocations checks that no verdict on a prefix of the sample allocates, but for a Match. All are measured at once,
// since measuring costs far more than asking; only when that shows something is each looked at. What is made of
// others allocates what these do.
func (c *checker) allocations() {
	if c.broken != nil || len(c.d.Parts) > 0 {
		return
	}
	all := func() {
		for n := c.first; n <= c.silent; n = c.next(n, c.silent) {
			c.d.Func(input(c.d, c.sample[:n]))
		}
	}
	if testing.AllocsPerRun(5, all) == 0 {
		return
	}
	for n := c.first; n <= c.silent; n = c.next(n, c.silent) {
		in := input(c.d, c.sample[:n])
		count := testing.AllocsPerRun(100, func() { c.d.Func(in) })
		c.law("bounded work", count == 0, c.sample[:n], "%v allocations without a match", count)
	}
}

// input puts the bytes on the side that the detector looks at.
func input(d detect.Detector, b []byte) detect.Input {
	if d.ServerFirst {
		return detect.Input{Server: b}
	}
	return detect.Input{Client: b}
}

package detecttest

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/bridgeio/bridgeio/detect"
)

// Laws reports each sample on which the detector breaks a law. It measures allocations, so it must not run in a
// parallel test.
func Laws(t testing.TB, d detect.Detector, samples ...[]byte) {
	t.Helper()
	for _, s := range samples {
		if err := Check(d, s); err != nil {
			t.Errorf("%v", err)
		}
	}
}

// Fuzz looks for bytes on which the detector breaks a law. The samples seed the corpus. Of an input it looks at fewer
// prefixes than [Laws], for speed.
func Fuzz(f *testing.F, d detect.Detector, samples ...[]byte) {
	f.Helper()
	f.Add([]byte{})
	for _, s := range samples {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sample []byte) {
		if err := CheckSome(d, sample); err != nil {
			t.Errorf("%v", err)
		}
	})
}

// Exclusive reports each sample that two of the detectors match, unless an allowed collision names both. Detectors
// look at the sample as the bytes of their side.
func Exclusive(t testing.TB, ds []detect.Detector, allowed []detect.Collision, samples ...[]byte) {
	t.Helper()
	collide := map[[2]string]bool{}
	for _, c := range allowed {
		collide[[2]string{c.First, c.Second}] = true
		collide[[2]string{c.Second, c.First}] = true
	}
	for _, s := range samples {
		var matched []string
		for _, d := range ds {
			if d.Detect(input(d, s)).Kind != detect.Match {
				continue
			}
			for _, m := range matched {
				if !collide[[2]string{m, d.Name}] {
					t.Errorf("%s and %s both match %q, and no collision allows it", m, d.Name, s)
				}
			}
			matched = append(matched, d.Name)
		}
	}
}

// Violation is a law that a detector broke.
type Violation struct {
	Detector string
	Law      string // "stability", "progress", "chunk independence", "bounded work", "purity", "shape"
	Prefix   []byte // the shortest prefix of the sample on which it shows
	Detail   string
}

func (v *Violation) Error() string {
	const most = 512
	shown := v.Prefix[:min(len(v.Prefix), most)]
	more := ""
	if len(v.Prefix) > most {
		more = fmt.Sprintf(" and %d more", len(v.Prefix)-most)
	}
	return fmt.Sprintf("%s breaks %s: %s, on %d bytes: %q%s", v.Detector, v.Law, v.Detail, len(v.Prefix), shown, more)
}

// Check returns the first [*Violation] that it finds on the sample, or nil.
func Check(d detect.Detector, sample []byte) error {
	if broken := check(d, sample, thorough()); broken != nil {
		return broken
	}
	return nil
}

// CheckSome is Check on fewer prefixes, for fuzz targets of one's own.
func CheckSome(d detect.Detector, sample []byte) error {
	if broken := check(d, sample, brisk()); broken != nil {
		return broken
	}
	return nil
}

// check returns a violation that shows at some pace, on the shortest prefix on which it shows.
func check(d detect.Detector, sample []byte, p pace) *Violation {
	found := run(d, sample, p)
	if found == nil {
		return nil
	}
	if shortest := run(d, sample, exhaustive()); shortest != nil {
		return shortest
	}
	return found // it does not show always
}

func run(d detect.Detector, sample []byte, p pace) *Violation {
	c := checker{d: d, sample: bytes.Clone(sample), pace: p, silent: -1}
	c.prefixes()
	c.beyond()
	c.allocations()
	return c.broken
}

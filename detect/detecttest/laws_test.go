package detecttest_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unsafe"

	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/detect/detecttest"
)

// recorder is a testing.TB that collects failures. Any other use of it crashes.
type recorder struct {
	testing.TB
	failures []string
}

func (r *recorder) Helper() {}
func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

// client makes a detector with a limit of 8 bytes.
func client(f func(b []byte) detect.Verdict) detect.Detector {
	return detect.Func("sample", 8, f)
}

func TestLawsAcceptALawfulDetector(t *testing.T) {
	detecttest.Laws(t, detect.Prefix("abc", "abc"), []byte("abc"), []byte("abx"), []byte("ab"), nil, []byte("abcdefgh"))
	detecttest.Laws(t, detect.Prefix("all", ""), nil, []byte("a"))
}

func TestLawsNameTheLawThatIsBroken(t *testing.T) {
	var kept []byte
	calls := 0
	tests := []struct {
		name   string
		law    string
		prefix string
		d      detect.Detector
		sample string
	}{
		{"a no match turns into a match", "stability", "abc", client(func(b []byte) detect.Verdict {
			if len(b) == 3 {
				return detect.Yes(detect.Info{})
			}
			return detect.No()
		}), "abcde"},
		{"a match turns into need more", "stability", "ab", client(func(b []byte) detect.Verdict {
			if len(b) == 1 {
				return detect.Yes(detect.Info{})
			}
			return detect.More(len(b) + 1)
		}), "abcde"},
		{"the info takes something back", "stability", "ab", client(func(b []byte) detect.Verdict {
			return detect.Yes(detect.Info{Verb: string(b)})
		}), "abcde"},
		{"it asks for what is there", "progress", "abc", client(func(b []byte) detect.Verdict {
			return detect.More(3)
		}), "abcde"},
		{"it matches with less than it needed", "progress", "ab", client(func(b []byte) detect.Verdict {
			if len(b) == 2 {
				return detect.Yes(detect.Info{})
			}
			return detect.More(5)
		}), "ab"},
		{"it asks for more than its limit", "bounded work", "", client(func(b []byte) detect.Verdict {
			return detect.More(9)
		}), "abcde"},
		{"it is undecided at its limit", "bounded work", "aaaaaaaa", client(func(b []byte) detect.Verdict {
			if bytes.Trim(b, "a") != nil {
				return detect.No()
			}
			return detect.More(len(b) + 1)
		}), "aaa"},
		{"it panics", "bounded work", "a", client(func(b []byte) detect.Verdict {
			if len(b) == 0 {
				return detect.More(1)
			}
			return detect.More(int(b[1]))
		}), "abc"},
		{"it allocates without a match", "bounded work", "a", client(func(b []byte) detect.Verdict {
			if len(b) > 0 {
				kept = make([]byte, 100)
			}
			return detect.No()
		}), "ab"},
		{"it looks behind the input", "chunk independence", "", client(func(b []byte) detect.Verdict {
			if cap(b) > len(b)+32 {
				return detect.No()
			}
			return detect.More(len(b) + 1)
		}), "ab"},
		{"it looks at the other side", "chunk independence", "", detect.Detector{
			Name: "sample", Limit: 8, Func: func(in detect.Input) detect.Verdict {
				if len(in.Server) > 0 {
					return detect.No()
				}
				return detect.More(len(in.Client) + 1)
			},
		}, "ab"},
		{"it changes its mind when the sides end", "chunk independence", "", detect.Detector{
			Name: "sample", Limit: 8, Func: func(in detect.Input) detect.Verdict {
				if in.ClientEnded {
					return detect.Yes(detect.Info{})
				}
				return detect.No()
			},
		}, "ab"},
		{"it counts its calls", "chunk independence", "", client(func(b []byte) detect.Verdict {
			if calls++; calls > 1 {
				return detect.No()
			}
			return detect.More(len(b) + 1)
		}), "ab"},
		{"it changes the input", "purity", "a", client(func(b []byte) detect.Verdict {
			if len(b) > 0 {
				b[0]++
			}
			return detect.No()
		}), "ab"},
		{"it changes the buffer behind the input", "purity", "", client(func(b []byte) detect.Verdict {
			_ = append(b, 'x')
			return detect.No()
		}), "ab"},
		{"a no match has an info", "shape", "", client(func(b []byte) detect.Verdict {
			return detect.Verdict{Info: &detect.Info{}}
		}), "ab"},
		{"the kind is none", "shape", "", client(func(b []byte) detect.Verdict {
			return detect.Verdict{Kind: 7}
		}), "ab"},
		{"it keeps the input", "purity", "a", client(func(b []byte) detect.Verdict {
			if len(b) == 0 {
				return detect.More(1)
			}
			kept = b
			return detect.Yes(detect.Info{Host: unsafe.String(&kept[0], 1)})
		}), "ab"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			calls = 0
			var broken *detecttest.Violation
			if err := detecttest.Check(tt.d, []byte(tt.sample)); !errors.As(err, &broken) {
				t.Fatalf("Check = %v, want a violation of %s", err, tt.law)
			}
			if broken.Law != tt.law || string(broken.Prefix) != tt.prefix {
				t.Errorf("Check = %v, want %s on %q", broken, tt.law, tt.prefix)
			}
		})
	}
}

func TestCheckFindsTheShortestPrefixFarBehindTheDecision(t *testing.T) {
	fickle := detect.Func("fickle", 4096, func(b []byte) detect.Verdict {
		if len(b) < 1234 {
			return detect.No()
		}
		return detect.Yes(detect.Info{})
	})
	var broken *detecttest.Violation
	err := detecttest.Check(fickle, make([]byte, 2000))
	if !errors.As(err, &broken) || broken.Law != "stability" || len(broken.Prefix) != 1234 {
		t.Errorf("Check = %v, want stability on 1234 bytes", err)
	}
}

func TestLawsReportEachBadSample(t *testing.T) {
	undecided := client(func([]byte) detect.Verdict { return detect.More(1) })
	r := &recorder{TB: t}
	detecttest.Laws(r, undecided, []byte("a"), []byte("b"))
	if len(r.failures) != 2 || !strings.Contains(r.failures[1], `sample breaks progress: need 1 of 1 that are there`) {
		t.Errorf("failures = %q, want one for each sample", r.failures)
	}
}

func TestViolationShowsTheBeginningOfALongPrefix(t *testing.T) {
	v := &detecttest.Violation{Detector: "d", Law: "progress", Prefix: bytes.Repeat([]byte("x"), 600), Detail: "x"}
	if s := v.Error(); len(s) > 700 || !strings.HasSuffix(s, "and 88 more") {
		t.Errorf("Error() = %s", s)
	}
}

func TestExclusiveWantsCollisionsNamed(t *testing.T) {
	ds := []detect.Detector{detect.Prefix("long", "abc"), detect.Prefix("short", "a"), detect.Prefix("other", "x")}
	sample := []byte("abc")
	r := &recorder{TB: t}
	detecttest.Exclusive(r, ds, nil, sample)
	if len(r.failures) != 1 || !strings.Contains(r.failures[0], "long and short both match") {
		t.Errorf("failures = %q, want one that names long and short", r.failures)
	}
	detecttest.Exclusive(t, ds, []detect.Collision{{First: "short", Second: "long"}}, sample, []byte("x"))
}

func TestExclusiveComparesEveryPair(t *testing.T) {
	ds := []detect.Detector{detect.Prefix("one", "a"), detect.Prefix("two", "a"), detect.Prefix("three", "a")}
	r := &recorder{TB: t}
	detecttest.Exclusive(r, ds, []detect.Collision{
		{First: "one", Second: "two"},
		{First: "one", Second: "three"},
	}, []byte("a"))
	if len(r.failures) != 1 || !strings.Contains(r.failures[0], "two and three both match") {
		t.Errorf("failures = %q, want one that names two and three", r.failures)
	}
}

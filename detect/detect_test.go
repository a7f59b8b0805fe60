package detect_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/detect/detecttest"
)

// verdictTest is what a client, a server or a datagram says first, and what a detector says to it.
type verdictTest struct {
	name   string
	d      detect.Detector
	client []byte
	want   detect.Verdict
}

func (tt verdictTest) run(t *testing.T) {
	t.Run(tt.d.Name+": "+tt.name, func(t *testing.T) {
		in := first(tt.d, tt.client)
		got := tt.d.Detect(in)
		if got.Kind != tt.want.Kind || got.Need != tt.want.Need || !reflect.DeepEqual(got.Info, tt.want.Info) {
			t.Errorf("Detect(%q) = %v need %d info %+v, want %v need %d info %+v",
				tt.client, got.Kind, got.Need, got.Info, tt.want.Kind, tt.want.Need, tt.want.Info)
		}
		// What is decided without being complete has to be rejected when it ends.
		in.ClientEnded, in.ServerEnded = true, true
		ended := tt.d.Detect(in)
		if want := tt.want.Kind; ended.Kind == detect.NeedMore || want != detect.NeedMore && ended.Kind != want {
			t.Errorf("Detect(%q, ended) = %v, and %v before it ended", tt.client, ended.Kind, want)
		}
	})
}

// first is the first bytes of the side that a detector looks at.
func first(d detect.Detector, b []byte) detect.Input {
	if d.ServerFirst {
		return detect.Input{Server: b}
	}
	return detect.Input{Client: b}
}

// verdicts is what the tests of each protocol know.
func verdicts(t testing.TB) []verdictTest {
	return slices.Concat(tlsVerdicts(t), socksVerdicts(t), httpVerdicts(t), proxyVerdicts(t), sshVerdicts(t),
		databaseVerdicts(t), greetingVerdicts(t), textVerdicts(t), binaryVerdicts(t))
}

func TestVerdicts(t *testing.T) {
	for _, tt := range verdicts(t) {
		tt.run(t)
	}
}

// families are the lists of detectors that are asked together, by name.
func families() map[string][]detect.Detector {
	return map[string][]detect.Detector{
		"clients": detect.Clients(), "servers": detect.Servers(), "datagrams": detect.Datagrams(),
	}
}

func TestDetectorsKeepTheLaws(t *testing.T) {
	all := []detect.Detector{detect.Prefix("abc", "abc"), detect.Prefix("any", ""), detect.HTTP09()}
	for _, family := range families() {
		all = append(all, family...)
	}
	for _, d := range all {
		t.Run(d.Name, func(t *testing.T) {
			for _, b := range slices.Concat(openings(t), strangers()[:50]) {
				// What is another's from the first bytes on is looked at in fewer places.
				check := detecttest.Check
				if d.Detect(first(d, b[:min(len(b), 16)])).Kind == detect.NoMatch {
					check = detecttest.CheckSome
				}
				if err := check(d, b); err != nil {
					t.Error(err)
				}
			}
			detecttest.Laws(t, d, []byte("abc"), []byte("abx"))
		})
	}
}

func TestDetectorsExcludeEachOther(t *testing.T) {
	for name, family := range families() {
		t.Run(name, func(t *testing.T) { detecttest.Exclusive(t, family, detect.Collisions(), openings(t)...) })
	}
}

func TestCollisionsAreReal(t *testing.T) {
	matches := map[string]map[int]bool{} // by detector, the openings
	for _, family := range families() {
		for _, d := range family {
			matches[d.Name] = map[int]bool{}
			for i, b := range openings(t) {
				if d.Detect(first(d, b)).Kind == detect.Match {
					matches[d.Name][i] = true
				}
			}
		}
	}
	for _, c := range detect.Collisions() {
		found := false
		for i := range matches[c.First] {
			found = found || matches[c.Second][i]
		}
		if !found {
			t.Errorf("no opening is matched by both %s and %s", c.First, c.Second)
		}
	}
}

// Strangers are taken for nothing, but by the detectors that are weak, where they begin with one of their words.
func TestStrangersMatchNothing(t *testing.T) {
	matched := map[string]bool{}
	for name, family := range families() {
		for _, b := range strangers() {
			for _, in := range []detect.Input{
				{Client: b, Server: b},
				{Client: b[:min(len(b), 64)], Server: b[:min(len(b), 64)]},
			} {
				for _, d := range family {
					v := d.Detect(in)
					if v.Kind == detect.Match && !d.Weak {
						t.Errorf("%s: %s takes %q for %+v", name, d.Name, in.Client, v.Info)
					}
					matched[d.Name] = matched[d.Name] || v.Kind == detect.Match
				}
				in.ClientEnded, in.ServerEnded = true, true
				if v := detect.Identify(in, family...); v.Kind == detect.NeedMore {
					t.Errorf("%s: Identify(%q, ended) = %v %+v", name, in.Client, v.Kind, v.Info)
				}
			}
		}
		for _, d := range family {
			if d.Weak && !matched[d.Name] {
				t.Errorf("%s is marked weak, and no line of words is taken for it", d.Name)
			}
		}
	}
}

func TestDetectorsHaveNamesOfTheirOwnAndALimit(t *testing.T) {
	seen := map[string]bool{}
	for name, family := range families() {
		for _, d := range family {
			if seen[d.Name] || d.Name == "" || d.Limit <= 0 || d.ServerFirst != (name == "servers") || d.Datagram != (name == "datagrams") {
				t.Errorf("detector %+v of the %s", d, name)
			}
			seen[d.Name] = true
			if v := d.Detect(detect.Input{}); (v.Kind == detect.NeedMore) == d.Datagram || v.Kind == detect.Match {
				t.Errorf("%s says %v to nothing", d.Name, v.Kind)
			}
		}
	}
}

func TestEveryOpeningThatOneDetectorMatchesIsIdentifiedSo(t *testing.T) {
	for name, family := range families() {
		for _, b := range openings(t) {
			var want *detect.Info
			in := detect.Input{Client: b, Server: b}
			for _, d := range family {
				v := d.Detect(in)
				want = v.Info
				if v.Kind != detect.NoMatch {
					break // matched, or those behind it have to wait
				}
			}
			if got := detect.Identify(in, family...); !reflect.DeepEqual(got.Info, want) {
				t.Errorf("%s: Identify(%q) = %+v, want %+v", name, b, got.Info, want)
			}
		}
	}
}

// fixed makes a detector that always gives the same verdict.
func fixed(name string, v detect.Verdict) detect.Detector {
	return detect.Func(name, 100, func([]byte) detect.Verdict { return v })
}

func TestChooseTakesTheFirstMatchThatNothingBeforeItDoubts(t *testing.T) {
	no, more5, more9 := fixed("no", detect.No()), fixed("more5", detect.More(5)), fixed("more9", detect.More(9))
	yes := fixed("yes", detect.Yes(detect.Info{Protocol: "yes"}))
	also := fixed("also", detect.Yes(detect.Info{Protocol: "also"}))
	tests := []struct {
		name  string
		ds    []detect.Detector
		index int
		want  detect.Verdict
	}{
		{"nobody is asked", nil, -1, detect.No()},
		{"all say no", []detect.Detector{no, no}, -1, detect.No()},
		{"a match after a no", []detect.Detector{no, yes, also}, 1, detect.Yes(detect.Info{Protocol: "yes"})},
		{"a match before a doubt", []detect.Detector{yes, more5}, 0, detect.Yes(detect.Info{Protocol: "yes"})},
		{"a match behind a doubt, which one byte may end", []detect.Detector{more9, yes}, -1, detect.More(3)},
		{"two doubts: the smaller need", []detect.Detector{more9, no, more5}, -1, detect.More(5)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			i, v := detect.Choose(detect.Input{Client: []byte("ab")}, tt.ds)
			if i != tt.index || !reflect.DeepEqual(v, tt.want) {
				t.Errorf("Choose = %d, %+v, want %d, %+v", i, v, tt.index, tt.want)
			}
		})
	}
}

func TestDetectHoldsTheLimitOfACarelessFunc(t *testing.T) {
	longest := 0
	careless := detect.Func("careless", 4, func(b []byte) detect.Verdict {
		longest = max(longest, len(b))
		return detect.More(len(b) + 1)
	})
	for n, want := range []detect.Kind{
		detect.NeedMore, detect.NeedMore, detect.NeedMore, detect.NeedMore, detect.NoMatch, detect.NoMatch,
	} {
		if v := careless.Detect(detect.Input{Client: make([]byte, n)}); v.Kind != want {
			t.Errorf("Detect of %d bytes = %v, want %v", n, v.Kind, want)
		}
	}
	if longest != 4 {
		t.Errorf("the function saw %d bytes, want 4 at most", longest)
	}
	greedy := detect.Func("greedy", 4, func([]byte) detect.Verdict { return detect.More(5) })
	if v := greedy.Detect(detect.Input{}); v.Kind != detect.NoMatch {
		t.Errorf("a need above the limit is %v, want no match", v.Kind)
	}
}

func TestAServerFirstDetectorLooksAtTheServer(t *testing.T) {
	banner := []byte("SSH-2.0-OpenSSH_9.2\r\n")
	d := detect.SSHServer()
	if v := d.Detect(detect.Input{Server: banner}); v.Kind != detect.Match || v.Info.Software != "OpenSSH_9.2" {
		t.Errorf("Detect(server %q) = %+v", banner, v)
	}
	if v := d.Detect(detect.Input{Client: banner, ClientEnded: true}); v.Kind != detect.NeedMore {
		t.Errorf("Detect(client %q) = %v, want need more of the server", banner, v.Kind)
	}
	if v := d.Detect(detect.Input{Server: banner[:5], ServerEnded: true}); v.Kind != detect.NoMatch {
		t.Errorf("Detect(half a banner, ended) = %v, want no match", v.Kind)
	}
}

func TestKindsHaveNames(t *testing.T) {
	for k, want := range map[detect.Kind]string{
		detect.NoMatch: "no match", detect.NeedMore: "need more", detect.Match: "match", 7: "invalid kind",
	} {
		if k.String() != want {
			t.Errorf("Kind(%d) = %q, want %q", uint8(k), k, want)
		}
	}
}

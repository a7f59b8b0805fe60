package detect_test

import (
	"reflect"
	"testing"

	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/detect/detecttest"
)

// verdictTest is bytes of a client and what a detector says to them.
type verdictTest struct {
	name   string
	d      detect.Detector
	client []byte
	want   detect.Verdict
}

func (tt verdictTest) run(t *testing.T) {
	t.Run(tt.d.Name+": "+tt.name, func(t *testing.T) {
		got := tt.d.Detect(detect.Input{Client: tt.client})
		if got.Kind != tt.want.Kind || got.Need != tt.want.Need || !reflect.DeepEqual(got.Info, tt.want.Info) {
			t.Errorf("Detect(%q) = %v need %d info %+v, want %v need %d info %+v",
				tt.client, got.Kind, got.Need, got.Info, tt.want.Kind, tt.want.Need, tt.want.Info)
		}
		// What is decided without being complete has to be rejected when it ends.
		ended := tt.d.Detect(detect.Input{Client: tt.client, ClientEnded: true})
		if want := tt.want.Kind; ended.Kind == detect.NeedMore || want != detect.NeedMore && ended.Kind != want {
			t.Errorf("Detect(%q, ended) = %v, and %v before it ended", tt.client, ended.Kind, want)
		}
	})
}

func TestVerdicts(t *testing.T) {
	for _, tests := range [][]verdictTest{tlsVerdicts(t), socksVerdicts(t), httpVerdicts(t), proxyVerdicts(t), sshVerdicts(t)} {
		for _, tt := range tests {
			tt.run(t)
		}
	}
}

func TestDetectorsKeepTheLaws(t *testing.T) {
	for _, d := range append(detect.All(), detect.SSHServer(), detect.Prefix("abc", "abc"), detect.Prefix("any", "")) {
		t.Run(d.Name, func(t *testing.T) {
			detecttest.Laws(t, d, openings(t)...)
			detecttest.Laws(t, d, strangers()[:50]...)
			detecttest.Laws(t, d, []byte("abc"), []byte("abx"))
		})
	}
}

func TestDetectorsExcludeEachOther(t *testing.T) {
	detecttest.Exclusive(t, detect.All(), detect.Collisions(), openings(t)...)
}

func TestCollisionsAreReal(t *testing.T) {
	for _, c := range detect.Collisions() {
		found := false
		for _, b := range openings(t) {
			matched := map[string]bool{}
			for _, d := range detect.All() {
				matched[d.Name] = d.Detect(detect.Input{Client: b}).Kind == detect.Match
			}
			found = found || matched[c.First] && matched[c.Second]
		}
		if !found {
			t.Errorf("no opening is matched by both %s and %s", c.First, c.Second)
		}
	}
}

func TestStrangersMatchNothing(t *testing.T) {
	for _, b := range strangers() {
		if v := detect.Identify(detect.Input{Client: b}, detect.All()...); v.Kind == detect.Match {
			t.Errorf("Identify(%q) = match %+v", b, v.Info)
		}
		if v := detect.Identify(detect.Input{Client: b, ClientEnded: true}, detect.All()...); v.Kind != detect.NoMatch {
			t.Errorf("Identify(%q, ended) = %v", b, v.Kind)
		}
	}
}

func TestDetectorsHaveNamesOfTheirOwnAndALimit(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range detect.All() {
		if seen[d.Name] || d.Name == "" || d.Limit <= 0 || d.ServerFirst {
			t.Errorf("detector %+v", d)
		}
		seen[d.Name] = true
		if v := d.Detect(detect.Input{}); v.Kind != detect.NeedMore {
			t.Errorf("%s says %v to nothing", d.Name, v.Kind)
		}
	}
}

func TestEveryOpeningThatOneDetectorMatchesIsIdentifiedSo(t *testing.T) {
	for _, b := range openings(t) {
		var want *detect.Info
		for _, d := range detect.All() {
			if v := d.Detect(detect.Input{Client: b}); v.Kind == detect.Match {
				want = v.Info
				break
			}
		}
		if got := detect.Identify(detect.Input{Client: b}, detect.All()...); !reflect.DeepEqual(got.Info, want) {
			t.Errorf("Identify(%q) = %+v, want %+v", b, got.Info, want)
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

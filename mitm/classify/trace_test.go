package classify

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/detect"
)

// line is a detector of a line that ends in a newline.
func line(name string, limit int) detect.Detector {
	return detect.Func(name, limit, func(client []byte) detect.Verdict {
		if i := strings.IndexByte(string(client), '\n'); i >= 0 {
			return detect.Yes(detect.Info{Protocol: name})
		}
		return detect.More(len(client) + 1)
	})
}

func TestTracesSayWhoDecidedAndWhy(t *testing.T) {
	abcd, ab, x := detect.Prefix("abcd", "abcd"), detect.Prefix("ab", "ab"), detect.Prefix("x", "x")
	tests := []struct {
		name      string
		detectors []detect.Detector
		data      string
		ended     bool
		want      string
	}{
		{"the first one matches", []detect.Detector{ab, x}, "abcd", false, `client, 4 bytes
  ab           need 2 at 0, match at 2
  x            need 1 at 0, no at 1
  ab matched and decided at 2
`},
		{"a lower one waits", []detect.Detector{abcd, ab}, "abcx", false, `client, 4 bytes
  abcd         need 4 at 0, no at 4
  ab           need 2 at 0, match at 2
  ab matched at 2 and decided at 4, when it was not abcd
`},
		{"a lower one waits for the end", []detect.Detector{abcd, ab}, "abc", true, `client, 3 bytes
  abcd         need 4 at 0, no at the end, 3
  ab           need 2 at 0, match at 2
  ab matched at 2 and decided at 3, when it was not abcd
`},
		{"a higher one overtakes", []detect.Detector{abcd, ab}, "abcd", false, `client, 4 bytes
  abcd         need 4 at 0, match at 4
  ab           need 2 at 0, match at 2
  abcd matched and decided at 4
`},
		{"nothing is left", []detect.Detector{ab, x}, "ax", false, `client, 2 bytes
  ab           need 2 at 0, no at 2
  x            need 1 at 0, no at 1
  nothing is left at 2
`},
		{"it is open", []detect.Detector{ab, line("line", 9)}, "line", false, `client, 4 bytes
  ab           need 2 at 0, no at 1
  line         need 1 at 0 to 5 at 4
  left are line
`},
		{"a need that rises, and ends to", []detect.Detector{detect.All("both", ab, line("line", 9))}, "abc\n", false, `client, 4 bytes
  both         need 2 at 0, need 3 at 2 to 4 at 3, match at 4
  both matched and decided at 4
`},
		{"nothing is there", []detect.Detector{ab}, "", true, `client, 0 bytes
  ab           need 2 at 0, no at the end, 0
  there is not a byte
`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := Family{Client, tt.detectors}
			if got := f.Trace([]byte(tt.data), tt.ended).String(); got != tt.want {
				t.Errorf("the trace is\n%swant\n%s", got, tt.want)
			}
		})
	}
}

// Far from the beginning the verdict is searched for, and found at the same length.
func TestTracesFindAVerdictFarOff(t *testing.T) {
	for _, at := range []int{each - 1, each, each + 1, each + 2, 3 * each} {
		data := []byte(strings.Repeat("a", at-1) + "\n" + strings.Repeat("b", 100))
		trace := Family{Client, []detect.Detector{line("line", 1<<20)}}.Trace(data, false)
		if got := trace.Trails[0].last(); got.At != at || got.Kind != detect.Match || trace.Decided != at {
			t.Errorf("the line of %d bytes is %v, decided at %d", at, got, trace.Decided)
		}
	}
	short := []byte(strings.Repeat("a", 2*each))
	if got := (Family{Client, []detect.Detector{line("line", 1<<20)}}).Trace(short, false); got.Verdict != Undecided {
		t.Errorf("a line without an end is %v", got.Answer)
	}
}

// The detectors of this project say in a trace what they say at once, at the length that the trace names.
func TestTracesAgreeWithAnswers(t *testing.T) {
	for _, name := range []string{"hellos/curl.bin", "hellos/go.bin"} {
		data := sample(t, name)
		trace := Clients().Trace(data, false)
		if len(trace.Trails) != len(detect.Clients()) || trace.Answer.Verdict != Match {
			t.Fatalf("the trace of %s is\n%s", name, trace)
		}
		if got := Clients().Identify(data[:trace.Decided], false); got.Verdict != Match || got.Detector != trace.Answer.Detector {
			t.Errorf("at %d bytes of %s it is %v, not %v", trace.Decided, name, got, trace.Answer)
		}
		if got := Clients().Identify(data[:trace.Decided-1], false); got.Verdict != Undecided {
			t.Errorf("at %d bytes of %s it is %v already", trace.Decided-1, name, got)
		}
	}
}

func TestTracesInJSON(t *testing.T) {
	f := Family{Client, []detect.Detector{detect.Prefix("abcd", "abcd"), detect.Prefix("ab", "ab")}}
	trace := f.Trace([]byte("abc"), true)
	rising := Family{Client, []detect.Detector{line("line", 9)}}.Trace([]byte("ab"), false)
	var got []string
	for _, v := range []any{trace.Trails[0], trace, rising.Trails[0]} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(text))
	}
	want := []string{
		`{"from":"client","detector":"abcd","steps":[{"at":0,"verdict":"need more","need":4},{"at":3,"verdict":"no match","ended":true}]}`,
		`{"from":"client","verdict":"match","bytes":3,"detector":"ab","protocol":"ab","decided":3,"matched":2,"waited_for":["abcd"]}`,
		`{"from":"client","detector":"line","steps":[{"at":0,"verdict":"need more","need":1,"until":2}]}`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("the JSON is %q, want %q", got, want)
	}
}

// A datagram is whole, so there is nothing to see but its end.
func TestDatagramsHaveOneStep(t *testing.T) {
	trace := Datagrams().Trace([]byte("no protocol that is known"), true)
	for _, trail := range trace.Trails {
		if len(trail.Steps) != 1 {
			t.Errorf("%s: %s", trail.Detector, trail)
		}
	}
}

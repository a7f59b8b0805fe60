package classify

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"

	"github.com/bridgeio/bridgeio/detect"
)

// Trace is how a family came to its answer. In JSON it is the answer and the fields below it; the trails are apart.
type Trace struct {
	Answer
	Trails []Trail `json:"-"` // one a detector, in order of priority

	// Decided is the length of the shortest beginning at which the answer stands; -1 if it is open. Where the bytes
	// had to end first it is their number.
	Decided int `json:"decided"`

	// Matched, of a match, is the length at which its detector was sure. Up to Decided it waited for those in
	// WaitedFor, which stand before it and could have matched still.
	Matched   int      `json:"matched,omitempty"`
	WaitedFor []string `json:"waited_for,omitempty"`
}

// Trail is the verdicts of one detector as the bytes come.
type Trail struct {
	From     string `json:"from"`
	Detector string `json:"detector"`
	Steps    []Step `json:"steps"`
}

// Step is a verdict that differs from the one before it.
type Step struct {
	At   int // the number of bytes that were there
	Kind detect.Kind

	// Need goes with NeedMore. A detector that waits for the end of a line needs another byte with each that comes: that
	// is one step, in which Need rises by one with each byte until there are Until of them. Else Until is At.
	Need, Until int

	// Ended says that the bytes had to end for this verdict.
	Ended bool
}

// MarshalJSON writes the step with its verdict as a word: no match, need more or match.
func (s Step) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		At      int    `json:"at"`
		Verdict string `json:"verdict"`
		Need    int    `json:"need,omitempty"`
		Until   int    `json:"until,omitempty"`
		Ended   bool   `json:"ended,omitempty"`
	}{s.At, s.Kind.String(), s.Need, s.rise(), s.Ended})
}

// rise is Until, if Need rises.
func (s Step) rise() int {
	if s.Until == s.At {
		return 0
	}
	return s.Until
}

// lastNeed is what the step needs at its end.
func (s Step) lastNeed() int { return s.Need + s.Until - s.At }

// each is up to where every prefix is looked at. The work on one is linear in it, and who is undecided beyond is looking
// for an end, so there only the verdict is searched for.
const each = 4096

// Trace is Identify, and says how each detector came to its verdict.
func (f Family) Trace(data []byte, ended bool) Trace {
	t := Trace{Answer: f.Identify(data, ended), Decided: -1}
	for i := range f.Detectors {
		t.Trails = append(t.Trails, f.trail(&f.Detectors[i], data, ended))
	}
	switch t.Verdict {
	case Match:
		t.match()
	case None:
		for _, trail := range t.Trails {
			t.Decided = max(t.Decided, trail.last().At)
		}
	}
	return t
}

// match finds out what the detector that matched waited for.
func (t *Trace) match() {
	for _, trail := range t.Trails {
		if trail.Detector == t.Detector {
			t.Matched = trail.last().At
			break
		}
	}
	t.Decided = t.Matched
	for _, trail := range t.Trails {
		if trail.Detector == t.Detector {
			return
		}
		if last := trail.last(); last.At > t.Matched || last.Ended {
			t.WaitedFor = append(t.WaitedFor, trail.Detector)
			t.Decided = max(t.Decided, last.At)
		}
	}
}

// last is the step at which the detector arrived. There is always one.
func (t Trail) last() Step { return t.Steps[len(t.Steps)-1] }

// trail asks one detector about ever longer beginnings. What is undecided was undecided on everything shorter, so where
// that ends can be searched for.
func (f Family) trail(d *detect.Detector, data []byte, ended bool) Trail {
	t := Trail{From: f.From, Detector: d.Name}
	if d.Datagram {
		t.add(len(data), d.Detect(f.input(data, true)))
		return t
	}
	open := true
	for n := 0; open && n <= min(each, len(data)); n++ {
		open = t.add(n, d.Detect(f.input(data[:n], false)))
	}
	if open && len(data) > each {
		at := each + 1 + sort.Search(len(data)-each-1, func(i int) bool {
			return d.Detect(f.input(data[:each+1+i], false)).Kind != detect.NeedMore
		})
		open = t.add(at, d.Detect(f.input(data[:at], false)))
	}
	if open && ended {
		v := d.Detect(f.input(data, true))
		t.Steps = append(t.Steps, Step{At: len(data), Kind: v.Kind, Until: len(data), Ended: true})
	}
	return t
}

// add notes a verdict if it is news, and says whether another may follow.
func (t *Trail) add(at int, v detect.Verdict) bool {
	open := v.Kind == detect.NeedMore
	if len(t.Steps) > 0 && open {
		switch last := &t.Steps[len(t.Steps)-1]; {
		case v.Need == last.lastNeed():
			return true
		case at == last.Until+1 && v.Need == last.lastNeed()+1:
			last.Until = at
			return true
		}
	}
	t.Steps = append(t.Steps, Step{At: at, Kind: v.Kind, Need: v.Need, Until: at})
	return open
}

// String is the trail on one line: need 19 at 0, need 20 at 10 to 34 at 24, match at 34.
func (t Trail) String() string {
	words := make([]string, len(t.Steps))
	for i, s := range t.Steps {
		words[i] = s.String()
	}
	return strings.Join(words, ", ")
}

// String says the verdict and at what length it was given.
func (s Step) String() string {
	verdict := "no"
	switch {
	case s.rise() > 0:
		return fmt.Sprintf("need %d at %d to %d at %d", s.Need, s.At, s.lastNeed(), s.Until)
	case s.Kind == detect.NeedMore:
		verdict = fmt.Sprintf("need %d", s.Need)
	case s.Kind == detect.Match:
		verdict = "match"
	}
	if s.Ended {
		return fmt.Sprintf("%s at the end, %d", verdict, s.At)
	}
	return fmt.Sprintf("%s at %d", verdict, s.At)
}

// Why says in one line which detector decided, and what it waited for.
func (t Trace) Why() string {
	switch {
	case t.Verdict == Match && len(t.WaitedFor) > 0:
		return fmt.Sprintf("%s matched at %d and decided at %d, when it was not %s", t.Detector, t.Matched,
			t.Decided, strings.Join(t.WaitedFor, ", "))
	case t.Verdict == Match:
		return fmt.Sprintf("%s matched and decided at %d", t.Detector, t.Decided)
	case t.Verdict == Silent:
		return "there is not a byte"
	case t.Verdict == None:
		return fmt.Sprintf("nothing is left at %d", t.Decided)
	}
	return "left are " + strings.Join(t.open(), ", ")
}

// open names the detectors whose verdict is not there yet.
func (t Trace) open() []string {
	var names []string
	for _, trail := range t.Trails {
		if trail.last().Kind == detect.NeedMore {
			names = append(names, trail.Detector)
		}
	}
	return names
}

// String is the whole trace: a line for each detector, and a last one that says why.
func (t Trace) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d bytes\n", t.From, t.Bytes)
	for _, trail := range t.Trails {
		fmt.Fprintf(&b, "  %-12s %s\n", trail.Detector, trail)
	}
	fmt.Fprintf(&b, "  %s\n", t.Why())
	return b.String()
}

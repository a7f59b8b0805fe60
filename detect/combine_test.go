package detect_test

import (
	"reflect"
	"testing"

	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/detect/detecttest"
)

// combinations are detectors made of others.
func combinations() []detect.Detector {
	get, long := detect.Prefix("get", "GET "), detect.Prefix("get-x", "GET /x")
	return []detect.Detector{
		detect.Any("any", long, get),
		detect.Any("none"),
		detect.All("both", get, long),
		detect.All("both ways", long, get),
		detect.All("all of none"),
		detect.Not("no get", get),
		detect.All("get but not x", get, detect.Not("not x", long)),
		detect.Not("no web", detect.Any("web", detect.HTTP1(), detect.HTTP2(), detect.TLS())),
		detect.Not("no ssh server", detect.SSHServer()),
	}
}

func TestCombinationsKeepTheLaws(t *testing.T) {
	for _, d := range combinations() {
		detecttest.Laws(t, d, []byte("GET /x HTTP/1.1\r\n"), []byte("GET /y HTTP/1.1\r\n"), []byte("POST "), []byte("GE"), []byte("SSH-2.0-x\r\n"))
	}
}

func FuzzCombinations(f *testing.F) {
	f.Add([]byte("GET /x HTTP/1.1\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, d := range combinations() {
			detecttest.Laws(t, d, b)
		}
	})
}

func TestCombinations(t *testing.T) {
	yes := func(protocol string) detect.Verdict { return detect.Yes(detect.Info{Protocol: protocol}) }
	for _, tt := range []struct {
		name   string
		client string
		want   []detect.Verdict // of the first seven combinations
	}{
		{"nothing", "", []detect.Verdict{detect.More(4), detect.No(), detect.More(6), detect.More(6), yes("all of none"), detect.More(1), detect.More(4)}},
		{"both", "GET /x", []detect.Verdict{yes("get-x"), detect.No(), yes("get"), yes("get-x"), yes("all of none"), detect.No(), detect.No()}},
		{"the shorter alone", "GET /y", []detect.Verdict{yes("get"), detect.No(), detect.No(), detect.No(), yes("all of none"), detect.No(), yes("get")}},
		{"the shorter, and the longer is in doubt", "GET /", []detect.Verdict{detect.More(6), detect.No(), detect.More(6), detect.More(6), yes("all of none"), detect.No(), detect.More(6)}},
		{"neither", "X", []detect.Verdict{detect.No(), detect.No(), detect.No(), detect.No(), yes("all of none"), yes("no get"), detect.No()}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for i, want := range tt.want {
				d := combinations()[i]
				if got := d.Detect(detect.Input{Client: []byte(tt.client)}); !reflect.DeepEqual(got, want) {
					t.Errorf("%s: %v need %d info %+v, want %v need %d info %+v", d.Name, got.Kind, got.Need, got.Info, want.Kind, want.Need, want.Info)
				}
			}
		})
	}
}

// What ends is not, or is certainly not, something.
func TestCombinationsOfWhatHasEnded(t *testing.T) {
	ended := detect.Input{Client: []byte("GE"), ClientEnded: true}
	get := detect.Prefix("get", "GET ")
	for want, d := range map[detect.Kind]detect.Detector{
		detect.NoMatch: detect.Any("any", get), detect.Match: detect.Not("not", get),
	} {
		if got := d.Detect(ended).Kind; got != want {
			t.Errorf("%s: %v, want %v", d.Name, got, want)
		}
	}
}

// Any asks fewer detectors than Identify does, and comes to the same.
func TestAnyIsIdentify(t *testing.T) {
	for name, family := range families() {
		d := detect.Any(name, family...)
		for _, b := range openings(t) {
			for _, n := range []int{0, 1, 2, 3, 4, 8, 16, 64, len(b)} {
				sameAsIdentify(t, d, family, b[:min(n, len(b))])
			}
		}
	}
}

func sameAsIdentify(t *testing.T, d detect.Detector, family []detect.Detector, b []byte) {
	t.Helper()
	in := first(d, b)
	got, want := d.Detect(in), detect.Identify(in, family...)
	if d.Datagram && want.Kind == detect.NeedMore {
		want = detect.No()
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %q: %v need %d info %+v, want %v need %d info %+v", d.Name, b, got.Kind, got.Need, got.Info, want.Kind, want.Need, want.Info)
	}
}

package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/detect"
)

const packageDir = "../.."

func TestTheTableIsNotStale(t *testing.T) {
	want, err := render(packageDir)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(packageDir + "/COLLISIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("COLLISIONS.md is stale: run go generate ./detect\n%s", firstDifference(string(got), string(want)))
	}
}

// firstDifference shows the first line in which two texts differ.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return "has  " + g[i] + "\nwant " + w[i]
		}
	}
	return "one ends before the other"
}

// Constructors and detectors are paired by their places, so a wrong pair would show as a wrong row.
func TestEachRowSaysWhatItsDetectorIs(t *testing.T) {
	src, err := read(packageDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families() {
		constructors, err := src.calls(f.list)
		if err != nil {
			t.Fatal(err)
		}
		if len(constructors) != len(f.detectors) {
			t.Fatalf("%s() returns %d detectors, and the source names %d", f.list, len(f.detectors), len(constructors))
		}
		for i, name := range constructors {
			c := src.funcs[name]
			if c.file == "" || !strings.HasPrefix(c.synopsis, name+" detects ") {
				t.Errorf("%s of %s is documented as %q", name, f.detectors[i].Name, c.synopsis)
			}
			if strings.ContainsAny(c.synopsis, "|\n") {
				t.Errorf("the documentation of %s would break the table: %q", name, c.synopsis)
			}
		}
	}
}

func TestEachPairStandsInOneFamilyInItsOrder(t *testing.T) {
	for _, c := range detect.Collisions() {
		found := false
		for _, f := range families() {
			first, second := index(f, c.First), index(f, c.Second)
			found = found || 0 <= first && first < second
		}
		if !found || c.Why == "" || strings.ContainsAny(c.Why, "|\n") {
			t.Errorf("collision %+v", c)
		}
	}
}

func index(f family, name string) int {
	for i, d := range f.detectors {
		if d.Name == name {
			return i
		}
	}
	return -1
}

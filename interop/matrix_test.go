package interop

import (
	"os"
	"slices"
	"testing"
	"time"
)

// The matrix of TLS peers: clients that we did not write have a page of servers that we
// did not write, in all combinations of version, key, ALPN and proxy. Whatever works
// without mitm has to work through it, decrypted, with the same outcome of both
// handshakes and the same fingerprint of both hellos.
//
// A run takes a sample, and every cell that has failed before; INTEROP=full takes all of
// them and writes MATRIX.md; INTEROP_CELLS takes those of a pattern, such as
// curl,wget/*/1.3/*/*/direct.
func TestMatrix(t *testing.T) {
	t.Parallel()
	cells, whole := chosen(t)
	known := matrixExceptions(t)
	began := time.Now()
	outcomes, err := startMatrix(t, cells).run(t.Context(), cells)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d cells in %s", len(outcomes), time.Since(began).Round(time.Second))
	if whole {
		text := matrixReport(outcomes, known, time.Now())
		if err := os.WriteFile("MATRIX.md", []byte(text), 0o644); err != nil {
			t.Error(err)
		}
	}
	for _, wrong := range judgeMatrix(outcomes, known, whole) {
		t.Error(wrong)
	}
}

// chosen are the cells of this run, and whether they are all there are.
func chosen(t *testing.T) (cells []cell, whole bool) {
	t.Helper()
	if pattern := os.Getenv("INTEROP_CELLS"); pattern != "" {
		if err := checkPattern(pattern); err != nil {
			t.Fatal(err)
		}
		some := exception{pattern: pattern}
		return slices.DeleteFunc(allCells(), func(c cell) bool { return !some.matches(c) }), false
	}
	if os.Getenv("INTEROP") == "full" {
		return allCells(), true
	}
	failed, err := readCells(readText(t, "testdata/failed-cells.txt"))
	if err != nil {
		t.Fatal(err)
	}
	cells = sample()
	for _, c := range failed {
		if !slices.Contains(cells, c) {
			cells = append(cells, c)
		}
	}
	return cells, false
}

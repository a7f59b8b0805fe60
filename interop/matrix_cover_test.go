package interop

import (
	"slices"
	"testing"
)

// maxSample is how many cells a run takes that is no full one, besides those that have
// failed before.
const maxSample = 80

// A pair is two values of different dimensions that a sample has to bring together.
type pair struct {
	i, j int // dimensions, i < j
	x, y string
}

// pairsOf are the pairs of a cell, with another name for its client.
func pairsOf(c cell, client string) []pair {
	words := [6]string{client, c.server, c.version, c.key, c.alpn, c.path}
	var pairs []pair
	for i := range words {
		for j := i + 1; j < len(words); j++ {
			pairs = append(pairs, pair{i, j, words[i], words[j]})
		}
	}
	return pairs
}

// A candidate is a cell with the numbers of its pairs. The wanted ones have the client's
// family for the client: each of openssl's variants with each server would be more than
// a sample has cells. The welcome ones have the client itself.
type candidate struct {
	cell
	wanted, welcome []int
}

// candidates are the cells that can be had; pairs is how many numbers their pairs use.
func candidates() (list []candidate, pairs int) {
	numbers := map[pair]int{}
	number := func(pairs []pair) []int {
		var ns []int
		for _, p := range pairs {
			if _, ok := numbers[p]; !ok {
				numbers[p] = len(numbers)
			}
			ns = append(ns, numbers[p])
		}
		return ns
	}
	for _, c := range allCells() {
		if c.unable() == "" {
			list = append(list, candidate{c, number(pairsOf(c, "family of "+family(c.client))), number(pairsOf(c, c.client))})
		}
	}
	return list, len(numbers)
}

// sample returns cells that cover each wanted pair, and then as many of the welcome ones
// as there is room for. It is greedy, and always the same.
func sample() []cell {
	list, pairs := candidates()
	covered := make([]bool, pairs)
	worth := func(c candidate) int { return 100*uncovered(c.wanted, covered) + uncovered(c.welcome, covered) }
	var chosen []cell
	for len(chosen) < maxSample {
		best := slices.MaxFunc(list, func(a, b candidate) int { return worth(a) - worth(b) })
		chosen = append(chosen, best.cell)
		for _, n := range append(best.wanted, best.welcome...) {
			covered[n] = true
		}
	}
	return chosen
}

// uncovered is how many of the pairs are not covered.
func uncovered(pairs []int, covered []bool) int {
	n := 0
	for _, p := range pairs {
		if !covered[p] {
			n++
		}
	}
	return n
}

func TestTheSampleCoversEachPair(t *testing.T) {
	chosen := sample()
	if again := sample(); !slices.Equal(chosen, again) {
		t.Error("a second sample differs")
	}
	covered, used := map[pair]bool{}, map[string]bool{}
	for i, c := range chosen {
		if slices.Contains(chosen[:i], c) {
			t.Errorf("%s is there twice", c)
		}
		if why := c.unable(); why != "" {
			t.Errorf("%s: %s", c, why)
		}
		used[c.client] = true
		for _, p := range pairsOf(c, family(c.client)) {
			covered[p] = true
		}
	}
	for _, c := range allCells() {
		if c.unable() != "" {
			continue
		}
		if !used[c.client] {
			t.Fatalf("no cell has %s", c.client)
		}
		for _, p := range pairsOf(c, family(c.client)) {
			if !covered[p] {
				t.Fatalf("no cell has %s with %s", p.x, p.y)
			}
		}
	}
}

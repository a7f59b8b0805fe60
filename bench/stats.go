package main

import (
	"math"
	"slices"
)

// A spread is what the rounds have said: their median, the least and the most.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

func spreadOf(values []float64) spread {
	return spread{median(values), slices.Min(values), slices.Max(values)}
}

// median returns the middle of the values, or the mean of the two in the middle.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// ratios divides round by round: what slowed a whole round down cancels out. There are
// none to what is not above zero, as the growth of memory may be under a small load.
func ratios(values, by []float64) []float64 {
	quotients := make([]float64, len(values))
	for i := range values {
		if by[i] <= 0 {
			return nil
		}
		quotients[i] = values[i] / by[i]
	}
	return quotients
}

// decimals is how many a value is printed with, so that it has three digits.
func decimals(v float64) int {
	if v == 0 {
		return 0
	}
	return max(0, 2-int(math.Floor(math.Log10(math.Abs(v)))))
}

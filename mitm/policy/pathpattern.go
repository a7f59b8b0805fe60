package policy

import (
	"errors"
	"strings"
)

// A path pattern is layers joined by >, like socks5>tls. In a layer * stands for any characters, and the layer ** for any
// number of layers, also none.

// parsePathPattern returns the layers of a pattern.
func parsePathPattern(pattern string) ([]string, error) {
	layers := strings.Split(pattern, ">")
	for _, layer := range layers {
		if layer == "" {
			return nil, errors.New("want layers like socks5>tls; * is any characters of a layer, ** any layers")
		}
	}
	return layers, nil
}

// pathMatches reports whether the layers of a path are those of a pattern.
func pathMatches(pattern, path []string) bool {
	return globs(len(pattern), len(path),
		func(p int) bool { return pattern[p] == "**" },
		func(p, i int) bool { return layerMatches(pattern[p], path[i]) })
}

func layerMatches(pattern, layer string) bool {
	return globs(len(pattern), len(layer),
		func(p int) bool { return pattern[p] == '*' },
		func(p, i int) bool { return pattern[p] == layer[i] })
}

// globs matches n elements against m of a pattern, some of which stand for any number of elements. It goes back to the
// last of these only, which is enough, and takes n*m steps at most whatever the pattern.
func globs(m, n int, star func(p int) bool, same func(p, i int) bool) bool {
	p, last, from := 0, -1, 0
	for i := 0; i < n; {
		switch {
		case p < m && star(p):
			last, from = p, i
			p++
		case p < m && same(p, i):
			p++
			i++
		case last >= 0:
			from++
			p, i = last+1, from
		default:
			return false
		}
	}
	for p < m && star(p) {
		p++
	}
	return p == m
}

package ca

import (
	"crypto/tls"
	"testing"
)

func TestTheCacheDropsWhatWasUsedLongestAgo(t *testing.T) {
	c := newCache(2)
	a, b, d := leafID{1}, leafID{2}, leafID{3}
	leafA := &tls.Certificate{}
	c.add(a, leafA)
	c.add(b, &tls.Certificate{})
	if got, ok := c.get(a); !ok || got != leafA {
		t.Errorf("get = %p, %v, want %p", got, ok, leafA)
	}
	c.add(d, &tls.Certificate{})
	for id, want := range map[leafID]bool{a: true, b: false, d: true} {
		if _, ok := c.get(id); ok != want {
			t.Errorf("leaf %d cached = %v, want %v", id[0], ok, want)
		}
	}
}

func TestTheCacheStaysWithinItsLimit(t *testing.T) {
	c := newCache(10)
	for i := range 100 {
		c.add(leafID{byte(i)}, &tls.Certificate{})
	}
	if len(c.byID) != 10 || c.recent.Len() != 10 {
		t.Errorf("cache has %d ids and %d leaves, want 10", len(c.byID), c.recent.Len())
	}
}

package ca

import (
	"crypto/tls"
	"fmt"
	"runtime"
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

// TestNamesWithoutEndNeedBoundedMemory mints for many more names than the cache keeps.
func TestNamesWithoutEndNeedBoundedMemory(t *testing.T) {
	const names, limit = 5000, 500
	// Measured are 3.7 KiB, most of it what the certificate parses to.
	const perLeaf = 16 << 10
	a := open(t, rsaDir(t))
	a.leaves = newCache(limit)
	before := heap()
	for i := range names {
		if _, err := a.MintName(t.Context(), fmt.Sprintf("host%d.example", i)); err != nil {
			t.Fatal(err)
		}
	}
	if grown := heap() - before; grown > limit*perLeaf {
		t.Errorf("%d names take %d KiB, want at most %d", names, grown>>10, limit*perLeaf>>10)
	} else {
		t.Logf("%d bytes for each of %d leaves", grown/limit, limit)
	}
	if got := a.leaves.recent.Len(); got != limit || len(a.leaves.byID) != limit {
		t.Errorf("%d leaves and %d ids are kept, want %d", got, len(a.leaves.byID), limit)
	}
}

// heap is what is in use after a collection.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

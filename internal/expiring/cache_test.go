package expiring_test

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bridgeio/bridgeio/internal/expiring"
)

func ExampleCache() {
	seen := expiring.New[string, int](2)
	seen.Put("a.example", 1, time.Hour)
	seen.Put("b.example", 2, time.Hour)
	seen.Get("a.example")
	seen.Put("c.example", 3, time.Hour) // the third of two: b.example was not used for the longest time
	for name, n := range seen.All() {
		fmt.Println(name, n)
	}
	// Output:
	// c.example 3
	// a.example 1
}

func keys[K comparable, V any](c *expiring.Cache[K, V]) []K {
	var all []K
	for k := range c.All() {
		all = append(all, k)
	}
	return all
}

func TestAnEntryLivesAsLongAsItWasGiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := expiring.New[string, int](8)
		c.Put("short", 1, time.Second)
		c.Put("long", 2, time.Minute)

		time.Sleep(time.Second - time.Nanosecond)
		if v, ok := c.Get("short"); !ok || v != 1 {
			t.Errorf("Get(short) = %d, %v within its time, want 1", v, ok)
		}
		time.Sleep(time.Nanosecond)
		if v, ok := c.Get("short"); ok || v != 0 {
			t.Errorf("Get(short) = %d, %v at its end, want nothing", v, ok)
		}
		if v, ok := c.Get("long"); !ok || v != 2 {
			t.Errorf("Get(long) = %d, %v within its time, want 2", v, ok)
		}
	})
}

func TestPutBeginsANewLifeAndGetDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := expiring.New[string, int](8)
		c.Put("put again", 1, 2*time.Second)
		c.Put("got", 1, 2*time.Second)
		time.Sleep(time.Second)
		c.Put("put again", 2, 2*time.Second)
		c.Get("got")
		time.Sleep(time.Second)
		if v, ok := c.Get("put again"); !ok || v != 2 {
			t.Errorf("Get(put again) = %d, %v, want 2", v, ok)
		}
		if _, ok := c.Get("got"); ok {
			t.Error("Get has made an entry live longer")
		}
	})
}

func TestTheLeastRecentlyUsedEntryGoes(t *testing.T) {
	use := map[string]func(*expiring.Cache[int, string]){
		"by Get":    func(c *expiring.Cache[int, string]) { c.Get(1) },
		"by Put":    func(c *expiring.Cache[int, string]) { c.Put(1, "new", time.Hour) },
		"by Update": func(c *expiring.Cache[int, string]) { c.Update(1, forAnHour) },
	}
	for name, use := range use {
		t.Run(name, func(t *testing.T) {
			c := expiring.New[int, string](3)
			for k := range 3 {
				c.Put(k+1, "", time.Hour)
			}
			use(c)
			c.Put(4, "", time.Hour)
			if got, want := keys(c), []int{4, 1, 3}; !slices.Equal(got, want) {
				t.Errorf("entries %v, want %v", got, want)
			}
		})
	}
}

func forAnHour(old string, _ bool) (string, time.Duration) { return old, time.Hour }

func TestWhatHasExpiredMakesRoomForWhatIsAdded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := expiring.New[string, int](3)
		c.Put("old", 0, time.Hour)
		c.Put("dead", 0, time.Second)
		c.Put("young", 0, time.Hour)
		time.Sleep(time.Second)
		c.Put("new", 0, time.Hour)
		if got, want := keys(c), []string{"new", "young", "old"}; !slices.Equal(got, want) {
			t.Errorf("entries %q, want %q", got, want)
		}
	})
}

func TestUpdateSeesWhatGetWouldReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := expiring.New[string, int](8)
		count := func(old int, ok bool) (int, time.Duration) {
			if ok != (old != 0) {
				t.Errorf("the change got %d, %v", old, ok)
			}
			return old + 1, time.Second
		}
		for range 3 {
			c.Update("k", count)
		}
		if v, _ := c.Get("k"); v != 3 {
			t.Errorf("Get = %d after three updates, want 3", v)
		}
		time.Sleep(time.Second)
		c.Update("k", count)
		if v, _ := c.Get("k"); v != 1 {
			t.Errorf("Get = %d after an update of an entry that had expired, want 1", v)
		}
	})
}

func TestATimeThatIsNotPositiveRemoves(t *testing.T) {
	for _, ttl := range []time.Duration{0, -1} {
		c := expiring.New[string, int](8)
		c.Put("k", 1, time.Hour)
		c.Put("k", 2, ttl)
		c.Put("other", 2, ttl)
		if n := c.Len(); n != 0 {
			t.Errorf("%d entries after Put for %v, want none", n, ttl)
		}
	}
}

func TestDeleteAndClear(t *testing.T) {
	c := expiring.New[int, int](8)
	for k := range 4 {
		c.Put(k, k, time.Hour)
	}
	c.Delete(2)
	c.Delete(7)
	if got, want := keys(c), []int{3, 1, 0}; !slices.Equal(got, want) {
		t.Errorf("entries %v after Delete, want %v", got, want)
	}
	c.Clear()
	if n := c.Len(); n != 0 {
		t.Errorf("%d entries after Clear, want none", n)
	}
	c.Put(5, 5, time.Hour)
	if got, want := keys(c), []int{5}; !slices.Equal(got, want) {
		t.Errorf("entries %v after a Put after Clear, want %v", got, want)
	}
}

func TestALoopOverAllMayUseTheCache(t *testing.T) {
	c := expiring.New[int, int](8)
	for k := range 4 {
		c.Put(k, k, time.Hour)
	}
	seen := map[int]int{}
	for k, v := range c.All() {
		c.Delete(k)
		c.Put(k+10, v, time.Hour)
		seen[k] = v
		if len(seen) == 3 {
			break
		}
	}
	if want := map[int]int{3: 3, 2: 2, 1: 1}; !maps.Equal(seen, want) {
		t.Errorf("the loop saw %v, want %v", seen, want)
	}
}

func TestASizeThatHoldsNothingPanics(t *testing.T) {
	for _, size := range []int{0, -1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("New(%d) does not panic", size)
				}
			}()
			expiring.New[int, int](size)
		}()
	}
}

func TestUpdatesOfManyGoroutinesAllCount(t *testing.T) {
	const goroutines, updates = 8, 500
	c := expiring.New[int, int](4)
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := range updates {
				c.Update(0, func(old int, _ bool) (int, time.Duration) { return old + 1, time.Hour })
				c.Put(1+(g+i)%3, i, time.Hour)
				c.Get(1 + i%3)
				c.Delete(1 + i%2)
				for k := range c.All() {
					if k < 0 || k > 3 {
						t.Errorf("key %d was never put", k)
					}
				}
			}
		})
	}
	wg.Wait()
	if v, _ := c.Get(0); v != goroutines*updates {
		t.Errorf("%d updates counted, want %d", v, goroutines*updates)
	}
}

// model is a cache that never looks for what has expired, and only notes what the bound may have cost.
type model struct {
	size    int
	entries []modelEntry // the last used first
}

type modelEntry struct {
	key, value int
	until      time.Time
	unsure     bool // since it was used, as many others were as there is room for
}

func (e modelEntry) live() bool { return time.Now().Before(e.until) }

func (m *model) put(key, value int, ttl time.Duration) {
	m.delete(key)
	if ttl <= 0 {
		return
	}
	m.entries = slices.Insert(m.entries, 0, modelEntry{key: key, value: value, until: time.Now().Add(ttl)})
	for i := m.size; i < len(m.entries); i++ {
		m.entries[i].unsure = true
	}
}

func (m *model) delete(key int) {
	m.entries = slices.DeleteFunc(m.entries, func(e modelEntry) bool { return e.key == key })
}

// get checks what the cache returned for a key.
func (m *model) get(t *testing.T, key, got int, ok bool) {
	t.Helper()
	i := slices.IndexFunc(m.entries, func(e modelEntry) bool { return e.key == key && e.live() })
	switch {
	case ok && (i < 0 || got != m.entries[i].value):
		t.Fatalf("Get(%d) = %d, which is not what was put last, or has expired", key, got)
	case ok:
		e := m.entries[i]
		e.unsure = false
		m.entries = slices.Insert(slices.Delete(m.entries, i, i+1), 0, e)
	case i >= 0 && !m.entries[i].unsure:
		t.Fatalf("Get(%d): it is gone, and fewer than %d were used since", key, m.size)
	case i >= 0:
		m.entries = m.entries[:i] // the others went before it
	}
}

// all checks the entries of a cache: the last used ones that live, and all of which that is sure.
func (m *model) all(t *testing.T, c *expiring.Cache[int, int]) {
	t.Helper()
	m.entries = slices.DeleteFunc(m.entries, func(e modelEntry) bool { return !e.live() })
	sure := slices.IndexFunc(m.entries, func(e modelEntry) bool { return e.unsure })
	if sure < 0 {
		sure = len(m.entries)
	}
	n := c.Len()
	if n > m.size || n > len(m.entries) || n < sure {
		t.Fatalf("%d entries, want %d to %d, and at most %d", n, sure, len(m.entries), m.size)
	}
	m.entries = m.entries[:n]
	var got []modelEntry
	for k, v := range c.All() {
		got = append(got, modelEntry{key: k, value: v})
	}
	if !slices.EqualFunc(got, m.entries, func(a, b modelEntry) bool { return a.key == b.key && a.value == b.value }) {
		t.Fatalf("entries %v, want %v", got, m.entries)
	}
}

// FuzzCache holds the cache to the model. Each byte is a call: two bits of what, three of the key, three of the time.
// Looking at all entries gives back what has expired; so that is done after each call, or at the end only.
func FuzzCache(f *testing.F) {
	f.Add([]byte("\x08\x11\x49\x51\x92\xc9\x0f\x17\x1f\x27\x2f\x37"), uint8(2), true)
	f.Add([]byte("\x0f\x17\x1f\x27\x48\x47\x2f\x37\x3f\x87\x07"), uint8(7), false)
	f.Add([]byte("\x09\x17\x19\x27\xc1\x2f\x37\x50\x0f\x48\xc7"), uint8(3), false)
	f.Fuzz(func(t *testing.T, calls []byte, size uint8, look bool) {
		synctest.Test(t, func(t *testing.T) {
			m := &model{size: 1 + int(size%8)}
			c := expiring.New[int, int](m.size)
			for i, call := range calls[:min(len(calls), 1000)] {
				key, ttl := int(call>>3&7), time.Duration(call&7)*time.Second
				switch call >> 6 {
				case 0:
					c.Put(key, i, ttl)
					m.put(key, i, ttl)
				case 1:
					v, ok := c.Get(key)
					m.get(t, key, v, ok)
				case 2:
					c.Delete(key)
					m.delete(key)
				case 3:
					time.Sleep(ttl)
				}
				if look {
					m.all(t, c)
				}
			}
			m.all(t, c)
		})
	})
}

func BenchmarkCache(b *testing.B) {
	c := expiring.New[int, int](1024)
	b.Run("get", func(b *testing.B) {
		c.Put(1, 1, time.Hour)
		b.ReportAllocs()
		for b.Loop() {
			c.Get(1)
		}
	})
	b.Run("put=new", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			c.Put(i, i, time.Hour)
		}
	})
}

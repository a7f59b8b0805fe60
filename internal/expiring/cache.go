// Package expiring keeps what is worth remembering for a while: a cache that is bounded in entries, and whose entries
// end by themselves.
//
//	seen := expiring.New[string, int](1024)
//	seen.Put("example.com", 1, 10*time.Minute)
//	if n, ok := seen.Get("example.com"); ok { … }
//
// Its keys come from the wire, so whoever is on the other end can mint as many as they like: at the bound the entry goes
// that was not used for the longest time.
//
// There is no goroutine and no timer. What has expired is never returned, and its memory is given back when it is come
// across: by the call that asks for it, and a little with each entry that is added. So a cache that nobody uses any more
// keeps what it has, which the bound limits.
package expiring

import (
	"container/list"
	"fmt"
	"iter"
	"sync"
	"time"
)

// Cache maps keys to values. It is safe for concurrent use. Make it with [New].
type Cache[K comparable, V any] struct {
	size int

	mu     sync.Mutex
	recent list.List // of *entry[K, V], the last used in front
	byKey  map[K]*list.Element
}

type entry[K comparable, V any] struct {
	key   K
	value V
	until time.Time
}

// New returns an empty cache for at most size entries. Size must be positive.
func New[K comparable, V any](size int) *Cache[K, V] {
	if size < 1 {
		panic(fmt.Sprintf("expiring: New with size %d", size))
	}
	return &Cache[K, V]{size: size, byKey: make(map[K]*list.Element)}
}

// Get returns the value of a key, and whether there is one. That is a use of the entry, but does not make it live longer.
func (c *Cache[K, V]) Get(key K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.find(key, time.Now()); e != nil {
		return e.value, true
	}
	var none V
	return none, false
}

// Put sets the value of a key for the time ttl from now, whatever there was before. When ttl is not positive the key has
// no value any more.
func (c *Cache[K, V]) Put(key K, value V, ttl time.Duration) {
	c.Update(key, func(V, bool) (V, time.Duration) { return value, ttl })
}

// Update is Put of what change makes of the value that there is: nobody else can set it in between. Change gets what Get
// would return. It must not use the cache.
func (c *Cache[K, V]) Update(key K, change func(old V, ok bool) (value V, ttl time.Duration)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	e := c.find(key, now)
	var old V
	if e != nil {
		old = e.value
	}
	value, ttl := change(old, e != nil)
	switch {
	case ttl <= 0:
		c.remove(c.byKey[key])
	case e != nil:
		e.value, e.until = value, now.Add(ttl)
	default:
		c.add(&entry[K, V]{key, value, now.Add(ttl)}, now)
	}
}

// Delete removes the key and its value, if they are there.
func (c *Cache[K, V]) Delete(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(c.byKey[key])
}

// Clear removes everything.
func (c *Cache[K, V]) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recent.Init()
	clear(c.byKey)
}

// Len returns the number of entries that have not expired. It looks at each.
func (c *Cache[K, V]) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweep(c.recent.Len(), time.Now())
	return c.recent.Len()
}

// All returns the entries that have not expired at the time of the call, the last used first. It is no use of them. The
// loop may use the cache, and does not see what changes.
func (c *Cache[K, V]) All() iter.Seq2[K, V] {
	all := c.snapshot()
	return func(yield func(K, V) bool) {
		for _, e := range all {
			if !yield(e.key, e.value) {
				return
			}
		}
	}
}

func (c *Cache[K, V]) snapshot() []entry[K, V] {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweep(c.recent.Len(), time.Now())
	all := make([]entry[K, V], 0, c.recent.Len())
	for e := c.recent.Front(); e != nil; e = e.Next() {
		all = append(all, *e.Value.(*entry[K, V]))
	}
	return all
}

// find returns the entry of a key and makes it the last used; nil when there is none, or none any more.
func (c *Cache[K, V]) find(key K, now time.Time) *entry[K, V] {
	at, ok := c.byKey[key]
	if !ok {
		return nil
	}
	e := at.Value.(*entry[K, V])
	if e.expired(now) {
		c.remove(at)
		return nil
	}
	c.recent.MoveToFront(at)
	return e
}

// add stores an entry whose key has none.
func (c *Cache[K, V]) add(e *entry[K, V], now time.Time) {
	// Looking at two for one that is added is enough for what has expired to go sooner than it comes.
	c.sweep(2, now)
	if c.recent.Len() == c.size {
		c.remove(c.recent.Back())
	}
	c.byKey[e.key] = c.recent.PushFront(e)
}

// sweep removes what has expired of the n entries that were not used for the longest time.
func (c *Cache[K, V]) sweep(n int, now time.Time) {
	for at := c.recent.Back(); at != nil && n > 0; n-- {
		before := at.Prev()
		if at.Value.(*entry[K, V]).expired(now) {
			c.remove(at)
		}
		at = before
	}
}

func (c *Cache[K, V]) remove(at *list.Element) {
	if at == nil {
		return
	}
	e := c.recent.Remove(at).(*entry[K, V])
	delete(c.byKey, e.key)
}

func (e *entry[K, V]) expired(now time.Time) bool { return !now.Before(e.until) }

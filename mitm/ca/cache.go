package ca

import (
	"container/list"
	"crypto/sha256"
	"crypto/tls"
	"sync"
)

// leafID names a leaf: a hash of all that its bytes depend on.
type leafID [sha256.Size]byte

// cache keeps the leaves that were used last, up to a limit, so that any number of servers needs bounded memory.
// Dropping a leaf costs a signature: the next one has the same bytes.
type cache struct {
	limit int

	mu     sync.Mutex
	recent list.List // of *entry, the last used in front
	byID   map[leafID]*list.Element
}

type entry struct {
	id   leafID
	leaf *tls.Certificate
}

func newCache(limit int) *cache {
	return &cache{limit: limit, byID: make(map[leafID]*list.Element)}
}

func (c *cache) get(id leafID) (*tls.Certificate, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byID[id]
	if !ok {
		return nil, false
	}
	c.recent.MoveToFront(e)
	return e.Value.(*entry).leaf, true
}

// largestLeaf is the most bytes of a leaf that is kept, with its issuers and its staple. Real ones have a tenth of that;
// others cost a signature each time.
const largestLeaf = 32 << 10

// add stores a leaf that is not in the cache.
func (c *cache) add(id leafID, leaf *tls.Certificate) {
	if sizeOf(leaf) > largestLeaf {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byID[id] = c.recent.PushFront(&entry{id, leaf})
	if c.recent.Len() <= c.limit {
		return
	}
	last := c.recent.Remove(c.recent.Back()).(*entry)
	delete(c.byID, last.id)
}

func sizeOf(leaf *tls.Certificate) int {
	size := len(leaf.OCSPStaple)
	for _, cert := range leaf.Certificate {
		size += len(cert)
	}
	return size
}

package capture

import "sync"

// spares is how many written pages a pool keeps for reuse.
const spares = 4

// pool bounds what queues hold together.
//
// Of queues that share one, each may hold as much as is left for the others: the
// dynamic threshold that switches share their buffers by (Choudhury and Hahne, IEEE/ACM
// Transactions on Networking 6(2), 1998). A queue that nobody empties takes half of the
// pool, two take a third each, so that there is always room for one that is emptied.
type pool struct {
	limit  int  // bytes
	shared bool // by several queues

	mu    sync.Mutex
	used  int
	spare []*page
}

// reserve takes cost from the pool for a queue that holds own already, and reports
// whether there was room. With force the limit does not count. What is larger than the
// whole pool is let in when its queue is empty.
func (p *pool) reserve(own, cost int, force bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	room := p.limit - p.used
	if p.shared {
		room -= own
	}
	if cost > room && own > 0 && !force {
		return false
	}
	p.used += cost
	return true
}

// page returns an empty page with room for cost bytes.
func (p *pool) page(cost int) *page {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.spare); n > 0 {
		pg := p.spare[n-1]
		p.spare = p.spare[:n-1]
		return pg
	}
	return &page{bytes: make([]byte, 0, max(cost, pageSize))}
}

// release gives back a page, and what was reserved for what is in it.
func (p *pool) release(pg *page, cost int) {
	clear(pg.events)
	pg.events, pg.bytes = pg.events[:0], pg.bytes[:0]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used -= cost
	if cap(pg.bytes) == pageSize && len(p.spare) < spares {
		p.spare = append(p.spare, pg)
	}
}

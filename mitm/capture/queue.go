package capture

import (
	"sync"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

const (
	// pageSize is the unit in which the queue is handed to the writing goroutine
	// and in which room is made. It holds several of a relay's largest writes.
	pageSize = 1 << 20

	// wakeSize is how much is queued before the writing goroutine is woken. Waking
	// it for each small write would cost more than writing does.
	wakeSize = 256 << 10

	// eventCost is what an event takes besides its data, rounded up. It is counted,
	// so that a flood of tiny writes is bounded too.
	eventCost = 64
)

type kind uint8

const (
	kindData kind = iota // size bytes from a side
	kindGap              // size bytes from a side were lost, and the capture gave up on the flow
	kindFIN              // the flow ended in order; from ended first
	kindRST              // it did not
)

// event is what happened in a flow. Its bytes are in its page.
type event struct {
	c    *conversation
	at   time.Time
	size int
	kind kind
	from bridge.Side
}

// page is a part of the queue: events, and the bytes of their data one after another.
type page struct {
	events []event
	bytes  []byte
}

func (p *page) cost() int { return len(p.bytes) + eventCost*len(p.events) }

// queue holds the events of all flows in the order in which they came, as long as the
// pool has room. Any goroutine puts; one takes.
type queue struct {
	pool      *pool
	patience  time.Duration // how long put waits for room
	autoflush time.Duration // how long a byte may wait for others; negative: any time
	wake      chan struct{} // has room for one: the writing goroutine is to look
	timer     *time.Timer   // wakes it when too little comes

	mu      sync.Mutex
	pages   []*page       // oldest first
	queued  int           // cost of pages
	written int           // cost of the page that is being written
	last    time.Time     // of the youngest event
	room    chan struct{} // closed when room was made; nil when nobody waits for it
	closed  bool
}

func newQueue(pool *pool, patience, autoflush time.Duration) *queue {
	q := &queue{pool: pool, patience: patience, autoflush: autoflush, wake: make(chan struct{}, 1)}
	q.timer = time.AfterFunc(retry, q.signal)
	q.timer.Stop()
	return q
}

// put appends an event and a copy of its bytes. It waits for room, as long as the queue's
// patience lasts, and reports whether there was any.
func (q *queue) put(e event, b []byte) bool {
	room := q.tryPut(e, b, false)
	if room == nil || q.patience <= 0 {
		return room == nil
	}
	timeout := time.NewTimer(q.patience)
	defer timeout.Stop()
	for room != nil {
		select {
		case <-room:
			room = q.tryPut(e, b, false)
		case <-timeout.C:
			return false
		}
	}
	return true
}

// tryPut appends an event, or returns the channel that is closed when it is worth
// trying again. With force the limit does not count. A closed queue drops the event.
func (q *queue) tryPut(e event, b []byte, force bool) (room <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	cost := len(b) + eventCost
	switch {
	case q.closed:
		return nil
	case !q.pool.reserve(q.queued+q.written, cost, force):
		if q.room == nil {
			q.room = make(chan struct{})
		}
		q.signal()
		return q.room
	}
	if q.queued == 0 && q.autoflush >= 0 {
		q.timer.Reset(q.autoflush)
	}
	// Both sides of a flow move at once, and the one that looks at the clock first may
	// get here last. Readers take packets to be in the order of time.
	if e.at.Before(q.last) {
		e.at = q.last
	}
	q.last = e.at
	p := q.pageFor(cost)
	p.events = append(p.events, e)
	p.bytes = append(p.bytes, b...)
	q.queued += cost
	if q.queued >= wakeSize {
		q.signal()
	}
	return nil
}

// pageFor returns the page that an event goes into. An event is never split, or how a
// write is cut into segments would depend on the other flows.
func (q *queue) pageFor(cost int) *page {
	if n := len(q.pages); n > 0 && q.pages[n-1].cost()+cost <= pageSize {
		return q.pages[n-1]
	}
	p := q.pool.page(cost)
	q.pages = append(q.pages, p)
	return p
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// later wakes the writing goroutine after a second, whatever comes.
func (q *queue) later() { q.timer.Reset(retry) }

// await waits until there is something worth taking. After close it returns at once,
// true as long as something is queued.
func (q *queue) await() bool {
	q.mu.Lock()
	closed, left := q.closed, len(q.pages)
	q.mu.Unlock()
	if closed {
		return left > 0
	}
	<-q.wake
	return true
}

// take returns the oldest page, or nil. It is released before the next is taken.
func (q *queue) take() *page {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.pages) == 0 {
		return nil
	}
	p := q.pages[0]
	q.pages[0] = nil
	q.pages = q.pages[1:]
	q.written = p.cost()
	q.queued -= q.written
	return p
}

// release makes room for what p took.
func (q *queue) release(p *page) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pool.release(p, q.written)
	q.written = 0
	q.notify()
}

// notify wakes those who wait for room.
func (q *queue) notify() {
	if q.room != nil {
		close(q.room)
		q.room = nil
	}
}

// close ends the queue: what is in it is still to be taken, nothing is added.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.timer.Stop()
	q.notify()
	q.signal()
}

// waiting returns the bytes that are not written.
func (q *queue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.queued + q.written
}

package policy

import (
	"math"
	"net"
	"os"
	"sync"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

// Throttle returns a conn over c from which at most so many bytes a second can be read, which must be positive. What
// comes faster stays where it is, until the sender's window is full. To slow a flow down in both directions, both its
// conns are throttled:
//
//	b.Replace(bridge.Client, policy.Throttle(b.Client, rate), nil)
//
// It ends as c ends, and a flow that waits holds no memory for what is to come: it is a bridge.Poller. When nothing has
// moved for a while, what could have moved in a tenth of a second moves at once; not more.
func Throttle(c net.Conn, bytesPerSecond int64) net.Conn {
	if bytesPerSecond <= 0 {
		panic("policy: Throttle with a rate that is not positive")
	}
	t := &throttled{
		Stream: bridge.NewStream(c), rate: bytesPerSecond, changed: make(chan struct{}),
		span: max(time.Second/10, time.Second/time.Duration(bytesPerSecond)+1),
	}
	t.paid = time.Now().Add(-t.span)
	return t
}

// throttled is a stream whose reads are bounded. What it has of a Stream's besides passes on the way in which each side
// ends.
type throttled struct {
	*bridge.Stream
	rate int64
	span time.Duration // how much time is saved up: at least that of a byte

	reading sync.Mutex // a Stream has one reader at a time

	mu       sync.Mutex
	paid     time.Time // what was read has taken until then
	deadline time.Time // of reads
	closed   bool
	changed  chan struct{} // closed when deadline or closed change
}

// Read reads when it may.
func (t *throttled) Read(p []byte) (int, error) {
	n, err := t.allowance(max(1, len(p)))
	if err != nil {
		return 0, err
	}
	t.reading.Lock()
	defer t.reading.Unlock()
	n, err = t.Stream.Read(p[:min(n, len(p))])
	t.took(n)
	return n, err
}

// TryRead is bridge.Poller's: it reads what is there, as far as it may.
func (t *throttled) TryRead(p []byte) (int, error) {
	n, _ := t.available(max(1, len(p)))
	if n == 0 {
		return 0, bridge.ErrWouldBlock
	}
	t.reading.Lock()
	defer t.reading.Unlock()
	n, err := t.Stream.TryRead(p[:min(n, len(p))])
	t.took(n)
	return n, err
}

// AwaitRead is bridge.Poller's: it waits until it may read, and then until something is there.
func (t *throttled) AwaitRead() error {
	if _, err := t.allowance(math.MaxInt); err != nil {
		return err
	}
	return t.Stream.AwaitRead()
}

// allowance waits until something may be read, and returns how much of n.
func (t *throttled) allowance(n int) (int, error) {
	for {
		may, wait := t.available(n)
		if may > 0 {
			return may, nil
		}
		if err := t.pause(wait); err != nil {
			return 0, err
		}
	}
}

// available returns how much of n may be read now, or how long it takes until it is worth while: to read whenever it is
// a byte would be a system call for each.
func (t *throttled) available(n int) (may int, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	saved := min(time.Since(t.paid), t.span)
	if may := int64(saved.Seconds() * float64(t.rate)); may >= int64(n) || may > 0 && saved >= t.span/2 {
		return int(min(int64(n), may)), 0
	}
	return 0, t.span - saved
}

func (t *throttled) took(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if oldest := time.Now().Add(-t.span); t.paid.Before(oldest) {
		t.paid = oldest
	}
	t.paid = t.paid.Add(time.Duration(int64(n) * int64(time.Second) / t.rate))
}

// pause waits, but no longer than until the deadline, or until somebody closes.
func (t *throttled) pause(wait time.Duration) error {
	t.mu.Lock()
	deadline, closed, changed := t.deadline, t.closed, t.changed
	t.mu.Unlock()
	switch {
	case closed:
		return net.ErrClosed
	case !deadline.IsZero():
		left := time.Until(deadline)
		if left <= 0 {
			return os.ErrDeadlineExceeded
		}
		wait = min(wait, left)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed:
	}
	return nil
}

func (t *throttled) change(set func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	set()
	close(t.changed)
	t.changed = make(chan struct{})
}

// SetReadDeadline sets the deadline of reads, also of one that waits.
func (t *throttled) SetReadDeadline(at time.Time) error {
	t.change(func() { t.deadline = at })
	return t.Stream.SetReadDeadline(at)
}

// SetDeadline sets both deadlines.
func (t *throttled) SetDeadline(at time.Time) error {
	t.change(func() { t.deadline = at })
	return t.Stream.SetDeadline(at)
}

// Close closes the conn.
func (t *throttled) Close() error {
	t.change(func() { t.closed = true })
	return t.Stream.Close()
}

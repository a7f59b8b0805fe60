package tlsbridge

import "runtime"

// Limiter bounds how many handshakes compute at the same time. A handshake that waits
// for its peer does not count; one that waits for its turn does so inside its deadline.
// It is safe for concurrent use, and one is shared by all layers that are to share the
// bound.
type Limiter struct{ slots chan struct{} }

// NewLimiter returns a Limiter for n handshakes; zero or less means four for each
// processor that Go uses.
func NewLimiter(n int) *Limiter {
	if n <= 0 {
		n = 4 * runtime.GOMAXPROCS(0)
	}
	return &Limiter{make(chan struct{}, n)}
}

// acquire waits for a slot, and reports whether it got one before done was closed.
func (l *Limiter) acquire(done <-chan struct{}) bool {
	select {
	case l.slots <- struct{}{}:
		return true
	case <-done:
		return false
	}
}

func (l *Limiter) release() { <-l.slots }

package policy

import (
	"time"

	"github.com/bridgeio/bridgeio/internal/expiring"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
)

// maxFailures is the greatest count that a rule can ask for: so many times are kept of each client and name.
const maxFailures = 100

// failures remembers when clients have refused what they were shown. It is safe for concurrent use.
type failures struct {
	seen *expiring.Cache[failureKey, []time.Time]
}

// failureKey is a client and a name, and how it failed; "" is in any way that ends a handshake.
type failureKey struct {
	Key
	how tlsbridge.Refusal
}

func newFailures() *failures {
	return &failures{expiring.New[failureKey, []time.Time](2 * DefaultSize)}
}

// note notes a failure, for rules that ask for at most count of them within the period.
func (f *failures) note(k Key, how tlsbridge.Refusal, count int, period time.Duration) {
	f.add(failureKey{k, how}, count, period)
	switch how {
	case tlsbridge.SilentAfterHandshake, tlsbridge.ECHRequired:
		// The handshake was finished, or the client comes again with another hello: nothing has failed.
	default:
		f.add(failureKey{k, tlsbridge.NotRefused}, count, period)
	}
}

func (f *failures) add(k failureKey, count int, period time.Duration) {
	f.seen.Update(k, func(old []time.Time, _ bool) ([]time.Time, time.Duration) {
		kept := old[max(0, len(old)-count+1):]
		return append(append(make([]time.Time, 0, len(kept)+1), kept...), time.Now()), period
	})
}

// within returns how many failures there were in the last period, as far as they are remembered.
func (f *failures) within(k Key, how tlsbridge.Refusal, period time.Duration) (n int) {
	seen, _ := f.seen.Get(failureKey{k, how})
	since := time.Now().Add(-period)
	for _, at := range seen {
		if at.After(since) {
			n++
		}
	}
	return n
}

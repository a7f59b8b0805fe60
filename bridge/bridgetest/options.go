package bridgetest

import (
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
)

// Option says what is special about a dialogue, or what is expected of its flow. Expectations hold where nothing goes
// wrong: with any chunking, in turn or pipelined.
type Option func(*dialogue)

// Path expects the flow's path.
func Path(path string) Option {
	return Flow(func(t testing.TB, f *bridge.Flow) {
		t.Helper()
		if got := f.Path(); got != path {
			t.Errorf("path %q, want %q", got, path)
		}
	})
}

// Target expects the flow's target, as "host:port".
func Target(target string) Option {
	return Flow(func(t testing.TB, f *bridge.Flow) {
		t.Helper()
		if got := f.Target().String(); got != target {
			t.Errorf("target %q, want %q", got, target)
		}
	})
}

// Flow looks at the flow when it is over.
func Flow(look func(testing.TB, *bridge.Flow)) Option {
	return func(d *dialogue) { d.looks = append(d.looks, look) }
}

// Reason expects the outcome's reason; the default is bridge.EOF.
func Reason(r bridge.Reason) Option { return func(d *dialogue) { d.reason = r } }

// Hop is what the listener says the hop is, as "host:port". The default is 192.0.2.80:1080 for Relay, and none for
// Terminate.
func Hop(hop string) Option {
	return func(d *dialogue) {
		var err error
		if d.hop, err = bridge.ParseAddr(hop); err != nil {
			panic(err)
		}
	}
}

// Limits sets the limits. Time is the bubble's where it matters, so long ones cost nothing.
func Limits(l bridge.Limits) Option { return func(d *dialogue) { d.limits = l } }

// Observed adds an observer.
func Observed(o *bridge.Observer) Option {
	return func(d *dialogue) { d.observer = bridge.Observers(d.observer, o) }
}

// NoPipelining says that the protocol does not let the client go on before it has its answer.
func NoPipelining() Option { return func(d *dialogue) { d.inTurn = true } }

// Redials says that the layer may dial again, with Redial: the server begins anew, and what it said before does not count.
func Redials() Option { return func(d *dialogue) { d.redials = true } }

// MayWithhold says that a dialogue which is broken off need not be passed on to its last byte, as by a layer that ends
// the flow then, or holds back what it has not understood.
func MayWithhold() Option { return func(d *dialogue) { d.withholds = true } }

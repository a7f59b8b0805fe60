package bridge

import (
	"math"
	"time"
)

// Fail says what becomes of a flow that can't be inspected.
type Fail uint8

const (
	FailOpen   Fail = iota // it goes on as a raw relay, where a hop is known
	FailClosed             // it ends
)

// Limits bounds what a flow may take. In each duration zero means the default that
// its comment names, and a negative value no limit.
type Limits struct {
	Dial     time.Duration // a dial, and a turn that waits for somebody's dial: 30 s
	Turn     time.Duration // each other turn of a handshake, and each write in it: 10 s
	Proxy    time.Duration // the PROXY protocol header: 5 s
	Detect   time.Duration // a detection that is undecided, from its first byte: 10 s
	First    time.Duration // the client's first byte while there is no hop: 60 s
	Idle     time.Duration // a relay without progress in either direction: 600 s
	Drain    time.Duration // a relay without progress after one side ended: 60 s
	Shutdown time.Duration // what flows may take to end at Shutdown, before they are cut: 10 s

	// MaxFlows bounds the flows of a Proxy; beyond it accepting waits. Zero means
	// a quarter of the descriptors that the process may open, less 64; negative
	// means no limit.
	MaxFlows int

	// Fail is FailOpen unless a gateway must not let through what it can't inspect.
	Fail Fail
}

// forever stands for "no limit" where a timer is set: 292 years.
const forever = time.Duration(math.MaxInt64)

// WithDefaults returns l with its zero values replaced by the defaults, and
// negative ones by a duration that never passes.
func (l Limits) WithDefaults() Limits {
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{
		{&l.Dial, 30 * time.Second},
		{&l.Turn, 10 * time.Second},
		{&l.Proxy, 5 * time.Second},
		{&l.Detect, 10 * time.Second},
		{&l.First, 60 * time.Second},
		{&l.Idle, 600 * time.Second},
		{&l.Drain, 60 * time.Second},
		{&l.Shutdown, 10 * time.Second},
	} {
		switch {
		case *d.v == 0:
			*d.v = d.def
		case *d.v < 0:
			*d.v = forever
		}
	}
	if l.MaxFlows == 0 {
		l.MaxFlows = max(16, (descriptorLimit()-64)/4)
	}
	return l
}

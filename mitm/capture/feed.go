package capture

import (
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

// goodbye is how long Close waits for readers to take what is queued for them.
const goodbye = 2 * time.Second

// OverIP says how readers on the network are treated. The zero value lets no flow wait
// for them.
type OverIP struct {
	// Throttle makes flows wait for the slowest reader: at most a second for each
	// write, after which that reader loses the flow. Without it a reader that falls
	// behind loses flows at once.
	Throttle bool

	// Control prepares the sockets of Connect, as that of a net.Dialer; nil: nothing is to
	// be prepared.
	Control func(network, address string, c syscall.RawConn) error
}

// Feed writes flows to readers on the network: the stream that is a capture file
// elsewhere, which is known as PCAP-over-IP. Each reader gets a header of its own, and of
// the flows those that begin to show their data while it is connected. It is safe for
// concurrent use. Close it.
//
// A reader that does not keep up loses flows: those that begin meanwhile as a whole, and
// the others with a marked gap and a RST. The other readers lose nothing, as 64 MiB wait
// for all of them and one may fill half of what is left by the others.
type Feed struct {
	config   Config
	patience time.Duration
	pool     *pool
	told     atomic.Pointer[bridge.Observer] // tells each of readers
	stop     func()                          // ends the search for readers
	running  sync.WaitGroup
	close    func()

	mu      sync.Mutex
	closed  bool
	readers []*reader
	past    Stats // of those that are gone
}

func newFeed(over OverIP, config Config) *Feed {
	if config.Log == nil {
		config.Log = slog.Default()
	}
	f := &Feed{config: config, pool: &pool{limit: queueLimit, shared: true}}
	if over.Throttle {
		f.patience = patience
	}
	f.told.Store(&bridge.Observer{})
	f.close = sync.OnceFunc(f.shut)
	return f
}

// Observer returns what tells the readers of flows.
func (f *Feed) Observer() *bridge.Observer {
	// What a Writer does not want to be told, nobody else is asked for.
	wanted, o := (&Writer{config: f.config}).Observer(), &bridge.Observer{}
	if wanted.Open != nil {
		o.Open = func(flow *bridge.Flow) { each(f.told.Load().Open, flow) }
	}
	if wanted.Frame != nil {
		o.Frame = func(flow *bridge.Flow, frame bridge.Frame) { each2(f.told.Load().Frame, flow, frame) }
	}
	if wanted.Message != nil {
		o.Message = func(flow *bridge.Flow, m bridge.Message) { each2(f.told.Load().Message, flow, m) }
	}
	if wanted.Close != nil {
		o.Close = func(flow *bridge.Flow, out bridge.Outcome) { each2(f.told.Load().Close, flow, out) }
	}
	if wanted.Tap != nil {
		o.Tap = f.tap
	}
	return o
}

func each[A any](tell func(A), a A) {
	if tell != nil {
		tell(a)
	}
}

func each2[A, B any](tell func(A, B), a A, b B) {
	if tell != nil {
		tell(a, b)
	}
}

func (f *Feed) tap(flow *bridge.Flow) func(bridge.Side, []byte) {
	if tap := f.told.Load().Tap; tap != nil {
		return tap(flow)
	}
	return nil
}

// Stats returns the counters as they are now, summed up over all readers, those that are
// gone included.
func (f *Feed) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	sum := f.past
	for _, r := range f.readers {
		sum.add(r.stats())
	}
	sum.Readers = int64(len(f.readers))
	return sum
}

// Close gives readers two seconds to take what is queued for them, and ends. Readers that
// did not take it are logged; the error is always nil.
func (f *Feed) Close() error {
	f.close()
	return nil
}

func (f *Feed) shut() {
	f.mu.Lock()
	f.closed = true
	readers := f.readers
	f.mu.Unlock()
	f.stop()
	for _, r := range readers {
		f.running.Go(r.finish)
	}
	f.running.Wait()
}

// serve gives a reader its capture until one of the two is gone, and closes conn. With
// halfClosed a reader that only ends its own direction is still there.
func (f *Feed) serve(conn net.Conn, halfClosed bool) {
	defer conn.Close()
	r, err := f.attach(conn)
	if err != nil {
		f.config.Log.Warn("capture: a reader could not be served", "reader", conn.RemoteAddr(), "err", err)
		return
	}
	if r == nil {
		return // we are closing
	}
	f.config.Log.Info("capture: a reader has come", "reader", conn.RemoteAddr())
	r.watch(halfClosed)
	conn.Close()
	f.detach(r)
	s := r.stats()
	f.config.Log.Info("capture: a reader is gone", "reader", conn.RemoteAddr(), "flows", s.Flows, "lost flows", s.Lost)
}

// attach makes a reader one of those that are told of flows; nil: the feed is closed. Not
// before that its header is sent, so that whoever has seen it misses nothing.
func (f *Feed) attach(conn net.Conn) (*reader, error) {
	r := &reader{conn: conn, log: f.config.Log}
	config := f.config
	config.Log = slog.New(slog.DiscardHandler) // what becomes of a reader is said by us
	w, err := startWriter(r, config, terms{pool: f.pool, patience: f.patience, isn: clockISN, starved: r.starved})
	if err != nil {
		return nil, err
	}
	r.w = w
	r.mu.Lock()
	added := f.add(r)
	if added {
		err = r.greet()
	}
	r.mu.Unlock()
	switch {
	case !added:
		return nil, w.Close()
	case err != nil:
		f.detach(r)
		return nil, err
	}
	return r, nil
}

func (f *Feed) add(r *reader) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.set(append(f.readers[:len(f.readers):len(f.readers)], r))
	}
	return !f.closed
}

// detach forgets a reader whose connection is closed.
func (f *Feed) detach(r *reader) {
	f.mu.Lock()
	var rest []*reader
	for _, other := range f.readers {
		if other != r {
			rest = append(rest, other)
		}
	}
	f.set(rest)
	f.past.add(r.stats())
	f.mu.Unlock()
	r.conn.Close()
	r.w.Close() // what is queued fails to be written
}

// set changes the readers. Flows go on telling those that they began with.
func (f *Feed) set(readers []*reader) {
	f.readers = readers
	var all []*bridge.Observer
	for _, r := range readers {
		all = append(all, r.w.Observer())
	}
	f.told.Store(bridge.Observers(all...))
}

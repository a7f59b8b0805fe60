package capture

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

const (
	// queueLimit bounds the bytes that wait to be written, over all flows.
	queueLimit = 64 << 20

	// patience is how long one write of a flow waits for room in the queue.
	patience = time.Second

	// autoflush is how long a byte may wait for others before it is written.
	autoflush = time.Second

	// retry is how long to wait after writing has failed.
	retry = time.Second

	// closePatience is how long Close waits for a destination that takes nothing.
	closePatience = 10 * time.Second
)

// Stats counts what a Writer did.
type Stats struct {
	Flows   int64 // flows of which something is in the capture
	Packets int64
	Payload int64 // bytes of application data in them
	Lost    int64 // flows that the capture gave up on
	Readers int64 // of a Feed: those that are connected
}

// add sums up what the readers of a Feed got.
func (s *Stats) add(t Stats) {
	s.Flows += t.Flows
	s.Packets += t.Packets
	s.Payload += t.Payload
	s.Lost += t.Lost
}

// Writer writes flows into one capture. It is safe for concurrent use. Close it.
type Writer struct {
	config Config
	queue  *queue
	rec    *recorder
	closer io.Closer // nil when the destination is not ours to close
	done   chan struct{}
	close  func() error
	terms  terms

	flows    sync.Map // *bridge.Flow to *story
	accepted sync.Map // [2]bridge.Addr to *conversation, of sockets whose flow is not known yet
	count    struct{ flows, packets, payload, lost atomic.Int64 }
}

// Create makes a Writer that writes to a file, which Close closes. "-" is stdout. A
// file that is new can be read by its owner only; one that exists is emptied.
func Create(name string, config Config) (*Writer, error) {
	if name == "-" {
		return NewWriter(os.Stdout, config)
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create capture: %w", err)
	}
	w, err := NewWriter(f, config)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	w.closer = f
	return w, nil
}

// NewWriter writes a file header to dst and returns a Writer that writes packets after
// it, from one goroutine and whole packets at a time. When a write fails in the middle
// of a packet and dst can seek and truncate, as files can, that part is taken back.
func NewWriter(dst io.Writer, config Config) (*Writer, error) {
	return newWriter(dst, config, queueLimit, clockISN)
}

// terms are what a Writer works under and its Config does not say.
type terms struct {
	pool     *pool         // what may be queued
	patience time.Duration // how long one write of a flow waits for room in it
	isn      func(start time.Time) uint32
	starved  func(*bridge.Flow) // is told of a flow that has waited in vain; nil: it is logged
}

// fileTerms are the terms of a capture that a flow waits for.
func fileTerms(limit int, isn func(time.Time) uint32) terms {
	return terms{pool: &pool{limit: limit}, patience: patience, isn: isn}
}

func newWriter(dst io.Writer, config Config, limit int, isn func(time.Time) uint32) (*Writer, error) {
	return startWriter(dst, config, fileTerms(limit, isn))
}

// startWriter makes a Writer and begins to write what comes.
func startWriter(dst io.Writer, config Config, t terms) (*Writer, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if config.Log == nil {
		config.Log = slog.Default()
	}
	if config.Autoflush == 0 {
		config.Autoflush = autoflush
	}
	out, err := newOutput(dst, config.format())
	if err != nil {
		return nil, err
	}
	w := &Writer{config: config, terms: t, done: make(chan struct{})}
	w.queue = newQueue(t.pool, t.patience, config.Autoflush)
	w.close = sync.OnceValue(w.shut)
	w.rec = newRecorder(w, out)
	if d, ok := dst.(*directory); ok {
		d.wake = w.queue.signal
	}
	go w.run()
	return w, nil
}

// clockISN returns the initial sequence number of the client's side: RFC 9293
// §3.4.1 has a clock that ticks every 4 µs.
func clockISN(start time.Time) uint32 { return uint32(start.UnixMicro() / 4) }

// Observer returns what tells the Writer of flows.
func (w *Writer) Observer() *bridge.Observer {
	return &bridge.Observer{Open: w.link, Tap: w.tap, Close: w.end}
}

// Stats returns the counters as they are now.
func (w *Writer) Stats() Stats {
	return Stats{
		Flows:   w.count.flows.Load(),
		Packets: w.count.packets.Load(),
		Payload: w.count.payload.Load(),
		Lost:    w.count.lost.Load(),
	}
}

// Close writes what is queued and ends the capture; flows that go on are no longer
// seen. It returns the error that left something unwritten. When the destination takes
// nothing for 10 seconds it gives up; the goroutine then ends with the write that hangs.
func (w *Writer) Close() error { return w.close() }

func (w *Writer) shut() error {
	w.queue.close()
	err := w.await()
	if w.closer != nil {
		err = errors.Join(err, w.closer.Close())
	}
	if err != nil {
		return fmt.Errorf("close capture: %w", err)
	}
	return nil
}

// await waits for the goroutine for as long as it makes progress.
func (w *Writer) await() error {
	look := time.NewTicker(closePatience)
	defer look.Stop()
	for seen := w.rec.out.taken.Load(); ; {
		select {
		case <-w.done:
			return w.rec.out.err
		case <-look.C:
		}
		now := w.rec.out.taken.Load()
		if now == seen {
			return fmt.Errorf("nothing was written for %v, and %d bytes are left", closePatience, w.queue.waiting())
		}
		seen = now
	}
}

// starved tells of a flow that was given up because there was no room for what it said.
func (w *Writer) starved(f *bridge.Flow) {
	if w.terms.starved != nil {
		w.terms.starved(f)
		return
	}
	w.config.Log.Warn("capture: gave up on a flow, its bytes can't be written as fast as they come",
		"flow", f.ID(), "waited", w.terms.patience)
}

// run writes what is queued until the queue is closed.
func (w *Writer) run() {
	defer close(w.done)
	for w.queue.await() {
		for p := w.queue.take(); p != nil; p = w.queue.take() {
			w.rec.page(p)
			w.queue.release(p)
		}
		if !w.rec.flush() {
			w.queue.later()
		}
	}
	w.rec.flush()
}

package capture

import (
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

const (
	// greeting is how long a reader may take to take the header.
	greeting = 10 * time.Second

	// keepAlive is when a connection without traffic is probed, and how often; after
	// four probes without an answer the reader is gone.
	keepAlive = 15 * time.Second
)

// reader is a program at the other end of a connection that wants a capture.
type reader struct {
	conn   net.Conn
	log    *slog.Logger
	w      *Writer // set before the first flow is seen
	header []byte
	lost   atomic.Int64 // flows that it was too slow for

	mu sync.Mutex // is held by whoever writes to conn
}

// Write is called by the Writer: at once with the header, which is kept until the reader
// is told of flows, and then with packets. A connection that fails is not used again.
func (r *reader) Write(p []byte) (int, error) {
	if r.w == nil {
		r.header = append(r.header, p...)
		return len(p), nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	n, err := r.conn.Write(p)
	if err != nil {
		r.conn.Close()
	}
	return n, err
}

// greet sends the header. mu is held, so packets come after it.
func (r *reader) greet() error {
	if c, ok := r.conn.(*net.TCPConn); ok {
		c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: keepAlive, Interval: keepAlive, Count: 4})
	}
	r.conn.SetWriteDeadline(time.Now().Add(greeting))
	_, err := r.conn.Write(r.header)
	r.conn.SetWriteDeadline(time.Time{})
	return err
}

// watch returns when the reader is gone. What it sends is thrown away.
func (r *reader) watch(halfClosed bool) {
	if _, err := io.Copy(io.Discard, r.conn); err == nil && halfClosed {
		awaitReset(r.conn)
	}
}

// starved counts a flow that the reader loses. The first is logged.
func (r *reader) starved(f *bridge.Flow) {
	if r.lost.Add(1) == 1 {
		r.log.Warn("capture: a reader is too slow and loses flows", "reader", r.conn.RemoteAddr(), "flow", f.ID())
	}
}

// stats returns the reader's part of the counters. Flows that were cut because it went
// are not lost to it.
func (r *reader) stats() Stats {
	s := r.w.Stats()
	s.Lost = r.lost.Load()
	return s
}

// finish lets the reader take what is queued, and closes the connection.
func (r *reader) finish() {
	defer r.conn.Close()
	r.conn.SetWriteDeadline(time.Now().Add(goodbye))
	if err := r.w.Close(); err != nil {
		r.log.Warn("capture: a reader did not take the end", "reader", r.conn.RemoteAddr(), "err", err)
	}
}

package capture

import (
	"context"
	"net"
	"time"
)

const (
	// dialTimeout bounds one attempt to reach a reader.
	dialTimeout = 10 * time.Second

	// firstPause is how long to wait after a connection that ended or could not be
	// made. It doubles up to lastPause, and begins anew after a connection that lasted
	// that long.
	firstPause = time.Second
	lastPause  = 30 * time.Second
)

// Connect gives a capture to the reader at addr, "host:port". It does not block: it
// connects, and connects anew whenever the connection ends, until Close. Each connection
// gets a capture from its header on. A reader that ends its direction has closed it.
func Connect(addr string, over OverIP, config Config) *Feed {
	dialer := &net.Dialer{Timeout: dialTimeout, Control: over.Control}
	if over.Control != nil {
		dialer.Resolver = &net.Resolver{Dial: (&net.Dialer{Control: over.Control}).DialContext}
	}
	return connect(addr, func(ctx context.Context) (net.Conn, error) {
		return dialer.DialContext(ctx, "tcp", addr)
	}, over, config)
}

func connect(addr string, dial func(context.Context) (net.Conn, error), over OverIP, config Config) *Feed {
	f := newFeed(over, config)
	ctx, cancel := context.WithCancel(context.Background())
	f.stop = cancel
	f.running.Go(func() { f.reach(ctx, addr, dial) })
	return f
}

// reach serves the reader that dial finds, until ctx ends. Of attempts that fail one
// after another the first is logged.
func (f *Feed) reach(ctx context.Context, addr string, dial func(context.Context) (net.Conn, error)) {
	pause, quiet := firstPause, false
	for ctx.Err() == nil {
		conn, err := dial(ctx)
		begun := time.Now()
		if err == nil {
			f.serve(conn, false)
		} else if !quiet && ctx.Err() == nil {
			f.config.Log.Warn("capture: can't reach the reader, and try again until it is there", "reader", addr, "err", err)
		}
		quiet = err != nil
		if err == nil && time.Since(begun) >= lastPause {
			pause = firstPause
		}
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
		}
		pause = min(2*pause, lastPause)
	}
}

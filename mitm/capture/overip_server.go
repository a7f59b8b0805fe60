package capture

import (
	"errors"
	"net"
	"time"
)

// Serve gives a capture to whoever connects to l, which Close closes. It does not block.
//
// A reader may end its own direction, as programs do whose stdin is at its end. One that
// has closed the connection is therefore known to be gone when something was sent to it:
// packets, or after a minute without any the probes that keep the connection alive.
func Serve(l net.Listener, over OverIP, config Config) *Feed {
	f := newFeed(over, config)
	closing := make(chan struct{})
	f.stop = func() {
		close(closing)
		l.Close()
	}
	f.running.Go(func() { f.accept(l, closing) })
	return f
}

// accept serves those who connect, until l is closed.
func (f *Feed) accept(l net.Listener, closing <-chan struct{}) {
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			f.running.Go(func() { f.serve(conn, true) })
			continue
		case errors.Is(err, net.ErrClosed):
			return
		}
		// As without a free descriptor, which another connection may give back.
		f.config.Log.Warn("capture: accept reader", "err", err)
		select {
		case <-time.After(retry):
		case <-closing:
			return
		}
	}
}

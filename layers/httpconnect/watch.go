package httpconnect

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

// watch ends an exchange that makes no progress, and makes writes fail that block when it ends early: a context reaches
// only reads.
type watch struct {
	limit time.Duration
	cut   context.CancelCauseFunc // ends the exchange, and with it the flow
	calm  func() bool             // keeps the end of the context from reaching the conns any more
	off   chan struct{}           // closed when it has reached them

	mu      sync.Mutex
	timer   *time.Timer
	last    time.Time // when there was progress
	stopped bool
}

// watchOver returns the context of the exchange, and its watch.
func watchOver(ctx context.Context, b *bridge.Bridge, limit time.Duration) (context.Context, *watch) {
	ctx, cut := context.WithCancelCause(ctx)
	w := &watch{limit: limit, cut: cut, off: make(chan struct{}), last: time.Now()}
	client, server := b.Client, b.Server
	w.calm = context.AfterFunc(ctx, func() {
		defer close(w.off)
		client.SetWriteDeadline(past)
		server.SetWriteDeadline(past)
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(limit, w.check)
	return ctx, w
}

var (
	past    = time.Unix(1, 0)
	errIdle = errors.New("no progress in either direction")
)

// touch notes progress.
func (w *watch) touch() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = time.Now()
}

// check runs when there may have been no progress for the limit.
func (w *watch) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	if still := time.Since(w.last); still < w.limit {
		w.timer.Reset(w.limit - still)
		return
	}
	w.cut(bridge.Fails(bridge.Idle, bridge.ByMITM, errIdle))
}

// cause returns why an operation failed: where the exchange was cut, that is why.
func (w *watch) cause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// stop ends the watch. When it returns, the conns are left alone.
func (w *watch) stop() {
	w.mu.Lock()
	w.stopped = true
	w.timer.Stop()
	w.mu.Unlock()
	if !w.calm() {
		<-w.off
	}
	w.cut(nil)
}

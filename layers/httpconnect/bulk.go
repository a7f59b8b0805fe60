package httpconnect

import (
	"context"
	"sync"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

const (
	// bulkBuffer is how much of a body is moved at once where much of it comes.
	bulkBuffer = 64 << 10

	// bulkFrom is what counts as much: a Stream's first buffer, full.
	bulkFrom = 4 << 10

	// bulkWait is how long more of it is waited for before it is left to those who wait for both peers.
	bulkWait = 20 * time.Millisecond
)

var bulkBuffers = sync.Pool{New: func() any { return new([bulkBuffer]byte) }}

// bulk moves a body past its side's buffer for as long as much of it comes: bytes that are known to belong to it, so that
// nothing is read that is not to be passed on. It makes large bodies several times as fast. How the peer ended its
// direction is left for the next wait to tell; an error is one of writing.
func bulk(ctx context.Context, b *bridge.Bridge, from bridge.Side, body *Body, idle *watch) error {
	s := b.Client
	if from == bridge.Server {
		s = b.Server
	}
	buf := bulkBuffers.Get().(*[bulkBuffer]byte)
	defer bulkBuffers.Put(buf)
	defer s.SetReadDeadline(noDeadline)
	for ctx.Err() == nil {
		sure := min(body.sure(), bulkBuffer)
		if sure < bulkFrom {
			return nil
		}
		s.SetReadDeadline(time.Now().Add(bulkWait))
		n, readErr := s.Read(buf[:sure])
		body.skip(n)
		if err := b.Write(ctx, from.Other(), buf[:n]); err != nil {
			return err
		}
		idle.touch()
		if n < bulkFrom || readErr != nil {
			return nil
		}
	}
	return nil
}

package httpconnect

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync/atomic"

	"github.com/bridgeio/bridgeio/bridge"
)

// upload passes on a request's content, in a goroutine of its own: a server may answer before it has read all of it, and
// a client may read the answer only after it has sent all of it. It is the one that reads the client meanwhile.
type upload struct {
	over   context.Context // ends with the upload, to interrupt a read of the server that waits beside it
	done   chan struct{}   // closed when it has ended; what follows is set then
	err    error           // why it is incomplete
	unsent bool            // because the server did not take it
	begun  atomic.Bool     // the client has sent some of it
}

func startUpload(ctx context.Context, b *bridge.Bridge, body Body, idle *watch) *upload {
	over, end := context.WithCancel(ctx)
	u := &upload{over: over, done: make(chan struct{})}
	go u.run(ctx, end, b, body, idle)
	return u
}

func (u *upload) run(ctx context.Context, end func(), b *bridge.Bridge, body Body, idle *watch) {
	defer end()
	defer close(u.done)
	defer func() {
		if v := recover(); v != nil { // of a conn; it ends the flow, not the process
			u.err = &bridge.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	for !body.Done() && u.err == nil {
		u.err = u.piece(ctx, b, &body, idle)
		idle.touch()
	}
}

// piece passes on what is there, and waits for it when there is nothing.
func (u *upload) piece(ctx context.Context, b *bridge.Bridge, body *Body, idle *watch) error {
	if len(b.Client.Buffered()) == 0 {
		if err := b.Client.Fill(ctx); err != nil {
			return unfinished(ctx, b.Client.End(), err)
		}
	}
	u.begun.Store(true)
	n, err := body.Next(b.Client.Buffered())
	if bad := asMalformed(err); bad != nil {
		return badRequest("The content of the request is malformed: " + bad.Field + ".")
	}
	err = b.Pass(ctx, bridge.Client, n)
	if err == nil && len(b.Client.Buffered()) == 0 && n >= bulkFrom {
		err = bulk(ctx, b, bridge.Client, body, idle)
	}
	u.unsent = err != nil
	return err
}

// unfinished is a client that does not send the rest of its request.
func unfinished(ctx context.Context, end bridge.End, err error) error {
	switch end {
	case bridge.Open:
		return context.Cause(ctx)
	case bridge.Reset:
		return bridge.Fails(bridge.Resets, bridge.ByClient, err)
	}
	return bridge.Fails(bridge.PeerClosed, bridge.ByClient, fmt.Errorf("the request is incomplete: %w", err))
}

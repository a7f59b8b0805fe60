package bridge

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// Proxy accepts conns and takes each through Handler as the client side of a Bridge.
// Only Handler is required. Its fields are not changed after first use.
type Proxy struct {
	Handler  Handler
	Dial     DialFunc                    // connects server sides; nil means a net.Dialer
	Hop      func(net.Conn) (Addr, bool) // the hop, where the accepted conn says it; nil means none
	Limits   Limits
	Observer *Observer

	once   sync.Once
	limits Limits
	slots  chan struct{} // one for each flow; nil means no limit
	flows  sync.WaitGroup

	mu        sync.Mutex
	closing   bool
	listeners map[net.Listener]struct{}
	cut       map[*Bridge]context.CancelCauseFunc
}

// FixedHop returns a Proxy's Hop that is the same for every conn.
func FixedHop(hop Addr) func(net.Conn) (Addr, bool) {
	return func(net.Conn) (Addr, bool) { return hop, true }
}

// errShutdown is the cause of contexts that end by Shutdown.
var errShutdown = errors.New("shut down")

func (p *Proxy) init() {
	p.once.Do(func() {
		p.limits = p.Limits.WithDefaults()
		if p.limits.MaxFlows > 0 {
			p.slots = make(chan struct{}, p.limits.MaxFlows)
		}
		p.listeners = map[net.Listener]struct{}{}
		p.cut = map[*Bridge]context.CancelCauseFunc{}
	})
}

// Serve accepts conns from l until ctx ends or Shutdown is called, which returns nil,
// or until l fails. While there are Limits.MaxFlows flows it does not accept; when
// the process is out of descriptors it waits a little and goes on. It closes l. The
// flows go on when it returns, unless ctx has ended.
func (p *Proxy) Serve(ctx context.Context, l net.Listener) error {
	p.init()
	if !p.listen(l) {
		return nil
	}
	defer p.unlisten(l)
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for backoff := time.Duration(0); ; {
		if !p.acquire(ctx) {
			return nil
		}
		c, err := l.Accept()
		if err == nil {
			backoff = 0
			go p.serveSlot(ctx, c)
			continue
		}
		p.release()
		switch {
		case ctx.Err() != nil || p.isClosing():
			return nil
		case !isTransient(err):
			return err
		}
		backoff = min(max(2*backoff, 5*time.Millisecond), time.Second)
		select {
		case <-time.After(backoff):
		case <-ctx.Done():
		}
	}
}

// isTransient reports whether accepting may work again: out of descriptors or
// memory, or a conn that was gone before it was accepted.
func isTransient(err error) bool {
	for _, errno := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

func (p *Proxy) acquire(ctx context.Context) bool {
	if p.slots == nil {
		return ctx.Err() == nil
	}
	select {
	case p.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (p *Proxy) release() {
	if p.slots != nil {
		<-p.slots
	}
}

func (p *Proxy) serveSlot(ctx context.Context, c net.Conn) {
	defer p.release()
	p.serve(ctx, c)
}

// ServeConn takes one conn through the handler, closes it and what was dialled for
// it, and returns how the flow ended. It does not count towards Limits.MaxFlows.
func (p *Proxy) ServeConn(ctx context.Context, c net.Conn) Outcome {
	p.init()
	return p.serve(ctx, c)
}

func (p *Proxy) serve(ctx context.Context, c net.Conn) Outcome {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	b := &Bridge{Client: NewStream(c), DialFunc: p.Dial, Observer: p.Observer, limits: &p.limits}
	b.flow = newFlow(c, time.Now())
	if !p.begin(b, cancel) {
		c.Close()
		return Outcome{Reason: Shutdown, EndedBy: ByMITM, Err: errShutdown}
	}
	defer p.done(b)
	p.Observer.open(b.flow)
	err := catch(func() error { return p.handle(ctx, b, c) })
	out := b.outcome(ctx, err)
	b.finish(ctx, out, c, err)
	out.Duration = time.Since(b.flow.start)
	p.Observer.close(b.flow, out)
	return out
}

func (p *Proxy) handle(ctx context.Context, b *Bridge, c net.Conn) error {
	if p.Hop != nil {
		if hop, ok := p.Hop(c); ok {
			b.SetHop(hop)
		}
	}
	return p.Handler(ctx, b)
}

// outcome says what the handler's error, or the lack of one, amounts to.
func (b *Bridge) outcome(ctx context.Context, err error) Outcome {
	reason, by := ReasonOf(err)
	switch {
	case err != nil && ctx.Err() != nil:
		reason, by = Shutdown, ByMITM
	case reason == EOF && b.firstEnd != "":
		by = b.firstEnd
	case reason == Resets && by == ByMITM && b.Client.End() == Reset:
		by = ByClient
	case reason == Resets && by == ByMITM:
		by = ByServer
	}
	return Outcome{Reason: reason, EndedBy: by, Err: err}
}

// finish ends what is still open on both sides, as the outcome asks for, and closes
// both conns.
func (b *Bridge) finish(ctx context.Context, out Outcome, client net.Conn, err error) {
	defer client.Close()
	defer b.closeServer()
	final := (*finalError)(nil)
	refused := out.Reason == Refused && !errors.As(err, &final)
	if out.Reason == Resets || refused {
		b.eachSide(func(s *Stream) { s.EndWrite(Reset) })
		return
	}
	if ctx.Err() != nil {
		return
	}
	b.eachSide(func(s *Stream) {
		s.SetDeadline(time.Now().Add(goodbye))
	})
	for _, from := range []Side{Client, Server} {
		if to := b.side(from.Other()); to != nil && !b.passed[from] {
			to.EndWrite(Clean)
		}
	}
	if out.EndedBy != ByClient && b.Client.End() == Open {
		b.closeServer()
		linger(client)
	}
}

// goodbye bounds the last words of a flow and the wait for the client to hear them.
const goodbye = time.Second

// linger half-closes c and reads until the client has closed too: closing a socket
// that has unread bytes resets it, and the client could lose our last words.
func linger(c net.Conn) {
	half, ok := c.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.SetReadDeadline(time.Now().Add(goodbye))
	io.CopyN(io.Discard, c, 4*bufferLimit)
}

func (b *Bridge) eachSide(f func(*Stream)) {
	for _, s := range []*Stream{b.Client, b.Server} {
		if s != nil {
			f(s)
		}
	}
}

func (p *Proxy) listen(l net.Listener) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		l.Close()
		return false
	}
	p.listeners[l] = struct{}{}
	return true
}

func (p *Proxy) unlisten(l net.Listener) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.listeners, l)
	l.Close()
}

func (p *Proxy) begin(b *Bridge, cancel context.CancelCauseFunc) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		return false
	}
	p.cut[b] = cancel
	p.flows.Add(1)
	return true
}

func (p *Proxy) done(b *Bridge) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.cut, b)
	p.flows.Done()
}

func (p *Proxy) isClosing() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closing
}

// Flows returns how many flows there are.
func (p *Proxy) Flows() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.cut)
}

// Shutdown closes the listeners, lets the flows go on until they end, ctx ends or
// Limits.Shutdown has passed, cuts those that are left, and waits for them. It
// returns nil when all flows ended by themselves. A Proxy can't be used again.
func (p *Proxy) Shutdown(ctx context.Context) error {
	p.init()
	p.mu.Lock()
	p.closing = true
	for l := range p.listeners {
		l.Close()
	}
	p.mu.Unlock()

	ended := make(chan struct{})
	go p.wait(ended)
	ctx, cancel := context.WithTimeout(ctx, p.limits.Shutdown)
	defer cancel()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	for _, cut := range p.cut {
		cut(errShutdown)
	}
	p.mu.Unlock()
	<-ended
	return ctx.Err()
}

func (p *Proxy) wait(ended chan<- struct{}) {
	p.flows.Wait()
	close(ended)
}

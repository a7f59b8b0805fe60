package bridge

import (
	"cmp"
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
	flows  sync.WaitGroup
	closed chan struct{} // by Shutdown

	mu        sync.Mutex
	closing   bool
	listeners map[net.Listener]struct{}
	cut       map[*Bridge]context.CancelCauseFunc
	accepted  int           // flows of accepted conns, which count towards MaxFlows
	room      chan struct{} // closed when there is room again; nil when nobody waits
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
		p.closed = make(chan struct{})
		p.listeners = map[net.Listener]struct{}{}
		p.cut = map[*Bridge]context.CancelCauseFunc{}
	})
}

// Serve accepts conns from l until ctx ends or Shutdown is called, which returns nil,
// or until l fails. While there are Limits.MaxFlows flows it does not accept, but for
// one conn that each further listener was waiting for already; when the process is out
// of descriptors it waits a little and goes on. It closes l. The flows go on when it
// returns, unless ctx has ended.
func (p *Proxy) Serve(ctx context.Context, l net.Listener) error {
	p.init()
	if !p.listen(l) {
		return nil
	}
	defer p.unlisten(l)
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for backoff := time.Duration(0); ; {
		if !p.waitForRoom(ctx) {
			return nil
		}
		c, err := l.Accept()
		if err == nil {
			backoff = 0
			p.enter()
			go p.serveAccepted(ctx, c)
			continue
		}
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
		case <-p.closed:
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

// waitForRoom waits until there are less than Limits.MaxFlows flows. It returns false
// when ctx ends or the proxy is shut down.
func (p *Proxy) waitForRoom(ctx context.Context) bool {
	for ctx.Err() == nil {
		room := p.hasRoom()
		if room == nil {
			return true
		}
		select {
		case <-room:
		case <-ctx.Done():
		case <-p.closed:
			return false
		}
	}
	return false
}

// hasRoom returns nil when there is room for a flow, else what tells of room.
func (p *Proxy) hasRoom() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.limits.MaxFlows < 0 || p.accepted < p.limits.MaxFlows {
		return nil
	}
	if p.room == nil {
		p.room = make(chan struct{})
	}
	return p.room
}

func (p *Proxy) enter() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.accepted++
}

func (p *Proxy) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.accepted--
	if p.room != nil {
		close(p.room)
		p.room = nil
	}
}

func (p *Proxy) serveAccepted(ctx context.Context, c net.Conn) {
	ctx, b, err := p.handle(ctx, c)
	if b != nil && b.relay != nil && err == nil {
		go p.relayAccepted(ctx, b) // on a stack that has not grown
		return
	}
	p.end(ctx, b, err)
	p.leave()
}

func (p *Proxy) relayAccepted(ctx context.Context, b *Bridge) {
	defer p.leave()
	p.end(ctx, b, b.relay.run(ctx))
}

// ServeConn takes one conn through the handler, closes it and what was dialled for
// it, and returns how the flow ended. It does not count towards Limits.MaxFlows.
func (p *Proxy) ServeConn(ctx context.Context, c net.Conn) Outcome {
	p.init()
	ctx, b, err := p.handle(ctx, c)
	if b != nil && b.relay != nil && err == nil {
		err = b.relay.run(ctx)
	}
	return p.end(ctx, b, err)
}

// handle takes a conn through the handler, as the client side of a new bridge with a
// context of its own. There is none when the proxy is closing.
func (p *Proxy) handle(ctx context.Context, c net.Conn) (context.Context, *Bridge, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	b := &Bridge{Client: NewStream(c), DialFunc: p.Dial, Observer: p.Observer, limits: &p.limits, tail: true}
	b.flow = newFlow(c, time.Now())
	if !p.begin(b, cancel) {
		cancel(nil)
		c.Close()
		return ctx, nil, errShutdown
	}
	b.bottom.accepted(c)
	b.uncut = context.AfterFunc(ctx, b.bottom.cutAll)
	return ctx, b, catch(func() error {
		p.Observer.open(b.flow)
		if p.Hop != nil {
			if hop, ok := p.Hop(c); ok {
				b.SetHop(hop)
			}
		}
		return p.Handler(ctx, b)
	})
}

// end ends a flow of which the handler and the relay have returned.
func (p *Proxy) end(ctx context.Context, b *Bridge, err error) Outcome {
	if b == nil {
		return Outcome{Reason: Shutdown, EndedBy: ByMITM, Err: err}
	}
	out := b.outcome(ctx, err)
	b.finish(ctx, out)
	out.Duration = time.Since(b.flow.start)
	if err := catch(func() error { p.Observer.close(b.flow, out); return nil }); err != nil {
		out.Reason, out.EndedBy, out.Err = Panic, ByMITM, err
	}
	b.uncut()
	p.done(b)
	return out
}

// outcome says what the handler's error, or the lack of one, amounts to.
func (b *Bridge) outcome(ctx context.Context, err error) Outcome {
	reason, by := ReasonOf(err)
	switch {
	case ctx.Err() != nil:
		reason, by, err = Shutdown, ByMITM, cmp.Or(err, context.Cause(ctx))
	case reason == EOF && b.firstEnd != "":
		by = b.firstEnd
	case reason == Resets && by == ByMITM && !errors.As(err, new(*Failure)):
		// A conn has said so, and not whose it is.
		by = either(b.Client.End() == Reset, ByClient, ByServer)
	}
	return Outcome{Reason: reason, EndedBy: by, Err: err}
}

// finish ends what is still open on both sides, as the outcome asks for, and closes
// both conns.
func (b *Bridge) finish(ctx context.Context, out Outcome) {
	defer b.bottom.close(Client)
	defer b.closeServer()
	final := (*finalError)(nil)
	refused := out.Reason == Refused && !errors.As(out.Err, &final)
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
	if b.Client.End() == Open {
		b.closeServer()
		linger(b.bottom.conn(Client))
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
	io.Copy(io.Discard, struct{ io.Reader }{c})
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
	p.cut[b](nil)
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
	p.stopAccepting()
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

func (p *Proxy) stopAccepting() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closing {
		p.closing = true
		close(p.closed)
	}
	for l := range p.listeners {
		l.Close()
	}
}

func (p *Proxy) wait(ended chan<- struct{}) {
	p.flows.Wait()
	close(ended)
}

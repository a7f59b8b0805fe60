package bridge_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
)

// listener is a listener in memory that notes when it was asked.
type listener struct {
	conns  chan any // a net.Conn or an error
	closed chan struct{}
	once   sync.Once

	mu    sync.Mutex
	asked []time.Time
}

func newListener() *listener {
	return &listener{conns: make(chan any, 100), closed: make(chan struct{})}
}

func (l *listener) Accept() (net.Conn, error) {
	l.mu.Lock()
	l.asked = append(l.asked, time.Now())
	l.mu.Unlock()
	select {
	case next := <-l.conns:
		if err, ok := next.(error); ok {
			return nil, err
		}
		return next.(net.Conn), nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 8080} }

// connect returns the client's end of a conn that is to be accepted.
func (l *listener) connect() *bridgetest.Conn {
	client, ours := bridgetest.Pipe(1000)
	l.conns <- ours
	return client
}

// accepts returns how often Accept was called.
func (l *listener) accepts() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.asked)
}

// untilTheClientEnds is a handler.
func untilTheClientEnds(ctx context.Context, b *bridge.Bridge) error {
	for b.Client.End() == bridge.Open {
		if err := b.Wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// The handler has returned when the relay runs: a flow does not hold the handler's stack.
func TestRelayIsATailCallInAProxy(t *testing.T) {
	returned := make(chan struct{})
	client, accepted := bridgetest.Pipe(1 << 10)
	dialled, server := bridgetest.Pipe(1 << 10)
	p := &bridge.Proxy{
		Handler: func(ctx context.Context, b *bridge.Bridge) error {
			defer close(returned)
			return bridge.Relay(ctx, b)
		},
		Dial: func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) { return dialled, nil },
		Hop:  bridge.FixedHop(bridge.Addr{Host: "192.0.2.1", Port: 1}),
	}
	ended := make(chan bridge.Outcome)
	go func() { ended <- p.ServeConn(t.Context(), accepted) }()
	<-returned
	io.WriteString(client, "hello")
	got := make([]byte, 5)
	if _, err := io.ReadFull(server, got); err != nil || string(got) != "hello" {
		t.Errorf("the server got %q, %v", got, err)
	}
	client.Close()
	server.Close()
	if out := <-ended; out.Reason != bridge.EOF {
		t.Errorf("outcome %+v, want eof", out)
	}
}

func TestAPanicOfAnObserverEndsTheFlowAndNotTheProcess(t *testing.T) {
	for name, observer := range map[string]*bridge.Observer{
		"at the beginning": {Open: func(*bridge.Flow) { panic("no") }},
		"at the end":       {Close: func(*bridge.Flow, bridge.Outcome) { panic("no") }},
	} {
		client, accepted := bridgetest.Pipe(1 << 10)
		p := &bridge.Proxy{Handler: func(context.Context, *bridge.Bridge) error { return nil }, Observer: observer}
		client.Close()
		if out := p.ServeConn(t.Context(), accepted); out.Reason != bridge.Panic {
			t.Errorf("%s: outcome %+v, want panic", name, out)
		}
	}
}

// A handler that fails after it has called Relay ends the flow.
func TestAHandlerThatFailsAfterRelayEndsTheFlow(t *testing.T) {
	client, accepted := bridgetest.Pipe(1 << 10)
	dialled, server := bridgetest.Pipe(1 << 10)
	defer client.Close()
	defer server.Close()
	p := &bridge.Proxy{
		Handler: func(ctx context.Context, b *bridge.Bridge) error {
			return errors.Join(bridge.Relay(ctx, b), bridge.Fails(bridge.Block, bridge.ByMITM, errors.New("after all")))
		},
		Dial: func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) { return dialled, nil },
		Hop:  bridge.FixedHop(bridge.Addr{Host: "192.0.2.1", Port: 1}),
	}
	client.Close()
	if out := p.ServeConn(t.Context(), accepted); out.Reason != bridge.Block {
		t.Errorf("outcome %+v, want block", out)
	}
}

func TestARefusedHandshakeIsRelayedUnlessNothingMayPass(t *testing.T) {
	for fail, want := range map[bridge.Fail]string{bridge.FailOpen: "more", bridge.FailClosed: ""} {
		client, accepted := bridgetest.Pipe(1 << 10)
		dialled, server := bridgetest.Pipe(1 << 10)
		p := &bridge.Proxy{
			Handler: bridge.RelayRefused,
			Dial:    func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) { return dialled, nil },
			Hop:     bridge.FixedHop(bridge.Addr{Host: "192.0.2.1", Port: 1}),
			Limits:  bridge.Limits{Fail: fail},
		}
		io.WriteString(server, "more")
		server.CloseWrite()
		client.CloseWrite()
		p.ServeConn(t.Context(), accepted)
		if got, _ := io.ReadAll(client); string(got) != want {
			t.Errorf("with fail %v the client got %q, want %q", fail, got, want)
		}
		client.Close()
		server.Close()
	}
}

func TestServeDoesNotAcceptBeyondMaxFlows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &bridge.Proxy{Handler: untilTheClientEnds, Limits: bridge.Limits{MaxFlows: 2}}
		l := newListener()
		served := make(chan error)
		go func() { served <- p.Serve(t.Context(), l) }()
		clients := []*bridgetest.Conn{l.connect(), l.connect(), l.connect()}
		synctest.Wait()
		if p.Flows() != 2 || l.accepts() != 2 {
			t.Errorf("%d flows and %d calls of Accept, want 2 and 2", p.Flows(), l.accepts())
		}
		clients[0].Close()
		synctest.Wait()
		if p.Flows() != 2 || l.accepts() != 3 {
			t.Errorf("after one has ended %d flows and %d calls of Accept, want 2 and 3", p.Flows(), l.accepts())
		}
		_, ours := bridgetest.Pipe(10) // does not count
		go p.ServeConn(t.Context(), ours)
		clients[1].Close()
		synctest.Wait()
		if p.Flows() != 2 || l.accepts() != 4 {
			t.Errorf("in the end %d flows and %d calls of Accept, want 2 and 4", p.Flows(), l.accepts())
		}
		ours.Close()
		clients[2].Close()
		if err := p.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
}

func TestListenersOfOneProxyDoNotStarveEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &bridge.Proxy{Handler: untilTheClientEnds, Limits: bridge.Limits{MaxFlows: 1}}
		idle, busy := newListener(), newListener()
		for _, l := range []*listener{idle, busy} {
			go p.Serve(t.Context(), l)
			synctest.Wait()
		}
		client := busy.connect()
		synctest.Wait()
		if p.Flows() != 1 {
			t.Errorf("%d flows, want that of the second listener", p.Flows())
		}
		client.Close()
		if err := p.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
	})
}

func TestServeWithoutALimitOfFlows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &bridge.Proxy{Handler: untilTheClientEnds, Limits: bridge.Limits{MaxFlows: -1, Shutdown: time.Second}}
		l := newListener()
		go p.Serve(t.Context(), l)
		for range 50 {
			l.connect()
		}
		synctest.Wait()
		if p.Flows() != 50 {
			t.Errorf("%d flows, want 50", p.Flows())
		}
		p.Shutdown(t.Context())
	})
}

func TestServeWaitsWhileThereAreNoDescriptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &bridge.Proxy{Handler: untilTheClientEnds}
		l := newListener()
		emfile := &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
		for range 10 {
			l.conns <- emfile
		}
		client := l.connect()
		l.conns <- &net.OpError{Op: "accept", Net: "tcp", Err: syscall.ECONNABORTED}
		l.conns <- errors.New("on fire")
		err := p.Serve(t.Context(), l)
		if err == nil || err.Error() != "on fire" {
			t.Errorf("Serve = %v, want the listener's own error", err)
		}
		var waits []time.Duration
		for i, at := range l.asked[1:] {
			waits = append(waits, at.Sub(l.asked[i]))
		}
		ms := time.Millisecond
		want := []time.Duration{5 * ms, 10 * ms, 20 * ms, 40 * ms, 80 * ms, 160 * ms, 320 * ms, 640 * ms, time.Second, time.Second, 0, 5 * ms}
		if len(waits) != len(want) {
			t.Fatalf("waited %v, want %v", waits, want)
		}
		for i := range want {
			if waits[i] != want[i] {
				t.Errorf("waited %v, want %v", waits, want)
				break
			}
		}
		client.Close()
		select {
		case <-l.closed:
		default:
			t.Error("the listener is still open")
		}
		p.Shutdown(t.Context())
	})
}

func TestServeEndsWithItsContext(t *testing.T) {
	for name, begun := range map[string]func(l *listener){
		"while it accepts":                 func(*listener) {},
		"while it has no room":             func(l *listener) { l.connect() },
		"while it is short of descriptors": func(l *listener) { l.conns <- syscall.EMFILE },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bridge.Outcome
				p := &bridge.Proxy{
					Handler:  untilTheClientEnds,
					Limits:   bridge.Limits{MaxFlows: 1},
					Observer: &bridge.Observer{Close: func(_ *bridge.Flow, o bridge.Outcome) { out = o }},
				}
				l := newListener()
				begun(l)
				ctx, cancel := context.WithCancel(t.Context())
				served := make(chan error)
				go func() { served <- p.Serve(ctx, l) }()
				synctest.Wait()
				flows := p.Flows()
				cancel()
				if err := <-served; err != nil {
					t.Errorf("Serve = %v", err)
				}
				synctest.Wait()
				if p.Flows() != 0 || flows > 0 && out.Reason != bridge.Shutdown {
					t.Errorf("%d flows, the last outcome %+v", p.Flows(), out)
				}
			})
		})
	}
}

func TestShutdownLetsFlowsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &bridge.Proxy{Handler: untilTheClientEnds}
		l := newListener()
		served := make(chan error, 1)
		go func() { served <- p.Serve(t.Context(), l) }()
		client := l.connect()
		synctest.Wait()
		time.AfterFunc(9*time.Second, func() { client.Close() })
		begun := time.Now()
		if err := p.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		if took := time.Since(begun); took != 9*time.Second {
			t.Errorf("Shutdown took %v, want until the flow has ended", took)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve = %v", err)
		}
		again := newListener()
		if err := p.Serve(t.Context(), again); err != nil {
			t.Errorf("Serve after Shutdown = %v", err)
		}
		<-again.closed
		late, ours := bridgetest.Pipe(10)
		if out := p.ServeConn(t.Context(), ours); out.Reason != bridge.Shutdown || out.EndedBy != bridge.ByMITM {
			t.Errorf("ServeConn after Shutdown: %+v", out)
		}
		hearEnd(t, late, io.EOF)
		if err := p.Shutdown(t.Context()); err != nil {
			t.Errorf("the second Shutdown = %v", err)
		}
	})
}

// What a layer may be stuck in when the proxy is shut down. None of it looks at ctx.
func TestShutdownCutsWhatIsStuck(t *testing.T) {
	read := func(c net.Conn) error {
		_, err := c.Read(make([]byte, 1))
		return err
	}
	tests := []struct {
		name   string
		handle bridge.Handler
	}{
		{"a relay", bridge.Relay},
		{"a turn", bridge.Chain(asks(true))},
		{"a read from the client", func(_ context.Context, b *bridge.Bridge) error { return read(b.Client) }},
		{"a read from the server", func(ctx context.Context, b *bridge.Bridge) error {
			if err := b.Dial(ctx); err != nil {
				return err
			}
			return read(b.Server)
		}},
		{"reads with deadlines of their own", func(ctx context.Context, b *bridge.Bridge) error {
			for {
				b.Client.SetReadDeadline(time.Now().Add(time.Second))
				if err := read(b.Client); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
					return err
				}
			}
		}},
		{"a write to the server, which does not read", func(ctx context.Context, b *bridge.Bridge) error {
			if err := b.Dial(ctx); err != nil {
				return err
			}
			_, err := b.Server.Write(make([]byte, 1<<20))
			return err
		}},
		{"an error that is swallowed", func(_ context.Context, b *bridge.Bridge) error {
			read(b.Client)
			return nil
		}},
	}
	for _, tt := range tests {
		for _, how := range []string{"by its limit", "by its context"} {
			t.Run(tt.name+", "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := inMemory(t)
					outs := make(chan bridge.Outcome, 1)
					p := &bridge.Proxy{
						Handler:  tt.handle,
						Hop:      bridge.FixedHop(hop),
						Dial:     func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) { return c.dialled, nil },
						Observer: &bridge.Observer{Close: func(_ *bridge.Flow, o bridge.Outcome) { outs <- o }},
					}
					go p.ServeConn(t.Context(), c.accepted)
					synctest.Wait()
					begun := time.Now()
					ctx, cancel := context.WithCancel(t.Context())
					want := 10 * time.Second
					if how == "by its context" {
						want = 3 * time.Second
						time.AfterFunc(want, cancel)
					}
					err := p.Shutdown(ctx)
					cancel()
					if err == nil {
						t.Error("Shutdown says that all flows ended by themselves")
					}
					if took := time.Since(begun); took != want {
						t.Errorf("it took %v, want %v", took, want)
					}
					if o := <-outs; o.Reason != bridge.Shutdown || o.EndedBy != bridge.ByMITM || o.Err == nil {
						t.Errorf("outcome %+v", o)
					}
					var buf [1]byte
					if _, err := c.client.Read(buf[:]); err == nil {
						t.Error("the client's conn is still open")
					}
				})
			})
		}
	}
}

// A dial that does not look at ctx comes too late.
func TestADialThatSucceedsAfterShutdownIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := inMemory(t)
		p := &bridge.Proxy{
			Handler: func(ctx context.Context, b *bridge.Bridge) error {
				if err := b.Dial(ctx); err != nil {
					return err
				}
				_, err := b.Server.Read(make([]byte, 1)) // nothing would end it any more
				return err
			},
			Hop: bridge.FixedHop(hop),
			Dial: func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) {
				time.Sleep(time.Minute)
				return c.dialled, nil
			},
		}
		out := make(chan bridge.Outcome, 1)
		go func() { out <- p.ServeConn(t.Context(), c.accepted) }()
		synctest.Wait()
		if err := p.Shutdown(t.Context()); err == nil {
			t.Error("Shutdown = nil")
		}
		hearEnd(t, c.server, io.EOF)
		if o := <-out; o.Reason != bridge.Shutdown {
			t.Errorf("outcome %+v", o)
		}
	})
}

// last is a handler that says something and ends.
func last(words string, err error) bridge.Handler {
	return func(ctx context.Context, b *bridge.Bridge) error {
		if err := b.Write(ctx, bridge.Client, []byte(words)); err != nil {
			return err
		}
		return err
	}
}

// A client that is still sending when it is refused hears why.
func TestTheLastWordsReachAClientThatKeepsSending(t *testing.T) {
	bridgetest.Baseline(t)
	client, ours := bridgetest.TCPPair(t)
	p := &bridge.Proxy{Handler: last("413 enough", bridge.Final(errors.New("too much")))}
	out := make(chan bridge.Outcome, 1)
	go func() { out <- p.ServeConn(t.Context(), ours) }()
	sent := make(chan error, 1)
	go func() {
		_, err := client.Write(make([]byte, 8<<20))
		client.CloseWrite()
		sent <- err
	}()
	if err := <-sent; err != nil {
		t.Errorf("the client could not even send: %v", err)
	}
	hear(t, client, "413 enough")
	hearEnd(t, client, io.EOF)
	<-out
}

func TestAClientThatNeverStopsSendingIsLeftAfterASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := inMemory(t)
		begun := time.Now()
		p := &bridge.Proxy{Handler: last("413 enough", nil)}
		var sender sync.WaitGroup
		sender.Go(func() {
			for {
				if _, err := c.client.Write(make([]byte, 100)); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
		p.ServeConn(t.Context(), c.accepted)
		sender.Wait()
		if took := time.Since(begun); took < time.Second || took > 1010*time.Millisecond {
			t.Errorf("it took %v, want a second, and until the client sends again", took)
		}
		hear(t, c.client, "413 enough")
	})
}

func TestHowAFlowThatFailsEndsForThePeers(t *testing.T) {
	refused := &bridge.DialError{Hop: hop, Err: syscall.ECONNREFUSED}
	tests := []struct {
		name           string
		err            error
		client, server bridge.End
	}{
		{"nothing is wrong", nil, bridge.Clean, bridge.Clean},
		{"a reset by the client", bridge.Fails(bridge.Resets, bridge.ByClient, nil), bridge.Reset, bridge.Reset},
		{"a refused connection is refused", refused, bridge.Reset, bridge.Reset},
		{"one that the layer has answered is not", bridge.Final(refused), bridge.Clean, bridge.Clean},
		{"anything else", errors.New("anything"), bridge.Clean, bridge.Clean},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := inMemory(t)
				out := c.serve(t, func(ctx context.Context, b *bridge.Bridge) error {
					if err := b.Dial(ctx); err != nil {
						return err
					}
					return tt.err
				})
				client, server := bridge.NewStream(c.client), bridge.NewStream(c.server)
				client.Fill(t.Context())
				server.Fill(t.Context())
				if client.End() != tt.client || server.End() != tt.server {
					t.Errorf("it ended %s for the client, and %s for the server; want %s and %s",
						client.End(), server.End(), tt.client, tt.server)
				}
				client.Close()
				if o := <-out; !errors.Is(o.Err, tt.err) {
					t.Errorf("outcome %+v", o)
				}
			})
		})
	}
}

func TestTheHopIsWhatTheListenerSays(t *testing.T) {
	for name, tt := range map[string]struct {
		hop  func(net.Conn) (bridge.Addr, bool)
		want bridge.Addr
	}{
		"nothing":        {nil, bridge.Addr{}},
		"a fixed one":    {bridge.FixedHop(hop), hop},
		"none for this":  {func(net.Conn) (bridge.Addr, bool) { return hop, false }, bridge.Addr{}},
		"its own socket": {func(c net.Conn) (bridge.Addr, bool) { return bridge.AddrOf(c.LocalAddr()), true }, bridge.Addr{Host: "198.51.100.1", Port: 443}},
	} {
		t.Run(name, func(t *testing.T) {
			client, ours := bridgetest.Pipe(10)
			client.Close()
			var got bridge.Addr
			p := &bridge.Proxy{Hop: tt.hop, Handler: func(_ context.Context, b *bridge.Bridge) error {
				got = b.Hop()
				return nil
			}}
			p.ServeConn(t.Context(), ours)
			if got != tt.want {
				t.Errorf("hop %v, want %v", got, tt.want)
			}
		})
	}
}

package bridge_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
)

func TestRelayInEveryWay(t *testing.T) {
	bridgetest.Relay(t, bridge.Chain(), bridgetest.Script{
		bridgetest.C("EHLO client\r\n"), bridgetest.S("250-server\r\n"), bridgetest.S("250 fine\r\n"),
		bridgetest.C("DATA\r\n"), bridgetest.C("."), bridgetest.S("221 bye\r\n"),
	}, bridgetest.Path("raw"))
}

// conns is a client's conn, ours of it, ours of the server's, and the server's.
type conns struct {
	client, accepted, dialled, server net.Conn
}

func inMemory(*testing.T) conns {
	client, accepted := bridgetest.Pipe(4 << 10)
	dialled, server := bridgetest.Pipe(4 << 10)
	return conns{client, accepted, dialled, server}
}

func sessions(*testing.T) conns {
	client, accepted := bridgetest.Sessions(4 << 10)
	dialled, server := bridgetest.Sessions(4 << 10)
	return conns{client, accepted, dialled, server}
}

func onLoopback(t *testing.T) conns {
	client, accepted := bridgetest.TCPPair(t)
	dialled, server := bridgetest.TCPPair(t)
	return conns{client, accepted, dialled, server}
}

// serve serves the conns with handler, and returns where the outcome comes.
func (c conns) serve(t *testing.T, handler bridge.Handler, observers ...*bridge.Observer) <-chan bridge.Outcome {
	proxy := &bridge.Proxy{
		Handler:  handler,
		Hop:      bridge.FixedHop(hop),
		Dial:     func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) { return c.dialled, nil },
		Observer: bridge.Observers(observers...),
	}
	out := make(chan bridge.Outcome, 1)
	go func() { out <- proxy.ServeConn(t.Context(), c.accepted) }()
	return out
}

// tapped is an observer that wants to see everything.
func tapped() *bridge.Observer {
	return &bridge.Observer{Tap: func(*bridge.Flow) func(bridge.Side, []byte) { return func(bridge.Side, []byte) {} }}
}

func TestRelayMirrorsEachEnding(t *testing.T) {
	worlds := []struct {
		name  string
		conns func(*testing.T) conns
		ends  []bridge.End
	}{
		{"in memory", inMemory, []bridge.End{bridge.Clean, bridge.Reset}},
		{"sessions", sessions, []bridge.End{bridge.Clean, bridge.Cut, bridge.Reset}},
		{"on loopback", onLoopback, []bridge.End{bridge.Clean, bridge.Reset}},
	}
	for _, w := range worlds {
		for _, end := range w.ends {
			for _, side := range []bridge.Side{bridge.Client, bridge.Server} {
				for _, size := range []int{0, 10, 600 << 10} { // the last is spliced, where that is possible
					t.Run(fmt.Sprintf("%s, %s by the %s after %d bytes", w.name, end, side, size), func(t *testing.T) {
						bridgetest.Baseline(t)
						c := w.conns(t)
						out := c.serve(t, bridge.Chain())
						checkMirrored(t, c, side, end, size)
						want := bridge.EOF
						if end == bridge.Reset {
							want = bridge.Resets
						}
						if o := <-out; o.Reason != want || o.EndedBy != bridge.By(side) {
							t.Errorf("outcome %s by %s: %v; want %s by the %s", o.Reason, o.EndedBy, o.Err, want, side)
						}
					})
				}
			}
		}
	}
}

// checkMirrored lets one side send and then end in the given way, and checks that the other side sees it.
func checkMirrored(t *testing.T, c conns, side bridge.Side, end bridge.End, size int) {
	t.Helper()
	from, to := bridge.NewStream(c.client), bridge.NewStream(c.server)
	if side == bridge.Server {
		from, to = to, from
	}
	defer from.Close()
	defer to.Close()
	go func() {
		var out pattern
		buf := make([]byte, size)
		out.fill(buf)
		from.Write(buf)
		if end == bridge.Reset {
			from.Read(make([]byte, 1)) // a RST overtakes what is still under way
			from.EndWrite(end)
			from.Close()
			return
		}
		from.EndWrite(end)
	}()
	var in pattern
	got := make([]byte, size)
	n, err := io.ReadFull(to, got)
	if err != nil {
		t.Fatalf("%v after %d bytes of %d", err, n, size)
	}
	in.check(t, got)
	if end == bridge.Reset {
		say(t, to, "1")
	}
	for to.End() == bridge.Open {
		to.Fill(t.Context())
	}
	if to.End() != end || len(to.Buffered()) > 0 {
		t.Errorf("it ended %s, want %s, after %q", to.End(), end, to.Buffered())
	}
	if end != bridge.Reset { // the other direction still stands
		say(t, to, "answer")
		to.EndWrite(bridge.Clean)
		hear(t, from, "answer")
		hearEnd(t, from, io.EOF)
	}
}

func TestRelayMovesMuchInBothDirectionsAtOnce(t *testing.T) {
	const total = 1 << 20
	for name, observer := range map[string]*bridge.Observer{"spliced": nil, "tapped": tapped()} {
		for world, make := range map[string]func(*testing.T) conns{"in memory": inMemory, "on loopback": onLoopback} {
			t.Run(name+" "+world, func(t *testing.T) {
				bridgetest.Baseline(t)
				c := make(t)
				var flow *bridge.Flow
				out := c.serve(t, bridge.Chain(), observer, &bridge.Observer{Open: func(f *bridge.Flow) { flow = f }})
				var both sync.WaitGroup
				for _, peer := range []net.Conn{c.client, c.server} {
					both.Go(func() { send(t, peer, total) })
					both.Go(func() { receive(t, peer, total) })
				}
				both.Wait()
				if o := <-out; o.Reason != bridge.EOF {
					t.Errorf("outcome %+v", o)
				}
				if a, b := flow.Bytes(bridge.Client), flow.Bytes(bridge.Server); a != total || b != total {
					t.Errorf("counted %d and %d bytes", a, b)
				}
			})
		}
	}
}

func send(t *testing.T, c net.Conn, total int) {
	var out pattern
	buf := make([]byte, 50_000)
	for out.at < total {
		buf = buf[:min(len(buf), total-out.at)]
		out.fill(buf)
		if _, err := c.Write(buf); err != nil {
			t.Error(err)
			return
		}
	}
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Error(err)
	}
}

func receive(t *testing.T, c net.Conn, total int) {
	var in pattern
	buf := make([]byte, 100_000)
	for {
		n, err := c.Read(buf)
		in.check(t, buf[:n])
		if err != nil {
			if err != io.EOF || in.at != total {
				t.Errorf("%v after %d bytes of %d", err, in.at, total)
			}
			return
		}
	}
}

func TestRelayEndsWhenNothingMoves(t *testing.T) {
	const idle, drain = 600 * time.Second, 60 * time.Second
	tests := []struct {
		name   string
		do     func(c conns)
		reason bridge.Reason
		after  time.Duration
	}{
		{"silence", func(conns) {}, bridge.Idle, idle},
		{"silence after a word", func(c conns) {
			time.Sleep(idle - 1)
			c.client.Write([]byte("hello"))
		}, bridge.Idle, 2*idle - 1},
		{"words of either direction count", func(c conns) {
			for i := range 10 {
				time.Sleep(idle - 1)
				[]net.Conn{c.client, c.server}[i%2].Write([]byte("hello"))
			}
		}, bridge.Idle, 11*idle - 10},
		{"silence after the client ended", func(c conns) {
			time.Sleep(time.Second)
			c.client.(*bridgetest.Conn).CloseWrite()
		}, bridge.Drain, time.Second + drain},
		{"silence after the server ended", func(c conns) {
			time.Sleep(time.Second)
			c.server.(*bridgetest.Conn).CloseWrite()
		}, bridge.Drain, time.Second + drain},
		{"an answer that goes on is not cut off", func(c conns) {
			c.client.(*bridgetest.Conn).CloseWrite()
			for range 100 {
				time.Sleep(drain - 1)
				c.server.Write([]byte("still"))
			}
		}, bridge.Drain, 101*drain - 100},
		{"an end after most of the idle limit has its whole time to drain", func(c conns) {
			time.Sleep(idle - 1)
			c.client.(*bridgetest.Conn).CloseWrite()
		}, bridge.Drain, idle - 1 + drain},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := inMemory(t)
				begun := time.Now()
				b := &bridge.Bridge{Client: bridge.NewStream(c.accepted), Server: bridge.NewStream(c.dialled)}
				go tt.do(c)
				err := bridge.Relay(t.Context(), b)
				wantReason(t, err, tt.reason, bridge.ByMITM)
				if took := time.Since(begun); took != tt.after {
					t.Errorf("it took %v, want %v", took, tt.after)
				}
			})
		})
	}
}

func TestRelayHasNoLimitOfTimeWhenToldSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := inMemory(t)
		b := &bridge.Bridge{Client: bridge.NewStream(c.accepted), Server: bridge.NewStream(c.dialled)}
		b.SetLimits(bridge.Limits{Idle: -1, Drain: -1})
		time.AfterFunc(1000*time.Hour, func() { c.client.Close() })
		time.AfterFunc(2000*time.Hour, func() { c.server.Close() })
		if err := bridge.Relay(t.Context(), b); err != nil {
			t.Errorf("Relay = %v", err)
		}
	})
}

// What a peer said before it reset is still delivered, although writing to it fails.
func TestRelayDeliversTheLastWordsOfAPeerThatIsGone(t *testing.T) {
	for _, far := range []bridge.Side{bridge.Client, bridge.Server} {
		t.Run("of the "+far.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := inMemory(t)
				peer, other := c.server, c.client
				if far == bridge.Client {
					peer, other = c.client, c.server
				}
				out := c.serve(t, bridge.Chain())
				s := bridge.NewStream(other)
				go s.Write(make([]byte, 100<<10)) // more than the conns hold
				synctest.Wait()
				say(t, peer, "413 enough")
				peer.Close() // with unread bytes: a RST
				for s.End() == bridge.Open {
					s.Fill(t.Context())
				}
				if string(s.Buffered()) != "413 enough" || s.End() != bridge.Reset {
					t.Errorf("got %q and then %s", s.Buffered(), s.End())
				}
				other.Close()
				if o := <-out; o.Reason != bridge.Resets || o.EndedBy != bridge.By(far) {
					t.Errorf("outcome %s by %s: %v", o.Reason, o.EndedBy, o.Err)
				}
			})
		})
	}
}

func TestRelayWithFaultyConns(t *testing.T) {
	tests := []struct {
		name   string
		faults bridgetest.Faults
		reason bridge.Reason
		whole  bool
	}{
		{"one byte a read", bridgetest.Faults{MaxRead: 1}, bridge.EOF, true},
		{"the last bytes come with the end", bridgetest.Faults{EOFWithData: true}, bridge.EOF, true},
		{"every other read is empty", bridgetest.Faults{EmptyReads: true}, bridge.EOF, true},
		{"a second of latency", bridgetest.Faults{Latency: time.Second}, bridge.EOF, true},
		{"a reset in the middle", bridgetest.Faults{ResetAfter: 5000}, bridge.Resets, false},
		{"a window that closes for good", bridgetest.Faults{StallAfter: 5000}, bridge.Drain, false},
		{"short writes", bridgetest.Faults{MaxWrite: 1000}, bridge.Internal, false},
	}
	const total = 8_000
	for _, tt := range tests {
		for _, side := range []bridge.Side{bridge.Client, bridge.Server} {
			t.Run(tt.name+" at the "+side.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := inMemory(t)
					faulty := c.accepted
					if side == bridge.Server {
						faulty = c.dialled
					}
					faulty.(*bridgetest.Conn).SetFaults(tt.faults)
					out := c.serve(t, bridge.Chain())
					var got [2]int
					var both sync.WaitGroup
					for i, peer := range []*bridgetest.Conn{c.client.(*bridgetest.Conn), c.server.(*bridgetest.Conn)} {
						both.Go(func() {
							var data pattern
							buf := make([]byte, total)
							data.fill(buf)
							peer.Write(buf)
							peer.CloseWrite()
						})
						both.Go(func() {
							var in pattern
							data, _ := io.ReadAll(peer)
							in.check(t, data)
							got[i] = in.at
						})
					}
					both.Wait()
					c.client.Close()
					c.server.Close()
					if o := <-out; o.Reason != tt.reason {
						t.Errorf("outcome %s by %s: %v; want %s", o.Reason, o.EndedBy, o.Err, tt.reason)
					}
					if whole := got == [2]int{total, total}; whole != tt.whole {
						t.Errorf("the peers got %v bytes of %d", got, total)
					}
				})
			})
		}
	}
}

func TestRelayEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := inMemory(t)
		b := &bridge.Bridge{Client: bridge.NewStream(c.accepted), Server: bridge.NewStream(c.dialled)}
		enough := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(enough) })
		if err := bridge.Relay(ctx, b); err != enough {
			t.Errorf("Relay = %v, want the cause", err)
		}
	})
}

// noHalf is a conn that can only be closed as a whole, like that of net.Pipe.
type noHalf struct{ net.Conn }

func TestRelayClosesAConnThatCannotBeHalfClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := inMemory(t)
		c.dialled = noHalf{c.dialled}
		out := c.serve(t, bridge.Chain())
		say(t, c.client, "hello")
		c.client.(*bridgetest.Conn).CloseWrite()
		hear(t, c.server, "hello")
		hearEnd(t, c.server, io.EOF)
		hearEnd(t, c.client, io.EOF)
		if o := <-out; o.Reason != bridge.EOF || o.EndedBy != bridge.ByClient {
			t.Errorf("outcome %s by %s: %v", o.Reason, o.EndedBy, o.Err)
		}
	})
}

func TestRelayShowsWhatItMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := inMemory(t)
		var mu sync.Mutex
		var asked int
		var shown []string
		watcher := &bridge.Observer{Tap: func(f *bridge.Flow) func(bridge.Side, []byte) {
			asked++
			return func(from bridge.Side, data []byte) {
				mu.Lock()
				defer mu.Unlock()
				shown = append(shown, from.String()+" "+string(data))
			}
		}}
		early := bridge.Layer{Name: "early", Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
			if _, err := bridge.Turn(ctx, b, bridge.Server, line); err != nil { // not yet application data
				return err
			}
			b.Tap()
			if _, err := bridge.Turn(ctx, b, bridge.Client, line); err != nil {
				return err
			}
			if err := b.Write(ctx, bridge.Client, []byte("of our own\n")); err != nil {
				return err
			}
			return next(ctx, b)
		}}
		out := c.serve(t, bridge.Chain(early), watcher)
		say(t, c.server, "banner\n")
		hear(t, c.client, "banner\n")
		say(t, c.client, "request\nsurplus")
		hear(t, c.server, "request\nsurplus")
		hear(t, c.client, "of our own\n")
		say(t, c.server, "answer")
		hear(t, c.client, "answer")
		c.client.Close()
		c.server.Close()
		<-out
		want := "client request\n|server of our own\n|client surplus|server answer"
		if got := strings.Join(shown, "|"); got != want || asked != 1 {
			t.Errorf("asked %d times, and shown\n%q, want\n%q", asked, got, want)
		}
	})
}

// What is kept is shown once the observer is asked, which then knows the frames of all layers.
func TestWhatIsKeptIsShownFirst(t *testing.T) {
	for _, tt := range []struct {
		name, said string
		want       string
	}{
		{"as it was said", "request\n", "client request\n|server answer\n|client data"},
		{"of too much nothing", strings.Repeat("x", 65<<10) + "\n", "client data"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var shown []string
			var path string
			var flow *bridge.Flow
			c := inMemory(t)
			layer := bridge.Layer{Name: "plain", Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
				b.Keep()
				for _, side := range []bridge.Side{bridge.Client, bridge.Server} {
					if _, err := bridge.Turn(ctx, b, side, line, bridge.Max(128<<10)); err != nil {
						return err
					}
				}
				b.Push(bridge.Frame{Proto: "plain"})
				return next(ctx, b)
			}}
			out := c.serve(t, bridge.Chain(layer), &bridge.Observer{
				Open: func(f *bridge.Flow) { flow = f },
				Tap: func(f *bridge.Flow) func(bridge.Side, []byte) {
					path = f.Path()
					return func(from bridge.Side, p []byte) { shown = append(shown, from.String()+" "+string(p)) }
				},
			})
			say(t, c.client, tt.said)
			hear(t, c.server, tt.said)
			say(t, c.server, "answer\n")
			hear(t, c.client, "answer\n")
			say(t, c.client, "data")
			hear(t, c.server, "data")
			c.client.Close()
			c.server.Close()
			<-out
			if got := strings.Join(shown, "|"); got != tt.want || path != "plain" {
				t.Errorf("shown %q in %s, want %q", got, path, tt.want)
			}
			if n := flow.Bytes(bridge.Client); n != int64(len(tt.said)+len("data")) {
				t.Errorf("counted %d bytes", n)
			}
		})
	}
}

func TestRelayIsNotTappedByAnObserverWithoutInterest(t *testing.T) {
	c := inMemory(t)
	var flow *bridge.Flow
	out := c.serve(t, bridge.Chain(), &bridge.Observer{
		Open: func(f *bridge.Flow) { flow = f },
		Tap:  func(*bridge.Flow) func(bridge.Side, []byte) { return nil },
	})
	say(t, c.client, "hello")
	hear(t, c.server, "hello")
	c.client.Close()
	c.server.Close()
	<-out
	if n := flow.Bytes(bridge.Client); n != 5 {
		t.Errorf("counted %d bytes, want 5", n)
	}
}

// polled is a conn whose reads would crash: it is to be polled.
type polled struct {
	*bridgetest.Conn
	awaited int
}

func (*polled) Read([]byte) (int, error) { panic("read, although it can be polled") }

func (p *polled) TryRead(buf []byte) (int, error) {
	p.Conn.SetReadDeadline(time.Now().Add(time.Nanosecond)) // passes when nothing is there
	defer p.Conn.SetReadDeadline(time.Time{})
	n, err := p.Conn.Read(buf)
	if t := net.Error(nil); errors.As(err, &t) && t.Timeout() {
		return 0, bridge.ErrWouldBlock
	}
	return n, err
}

func (p *polled) AwaitRead() error {
	p.awaited++
	time.Sleep(time.Second)
	return nil
}

func TestRelayPollsWhatCanBePolled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := inMemory(t)
		conn := &polled{Conn: c.dialled.(*bridgetest.Conn)}
		c.dialled = conn
		out := c.serve(t, bridge.Chain())
		for _, words := range []string{"one", "two"} {
			time.Sleep(3 * time.Second)
			say(t, c.server, words)
			hear(t, c.client, words)
		}
		c.server.Close()
		c.client.Close()
		if o := <-out; o.Reason != bridge.EOF {
			t.Errorf("outcome %+v", o)
		}
		if conn.awaited < 6 {
			t.Errorf("it was awaited %d times in six seconds of silence", conn.awaited)
		}
	})
}

func TestAStreamCanBePolled(t *testing.T) {
	client, server := bridgetest.TCPPair(t)
	memory, peer := bridgetest.Pipe(100)
	for name, conns := range map[string][2]net.Conn{"on loopback": {client, server}, "in memory": {memory, peer}} {
		t.Run(name, func(t *testing.T) {
			s, peer := bridge.NewStream(conns[0]), conns[1]
			buf := make([]byte, 10)
			if name == "on loopback" {
				if n, err := s.TryRead(buf); n != 0 || err != bridge.ErrWouldBlock {
					t.Fatalf("TryRead = %d, %v with nothing there", n, err)
				}
			}
			go peer.Write([]byte("hello"))
			var got bytes.Buffer
			for got.Len() < 5 {
				if err := s.AwaitRead(); err != nil {
					t.Fatal(err)
				}
				n, err := s.TryRead(buf)
				if err != nil {
					t.Fatal(err)
				}
				got.Write(buf[:n])
			}
			peer.Close()
			if err := s.AwaitRead(); err != nil {
				t.Fatal(err)
			}
			if n, err := s.TryRead(buf); n != 0 || err != io.EOF || s.End() != bridge.Clean {
				t.Errorf("TryRead = %d, %v at the end, which is %s", n, err, s.End())
			}
			if err := s.AwaitRead(); err != nil {
				t.Errorf("AwaitRead = %v after the end", err)
			}
		})
	}
}

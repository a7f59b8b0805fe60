package bridge_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
)

func TestWaitReturnsWhenEitherSideBringsSomething(t *testing.T) {
	tests := []struct {
		name           string
		happens        func(p *pair)
		client, server string
		ends           [2]bridge.End
	}{
		{"the client speaks", func(p *pair) { p.client.Write([]byte("a")) }, "a", "", [2]bridge.End{}},
		{"the server speaks", func(p *pair) { p.server().Write([]byte("b")) }, "", "b", [2]bridge.End{}},
		{"the client ends", func(p *pair) { p.client.CloseWrite() }, "", "", [2]bridge.End{bridge.Clean, bridge.Open}},
		{"the server resets", func(p *pair) { p.server().Reset() }, "", "", [2]bridge.End{bridge.Open, bridge.Reset}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := dialledPair(t, 100)
				time.AfterFunc(time.Hour, func() { tt.happens(p) })
				if err := p.Wait(t.Context()); err != nil {
					t.Fatal(err)
				}
				ends := [2]bridge.End{p.Client.End(), p.Server.End()}
				if string(p.Client.Buffered()) != tt.client || string(p.Server.Buffered()) != tt.server || ends != tt.ends {
					t.Errorf("buffered %q and %q, ends %v", p.Client.Buffered(), p.Server.Buffered(), ends)
				}
			})
		})
	}
}

func TestWaitLosesNothingOfTheSideThatIsInterrupted(t *testing.T) {
	p := dialledPair(t, 100)
	const total = 20_000
	for _, peer := range []io.WriteCloser{p.client, p.server()} {
		go func() {
			var out pattern
			buf := make([]byte, 7)
			for out.at < total {
				buf = buf[:min(7, total-out.at)]
				out.fill(buf)
				peer.Write(buf)
			}
			peer.Close()
		}()
	}
	var in [2]pattern
	for p.Client.End() == bridge.Open || p.Server.End() == bridge.Open {
		if err := p.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i, s := range []*bridge.Stream{p.Client, p.Server} {
			in[i].check(t, s.Buffered())
			s.Discard(len(s.Buffered()))
		}
	}
	if in[0].at != total || in[1].at != total {
		t.Errorf("got %d and %d bytes of %d each", in[0].at, in[1].at, total)
	}
}

func TestWaitFailsWhenNothingMoreCanCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := dialledPair(t, 1<<20)
		p.client.Write(make([]byte, 300<<10))
		p.server().Write(make([]byte, 300<<10))
		var err error
		for err == nil {
			err = p.Wait(t.Context())
		}
		wantReason(t, err, bridge.Limit, bridge.ByMITM)

		p = dialledPair(t, 100)
		p.client.Close()
		p.server().Close()
		for err = nil; err == nil; {
			err = p.Wait(t.Context())
		}
		wantReason(t, err, bridge.PeerClosed, bridge.ByClient)
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, p := range []*pair{newPair(100), dialledPair(t, 100)} {
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("enough"))
			if err := p.Wait(ctx); err == nil || err.Error() != "enough" {
				t.Errorf("Wait = %v, want the cause", err)
			}
			cancel()
			say(t, p.client, "still here")
			if err := p.Wait(t.Context()); err != nil || string(p.Client.Buffered()) != "still here" {
				t.Errorf("Wait = %v, %q", err, p.Client.Buffered())
			}
		}
	})
}

// panics is a conn that panics when it is read.
type panics struct{ net.Conn }

func (panics) Read([]byte) (int, error) { panic("out of cheese") }

func TestAPanicOfAConnLeavesNoReaderBehind(t *testing.T) {
	for _, side := range []bridge.Side{bridge.Client, bridge.Server} {
		t.Run(side.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // which fails when a goroutine is left
				_, a := bridgetest.Pipe(10)
				_, b := bridgetest.Pipe(10)
				conns := []net.Conn{a, b}
				conns[side] = panics{conns[side]}
				br := &bridge.Bridge{Client: bridge.NewStream(conns[0]), Server: bridge.NewStream(conns[1])}
				wantReason(t, br.Wait(t.Context()), bridge.Panic, bridge.ByMITM)
				wantReason(t, bridge.Relay(t.Context(), br), bridge.Panic, bridge.ByMITM)
			})
		})
	}
}

func TestWhileEndsTheContextWhenThePeerGoesAway(t *testing.T) {
	tests := []struct {
		name   string
		side   bridge.Side
		leave  func(p *pair)
		reason bridge.Reason
	}{
		{"the client ends", bridge.Client, func(p *pair) { p.client.CloseWrite() }, bridge.PeerClosed},
		{"the client resets", bridge.Client, func(p *pair) { p.client.Reset() }, bridge.Resets},
		{"the server ends", bridge.Server, func(p *pair) { p.server().Close() }, bridge.PeerClosed},
		{"the server resets", bridge.Server, func(p *pair) { p.server().Reset() }, bridge.Resets},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := dialledPair(t, 100)
				say(t, p.client, "from the client")
				say(t, p.server(), "from the server")
				time.AfterFunc(time.Second, func() { tt.leave(p) })
				err := p.While(t.Context(), tt.side, func(ctx context.Context) error {
					<-ctx.Done()
					return ctx.Err()
				})
				wantReason(t, err, tt.reason, bridge.By(tt.side))
				want := map[bridge.Side]string{bridge.Client: "from the client", bridge.Server: "from the server"}[tt.side]
				s := map[bridge.Side]*bridge.Stream{bridge.Client: p.Client, bridge.Server: p.Server}[tt.side]
				if got := string(s.Buffered()); got != want {
					t.Errorf("buffered %q, want what came meanwhile: %q", got, want)
				}
			})
		})
	}
}

func TestWhileReturnsWhatItsFunctionReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := dialledPair(t, 100)
		own := errors.New("its own")
		if err := p.While(t.Context(), bridge.Client, func(context.Context) error { return own }); err != own {
			t.Errorf("While = %v with a client that stays", err)
		}
		say(t, p.client, "and the conn goes on")
		if err := p.Wait(t.Context()); err != nil || string(p.Client.Buffered()) != "and the conn goes on" {
			t.Errorf("Wait = %v, %q", err, p.Client.Buffered())
		}
		p.client.Close()
		err := p.While(t.Context(), bridge.Client, func(ctx context.Context) error {
			<-ctx.Done()
			return nil
		})
		if err != nil {
			t.Errorf("While = %v, although its function succeeded", err)
		}
		err = p.While(t.Context(), bridge.Server, func(context.Context) error { panic("out of cheese") })
		wantReason(t, err, bridge.Panic, bridge.ByMITM)
	})
}

// A handshake is said again while the client is watched: each side has one reader.
func TestTurnsInWhileLeaveTheWatchedSideAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(1000)
		exchange(t, p, "greeting\n", "2 hello\n")
		said := make(chan struct{})
		go func() {
			defer close(said)
			say(t, p.client, "what the client says meanwhile\n")
		}()
		err := p.While(t.Context(), bridge.Client, func(context.Context) error {
			heard, err := redial(t, p, "2 again\n")
			if heard != "greeting\nend\n" {
				t.Errorf("the server heard %q", heard)
			}
			return err
		})
		<-said
		if err != nil {
			t.Errorf("While = %v", err)
		}
		if m, err := bridge.Turn(t.Context(), p.Bridge, bridge.Client, line); err != nil || m != "what the client says meanwhile" {
			t.Errorf("the client's line is %q, %v", m, err)
		}
	})
}

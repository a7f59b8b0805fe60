package bridge_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
)

// A message is over its limit however it arrives.
func TestMaxDoesNotDependOnHowTheBytesArrive(t *testing.T) {
	line := strings.Repeat("x", 40) + "\n"
	for _, size := range []int{1, len(line)} {
		client, accepted := bridgetest.Pipe(1 << 10)
		b := &bridge.Bridge{Client: bridge.NewStream(accepted)}
		io.WriteString(bridgetest.Chunked(client, size), line)
		whole := func(buf []byte) (string, int, error) {
			if i := bytes.IndexByte(buf, '\n'); i >= 0 {
				return string(buf[:i]), i + 1, nil
			}
			return "", 0, bridge.ErrShort
		}
		_, _, err := bridge.Expect(t.Context(), b, bridge.Client, whole, bridge.Max(16))
		var desync *bridge.Desync
		if !errors.As(err, &desync) || desync.Why != bridge.TooLong {
			t.Errorf("in chunks of %d: %v, want too long", size, err)
		}
		client.Close()
		accepted.Close()
	}
}

func TestTurnPassesOneMessageAndKeepsWhatFollows(t *testing.T) {
	for _, from := range []bridge.Side{bridge.Client, bridge.Server} {
		t.Run("from the "+from.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := dialledPair(t, 100)
				speaker, listener, stream := p.client, p.server(), p.Client
				if from == bridge.Server {
					speaker, listener, stream = p.server(), p.client, p.Server
				}
				for i, b := range []byte("HELLO\nmo") {
					time.AfterFunc(time.Duration(i)*time.Second, func() { speaker.Write([]byte{b}) })
				}
				m, err := bridge.Turn(t.Context(), p.Bridge, from, line)
				if m != "HELLO" || err != nil {
					t.Fatalf("Turn = %q, %v", m, err)
				}
				hear(t, listener, "HELLO\n")
				for len(stream.Buffered()) < 2 {
					if err := p.Wait(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if got := string(stream.Buffered()); got != "mo" {
					t.Errorf("buffered %q, want the surplus", got)
				}
			})
		})
	}
}

func TestExpectConsumesNothing(t *testing.T) {
	p := dialledPair(t, 100)
	say(t, p.client, "one\ntwo\n")
	for range 2 {
		m, n, err := bridge.Expect(t.Context(), p.Bridge, bridge.Client, line)
		if m != "one" || n != 4 || err != nil {
			t.Fatalf("Expect = %q, %d, %v", m, n, err)
		}
	}
	if err := p.Pass(t.Context(), bridge.Client, 4); err != nil {
		t.Fatal(err)
	}
	hear(t, p.server(), "one\n")
	if m, _, err := bridge.Expect(t.Context(), p.Bridge, bridge.Client, line); m != "two" || err != nil {
		t.Errorf("Expect = %q, %v", m, err)
	}
}

func TestATurnThatIsBroken(t *testing.T) {
	tests := []struct {
		name   string
		from   bridge.Side
		peers  func(p *pair)
		opts   []bridge.TurnOption
		after  time.Duration
		side   bridge.Side
		why    bridge.Why
		reason bridge.Reason
	}{
		{
			"the parser refuses", bridge.Client, func(p *pair) { p.client.Write([]byte("HEL!")) },
			nil, 0, bridge.Client, bridge.Malformed, bridge.Desynced,
		},
		{
			"the message fills the limit", bridge.Client, func(p *pair) { p.client.Write([]byte("12345678")) },
			[]bridge.TurnOption{bridge.Max(8)},
			0, bridge.Client, bridge.TooLong, bridge.Limit,
		},
		{
			"the message fills the buffer", bridge.Server, func(p *pair) { io.WriteString(p.server(), strings.Repeat("x", 200<<10)) },
			[]bridge.TurnOption{bridge.Max(1 << 30)},
			0, bridge.Server, bridge.TooLong, bridge.Limit,
		},
		{
			"silence for ten seconds", bridge.Client, func(*pair) {},
			nil, 10 * time.Second, bridge.Client, bridge.TimedOut, bridge.Timeout,
		},
		{
			"half a message in ten seconds", bridge.Client, func(p *pair) { p.client.Write([]byte("HEL")) },
			nil, 10 * time.Second, bridge.Client, bridge.TimedOut, bridge.Timeout,
		},
		{
			"silence within a time of its own", bridge.Server, func(*pair) {},
			[]bridge.TurnOption{bridge.Within(time.Minute)},
			time.Minute, bridge.Server, bridge.TimedOut, bridge.Timeout,
		},
		{
			"silence for the time of a dial", bridge.Server, func(*pair) {},
			[]bridge.TurnOption{bridge.AwaitsDial()},
			30 * time.Second, bridge.Server, bridge.TimedOut, bridge.Timeout,
		},
		{
			"the server speaks in the client's turn", bridge.Client, func(p *pair) { p.server().Write([]byte("220")) },
			nil, 0, bridge.Server, bridge.OutOfTurn, bridge.Desynced,
		},
		{
			"the server ends in the client's turn", bridge.Client, func(p *pair) { p.server().CloseWrite() },
			nil, 0, bridge.Server, bridge.Ended, bridge.PeerClosed,
		},
		{
			"the client ends in its message", bridge.Client, func(p *pair) { p.client.Write([]byte("HEL")); p.client.CloseWrite() },
			nil, 0, bridge.Client, bridge.Ended, bridge.PeerClosed,
		},
		{
			"the server ends before its message", bridge.Server, func(p *pair) { p.server().Close() },
			nil, 0, bridge.Server, bridge.Ended, bridge.PeerClosed,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := dialledPair(t, 100)
				begun := time.Now()
				go tt.peers(p)
				m, n, err := bridge.Expect(t.Context(), p.Bridge, tt.from, line, tt.opts...)
				if m != "" || n != 0 {
					t.Errorf("Expect = %q, %d: not the zero values", m, n)
				}
				if took := time.Since(begun); took != tt.after {
					t.Errorf("it took %v, want %v", took, tt.after)
				}
				wantDesync(t, err, tt.side, tt.why)
				wantReason(t, err, tt.reason, bridge.By(tt.side))
				p.client.Close() // ends a peer that still writes
				p.server().Close()
				p.Client.Close()
				p.Server.Close()
			})
		})
	}
}

func TestATurnHasNoLimitOfTimeWhenAskedSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := dialledPair(t, 100)
		time.AfterFunc(100*time.Hour, func() { p.client.Write([]byte("at last\n")) })
		if m, err := bridge.Turn(t.Context(), p.Bridge, bridge.Client, line, bridge.Within(0)); m != "at last" || err != nil {
			t.Errorf("Turn = %q, %v", m, err)
		}
	})
}

func TestReplacePutsALayersConnInTheClientsPlace(t *testing.T) {
	p := dialledPair(t, 100)
	p.Replace(bridge.Client, bridgetest.Chunked(p.Client, 2), nil)
	say(t, p.client, "HELLO\n")
	if err := p.Wait(t.Context()); err != nil || string(p.Client.Buffered()) != "HE" {
		t.Errorf("Wait = %v, and %q buffered; want what the layer's conn reads", err, p.Client.Buffered())
	}
	if m, err := bridge.Turn(t.Context(), p.Bridge, bridge.Client, line); m != "HELLO" || err != nil {
		t.Errorf("Turn = %q, %v", m, err)
	}
	if err := p.Redial(t.Context()); err != nil { // which the client's side does not spoil
		t.Errorf("Redial = %v", err)
	}
}

func TestATurnEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := dialledPair(t, 100)
		cause := errors.New("the cause")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(cause) })
		_, err := bridge.Turn(ctx, p.Bridge, bridge.Client, line)
		if err != cause {
			t.Errorf("Turn = %v, want the cause of its context", err)
		}
	})
}

func TestAResetEndsATurnOfEither(t *testing.T) {
	for _, from := range []bridge.Side{bridge.Client, bridge.Server} {
		for _, by := range []bridge.Side{bridge.Client, bridge.Server} {
			t.Run(by.String()+" in the turn of the "+from.String(), func(t *testing.T) {
				p := dialledPair(t, 100)
				if by == bridge.Client {
					say(t, p.client, "unfinished")
					p.client.Reset()
				} else {
					say(t, p.server(), "unfinished")
					p.server().Reset()
				}
				_, err := bridge.Turn(t.Context(), p.Bridge, from, line)
				if by == bridge.Server && from == bridge.Client {
					// Its bytes may be seen before its end.
					if d := (*bridge.Desync)(nil); errors.As(err, &d) {
						wantDesync(t, err, bridge.Server, bridge.OutOfTurn)
						return
					}
				}
				wantReason(t, err, bridge.Resets, bridge.By(by))
			})
		}
	}
}

func TestAMessageThatIsThereCountsAlthoughItsSpeakerEnded(t *testing.T) {
	p := dialledPair(t, 100)
	say(t, p.client, "whole\n")
	p.client.Close()
	for p.Client.End() == bridge.Open {
		if err := p.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := bridge.Turn(t.Context(), p.Bridge, bridge.Client, line); m != "whole" || err != nil {
		t.Errorf("Turn = %q, %v", m, err)
	}
}

func TestTheClientsEndIsPassedOnAfterItsBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := dialledPair(t, 100)
		say(t, p.client, "HELLO\nsurplus")
		p.client.CloseWrite()
		if _, err := bridge.Turn(t.Context(), p.Bridge, bridge.Client, line); err != nil {
			t.Fatal(err)
		}
		hear(t, p.server(), "HELLO\n")

		time.AfterFunc(time.Second, func() { p.server().Write([]byte("WELCOME\n")) })
		if m, err := bridge.Turn(t.Context(), p.Bridge, bridge.Server, line); m != "WELCOME" || err != nil {
			t.Fatalf("the server's turn after the client's end: %q, %v", m, err)
		}
		if p.Client.End() != bridge.Clean || string(p.Client.Buffered()) != "surplus" {
			t.Errorf("the client is %s, with %q buffered", p.Client.End(), p.Client.Buffered())
		}
		done := make(chan error)
		go func() { done <- bridge.Relay(t.Context(), p.Bridge) }()
		hear(t, p.server(), "surplus")
		hearEnd(t, p.server(), io.EOF)
		hear(t, p.client, "WELCOME\n")
		say(t, p.server(), "bye")
		p.server().CloseWrite()
		hear(t, p.client, "bye")
		hearEnd(t, p.client, io.EOF)
		if err := <-done; err != nil {
			t.Errorf("Relay = %v", err)
		}
	})
}

func TestTheClientsEndIsPassedOnWhileTheServerIsAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := dialledPair(t, 100)
		say(t, p.client, "HELLO\n")
		p.client.CloseWrite()
		go func() {
			io.ReadAll(p.server()) // a server that answers only after the end
			p.server().Write([]byte("WELCOME\n"))
		}()
		if _, err := bridge.Turn(t.Context(), p.Bridge, bridge.Client, line); err != nil {
			t.Fatal(err)
		}
		if m, err := bridge.Turn(t.Context(), p.Bridge, bridge.Server, line); m != "WELCOME" || err != nil {
			t.Errorf("Turn = %q, %v", m, err)
		}
	})
}

func TestPipeliningIsHeldBackAtTheBuffersLimit(t *testing.T) {
	const total, buffers = 1 << 20, 128<<10 + 1000
	synctest.Test(t, func(t *testing.T) {
		p := dialledPair(t, 1000)
		var out, in pattern
		sent := make([]byte, total)
		out.fill(sent)
		go func() {
			p.client.Write(sent)
			p.client.CloseWrite()
		}()
		time.AfterFunc(time.Second, func() { p.server().Write([]byte("WELCOME\n")) })
		if _, err := bridge.Turn(t.Context(), p.Bridge, bridge.Server, line); err != nil {
			t.Fatal(err)
		}
		if n := len(p.Client.Buffered()); n > 128<<10 || n < 127<<10 {
			t.Errorf("buffered %d bytes of the client", n)
		}
		done := make(chan error)
		go func() { done <- bridge.Relay(t.Context(), p.Bridge) }()
		got, err := io.ReadAll(p.server())
		if err != nil || len(got) != total {
			t.Fatalf("the server got %d bytes, %v", len(got), err)
		}
		in.check(t, got)
		p.server().Close()
		if err := <-done; err != nil {
			t.Errorf("Relay = %v", err)
		}
	})
}

func TestAWriteToAPeerThatDoesNotReadTimesOut(t *testing.T) {
	for _, to := range []bridge.Side{bridge.Client, bridge.Server} {
		t.Run(to.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := dialledPair(t, 10)
				begun := time.Now()
				err := p.Write(t.Context(), to, make([]byte, 100))
				wantReason(t, err, bridge.Timeout, bridge.By(to))
				if took := time.Since(begun); took != 10*time.Second {
					t.Errorf("it took %v", took)
				}
				p.client.Close()
				p.server().Close()
				err = p.Write(t.Context(), to, []byte("to nobody"))
				if err == nil { // the answer to it is a RST
					err = p.Write(t.Context(), to, []byte("to nobody"))
				}
				wantReason(t, err, bridge.Resets, bridge.By(to))
			})
		})
	}
}

func TestWhatATurnNeedsIsDialled(t *testing.T) {
	refused := errors.New("out of order")
	p := newPair(100)
	p.fails = refused
	_, err := bridge.Turn(t.Context(), p.Bridge, bridge.Server, line)
	if dial := (*bridge.DialError)(nil); !errors.As(err, &dial) || dial.Hop != hop || !errors.Is(err, refused) {
		t.Errorf("Turn = %v, want a DialError", err)
	}
	say(t, p.client, "HELLO\n")
	if _, err := bridge.Turn(t.Context(), p.Bridge, bridge.Client, line); !errors.Is(err, refused) {
		t.Errorf("Turn = %v, want that of the dial", err)
	}
	p.SetHop(bridge.Addr{})
	_, err = bridge.Turn(t.Context(), p.Bridge, bridge.Client, line)
	wantReason(t, err, bridge.Unreachable, bridge.ByMITM)
	if p.Server != nil {
		t.Errorf("the server side is %v", p.Server)
	}
}

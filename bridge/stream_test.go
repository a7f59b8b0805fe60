package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
)

func TestStreamIsAConn(t *testing.T) {
	t.Run("in memory", func(t *testing.T) {
		nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
			a, b := bridgetest.Pipe(1 << 10)
			return bridge.NewStream(a), bridge.NewStream(b), func() { a.Close(); b.Close() }, nil
		})
	})
	t.Run("on loopback", func(t *testing.T) {
		nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
			a, b := bridgetest.TCPPair(t)
			return bridge.NewStream(a), bridge.NewStream(b), func() { a.Close(); b.Close() }, nil
		})
	})
}

// pattern is an endless stream in which each position tells what it holds.
type pattern struct{ at int }

func (p *pattern) fill(buf []byte) {
	for i := range buf {
		buf[i] = byte(p.at * 7 % 251)
		p.at++
	}
}

func (p *pattern) check(t *testing.T, buf []byte) {
	t.Helper()
	for i, got := range buf {
		if want := byte(p.at * 7 % 251); got != want {
			t.Fatalf("byte %d of this read, %d of the stream: %d, want %d", i, p.at, got, want)
		}
		p.at++
	}
}

func TestFillLosesNothingWhenItIsCancelled(t *testing.T) {
	const cancellations = 3000
	memory := func(*testing.T) (net.Conn, net.Conn) { return bridgetest.Pipe(100) }
	loopback := func(t *testing.T) (net.Conn, net.Conn) { return bridgetest.TCPPair(t) }
	for name, conns := range map[string]func(*testing.T) (net.Conn, net.Conn){"in memory": memory, "on loopback": loopback} {
		t.Run(name, func(t *testing.T) {
			peer, ours := conns(t)
			enough := make(chan struct{})
			written := make(chan int, 1)
			go func() {
				defer peer.Close()
				random := rand.New(rand.NewPCG(1, 2))
				var out pattern
				for {
					select {
					case <-enough:
						written <- out.at
						return
					default:
					}
					buf := make([]byte, 1+random.IntN(200))
					out.fill(buf)
					if _, err := peer.Write(buf); err != nil {
						t.Error(err)
					}
				}
			}()
			s := bridge.NewStream(ours)
			var in pattern
			for cancelled := 0; cancelled < cancellations; {
				ctx, cancel := context.WithCancel(t.Context())
				go cancel()
				err := s.Fill(ctx)
				if err != nil {
					if !errors.Is(err, context.Canceled) {
						t.Fatal(err)
					}
					cancelled++
				}
				cancel()
				in.check(t, s.Buffered())
				s.Discard(len(s.Buffered()))
			}
			close(enough)
			for s.End() == bridge.Open {
				s.Fill(t.Context())
				in.check(t, s.Buffered())
				s.Discard(len(s.Buffered()))
			}
			if total := <-written; in.at != total {
				t.Errorf("got %d bytes of the %d that were written", in.at, total)
			}
		})
	}
}

// lateConn is a conn on which an interrupt arrives a second after the read that it is
// to interrupt has brought something.
type lateConn struct {
	*bridgetest.Conn
	begun chan struct{}
}

func (c *lateConn) SetReadDeadline(t time.Time) error {
	if !t.IsZero() {
		close(c.begun)
		time.Sleep(time.Second) // on the bubble's clock
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *lateConn) Read(p []byte) (int, error) {
	<-c.begun
	return c.Conn.Read(p)
}

func TestFillWaitsForAnInterruptThatComesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer, conn := bridgetest.Pipe(100)
		s := bridge.NewStream(&lateConn{conn, make(chan struct{})})
		say(t, peer, "first")
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		if err := s.Fill(ctx); err != nil {
			t.Fatalf("a read that brought bytes failed: %v", err)
		}
		time.AfterFunc(time.Minute, func() { peer.Write([]byte(" second")) })
		if err := s.Fill(t.Context()); err != nil {
			t.Fatalf("the late interrupt has poisoned the conn: %v", err)
		}
		if got := string(s.Buffered()); got != "first second" {
			t.Errorf("buffered %q", got)
		}
	})
}

func TestFillIsCancelledWhileNothingComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer, conn := bridgetest.Pipe(100)
		s := bridge.NewStream(conn)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Fill(ctx); !errors.Is(err, context.DeadlineExceeded) || s.End() != bridge.Open {
			t.Errorf("Fill = %v, end %s; want that of the context, and open", err, s.End())
		}
		say(t, peer, "later")
		if err := s.Fill(ctx); !errors.Is(err, context.DeadlineExceeded) || len(s.Buffered()) > 0 {
			t.Errorf("Fill under a context that has ended = %v, and %q; want no read", err, s.Buffered())
		}
		if err := s.Fill(t.Context()); err != nil || string(s.Buffered()) != "later" {
			t.Errorf("Fill = %v, %q", err, s.Buffered())
		}
	})
}

// reads is a conn that answers each Read in turn. One Read too many crashes.
type reads struct {
	net.Conn
	next []read
}

type read struct {
	data string
	err  error
}

func (r *reads) Read(p []byte) (int, error) {
	now := r.next[0]
	r.next = r.next[1:]
	return copy(p, now.data), now.err
}

func TestHowAReadEndsIsHowThePeerEnded(t *testing.T) {
	opErr := func(err error) error { return &net.OpError{Op: "read", Net: "tcp", Err: err} }
	tests := []struct {
		name string
		err  error
		end  bridge.End
	}{
		{"the end of a file", io.EOF, bridge.Clean},
		{"a truncation", io.ErrUnexpectedEOF, bridge.Cut},
		{"a wrapped truncation", fmt.Errorf("record: %w", io.ErrUnexpectedEOF), bridge.Cut},
		{"a reset", opErr(os.NewSyscallError("read", syscall.ECONNRESET)), bridge.Reset},
		{"a broken pipe", opErr(syscall.EPIPE), bridge.Reset},
		{"a peer that has vanished", opErr(os.NewSyscallError("read", syscall.ETIMEDOUT)), bridge.Reset},
		{"anything else", errors.New("bad record"), bridge.Reset},
		{"a conn that we closed because it can't be half-closed", opErr(net.ErrClosed), bridge.Clean},
		{"a pipe that we closed", io.ErrClosedPipe, bridge.Clean},
		{"somebody's deadline", opErr(os.ErrDeadlineExceeded), bridge.Open},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fill := bridge.NewStream(&reads{next: []read{{"", tt.err}}})
			if err := fill.Fill(context.Background()); !errors.Is(err, tt.err) || fill.End() != tt.end {
				t.Errorf("Fill = %v, end %s; want %v, %s", err, fill.End(), tt.err, tt.end)
			}
			plain := bridge.NewStream(&reads{next: []read{{"", tt.err}}})
			if _, err := plain.Read(make([]byte, 1)); !errors.Is(err, tt.err) || plain.End() != tt.end {
				t.Errorf("Read = %v, end %s; want %v, %s", err, plain.End(), tt.err, tt.end)
			}
			last := bridge.NewStream(&reads{next: []read{{"last words", tt.err}}})
			if err := last.Fill(context.Background()); err != nil || string(last.Buffered()) != "last words" || last.End() != tt.end {
				t.Errorf("Fill with the error = %v, %q, end %s; want the bytes, and %s", err, last.Buffered(), last.End(), tt.end)
			}
			if tt.end == bridge.Open {
				return
			}
			if err := last.Fill(context.Background()); !errors.Is(err, tt.err) {
				t.Errorf("Fill after the end = %v, want %v without a read", err, tt.err)
			}
			got, err := io.ReadAll(last)
			if string(got) != "last words" || err != nil && !errors.Is(err, tt.err) {
				t.Errorf("ReadAll = %q, %v", got, err)
			}
		})
	}
}

func TestAReadOfNothingEndsNothing(t *testing.T) {
	s := bridge.NewStream(&reads{next: []read{{"", nil}, {"bytes", nil}}})
	if err := s.Fill(t.Context()); !errors.Is(err, io.ErrNoProgress) || s.End() != bridge.Open {
		t.Errorf("Fill = %v, end %s", err, s.End())
	}
	if err := s.Fill(t.Context()); err != nil || string(s.Buffered()) != "bytes" {
		t.Errorf("Fill = %v, %q", err, s.Buffered())
	}
}

func TestAResetThatAWriteWasToldOfIsTheEnd(t *testing.T) {
	peer, conn := bridgetest.Pipe(100)
	s := bridge.NewStream(conn)
	peer.Reset()
	if _, err := s.Write([]byte("lost")); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("Write = %v", err)
	}
	if err := s.Fill(t.Context()); err != io.EOF || s.End() != bridge.Reset {
		t.Errorf("Fill = %v, end %s; want the kernel's EOF, known to be a reset", err, s.End())
	}
}

func TestABufferHoldsNoMoreThanItsLimit(t *testing.T) {
	const limit, total = 128 << 10, 1 << 20
	synctest.Test(t, func(t *testing.T) {
		peer, conn := bridgetest.Pipe(5000)
		var out, in pattern
		go func() {
			defer peer.Close()
			buf := make([]byte, total)
			out.fill(buf)
			peer.Write(buf)
		}()
		s := bridge.NewStream(conn)
		for in.at < total {
			for range limit {
				if err := s.Fill(t.Context()); err != nil {
					break
				}
			}
			if n := len(s.Buffered()); n != limit || cap(s.Buffered()) > limit {
				t.Fatalf("buffered %d bytes in %d, want %d", n, cap(s.Buffered()), limit)
			}
			if s.End() != bridge.Open && in.at+limit < total {
				t.Fatalf("a full buffer ended the stream: %s", s.End())
			}
			in.check(t, s.Buffered())
			s.Discard(limit)
		}
	})
}

func TestUnwrapHidesTheConnWhileBytesAreBuffered(t *testing.T) {
	peer, conn := bridgetest.Pipe(100)
	s := bridge.NewStream(conn)
	say(t, peer, "ab")
	if err := s.Fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c := s.Unwrap(); c != nil {
		t.Errorf("Unwrap = %v with bytes in the buffer", c)
	}
	hear(t, s, "a")
	s.Discard(1)
	if c := s.Unwrap(); c != net.Conn(conn) {
		t.Errorf("Unwrap = %v, want the conn", c)
	}
}

func TestEndWriteEndsAsTheProtocolBelowCan(t *testing.T) {
	memory := func(*testing.T) (a, b net.Conn) { return bridgetest.Pipe(100) }
	session := func(*testing.T) (a, b net.Conn) { return bridgetest.Sessions(100) }
	loopback := func(t *testing.T) (a, b net.Conn) { return bridgetest.TCPPair(t) }
	nested := func(*testing.T) (a, b net.Conn) {
		a, b = bridgetest.Sessions(100)
		return bridge.NewStream(a), b
	}
	tests := []struct {
		name  string
		conns func(*testing.T) (a, b net.Conn)
		end   bridge.End
		seen  bridge.End
	}{
		{"in memory, clean", memory, bridge.Clean, bridge.Clean},
		{"in memory, cut is all that TCP has", memory, bridge.Cut, bridge.Clean},
		{"in memory, reset", memory, bridge.Reset, bridge.Reset},
		{"on loopback, clean", loopback, bridge.Clean, bridge.Clean},
		{"on loopback, cut is all that TCP has", loopback, bridge.Cut, bridge.Clean},
		{"on loopback, reset", loopback, bridge.Reset, bridge.Reset},
		{"a session, clean", session, bridge.Clean, bridge.Clean},
		{"a session, cut", session, bridge.Cut, bridge.Cut},
		{"a session, reset", session, bridge.Reset, bridge.Reset},
		{"a stream of a session, cut", nested, bridge.Cut, bridge.Cut},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := tt.conns(t)
			ours, theirs := bridge.NewStream(a), bridge.NewStream(b)
			say(t, ours, "bye")
			if err := ours.EndWrite(tt.end); err != nil {
				t.Fatal(err)
			}
			if tt.end == bridge.Reset {
				ours.Close()
			}
			for theirs.End() == bridge.Open {
				theirs.Fill(t.Context())
			}
			if string(theirs.Buffered()) != "bye" || theirs.End() != tt.seen {
				t.Errorf("the peer saw %q and then %s, want %s", theirs.Buffered(), theirs.End(), tt.seen)
			}
			if tt.end != bridge.Reset { // the other direction goes on
				say(t, theirs, "and you")
				hear(t, ours, "and you")
			}
		})
	}
}

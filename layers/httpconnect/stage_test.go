package httpconnect_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/layers/httpconnect"
)

// stage is a client, the HTTP proxy, and the servers that it dials, one after the other, in a bubble. Its methods are the
// lines of a play, said in order by one goroutine.
type stage struct {
	*testing.T
	client *bridgetest.Conn
	server *bridgetest.Conn // the last one that was dialled
	over   chan bridge.Outcome

	mu      sync.Mutex
	dialled []dialled // and not yet on stage
	log     []string  // a line for each flow that has ended: path, target, reason
	tapped  [2]strings.Builder
}

type dialled struct {
	hop  string
	conn *bridgetest.Conn
}

// onStage plays with our reads whole, and cut up.
func onStage(t *testing.T, c httpconnect.Config, play func(*stage)) {
	t.Helper()
	inReadsOf(t, []int{0, 1, 7}, c, play)
}

// inReadsOf plays with our reads cut up into these sizes; 0 leaves them whole.
func inReadsOf(t *testing.T, sizes []int, c httpconnect.Config, play func(*stage)) {
	t.Helper()
	for _, size := range sizes {
		t.Run(fmt.Sprintf("reads of %d", size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, c, size)
				play(s)
				s.client.Close()
				s.ends()
			})
		})
	}
}

func newStage(t *testing.T, c httpconnect.Config, size int) *stage {
	s := &stage{T: t, over: make(chan bridge.Outcome, 1)}
	pipe := func() (theirs, ours *bridgetest.Conn) {
		theirs, ours = bridgetest.Pipe(8 << 10)
		ours.SetFaults(bridgetest.Faults{MaxRead: size})
		return theirs, ours
	}
	client, ours := pipe()
	s.client = client
	next := func(ctx context.Context, b *bridge.Bridge) error {
		b.Push(bridge.Frame{Proto: "inside"})
		return bridge.Relay(ctx, b)
	}
	proxy := &bridge.Proxy{
		Handler: bridge.ChainTo(next, httpconnect.Terminate(c)),
		Dial: func(_ context.Context, hop bridge.Addr, _ *bridge.Flow) (net.Conn, error) {
			if strings.HasPrefix(hop.Host, "refuses") {
				return nil, dialError(syscall.ECONNREFUSED)
			}
			theirs, ours := pipe()
			s.mu.Lock()
			defer s.mu.Unlock()
			s.dialled = append(s.dialled, dialled{hop.String(), theirs})
			t.Cleanup(func() { theirs.Close() })
			return ours, nil
		},
		Observer: &bridge.Observer{Close: s.closed, Tap: s.tap},
	}
	go func() { s.over <- proxy.ServeConn(t.Context(), ours) }()
	return s
}

func (s *stage) closed(f *bridge.Flow, out bridge.Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, fmt.Sprintf("%s %s %s %s", f.Path(), f.Target(), out.Reason, out.EndedBy))
}

func (s *stage) tap(*bridge.Flow) func(bridge.Side, []byte) {
	return func(from bridge.Side, p []byte) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.tapped[from].Write(p)
	}
}

// asks has the client say something.
func (s *stage) asks(text string) { s.say(s.client, text) }

// answers has the server say something.
func (s *stage) answers(text string) { s.say(s.server, text) }

// answersAtLength has the server say more than fits, and then do something, while the play goes on.
func (s *stage) answersAtLength(text string, then func()) {
	server := s.server
	go func() {
		if _, err := io.WriteString(server, text); err == nil {
			then()
		}
	}()
}

func (s *stage) say(c *bridgetest.Conn, text string) {
	s.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		s.Fatalf("write %q: %v", text, err)
	}
}

// dials has the next server dialled.
func (s *stage) dials(hop string) {
	s.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.dialled) == 0 {
		s.Fatalf("nothing was dialled, want %s", hop)
	}
	d := s.dialled[0]
	s.server, s.dialled = d.conn, s.dialled[1:]
	if d.hop != hop {
		s.Fatalf("dialled %s, want %s", d.hop, hop)
	}
}

// dialsNothing has nothing dialled.
func (s *stage) dialsNothing() {
	s.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.dialled) > 0 {
		s.Fatalf("dialled %s", s.dialled[0].hop)
	}
}

// hears has the server get exactly this.
func (s *stage) hears(text string) { s.Helper(); s.expect("the server", s.server, text) }

// gets has the client get exactly this.
func (s *stage) gets(text string) { s.Helper(); s.expect("the client", s.client, text) }

func (s *stage) expect(who string, c *bridgetest.Conn, text string) {
	s.Helper()
	buf := make([]byte, len(text))
	n, err := io.ReadFull(c, buf)
	if string(buf[:n]) != text {
		s.Fatalf("%s got %q, %v; want %q", who, buf[:n], err, text)
	}
}

// clientIsLeft has the client read the end, in order, and nothing before it.
func (s *stage) clientIsLeft() { s.Helper(); s.left("the client", s.client, nil) }

// clientIsReset has the client read a RST.
func (s *stage) clientIsReset() { s.Helper(); s.left("the client", s.client, syscall.ECONNRESET) }

// serverIsLeft has the server read the end, in order, and nothing before it.
func (s *stage) serverIsLeft() { s.Helper(); s.left("the server", s.server, nil) }

func (s *stage) left(who string, c *bridgetest.Conn, want error) {
	s.Helper()
	rest, err := io.ReadAll(c)
	if len(rest) > 0 || !errors.Is(err, want) {
		s.Fatalf("%s got %q, %v; want an end with %v", who, rest, err, want)
	}
}

// serverHearsNothing has nothing on its way to the server.
func (s *stage) serverHearsNothing() {
	s.Helper()
	synctest.Wait()
	s.server.SetReadDeadline(past)
	n, err := s.server.Read(make([]byte, 1))
	if n > 0 || err == io.EOF {
		s.Fatalf("the server got %d bytes, %v; want nothing yet", n, err)
	}
	s.server.SetReadDeadline(noDeadline)
}

// pause lets the bubble's clock go on.
func (s *stage) pause(d time.Duration) { <-time.After(d) }

// ends has the flow over, and returns how.
func (s *stage) ends() bridge.Outcome {
	s.Helper()
	out := <-s.over
	s.over <- out
	if out.Reason == bridge.Internal || out.Reason == bridge.Panic {
		s.Errorf("outcome %s: %v", out.Reason, out.Err)
	}
	return out
}

// endsFor has the flow end for a reason.
func (s *stage) endsFor(reason bridge.Reason, by bridge.Party) {
	s.Helper()
	if out := s.ends(); out.Reason != reason || out.EndedBy != by {
		s.Fatalf("outcome %s by %s: %v; want %s by %s", out.Reason, out.EndedBy, out.Err, reason, by)
	}
}

// flows has these flows ended, one after the other.
func (s *stage) flows(want ...string) {
	s.Helper()
	s.ends()
	s.mu.Lock()
	defer s.mu.Unlock()
	if got := strings.Join(s.log, "\n"); got != strings.Join(want, "\n") {
		s.Fatalf("flows:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
}

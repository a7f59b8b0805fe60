package bridge_test

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
)

// spliced is more than a direction moves before it is spliced.
const spliced = 400 << 10

// descriptors returns what the process has open, but for the runtime's own.
func descriptors(t testing.TB) (open []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && !strings.HasPrefix(target, "anon_inode:") {
			open = append(open, target)
		}
	}
	return open
}

// pipes returns how many descriptors of pipes are open.
func pipes(t testing.TB) (n int) {
	t.Helper()
	for _, target := range descriptors(t) {
		if strings.HasPrefix(target, "pipe:") {
			n++
		}
	}
	return n
}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(10 * time.Second); !holds(); <-poll.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// moveMuch sends so much from a to b that the direction is spliced.
func moveMuch(t *testing.T, from, to net.Conn) {
	t.Helper()
	var in, out pattern
	buf, got := make([]byte, spliced), make([]byte, spliced)
	out.fill(buf)
	go from.Write(buf)
	if n, err := io.ReadFull(to, got); err != nil {
		t.Fatalf("%v after %d bytes", err, n)
	}
	in.check(t, got)
}

func TestRelaySplicesADirectionThatMovesMuch(t *testing.T) {
	bridgetest.Baseline(t)
	before := pipes(t)
	c := onLoopback(t)
	out := c.serve(t, bridge.Chain())
	say(t, c.client, "hello")
	hear(t, c.server, "hello")
	if n := pipes(t); n != before {
		t.Errorf("%d descriptors of pipes for a short conversation", n-before)
	}
	moveMuch(t, c.client, c.server)
	moveMuch(t, c.server, c.client)
	say(t, c.client, "on")
	hear(t, c.server, "on")
	if n := pipes(t); n == before {
		t.Error("no pipe is open, although much was moved a moment ago")
	}
	c.client.Close()
	c.server.Close()
	if o := <-out; o.Reason != bridge.EOF {
		t.Errorf("outcome %+v", o)
	}
	if n := pipes(t); n != before {
		t.Errorf("%d descriptors of pipes are left when no relay is", n-before)
	}
}

func TestAnIdleFlowHoldsTwoDescriptors(t *testing.T) {
	bridgetest.Baseline(t)
	const flows = 5
	before := len(descriptors(t))
	var all []conns
	var outs []<-chan bridge.Outcome
	for range flows {
		c := onLoopback(t)
		all, outs = append(all, c), append(outs, c.serve(t, bridge.Chain()))
		moveMuch(t, c.client, c.server)
		moveMuch(t, c.server, c.client)
	}
	peers := 2 * flows
	eventually(t, "two descriptors for each flow", func() bool {
		return len(descriptors(t))-before-peers == 2*flows
	})
	for i, c := range all { // and then they go on
		moveMuch(t, c.client, c.server)
		c.client.Close()
		c.server.Close()
		if o := <-outs[i]; o.Reason != bridge.EOF {
			t.Errorf("outcome %+v", o)
		}
	}
}

func TestManyRelaysShareThePipes(t *testing.T) {
	bridgetest.Baseline(t)
	var all sync.WaitGroup
	for range 8 {
		c := onLoopback(t)
		out := c.serve(t, bridge.Chain())
		all.Go(func() {
			var both sync.WaitGroup
			both.Go(func() { send(t, c.client, 2*spliced) })
			both.Go(func() { send(t, c.server, 2*spliced) })
			both.Go(func() { receive(t, c.client, 2*spliced) })
			both.Go(func() { receive(t, c.server, 2*spliced) })
			both.Wait()
			if o := <-out; o.Reason != bridge.EOF {
				t.Errorf("outcome %+v", o)
			}
		})
	}
	all.Wait()
}

func TestRelayCopiesWhereItCannotSplice(t *testing.T) {
	t.Run("no descriptors for a pipe", func(t *testing.T) {
		bridgetest.Baseline(t)
		c := onLoopback(t)
		out := c.serve(t, bridge.Chain())
		noDescriptors(t)
		moveMuch(t, c.client, c.server)
		moveMuch(t, c.server, c.client)
		c.client.Close()
		c.server.Close()
		if o := <-out; o.Reason != bridge.EOF {
			t.Errorf("outcome %+v", o)
		}
	})
	t.Run("a tap", func(t *testing.T) {
		before := pipes(t)
		c := onLoopback(t)
		var shown int
		out := c.serve(t, bridge.Chain(), &bridge.Observer{Tap: func(*bridge.Flow) func(bridge.Side, []byte) {
			return func(from bridge.Side, data []byte) {
				if from == bridge.Client {
					shown += len(data)
				}
			}
		}})
		moveMuch(t, c.client, c.server)
		if n := pipes(t); n != before {
			t.Errorf("%d descriptors of pipes, although all is to be seen", n-before)
		}
		c.client.Close()
		c.server.Close()
		<-out
		if shown != spliced {
			t.Errorf("the tap was shown %d bytes of %d", shown, spliced)
		}
	})
	t.Run("a wrapped socket", func(t *testing.T) {
		before := pipes(t)
		c := onLoopback(t)
		c.accepted = bridgetest.Chunked(c.accepted, 10_000)
		out := c.serve(t, bridge.Chain())
		moveMuch(t, c.client, c.server)
		if n := pipes(t); n != before {
			t.Errorf("%d descriptors of pipes behind the back of a wrapper", n-before)
		}
		c.client.Close()
		c.server.Close()
		<-out
	})
}

// noDescriptors takes care that nothing can be opened until the test ends.
func noDescriptors(t *testing.T) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 0
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) })
}

func TestRelaySplicesUnixSockets(t *testing.T) {
	bridgetest.Baseline(t)
	before := pipes(t)
	c := onLoopback(t)
	c.dialled, c.server = unixPair(t)
	out := c.serve(t, bridge.Chain())
	moveMuch(t, c.client, c.server)
	moveMuch(t, c.server, c.client)
	if n := pipes(t); n == before {
		t.Error("no pipe is open, although much was moved a moment ago")
	}
	c.server.Close()
	hearEnd(t, c.client, io.EOF)
	c.client.Close()
	if o := <-out; o.Reason != bridge.EOF {
		t.Errorf("outcome %+v", o)
	}
}

func unixPair(t *testing.T) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("unix", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return a, b
}

// A deadline that passes between two splices must not cost a pipe.
func TestADeadlineWhileSplicingLeavesNoPipeBehind(t *testing.T) {
	before := pipes(t)
	for i := range 50 {
		c := onLoopback(t)
		b := &bridge.Bridge{Client: bridge.NewStream(c.accepted), Server: bridge.NewStream(c.dialled)}
		done := make(chan error)
		go func() { done <- bridge.Relay(t.Context(), b) }()
		go func() {
			buf := make([]byte, 64<<10)
			for {
				if _, err := c.client.Write(buf); err != nil {
					return
				}
			}
		}()
		if _, err := io.ReadFull(c.server, make([]byte, spliced+i<<10)); err != nil {
			t.Fatal(err)
		}
		b.Client.SetReadDeadline(past)
		go io.Copy(io.Discard, c.server)
		c.server.(*net.TCPConn).CloseWrite()
		if err := <-done; err == nil {
			t.Error("a relay whose reads time out ended in order")
		}
		for _, conn := range []net.Conn{c.client, c.accepted, c.dialled, c.server} {
			conn.Close()
		}
	}
	if n := pipes(t); n != before {
		t.Errorf("%d descriptors of pipes are left", n-before)
	}
}

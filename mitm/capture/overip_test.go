package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

// pipes is a listener whose connections are in memory.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Addr() net.Addr { return addr("192.0.2.1:57012") }

func (p *pipes) Close() error { close(p.done); return nil }

// connect returns a reader's end of a new connection.
func (p *pipes) connect() net.Conn {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours
}

// tail reads a connection to its end.
type tail struct {
	net.Conn
	got  bytes.Buffer
	done chan struct{}
}

// readTo reads what comes after seen.
func readTo(c net.Conn, seen ...byte) *tail {
	t := &tail{Conn: c, done: make(chan struct{})}
	t.got.Write(seen)
	go t.run()
	return t
}

func (t *tail) run() {
	defer close(t.done)
	io.Copy(&t.got, t.Conn)
}

// flows returns what the reader got, when the connection has ended.
func (t *tail) flows(tb testing.TB) []connection {
	tb.Helper()
	<-t.done
	return follow(tb, read(tb, t.got.Bytes()))
}

// A feedTest is a Feed under test, and flows for it.
type feedTest struct {
	*Feed
	tb    testing.TB
	log   *logs
	pipes *pipes
	flows int
}

func startFeed(tb testing.TB, over OverIP) *feedTest {
	tb.Helper()
	f := &feedTest{tb: tb, log: &logs{}, pipes: newPipes()}
	f.Feed = Serve(f.pipes, over, Config{Log: f.log.logger()})
	return f
}

// begin begins a flow of its own client.
func (f *feedTest) begin() (show func(bridge.Side, []byte), end func()) {
	f.tb.Helper()
	f.flows++
	d := web()
	d.client = fmt.Sprintf("198.51.100.2:%d", f.flows)
	flow := d.make(f.tb)
	o := f.Observer()
	if show = o.Tap(flow); show == nil {
		show = func(bridge.Side, []byte) {}
	}
	return show, func() { o.Close(flow, outcome(bridge.EOF, bridge.ByClient)) }
}

func (f *feedTest) say(text string) {
	f.tb.Helper()
	show, end := f.begin()
	show(client, []byte(text))
	end()
}

// said returns what the clients of connections said, in order.
func said(all []connection) []string {
	var texts []string
	for _, c := range all {
		texts = append(texts, string(c.streams[client]))
	}
	return texts
}

func TestAReaderGetsTheFlowsThatBeginWhileItIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := startFeed(t, OverIP{})
		f.say("to nobody")
		early, endEarly := f.begin()
		early(client, []byte("begun before"))
		first := readTo(f.pipes.connect())
		synctest.Wait()
		early(client, []byte("and not over"))
		f.say("to the first")
		show, end := f.begin()
		show(client, []byte("begun with one"))
		second := readTo(f.pipes.connect())
		synctest.Wait()
		show(server, []byte("answer"))
		end()
		endEarly()
		f.say("to both")
		if got := f.Stats(); got.Readers != 2 {
			t.Errorf("%d readers, want 2", got.Readers)
		}
		f.Close()
		if got, want := said(first.flows(t)), []string{"to the first", "begun with one", "to both"}; !slices.Equal(got, want) {
			t.Errorf("the first got %q, want %q", got, want)
		}
		if got, want := said(second.flows(t)), []string{"to both"}; !slices.Equal(got, want) {
			t.Errorf("the second got %q, want %q", got, want)
		}
		if got := f.Stats(); got.Flows != 4 || got.Lost != 0 || got.Readers != 0 {
			t.Errorf("stats %+v", got)
		}
		if s := f.Observer().Tap(web().make(t)); s != nil {
			t.Error("a closed feed still wants flows")
		}
	})
}

func TestWhoHasSeenTheHeaderMissesNoFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := startFeed(t, OverIP{})
		conn := f.pipes.connect()
		r := readTo(conn, headerOnly(t, conn)...)
		f.say("at once")
		f.Close()
		if got := said(r.flows(t)); !slices.Equal(got, []string{"at once"}) {
			t.Errorf("got %q", got)
		}
	})
}

func TestWhatAReaderGetsIsThereAfterASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := startFeed(t, OverIP{})
		r := readTo(f.pipes.connect())
		synctest.Wait()
		f.say("soon")
		pass(autoflush)
		if got := follow(t, read(t, r.got.Bytes())); !slices.Equal(said(got), []string{"soon"}) {
			t.Errorf("got %q", said(got))
		}
		f.Close()
	})
}

// headerOnly reads the header and then nothing.
func headerOnly(t *testing.T, conn net.Conn) []byte {
	t.Helper()
	header := make([]byte, pcapFileHeader)
	if _, err := io.ReadFull(conn, header); err != nil {
		t.Fatal(err)
	}
	return header
}

func TestADeadReaderCostsTheOthersNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := startFeed(t, OverIP{})
		const limit = 2 << 20
		f.pool.limit = limit
		dead := f.pipes.connect()
		headerOnly(t, dead)
		alive := readTo(f.pipes.connect())
		synctest.Wait()
		begun := time.Now()
		const flows, writes = 20, 5
		block := bytes.Repeat([]byte("x"), 50<<10)
		for range flows {
			show, end := f.begin()
			for range writes {
				show(server, block)
				synctest.Wait() // the reader that reads has read
			}
			end()
		}
		if waited := time.Since(begun); waited != 0 {
			t.Errorf("flows waited %v", waited)
		}
		f.pool.mu.Lock()
		used := f.pool.used
		f.pool.mu.Unlock()
		if used < limit/4 || used > limit/2+wakeSize {
			t.Errorf("%d KiB wait for the dead reader, want half of what all may have", used>>10)
		}
		stats := f.Stats()
		if stats.Lost < flows/2 || stats.Lost >= flows || f.log.count("too slow and loses flows") != 1 {
			t.Errorf("stats %+v, and %d lines; want the dead one's losses, logged once", stats, f.log.count("too slow"))
		}
		begun = time.Now()
		f.Close()
		if waited := time.Since(begun); waited != goodbye || f.log.count("did not take the end") != 1 {
			t.Errorf("Close() took %v, want %v for the dead one", waited, goodbye)
		}
		dead.Close()
		all := alive.flows(t)
		if len(all) != flows {
			t.Fatalf("the living reader got %d flows, want %d", len(all), flows)
		}
		for _, c := range all {
			if len(c.streams[server]) != writes*len(block) || c.end != "fin by client" {
				t.Errorf("of %v it got %d bytes, end %q", c.client, len(c.streams[server]), c.end)
			}
		}
		if f.pool.used != 0 {
			t.Errorf("%d bytes are still counted after the end", f.pool.used)
		}
	})
}

func TestAReaderThatWakesUpGetsAGapAndThenWholeFlows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := startFeed(t, OverIP{})
		f.pool.limit = 20_000
		conn := f.pipes.connect()
		header := headerOnly(t, conn)
		show, end := f.begin()
		show(client, bytes.Repeat([]byte("a"), 1000))
		pass(2 * autoflush) // the write hangs
		for range 20 {
			show(client, bytes.Repeat([]byte("b"), 1000))
		}
		f.say(strings.Repeat("lost as a whole", 100))
		end()
		r := readTo(conn, header...)
		pass(2 * autoflush)
		f.say("after")
		f.Close()
		all := r.flows(t)
		if len(all) != 3 || string(all[2].streams[client]) != "after" || all[2].end != "fin by client" {
			t.Fatalf("%d flows, want two that were lost, and what came after", len(all))
		}
		if c := all[0]; c.missing != [2]uint32{client: 1000} || c.end != "rst by server" {
			t.Errorf("the flow that was cut: %v missing, end %q", c.missing, c.end)
		}
		if c := all[1]; len(c.streams[client]) != 0 || c.missing != [2]uint32{client: 1500} || c.end != "rst by server" {
			t.Errorf("the flow for which there was no room: %v missing, end %q", c.missing, c.end)
		}
		if got := f.Stats(); got.Lost != 2 {
			t.Errorf("stats %+v", got)
		}
	})
}

func TestThrottledFlowsWaitForTheSlowestReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := startFeed(t, OverIP{Throttle: true})
		f.pool.limit = 16_000
		slow := f.pipes.connect()
		headerOnly(t, slow)
		fast := readTo(f.pipes.connect())
		synctest.Wait()
		show, end := f.begin()
		shown, waited := 0, time.Duration(0)
		for ; waited == 0 && shown < 100; shown++ {
			pass(2 * autoflush) // the fast one reads
			begun := time.Now()
			show(client, make([]byte, 1000))
			waited = time.Since(begun)
		}
		if waited != patience || shown < 5 || f.Stats().Lost != 1 {
			t.Errorf("write %d waited %v, want %v, and stats %+v, want that the slow one has lost the flow", shown, waited, patience, f.Stats())
		}
		begun := time.Now()
		show(client, make([]byte, 1000))
		if waited := time.Since(begun); waited != 0 {
			t.Errorf("a flow that the slow one has lost waited %v for it", waited)
		}
		end()
		slow.Close()
		synctest.Wait()
		f.Close()
		if all := fast.flows(t); len(all) != 1 || len(all[0].streams[client]) != 1000*(shown+1) || all[0].end != "fin by client" {
			t.Errorf("the fast reader got %d flows", len(all))
		}
	})
}

func TestAReaderThatReadsSlowlyGetsAllOfThrottledFlows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := startFeed(t, OverIP{Throttle: true})
		f.pool.limit = 600_000
		conn := f.pipes.connect()
		var got bytes.Buffer
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				if _, err := io.CopyN(&got, conn, 30_000); err != nil {
					return
				}
				<-time.After(20 * time.Millisecond)
			}
		}()
		synctest.Wait()
		show, end := f.begin()
		begun := time.Now()
		for range 300 {
			show(client, make([]byte, 10_000))
		}
		if waited := time.Since(begun); waited < time.Second {
			t.Errorf("3 MB took %v, with a reader that takes 1.5 MB a second", waited)
		}
		end()
		f.Close()
		<-done
		if all := follow(t, read(t, got.Bytes())); len(all) != 1 || len(all[0].streams[client]) != 3_000_000 || f.Stats().Lost != 0 {
			t.Errorf("%d flows, stats %+v", len(all), f.Stats())
		}
	})
}

func TestConnectIsTriedAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logs{}
		begun := time.Now()
		var mu sync.Mutex
		var tried []time.Duration
		conns := make(chan net.Conn, 1)
		f := connect("reader.test:57012", func(context.Context) (net.Conn, error) {
			mu.Lock()
			tried = append(tried, time.Since(begun).Round(time.Second))
			mu.Unlock()
			select {
			case c := <-conns:
				return c, nil
			default:
				return nil, errors.New("nobody is there")
			}
		}, OverIP{}, Config{Log: log.logger()})
		ft := &feedTest{Feed: f, tb: t, log: log}
		pass(100 * time.Second)
		mu.Lock()
		if want := []time.Duration{0, 1e9, 3e9, 7e9, 15e9, 31e9, 61e9, 91e9}; !slices.Equal(tried, want) {
			t.Errorf("tried at %v, want %v", tried, want)
		}
		mu.Unlock()
		if n := log.count("can't reach the reader"); n != 1 {
			t.Errorf("%d lines about it, want 1", n)
		}
		var got []string
		for _, text := range []string{"first", "second"} {
			ours, theirs := net.Pipe()
			conns <- theirs
			r := readTo(ours)
			pass(lastPause)
			ft.say(text)
			pass(lastPause)
			if text == "second" {
				f.Close()
			} else {
				ours.Close()
			}
			got = append(got, said(r.flows(t))...)
		}
		if !slices.Equal(got, []string{"first", "second"}) {
			t.Errorf("two connections got %q, want a capture each", got)
		}
		if got := f.Stats(); got.Flows != 2 || got.Readers != 0 {
			t.Errorf("stats %+v", got)
		}
	})
}

func TestCloseEndsAnAttemptToConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := connect("", func(ctx context.Context) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, OverIP{}, Config{Log: (&logs{}).logger()})
		synctest.Wait()
		f.Close()
		f.Close()
	})
}

// dialFeed connects to a Feed over TCP, and reads the header.
func dialFeed(t *testing.T, l net.Listener) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	headerOnly(t, conn)
	return conn.(*net.TCPConn)
}

func listenLoopback(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// until asks again and again, at most for a while.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("%s: not so after 30 seconds", what)
		case <-time.After(time.Millisecond):
		}
	}
}

func TestOverTCPAReaderIsThereUntilItHasClosed(t *testing.T) {
	l := listenLoopback(t)
	f := &feedTest{Feed: Serve(l, OverIP{}, Config{Log: (&logs{}).logger(), Autoflush: time.Millisecond}), tb: t}
	defer f.Close()
	talkative, quiet, closing := dialFeed(t, l), dialFeed(t, l), dialFeed(t, l)
	if _, err := talkative.Write(make([]byte, 1<<20)); err != nil {
		t.Errorf("what a reader sends is not taken: %v", err)
	}
	if err := quiet.CloseWrite(); err != nil { // as nc, when its stdin ends
		t.Fatal(err)
	}
	closing.Close()
	// A connection that is closed is found out by what is sent to it.
	until(t, "a reader that has closed is gone", func() bool {
		f.say("probe")
		return f.Stats().Readers == 2
	})
	tails := []*tail{readTo(talkative), readTo(quiet)}
	f.say("last")
	f.Close()
	for i, r := range tails {
		<-r.done
		header, _ := sample(t)
		segments := read(t, append(bytes.Clone(header[:pcapFileHeader]), r.got.Bytes()...))
		if len(segments) == 0 || !strings.Contains(r.got.String(), "last") {
			t.Errorf("reader %d got %d packets, and not the last flow", i, len(segments))
		}
	}
}

func TestReadersThatComeAndGoLeaveNothingBehind(t *testing.T) {
	descriptors := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			return 0 // then goroutines are all that is counted
		}
		return len(list)
	}
	l := listenLoopback(t)
	fds, routines := descriptors(), runtime.NumGoroutine()
	f := Serve(l, OverIP{}, Config{Log: (&logs{}).logger()})
	for range 50 {
		conn := dialFeed(t, l)
		conn.SetLinger(0) // a reader that dies
		conn.Close()
	}
	until(t, "all are gone", func() bool { return f.Stats().Readers == 0 })
	f.Close()
	until(t, "goroutines and descriptors are as many as before", func() bool {
		return descriptors() <= fds && runtime.NumGoroutine() <= routines
	})
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("a closed feed still accepts")
	}
}

func TestAReaderThatIsConnectedToGetsACaptureEachTime(t *testing.T) {
	l := listenLoopback(t)
	defer l.Close()
	f := &feedTest{Feed: Connect(l.Addr().String(), OverIP{}, Config{Log: (&logs{}).logger()}), tb: t}
	accept := func() *tail {
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return readTo(conn, headerOnly(t, conn)...)
	}
	first := accept()
	f.say("first")
	first.Close()
	<-first.done
	second := accept()
	f.say("second")
	f.Close()
	if got := said(second.flows(t)); !slices.Equal(got, []string{"second"}) {
		t.Errorf("the second connection got %q", got)
	}
}

func TestTheSocketToAReaderIsPrepared(t *testing.T) {
	l := listenLoopback(t)
	defer l.Close()
	prepared := make(chan string, 8)
	over := OverIP{Control: func(_, address string, _ syscall.RawConn) error {
		prepared <- address
		return nil
	}}
	f := Connect(l.Addr().String(), over, Config{Log: (&logs{}).logger()})
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	conn.Close()
	if got := <-prepared; got != l.Addr().String() {
		t.Errorf("prepared for %s, want %s", got, l.Addr())
	}
}

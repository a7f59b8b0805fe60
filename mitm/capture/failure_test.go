package capture

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

// gate is a destination that can be made to hang.
type gate struct {
	bytes.Buffer
	open chan struct{}
}

func (g *gate) Write(p []byte) (int, error) {
	<-g.open
	return g.Buffer.Write(p)
}

// stuck returns a Writer with a small queue whose destination hangs from now on.
func stuck(t *testing.T, limit int) (*session, *gate) {
	t.Helper()
	g := &gate{open: make(chan struct{}, 1)}
	g.open <- struct{}{} // for the file header
	s := &session{tb: t, buf: &g.Buffer, log: &logs{}}
	w, err := newWriter(g, Config{Log: s.log.logger()}, limit, clockISN)
	if err != nil {
		t.Fatal(err)
	}
	s.Writer = w
	return s, g
}

func TestAFlowWaitsASecondForTheDiskAndIsThenGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, g := stuck(t, 4000)
		o := s.Observer()
		f := web().make(t)
		show := o.Tap(f)
		text := strings.Repeat("x", 1000)
		show(client, []byte(text))
		<-time.After(2 * autoflush) // the writing goroutine hangs with the first one

		for range 2 {
			begun := time.Now()
			show(client, []byte(text))
			if waited := time.Since(begun); waited != 0 {
				t.Errorf("with room in the queue a write took %v", waited)
			}
		}
		begun := time.Now()
		show(client, []byte(text))
		if waited := time.Since(begun); waited != patience {
			t.Errorf("with a full queue a write took %v, want %v", waited, patience)
		}
		begun = time.Now()
		show(client, []byte(text))
		show(server, []byte(text))
		o.Close(f, outcome(bridge.EOF, bridge.ByClient))
		if waited := time.Since(begun); waited != 0 {
			t.Errorf("after it was given up the flow still waited %v", waited)
		}
		if n := s.log.count("gave up on a flow"); n != 1 || s.log.count(f.ID()) != 1 {
			t.Errorf("%d lines about it, want 1 with the flow", n)
		}

		close(g.open)
		c := s.finish()[0]
		if got := string(c.streams[client]); got != strings.Repeat(text, 3) {
			t.Errorf("%d bytes captured, want the first 3000", len(got))
		}
		if c.missing != [2]uint32{client: 1000} || c.end != "rst by server" {
			t.Errorf("gap of %v, end %q; want 1000 bytes of the client marked, and a RST", c.missing, c.end)
		}
		if got := s.Stats(); got.Lost != 1 || got.Flows != 1 || got.Payload != 3000 {
			t.Errorf("stats %+v", got)
		}
	})
}

func TestAFlowThatWaitedGoesOnWhenThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, g := stuck(t, 4000)
		f := web().make(t)
		show := s.Observer().Tap(f)
		text := strings.Repeat("x", 1000)
		for range 3 {
			show(client, []byte(text))
		}
		go func() {
			<-time.After(patience / 2)
			close(g.open)
		}()
		begun := time.Now()
		show(client, []byte(text))
		if waited := time.Since(begun); waited != patience/2 {
			t.Errorf("waited %v, want until there was room after %v", waited, patience/2)
		}
		c := s.finish()[0]
		if len(c.streams[client]) != 4000 || c.missing != [2]uint32{} || s.Stats().Lost != 0 {
			t.Errorf("%d bytes, %v missing, %d lost", len(c.streams[client]), c.missing, s.Stats().Lost)
		}
	})
}

func TestOnlyTheFlowThatFindsNoRoomIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, g := stuck(t, 3300)
		o := s.Observer()
		first, second, third := web(), web(), web()
		second.client, third.client = "198.51.100.3:1", "198.51.100.4:1"
		quiet, busy, late := first.make(t), second.make(t), third.make(t)
		showQuiet, showBusy := o.Tap(quiet), o.Tap(busy)
		showQuiet(client, []byte("before"))
		for range 4 {
			showBusy(client, make([]byte, 1000))
		}
		showLate := o.Tap(late)
		showLate(client, make([]byte, 1000))
		if got := s.Stats().Lost; got != 2 {
			t.Errorf("%d flows lost, want the one that filled the queue and the one that came then", got)
		}
		close(g.open)
		synctest.Wait()
		<-time.After(2 * autoflush)
		showQuiet(server, []byte("after"))
		o.Close(quiet, outcome(bridge.EOF, bridge.ByServer))
		o.Close(busy, outcome(bridge.EOF, bridge.ByServer))
		o.Close(late, outcome(bridge.EOF, bridge.ByServer))
		all := s.finish()
		if len(all) != 2 {
			t.Fatalf("%d connections, want 2: nothing of the late one was in the queue", len(all))
		}
		if c := all[0]; string(c.streams[client])+string(c.streams[server]) != "beforeafter" || c.end != "fin by server" {
			t.Errorf("the quiet flow: %+v", c)
		}
		if c := all[1]; len(c.streams[client]) != 3000 || c.missing[client] != 1000 {
			t.Errorf("the busy flow: %d bytes, %v missing", len(c.streams[client]), c.missing)
		}
	})
}

func TestAFlowWithoutBytesWaitsForRoomAtItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, g := stuck(t, 1000)
		o := s.Observer()
		empty := web().make(t)
		o.Tap(empty)
		o.Tap(web().make(t))(client, make([]byte, 900))
		begun := time.Now()
		o.Close(empty, outcome(bridge.EOF, bridge.ByClient))
		if waited := time.Since(begun); waited != patience || s.Stats().Lost != 1 || s.log.count(empty.ID()) != 1 {
			t.Errorf("waited %v, stats %+v; want %v and one flow lost", waited, s.Stats(), patience)
		}
		close(g.open)
		s.finish()
	})
}

func TestFlowsCostNoMemoryWhileTheDestinationHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, g := stuck(t, 1000)
		o := s.Observer()
		for i := range 50 {
			f := web().make(t)
			o.Tap(f)(client, make([]byte, 900))
			o.Close(f, outcome(bridge.EOF, bridge.ByClient))
			if used := s.queue.waiting(); used > 1000+2*eventCost {
				t.Fatalf("after %d flows %d bytes are queued", i+1, used)
			}
		}
		close(g.open)
		s.finish()
		if got := s.Stats(); got.Flows+got.Lost != 50 || got.Lost == 0 {
			t.Errorf("stats %+v, want 50 flows in all", got)
		}
	})
}

func TestAWriteLargerThanTheQueueIsTaken(t *testing.T) {
	s, g := stuck(t, 1000)
	close(g.open)
	f := web().make(t)
	s.Observer().Tap(f)(client, make([]byte, 3*pageSize))
	if c := s.finish()[0]; len(c.streams[client]) != 3*pageSize {
		t.Errorf("%d bytes captured", len(c.streams[client]))
	}
}

func TestCloseGivesUpOnADestinationThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, g := stuck(t, queueLimit)
		s.Observer().Tap(web().make(t))(client, make([]byte, 1000))
		begun := time.Now()
		err := s.Close()
		if waited := time.Since(begun); waited != closePatience {
			t.Errorf("Close took %v, want %v", waited, closePatience)
		}
		want := fmt.Sprintf("close capture: nothing was written for 10s, and %d bytes are left", 1000+eventCost)
		if err == nil || err.Error() != want {
			t.Errorf("Close() = %v, want %s", err, want)
		}
		close(g.open)
	})
}

func TestCloseWaitsForASlowDestination(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, g := stuck(t, queueLimit)
		show := s.Observer().Tap(web().make(t))
		const writes = 5
		for range writes {
			show(client, make([]byte, flushSize))
		}
		go func() {
			for range writes {
				<-time.After(closePatience * 3 / 4)
				g.open <- struct{}{}
			}
			close(g.open)
		}()
		if c := s.finish()[0]; len(c.streams[client]) != writes*flushSize {
			t.Errorf("%d bytes captured", len(c.streams[client]))
		}
	})
}

// disk is a destination that has room for some bytes.
type disk struct {
	bytes.Buffer
	room atomic.Int64
}

func newDisk(room int) *disk {
	d := &disk{}
	d.room.Store(int64(room))
	return d
}

func (d *disk) Write(p []byte) (int, error) {
	n := min(len(p), int(d.room.Load()))
	d.room.Add(-int64(n))
	d.Buffer.Write(p[:n])
	if n < len(p) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

// file is a disk that can be cut, as a file can.
type file struct{ *disk }

// Seek knows the end only: what is cut off is not to be written over.
func (f *file) Seek(offset int64, whence int) (int64, error) {
	if whence != io.SeekCurrent {
		return 0, errors.New("not a seek that was expected")
	}
	return int64(f.Len()), nil
}

func (f *file) Truncate(size int64) error {
	f.Buffer.Truncate(int(size))
	return nil
}

func TestAFullDiskGivesUpTheFlowsThatMoveAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(24 + 500)
		s := &session{tb: t, buf: &d.Buffer, log: &logs{}}
		var err error
		if s.Writer, err = NewWriter(d, Config{Log: s.log.logger()}); err != nil {
			t.Fatal(err)
		}
		o := s.Observer()
		tap := func(addr string) (*bridge.Flow, func(bridge.Side, []byte)) {
			f := web()
			f.client = addr
			made := f.make(t)
			return made, o.Tap(made)
		}
		settle := func() { <-time.After(3 * autoflush); synctest.Wait() }
		quiet, showQuiet := tap("198.51.100.2:1")
		busy, showBusy := tap("198.51.100.2:2")
		showQuiet(client, []byte("before"))
		showBusy(client, make([]byte, 1000))
		settle() // the disk is full in the middle of a packet
		late, showLate := tap("198.51.100.2:3")
		begun := time.Now()
		showBusy(server, make([]byte, 100))
		showLate(client, []byte("lost"))
		settle()
		showBusy(server, make([]byte, 100))
		if waited := time.Since(begun); waited != 3*autoflush {
			t.Errorf("flows waited %v for a disk that is full", waited-3*autoflush)
		}
		o.Close(late, outcome(bridge.EOF, bridge.ByClient))
		if got := s.Stats(); got.Lost != 2 || s.log.count("level=ERROR") != 1 || s.log.count("no space left on device") != 1 {
			t.Errorf("stats %+v, and %d errors logged; want 2 lost and 1", got, s.log.count("level=ERROR"))
		}

		d.room.Store(1 << 20)
		settle()
		if n := s.log.count("writing works again"); n != 1 || s.log.count(`"lost flows"=2`) != 1 {
			t.Errorf("%d lines that it goes on", n)
		}
		showQuiet(server, []byte("after"))
		showBusy(server, []byte("not any more"))
		o.Close(quiet, outcome(bridge.EOF, bridge.ByClient))
		o.Close(busy, outcome(bridge.EOF, bridge.ByClient))
		next, showNext := tap("198.51.100.2:4")
		showNext(client, []byte("new"))
		o.Close(next, outcome(bridge.EOF, bridge.ByClient))

		all := s.finish()
		if len(all) != 3 {
			t.Fatalf("%d connections, want 3", len(all))
		}
		if c := all[0]; string(c.streams[client])+string(c.streams[server]) != "beforeafter" || c.end != "fin by client" {
			t.Errorf("the flow that did not move while the disk was full: %+v", c)
		}
		if c := all[1]; len(c.streams[client]) != 1000 || c.missing != [2]uint32{server: 100} || c.end != "rst by server" {
			t.Errorf("the flow that did: %d bytes, %v missing, end %q", len(c.streams[client]), c.missing, c.end)
		}
		if c := all[2]; string(c.streams[client]) != "new" || c.end != "fin by client" {
			t.Errorf("the next flow: %+v", c)
		}
	})
}

func TestAFileEndsWithAWholePacketAlsoOnAFullDisk(t *testing.T) {
	for room := range 400 {
		d := &file{newDisk(24 + room)}
		w, err := NewWriter(d, Config{Log: (&logs{}).logger()})
		if err != nil {
			t.Fatal(err)
		}
		w.Observer().Tap(web().make(t))(client, make([]byte, 50))
		if err := w.Close(); (err == nil) != (room >= 16*5+62*2+54+104+54) {
			t.Fatalf("with room for %d bytes: Close() = %v", room, err)
		}
		read(t, d.Bytes())
	}
}

func TestAPacketThatWasTornIsCompletedLater(t *testing.T) {
	for room := range 400 {
		d := newDisk(24 + room)
		o, err := newOutput(d, pcapFormat{})
		if err != nil {
			t.Fatal(err)
		}
		p, c := &packets{o.packet}, &conversation{}
		c.tcp.begin(endsOf(netip.MustParseAddrPort("198.51.100.2:1"), netip.MustParseAddrPort("203.0.113.9:2")), 0)
		p.handshake(c, time.Unix(0, 0))
		p.write(c, time.Unix(0, 0), client, make([]byte, 50))
		for d.room.Store(int64(room)); o.flush() != nil; d.room.Store(7) {
			if d.Len() == 0 {
				t.Fatal("nothing was written")
			}
		}
		if got := len(read(t, d.Bytes())); got != 5 {
			t.Fatalf("%d packets, want 5", got)
		}
	}
}

func TestCutTakesTheEndOffAFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fmt.Fprint(f, "whole,par")
	if !cut(f, 3) {
		t.Fatal("cut() failed")
	}
	fmt.Fprint(f, "packet")
	if got, err := os.ReadFile(name); string(got) != "whole,packet" {
		t.Errorf("file is %q, %v", got, err)
	}
	if cut(f, 100) {
		t.Error("cut() took more off a file than is in it")
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if cut(w, 1) || cut(&bytes.Buffer{}, 1) {
		t.Error("cut() of what is no file reported success")
	}
}

func TestAHeaderThatCannotBeWrittenIsAnError(t *testing.T) {
	if _, err := NewWriter(newDisk(3), Config{}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("NewWriter() = %v, want ENOSPC", err)
	}
	full := "/dev/full"
	if _, err := Create(full, Config{}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Create(%q) = %v, want ENOSPC", full, err)
	}
}

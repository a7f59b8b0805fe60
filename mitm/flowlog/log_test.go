package flowlog

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

func eof() bridge.Outcome { return bridge.Outcome{Reason: bridge.EOF, EndedBy: bridge.ByClient} }

// end logs a flow that has ended.
func end(l *Log, f *bridge.Flow) { l.Observer().Close(f, eof()) }

// writer keeps each Write by itself. It can be made to fail and to hang.
type writer struct {
	mu     sync.Mutex
	writes []string
	room   int           // bytes that it takes before it fails; negative: it does not fail
	gate   chan struct{} // each Write takes one; nil: it does not hang
}

func (w *writer) Write(p []byte) (int, error) {
	if w.gate != nil {
		<-w.gate
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(p)
	if w.room >= 0 {
		n = min(n, w.room)
		w.room -= n
	}
	w.writes = append(w.writes, string(p[:n]))
	if n < len(p) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

func (w *writer) setRoom(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.room = n
}

func (w *writer) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.writes
}

// logger returns a logger and what it logged.
func logger() (*slog.Logger, *bytes.Buffer) {
	var b bytes.Buffer
	return slog.New(slog.NewTextHandler(&b, nil)), &b
}

func TestManyFlowsAtATimeWriteWholeLines(t *testing.T) {
	w := &writer{room: -1}
	l := New(w)
	o := l.Observer()
	var all sync.WaitGroup
	want := map[string]bool{}
	for range 200 {
		f := newFlow(t)
		want[f.ID()] = true
		all.Go(func() { o.Close(f, eof()) })
	}
	all.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s := compile(t, true)
	for _, write := range w.all() {
		id := validate(t, s, []byte(write))["id"].(string)
		if !want[id] {
			t.Errorf("flow %s is logged twice, or was never there", id)
		}
		delete(want, id)
	}
	if len(want) > 0 {
		t.Errorf("%d flows are not logged", len(want))
	}
}

func TestFlowsDoNotWaitForADestinationThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &writer{room: -1, gate: make(chan struct{})}
		l := New(w)
		var out *bytes.Buffer
		l.Logger, out = logger()
		f := newFlow(t)
		line := len(newRecord(f, eof()).line())
		const more = 100
		begun := time.Now()
		for range queueLimit/line + more {
			end(l, f)
		}
		if waited := time.Since(begun); waited != 0 {
			t.Errorf("flows waited %v", waited)
		}
		if n := strings.Count(out.String(), "level=ERROR"); n != 1 || !strings.Contains(out.String(), errFull.Error()) {
			t.Errorf("%d errors reported, want 1: %s", n, out)
		}
		close(w.gate)
		synctest.Wait()
		end(l, f)
		if err := l.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
		if got, want := len(w.all()), queueLimit/line+1; got != want {
			t.Errorf("%d lines written, want the %d that fit and one later", got, want)
		}
		if !strings.Contains(out.String(), fmt.Sprintf(`"lost lines"=%d`, more)) {
			t.Errorf("reported: %s, want that %d lines were lost", out, more)
		}
	})
}

func TestAWriteErrorIsReportedOnceAndLinesStayWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlow(t)
		line := string(newRecord(f, eof()).line())
		w := &writer{room: len(line) + 10}
		l := New(w)
		var out *bytes.Buffer
		l.Logger, out = logger()
		for range 4 {
			end(l, f)
			synctest.Wait()
		}
		if n := strings.Count(out.String(), "level=ERROR"); n != 1 || !strings.Contains(out.String(), "no space left on device") {
			t.Errorf("%d errors reported, want 1: %s", n, out)
		}
		w.setRoom(-1)
		for range 2 {
			end(l, f)
			synctest.Wait()
		}
		if err := l.Close(); err != nil {
			t.Errorf("Close() = %v after it works again", err)
		}
		if want := line + line[:10] + "\n" + line + line; strings.Join(w.all(), "") != want {
			t.Errorf("written\n%s, want\n%s", strings.Join(w.all(), ""), want)
		}
		if !strings.Contains(out.String(), `"lost lines"=3`) {
			t.Errorf("reported: %s, want that 3 lines were lost", out)
		}
	})
}

func TestCloseReturnsWhyLinesAreLost(t *testing.T) {
	l := New(&writer{})
	l.Logger, _ = logger()
	end(l, newFlow(t))
	if err := l.Close(); !errors.Is(err, syscall.ENOSPC) || !strings.HasPrefix(err.Error(), "close flow log: ") {
		t.Errorf("Close() = %v, want ENOSPC", err)
	}
}

func TestCloseWaitsWhileLinesAreTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &writer{room: -1, gate: make(chan struct{})}
		l := New(w)
		const lines = 4
		for range lines {
			end(l, newFlow(t))
		}
		go func() {
			for range lines {
				<-time.After(closePatience * 3 / 4)
				w.gate <- struct{}{}
			}
		}()
		if err := l.Close(); err != nil || len(w.all()) != lines {
			t.Errorf("Close() = %v with %d lines written, want %d", err, len(w.all()), lines)
		}
	})
}

func TestCloseGivesUpOnADestinationThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &writer{room: -1, gate: make(chan struct{})}
		l := New(w)
		end(l, newFlow(t))
		begun := time.Now()
		if err := l.Close(); err == nil || err.Error() != "close flow log: nothing was written for 10s" {
			t.Errorf("Close() = %v", err)
		}
		if waited := time.Since(begun); waited != closePatience {
			t.Errorf("Close took %v, want %v", waited, closePatience)
		}
		close(w.gate)
	})
}

func TestCreate(t *testing.T) {
	name := filepath.Join(t.TempDir(), "flows.jsonl")
	for range 2 { // the second one appends
		l, err := Create(name)
		if err != nil {
			t.Fatal(err)
		}
		end(l, newFlow(t))
		for range 2 {
			if err := l.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
		}
		end(l, newFlow(t)) // too late
	}
	text, err := os.ReadFile(name)
	if err != nil || bytes.Count(text, []byte("\n")) != 2 {
		t.Errorf("file holds %q, %v; want two lines", text, err)
	}
	if info, err := os.Stat(name); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := Create(filepath.Join(name, "below")); !errors.Is(err, syscall.ENOTDIR) || !strings.HasPrefix(err.Error(), "create flow log: ") {
		t.Errorf("Create() in no directory = %v", err)
	}
}

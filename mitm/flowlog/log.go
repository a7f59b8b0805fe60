package flowlog

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

const (
	// queueLimit bounds the lines that wait to be written, in bytes.
	queueLimit = 4 << 20

	// closePatience is how long Close waits for a destination that takes nothing.
	closePatience = 10 * time.Second
)

// Log writes a line for each flow. It is safe for concurrent use. Close it, or the last
// lines may be missing.
type Log struct {
	// Logger is told when lines are lost; nil means slog.Default. It is set before
	// the first flow ends.
	Logger *slog.Logger

	w      io.Writer
	closer io.Closer // nil when w is not ours to close
	line   func(*bridge.Flow, bridge.Outcome) []byte

	mu     sync.Mutex
	lines  [][]byte      // oldest first
	size   int           // bytes of lines, and of the line that is being written
	idle   chan struct{} // closed when all is written; nil when nothing is to be
	taken  int           // lines that w took or refused
	torn   bool          // w took the first part of a line only
	err    error         // why lines are lost; nil when they are not
	lost   int           // how many, since err
	closed bool
}

// Create makes a Log that appends to a file, which Close closes. "-" is stdout. A file
// that is new can be read by its owner only.
func Create(name string) (*Log, error) {
	if name == "-" {
		return New(os.Stdout), nil
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create flow log: %w", err)
	}
	l := New(f)
	l.closer = f
	return l, nil
}

// New returns a Log that writes to w, one line with each Write and one Write at a time.
func New(w io.Writer) *Log {
	return &Log{w: w, line: func(f *bridge.Flow, out bridge.Outcome) []byte { return newRecord(f, out).line() }}
}

// NewText is New with lines for people to read, as Line makes them.
func NewText(w io.Writer) *Log {
	return &Log{w: w, line: func(f *bridge.Flow, out bridge.Outcome) []byte { return append([]byte(Line(f, out)), '\n') }}
}

// Observer returns what tells the Log of flows.
func (l *Log) Observer() *bridge.Observer {
	return &bridge.Observer{Close: func(f *bridge.Flow, out bridge.Outcome) {
		l.put(l.line(f, out))
	}}
}

// errFull is why lines are lost while the queue is full.
var errFull = errors.New("lines can't be written as fast as they come")

// put queues a line. While anything is queued there is a goroutine that writes it.
func (l *Log) put(line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return
	case l.size+len(line) > queueLimit:
		l.lose(errFull)
		return
	}
	l.lines = append(l.lines, line)
	l.size += len(line)
	if l.idle == nil {
		l.idle = make(chan struct{})
		go l.write(l.idle)
	}
}

// write writes what is queued until nothing is.
func (l *Log) write(idle chan struct{}) {
	defer close(idle)
	for {
		line := l.next()
		if line == nil {
			return
		}
		n, err := l.w.Write(line)
		if err == nil && n < len(line) {
			err = io.ErrShortWrite
		}
		l.wrote(line, n, err)
	}
}

// next takes the oldest line, or returns nil when the goroutine is to end.
func (l *Log) next() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == 0 {
		l.lines, l.idle = nil, nil
		return nil
	}
	line := l.lines[0]
	l.lines[0] = nil
	l.lines = l.lines[1:]
	if l.torn {
		// What is there of the last line becomes a line of its own, which readers
		// can skip.
		line = append([]byte("\n"), line...)
		l.size++
	}
	return line
}

// wrote notes what became of a line.
func (l *Log) wrote(line []byte, n int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.size -= len(line)
	l.taken++
	switch {
	case err != nil:
		if n > 0 {
			l.torn = line[n-1] != '\n'
		}
		l.lose(err)
	case l.err != nil:
		l.logger().Warn("flow log: writing works again", "lost lines", l.lost)
		l.err, l.lost, l.torn = nil, 0, false
	default:
		l.torn = false
	}
}

// lose counts a line that is lost. The first is reported.
func (l *Log) lose(err error) {
	if l.err == nil {
		l.logger().Error("flow log: lines are lost", "err", err)
	}
	l.err = err
	l.lost++
}

func (l *Log) logger() *slog.Logger {
	if l.Logger == nil {
		return slog.Default()
	}
	return l.Logger
}

// Close writes what is queued; flows that end later are not logged. It returns the error
// that lines are lost by at the end. When the destination takes nothing for 10 seconds
// it gives up; the goroutine that writes then ends with the write that hangs.
func (l *Log) Close() error {
	l.mu.Lock()
	again := l.closed
	l.closed = true
	idle := l.idle
	l.mu.Unlock()
	if again {
		return nil
	}
	err := l.await(idle)
	if l.closer != nil {
		err = errors.Join(err, l.closer.Close())
	}
	if err != nil {
		return fmt.Errorf("close flow log: %w", err)
	}
	return nil
}

// await waits until idle is closed, for as long as lines are taken.
func (l *Log) await(idle <-chan struct{}) error {
	if idle != nil {
		look := time.NewTicker(closePatience)
		defer look.Stop()
		for seen := l.progress(); ; {
			select {
			case <-idle:
				return l.failure()
			case <-look.C:
			}
			now := l.progress()
			if now == seen {
				return fmt.Errorf("nothing was written for %v", closePatience)
			}
			seen = now
		}
	}
	return l.failure()
}

func (l *Log) progress() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.taken
}

func (l *Log) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

package capture

import (
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"
)

const (
	snapLen = 262144

	// flushSize is how much is written at once; a whole packet more than this.
	flushSize = 128 << 10
)

// A format makes the bytes of a capture. A capture of several files is one after another:
// each begins with the header, and when a file ends restart is called, so that what has
// to stand in each file before a packet is there again in the next one. Nothing of a
// format is written to a file before a packet is.
type format interface {
	header() []byte
	restart()

	// packet appends a packet of a conversation, and before it whatever has to be
	// known of that. It returns where the size bytes of its frame go.
	packet(b []byte, c *conversation, at time.Time, size int) (all, frame []byte)

	// whole returns how many of the bytes of b, which begins with a record, are whole
	// records.
	whole(b []byte) int
}

// A series is a destination of several files, one after another.
type series interface {
	io.Writer
	begin(header []byte) // is called first: what each file begins with
	left() int           // how many bytes may be gathered before they are written
	turn() bool          // finishes the file if it is time to, and reports whether it did
}

// output is the capture file. It is handed whole packets, so that readers can begin at
// any time.
type output struct {
	dst    io.Writer
	files  series // dst, if it is several files
	format format
	buf    []byte       // what is still to be written
	err    error        // why the last attempt to write failed
	torn   bool         // buf begins within a record: dst took its first part, and keeps it
	taken  atomic.Int64 // bytes that dst took
}

// newOutput writes the file header.
func newOutput(dst io.Writer, f format) (*output, error) {
	o := &output{dst: dst, format: f}
	if files, ok := dst.(series); ok {
		o.files = files
		files.begin(f.header())
		return o, nil
	}
	n, err := dst.Write(f.header())
	if err != nil {
		return nil, fmt.Errorf("write capture header: %w", err)
	}
	o.taken.Add(int64(n))
	return o, nil
}

// packet adds a packet to what is to be written, and returns where its frame goes, which
// is to be filled in before anything else is called.
func (o *output) packet(c *conversation, at time.Time, size int) (frame []byte) {
	o.buf, frame = o.format.packet(o.buf, c, at, size)
	return frame
}

// grow extends b by n bytes, of which nobody says what they are.
func grow(b []byte, n int) []byte {
	b = slices.Grow(b, n)
	return b[:len(b)+n]
}

// full reports whether it is time to write. A file of a series ends between two writes,
// so the last one to it is smaller.
func (o *output) full() bool {
	if o.err != nil || len(o.buf) == 0 {
		return false
	}
	return len(o.buf) >= flushSize || o.files != nil && len(o.buf) >= o.files.left()
}

// turn ends the file of a series if it is time to. All that was for it is written.
func (o *output) turn() {
	if o.files != nil && o.files.turn() {
		o.format.restart()
	}
}

// flush writes what is there. What is left by a failure stays, for the next attempt.
func (o *output) flush() error {
	n, err := 0, error(nil)
	if len(o.buf) > 0 {
		n, err = o.dst.Write(o.buf)
	}
	if err == nil && n < len(o.buf) {
		err = io.ErrShortWrite
	}
	if err != nil {
		n -= o.takeBack(n)
	} else {
		o.torn = false
	}
	o.taken.Add(int64(n))
	o.buf = o.buf[:copy(o.buf, o.buf[n:])]
	o.err = err
	return err
}

// takeBack cuts off what was written of a record that is not whole, where dst is such
// that it can, and returns how much that is. n bytes were written.
func (o *output) takeBack(n int) int {
	if o.torn {
		return 0
	}
	part := n - o.format.whole(o.buf[:n])
	if part > 0 && !cut(o.dst, int64(part)) {
		o.torn = true
		return 0
	}
	return part
}

// cut takes the last n bytes off a file that is written to, and reports whether that
// worked.
func cut(dst io.Writer, n int64) bool {
	f, ok := dst.(interface {
		io.Seeker
		Truncate(size int64) error
	})
	if !ok {
		return false
	}
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil || at < n || f.Truncate(at-n) != nil {
		return false
	}
	_, err = f.Seek(-n, io.SeekCurrent)
	return err == nil
}

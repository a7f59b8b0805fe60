package capture

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

const (
	snapLen = 262144

	// flushSize is how much is written at once; a whole packet more than this.
	flushSize = 128 << 10

	packetHeader = 16
)

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
	dst   io.Writer
	files series         // dst, if it is several files
	pcap  *pcapgo.Writer // writes to buf
	buf   bytes.Buffer   // what is still to be written
	err   error          // why the last attempt to write failed
	torn  bool           // buf begins within a packet: dst took its first part, and keeps it
	taken atomic.Int64   // bytes that dst took
}

// newOutput writes the file header.
func newOutput(dst io.Writer) (*output, error) {
	o := &output{dst: dst}
	o.pcap = pcapgo.NewWriter(&o.buf)
	if err := o.pcap.WriteFileHeader(snapLen, layers.LinkTypeEthernet); err != nil {
		return nil, fmt.Errorf("make capture header: %w", err)
	}
	if files, ok := dst.(series); ok {
		o.files = files
		files.begin(bytes.Clone(o.buf.Bytes()))
		o.buf.Reset()
		return o, nil
	}
	n, err := dst.Write(o.buf.Bytes())
	if err != nil {
		return nil, fmt.Errorf("write capture header: %w", err)
	}
	o.taken.Add(int64(n))
	o.buf.Reset()
	return o, nil
}

// packet adds a packet to what is to be written.
func (o *output) packet(at time.Time, frame []byte) {
	info := gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(frame), Length: len(frame)}
	if err := o.pcap.WritePacket(info, frame); err != nil {
		panic(err) // the lengths agree, and a bytes.Buffer does not fail
	}
}

// full reports whether it is time to write. A file of a series ends between two writes,
// so the last one to it is smaller.
func (o *output) full() bool {
	if o.err != nil || o.buf.Len() == 0 {
		return false
	}
	return o.buf.Len() >= flushSize || o.files != nil && o.buf.Len() >= o.files.left()
}

// turn ends the file of a series if it is time to. All that was for it is written.
func (o *output) turn() {
	if o.files != nil {
		o.files.turn()
	}
}

// flush writes what is there. What is left by a failure stays, for the next attempt.
func (o *output) flush() error {
	n, err := 0, error(nil)
	if o.buf.Len() > 0 {
		n, err = o.dst.Write(o.buf.Bytes())
	}
	if err == nil && n < o.buf.Len() {
		err = io.ErrShortWrite
	}
	if err != nil {
		n -= o.takeBack(n)
	} else {
		o.torn = false
	}
	o.taken.Add(int64(n))
	o.buf.Next(n)
	o.err = err
	return err
}

// takeBack cuts off what was written of a packet that is not whole, where dst is such
// that it can, and returns how much that is. n bytes were written.
func (o *output) takeBack(n int) int {
	if o.torn {
		return 0
	}
	part := n - wholePackets(o.buf.Bytes()[:n])
	if part > 0 && !cut(o.dst, int64(part)) {
		o.torn = true
		return 0
	}
	return part
}

// wholePackets returns how many of the bytes of b are whole packets.
func wholePackets(b []byte) int {
	n := 0
	for len(b)-n >= packetHeader {
		end := n + packetHeader + int(binary.LittleEndian.Uint32(b[n+8:]))
		if end > len(b) {
			break
		}
		n = end
	}
	return n
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

package interop

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// readTimeout bounds the reading of a capture: a gigabyte takes a foreign reader minutes.
const readTimeout = 15 * time.Minute

// A dialogue is one TCP conversation of a capture, as tshark reads it: whole, with good
// checksums, begun by a handshake, without a gap, and ended.
type dialogue struct {
	client, server string // host:port
	ending         string // "client" or "server", by whoever ended it first, with " reset" if that was none in order
	bytes          [2]int64
	sum            [2]hash.Hash // of what each has said

	next   [2]uint32 // sequence numbers
	shaken shaken
	fin    [2]bool
	complaints
}

func (c *dialogue) String() string {
	return fmt.Sprintf("%s to %s, %d bytes, ended by %q, complaints %q", c.client, c.server, c.bytes, c.ending, c.complaints)
}

// complaints are what is wrong with something.
type complaints []string

func (f *complaints) add(format string, args ...any) {
	if len(*f) < 20 { // the first tell most
		*f = append(*f, fmt.Sprintf(format, args...))
	}
}

// shaken is how much of the handshake was seen.
type shaken int

const (
	nothing shaken = iota
	synSeen
	synAckSeen
	established
)

// hash returns the hash of what a side said: 0 is the client, 1 the server.
func (c *dialogue) hash(side int) string { return hex.EncodeToString(c.sum[side].Sum(nil)) }

// A segment is a line of tshark's.
type segment struct {
	frame, from, to string
	seq, ack        uint32
	length          int
	flags           uint64
	good            bool // checksums
	analysis        string
	shown           bool // its payload
	payload         []byte
}

// Flags of RFC 9293 §3.1.
const (
	finFlag = 1 << iota
	synFlag
	rstFlag
	pshFlag
	ackFlag
)

// columns are what a segment is read from; the bytes themselves may come behind. A field
// that a packet has not is empty.
func columns() []string {
	return []string{
		"frame.number", "tcp.stream", "ip.src", "ipv6.src", "tcp.srcport", "ip.dst", "ipv6.dst", "tcp.dstport", "tcp.seq_raw", "tcp.ack_raw",
		"tcp.len", "tcp.flags", "ip.checksum.status", "tcp.checksum.status", "tcp.analysis.flags", "_ws.malformed",
	}
}

// conversations has tshark take a capture apart and holds each of its conversations
// against RFC 9293. Complaints are the test's, unless the caller asks for them.
func conversations(t *testing.T, file string) []*dialogue {
	t.Helper()
	all := takeApart(t, "-r", file)
	for i, c := range all {
		for _, complaint := range c.complaints {
			t.Errorf("conversation %d, %s to %s: %s", i, c.client, c.server, complaint)
		}
	}
	return all
}

// takeApart is conversations with the source that tshark's arguments say, and leaves the
// complaints to the caller.
func takeApart(t *testing.T, source ...string) []*dialogue {
	t.Helper()
	all, err := tryTakeApart(t, source...)
	if err != nil {
		t.Errorf("tshark %v: %v", source, err)
	}
	return all
}

// tryTakeApart is takeApart for a source that tshark may object to.
func tryTakeApart(t *testing.T, source ...string) ([]*dialogue, error) {
	t.Helper()
	return segments(t.Context(), append(columns(), "tcp.payload"), func(segment) {}, source...)
}

// segments has tshark print columns of each segment, and calls seen with it. tshark looks
// at no protocol above TCP, which would take longer.
func segments(ctx context.Context, columns []string, seen func(segment), source ...string) ([]*dialogue, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	args := []string{
		"-n", "-Q", "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "tcp.desegment_tcp_streams:FALSE",
		"-d", "tcp.port==0-65535,data", "-T", "fields", "-E", "separator=;", "-E", "occurrence=f",
	}
	for _, name := range columns {
		args = append(args, "-e", name)
	}
	cmd := exec.CommandContext(ctx, "tshark", append(args, source...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	all, err := readConversations(out, seen)
	if err != nil {
		cancel()
	}
	if ended := cmd.Wait(); err == nil && ended != nil {
		err = fmt.Errorf("%w: %s", ended, &stderr)
	}
	return all, err
}

// readConversations reads what tshark prints, and gathers the segments of each conversation.
func readConversations(r io.Reader, seen func(segment)) ([]*dialogue, error) {
	var all []*dialogue
	lines := bufio.NewReaderSize(r, 1<<20)
	for {
		line, err := lines.ReadSlice('\n')
		if err == io.EOF && len(line) == 0 {
			break
		}
		if err != nil {
			return all, err
		}
		s, stream, err := parseSegment(strings.TrimSuffix(string(line), "\n"))
		if err != nil {
			return all, err
		}
		seen(s)
		if stream == len(all) {
			all = append(all, &dialogue{sum: [2]hash.Hash{sha256.New(), sha256.New()}})
		}
		all[stream].hear(s)
	}
	for _, c := range all {
		if !strings.HasSuffix(c.ending, " reset") && !(c.fin[0] && c.fin[1]) {
			c.add("it does not end")
		}
	}
	return all, nil
}

func parseSegment(line string) (s segment, stream int, err error) {
	f := strings.Split(line, ";")
	if n := len(columns()); len(f) != n && len(f) != n+1 {
		return s, 0, fmt.Errorf("%d fields in %q", len(f), line)
	}
	numbers := map[string]uint64{}
	for i, name := range columns() {
		if slices.Contains([]string{"tcp.stream", "tcp.seq_raw", "tcp.ack_raw", "tcp.len", "tcp.flags"}, name) {
			if numbers[name], err = strconv.ParseUint(f[i], 0, 32); err != nil {
				return s, 0, fmt.Errorf("%s of %q: %w", name, line, err)
			}
		}
	}
	s = segment{
		frame: f[0], from: net.JoinHostPort(f[2]+f[3], f[4]), to: net.JoinHostPort(f[5]+f[6], f[7]),
		seq: uint32(numbers["tcp.seq_raw"]), ack: uint32(numbers["tcp.ack_raw"]),
		length: int(numbers["tcp.len"]), flags: numbers["tcp.flags"], analysis: f[14],
		// IPv6 has no checksum of its own.
		good: (f[12] == "1" || f[12] == "" && f[3] != "") && f[13] == "1" && f[15] == "",
	}
	if s.shown = len(f) > len(columns()); s.shown {
		s.payload, err = hex.DecodeString(f[len(columns())])
	}
	return s, int(numbers["tcp.stream"]), err
}

// hear adds a segment to the conversation.
func (c *dialogue) hear(s segment) {
	if c.shaken == nothing {
		c.client, c.server = s.from, s.to
	}
	from := 0
	if s.from != c.client {
		from = 1
	}
	if !s.good {
		c.add("frame %s has bad checksums or is malformed", s.frame)
	}
	if s.analysis != "" {
		c.add("frame %s: tshark analyses %q", s.frame, s.analysis)
	}
	if c.shaken < established {
		c.shake(s, from)
		return
	}
	c.follow(s, from)
}

// shake wants the next segment of a handshake (RFC 9293 §3.5).
func (c *dialogue) shake(s segment, from int) {
	want := []uint64{nothing: synFlag, synSeen: synFlag | ackFlag, synAckSeen: ackFlag}[c.shaken]
	if int(c.shaken)%2 != from || s.flags != want || s.length != 0 {
		c.add("frame %s is no step %d of a handshake: %+v", s.frame, c.shaken, s)
	}
	if c.shaken > nothing && s.ack != c.next[1-from] {
		c.add("frame %s of the handshake acknowledges %d, want %d", s.frame, s.ack, c.next[1-from])
	}
	if c.shaken == synAckSeen && s.seq != c.next[0] {
		c.add("frame %s has number %d, want %d", s.frame, s.seq, c.next[0])
	}
	if c.shaken < synAckSeen {
		c.next[from] = s.seq + 1 // RFC 9293 §3.4: SYN takes a number
	}
	c.shaken++
}

// follow wants a segment that continues what its sender said, and acknowledges all that
// the other did.
func (c *dialogue) follow(s segment, from int) {
	switch {
	case s.seq != c.next[from]:
		c.add("frame %s has number %d, want %d", s.frame, s.seq, c.next[from])
	case s.flags&ackFlag == 0 || s.ack != c.next[1-from]:
		c.add("frame %s acknowledges %d, want %d", s.frame, s.ack, c.next[1-from])
	case s.shown && s.length != len(s.payload):
		c.add("frame %s has %d bytes, and %d are shown", s.frame, s.length, len(s.payload))
	case s.flags&synFlag != 0:
		c.add("frame %s begins the conversation again", s.frame)
	case strings.HasSuffix(c.ending, "reset"):
		c.add("frame %s comes after a reset", s.frame)
	case c.fin[from] && (s.length > 0 || s.flags&finFlag != 0):
		c.add("frame %s comes after its sender's end", s.frame)
	}
	c.next[from] = s.seq + uint32(s.length)
	c.bytes[from] += int64(s.length)
	c.sum[from].Write(s.payload)
	who := []string{"client", "server"}[from]
	if s.flags&finFlag != 0 {
		c.next[from]++
		c.fin[from] = true
		if c.ending == "" {
			c.ending = who
		}
	}
	if s.flags&rstFlag != 0 {
		c.ending = who + " reset"
	}
}

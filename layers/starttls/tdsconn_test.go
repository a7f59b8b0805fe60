package starttls

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/iotest"

	"golang.org/x/net/nettest"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
)

// Within the handshake it is not: a deadline may cut a packet in two, as it may cut a record of TLS.
func TestATDSConnIsAConnOnceTheHandshakeIsOver(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		a, b := bridgetest.Pipe(1 << 10)
		over := new(handshakeOver)
		over.Store(true)
		client, server := newTDSConn(a, over, true), newTDSConn(b, over, false)
		client.raw, server.raw = true, true
		return client, server, func() { a.Close(); b.Close() }, nil
	})
}

func TestWhatIsInPacketsIsReadUntilTheyEnd(t *testing.T) {
	const (
		packets = "\x12\x01\x00\x0b\x00\x00\x00\x00abc" + "\x12\x01\x00\x08\x00\x00\x00\x00" + "\x04\x01\x00\x09\x00\x00\x01\x00d"
		records = "\x17\x03\x03\x00\x01e" + "\x12\x01\x00\x09 is TLS now"
	)
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"in large reads":  func(r io.Reader) io.Reader { return r },
		"byte by byte":    iotest.OneByteReader,
		"in halved reads": iotest.HalfReader,
	} {
		for _, client := range []bool{true, false} {
			theirs, ours := bridgetest.Pipe(1 << 10)
			over := new(handshakeOver)
			c := newTDSConn(bridgetest.Chunked(ours, 1, 3, 2), over, client)
			io.WriteString(theirs, packets)
			got := make([]byte, 4)
			if _, err := io.ReadFull(wrap(c), got); err != nil || string(got) != "abcd" || over.Load() {
				t.Errorf("%s: %q, %v, over: %t; want abcd", name, got, err, over.Load())
			}
			io.WriteString(theirs, records)
			theirs.CloseWrite()
			rest, err := io.ReadAll(wrap(c))
			if err != nil || string(rest) != records || over.Load() != client {
				t.Errorf("%s: then %q, %v, over: %t; want %q, over: %t", name, rest, err, over.Load(), records, client)
			}
			theirs.Close()
			ours.Close()
		}
	}
}

func TestWhatIsWrittenIsPutIntoPacketsUntilTheHandshakeIsOver(t *testing.T) {
	theirs, ours := bridgetest.Pipe(1 << 16)
	over := new(handshakeOver)
	c := newTDSConn(ours, over, false)
	long := make([]byte, maxTDSData+1)
	for _, p := range [][]byte{[]byte("abc"), long} {
		if n, err := c.Write(p); n != len(p) || err != nil {
			t.Fatalf("Write of %d bytes: %d, %v", len(p), n, err)
		}
	}
	over.Store(true)
	io.WriteString(c, "raw")
	c.CloseWrite()
	want := "\x12\x01\x00\x0b\x00\x00\x00\x00abc" +
		"\x12\x00\x10\x00\x00\x00\x00\x00" + string(long[1:]) + "\x12\x01\x00\x09\x00\x00\x00\x00\x00" + "raw"
	if got, err := io.ReadAll(theirs); err != nil || string(got) != want {
		t.Errorf("%d bytes on the wire, %v; want %d:\n%q", len(got), err, len(want), got)
	}
	theirs.Close()
	ours.Close()
}

func TestAPacketThatIsShorterThanItsHeader(t *testing.T) {
	theirs, ours := bridgetest.Pipe(1 << 10)
	defer ours.Close()
	defer theirs.Close()
	io.WriteString(theirs, "\x12\x01\x00\x07\x00\x00\x00\x00abc")
	if n, err := newTDSConn(ours, new(handshakeOver), true).Read(make([]byte, 9)); n != 0 || err == nil {
		t.Errorf("Read = %d, %v, want an error", n, err)
	}
}

func TestAReadThatMustNotWait(t *testing.T) {
	theirs, ours := bridgetest.TCPPair(t)
	c := newTDSConn(ours, new(handshakeOver), true)
	if n, err := c.TryRead(make([]byte, 9)); n != 0 || !errors.Is(err, bridge.ErrWouldBlock) {
		t.Errorf("TryRead = %d, %v", n, err)
	}
	io.WriteString(theirs, "\x17\x03\x03")
	if err := c.AwaitRead(); err != nil {
		t.Fatal(err)
	}
	// What was read as a header is there without a wait.
	for _, want := range "\x17\x03\x03" {
		p := make([]byte, 1)
		if err := c.AwaitRead(); err != nil {
			t.Fatal(err)
		}
		if n, err := c.TryRead(p); n != 1 || err != nil || rune(p[0]) != want {
			t.Errorf("TryRead = %x, %d, %v, want %x", p, n, err, want)
		}
	}
}

package bridgetest_test

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/nettest"

	"github.com/bridgeio/bridgeio/bridge"
	. "github.com/bridgeio/bridgeio/bridge/bridgetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAConnIsAConn(t *testing.T) {
	for name, conns := range map[string]func() (net.Conn, net.Conn){
		"buffered":   func() (net.Conn, net.Conn) { return Pipe(1 << 10) },
		"unbuffered": func() (net.Conn, net.Conn) { return Pipe(0) },
		"a session":  func() (net.Conn, net.Conn) { return Sessions(1 << 10) },
		"with latency": func() (net.Conn, net.Conn) {
			a, b := Pipe(4 << 10)
			a.SetFaults(Faults{Latency: 10 * time.Microsecond})
			return a, b
		},
		"in chunks": func() (net.Conn, net.Conn) {
			a, b := Pipe(1 << 10)
			return Chunked(a, 100, 1, 700), Chunked(b, 5000)
		},
	} {
		t.Run(name, func(t *testing.T) {
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				a, b := conns()
				return a, b, func() { a.Close(); b.Close() }, nil
			})
		})
	}
}

// tcp is what *net.TCPConn and *Conn have in common.
type tcp interface {
	net.Conn
	CloseWrite() error
	SetLinger(sec int) error
}

// TestAConnEndsAsTCPDoes does the same on sockets and in memory. The sockets are the proof that the model is right.
func TestAConnEndsAsTCPDoes(t *testing.T) {
	read := func(c tcp) error {
		_, err := c.Read(make([]byte, 100))
		return err
	}
	write := func(c tcp) error {
		_, err := c.Write([]byte("x"))
		return err
	}
	tests := []struct {
		name string
		do   func(t *testing.T, c, peer tcp) error
		want error
	}{
		{"the bytes before a FIN, and then the end", func(t *testing.T, c, peer tcp) error {
			write(peer)
			peer.CloseWrite()
			return errors.Join(read(c), read(c))
		}, io.EOF},
		{"the end is the end, again and again", func(t *testing.T, c, peer tcp) error {
			peer.Close()
			read(c)
			return read(c)
		}, io.EOF},
		{"a write after CloseWrite", func(t *testing.T, c, peer tcp) error {
			c.CloseWrite()
			return write(c)
		}, syscall.EPIPE},
		{"the other direction after CloseWrite", func(t *testing.T, c, peer tcp) error {
			c.CloseWrite()
			write(peer)
			return read(c)
		}, nil},
		{"a close with linger 0", func(t *testing.T, c, peer tcp) error {
			peer.SetLinger(0)
			peer.Close()
			return read(c)
		}, syscall.ECONNRESET},
		{"a close with unread bytes", func(t *testing.T, c, peer tcp) error {
			write(c)
			waitFor(t, peer)
			peer.Close()
			return read(c)
		}, syscall.ECONNRESET},
		{"the bytes before a RST", func(t *testing.T, c, peer tcp) error {
			write(peer)
			waitFor(t, c)
			peer.SetLinger(0)
			peer.Close()
			return read(c)
		}, nil},
		{"a RST is told once, to a read, and then it is the end", func(t *testing.T, c, peer tcp) error {
			peer.SetLinger(0)
			peer.Close()
			if err := read(c); !errors.Is(err, syscall.ECONNRESET) {
				return err
			}
			return read(c)
		}, io.EOF},
		{"a RST is told once, to a read, and writes are broken", func(t *testing.T, c, peer tcp) error {
			peer.SetLinger(0)
			peer.Close()
			read(c)
			return write(c)
		}, syscall.EPIPE},
		{"the first write to a peer that has closed is lost", func(t *testing.T, c, peer tcp) error {
			peer.Close()
			read(c)
			return write(c)
		}, nil},
		{"the second one finds that out", func(t *testing.T, c, peer tcp) error {
			peer.Close()
			read(c)
			var err error
			for err == nil { // the RST may be under way
				err = write(c)
			}
			return err
		}, syscall.EPIPE},
		{"a FIN before the RST is what reads are told of", func(t *testing.T, c, peer tcp) error {
			peer.Close()
			for write(c) == nil {
				continue
			}
			return read(c)
		}, io.EOF},
		{"a read of a closed conn", func(t *testing.T, c, peer tcp) error {
			c.Close()
			return read(c)
		}, net.ErrClosed},
		{"a write to a closed conn", func(t *testing.T, c, peer tcp) error {
			c.Close()
			return write(c)
		}, net.ErrClosed},
		{"a second close", func(t *testing.T, c, peer tcp) error {
			c.Close()
			return c.Close()
		}, net.ErrClosed},
		{"CloseWrite of a closed conn", func(t *testing.T, c, peer tcp) error {
			c.Close()
			return c.CloseWrite()
		}, net.ErrClosed},
		{"a deadline of a closed conn", func(t *testing.T, c, peer tcp) error {
			c.Close()
			return c.SetDeadline(time.Now())
		}, net.ErrClosed},
		{"linger of a closed conn", func(t *testing.T, c, peer tcp) error {
			c.Close()
			return c.SetLinger(0)
		}, net.ErrClosed},
		{"CloseWrite after a RST", func(t *testing.T, c, peer tcp) error {
			peer.SetLinger(0)
			peer.Close()
			read(c)
			return c.CloseWrite()
		}, syscall.ENOTCONN},
		{"a read past its deadline, with bytes there", func(t *testing.T, c, peer tcp) error {
			write(peer)
			waitFor(t, c)
			c.SetReadDeadline(time.Unix(1, 0))
			return read(c)
		}, os.ErrDeadlineExceeded},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := TCPPair(t)
			if err := tt.do(t, a, b); !errors.Is(err, tt.want) || tt.want == nil && err != nil {
				t.Errorf("on loopback: %v, want %v", err, tt.want)
			}
			c, d := Pipe(100)
			if err := tt.do(t, c, d); !errors.Is(err, tt.want) || tt.want == nil && err != nil {
				t.Errorf("in memory: %v, want %v", err, tt.want)
			}
		})
	}
}

// waitFor waits until a byte has arrived at c, and leaves it there.
func waitFor(t *testing.T, c tcp) {
	t.Helper()
	if s, ok := c.(*net.TCPConn); ok {
		if err := bridge.NewStream(s).AwaitRead(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAConnHoldsNoMoreThanItsBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, size := range []int{1, 10} {
			a, b := Pipe(size)
			a.SetWriteDeadline(time.Now().Add(time.Second))
			if n, err := a.Write(make([]byte, 100)); n != size || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("buffer %d: Write = %d, %v", size, n, err)
			}
			b.Close()
		}
		a, b := Pipe(0)
		a.SetWriteDeadline(time.Now().Add(time.Second))
		time.AfterFunc(time.Millisecond, func() { io.ReadFull(b, make([]byte, 7)) })
		if n, err := a.Write(make([]byte, 100)); n != 7 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("no buffer: Write = %d, %v; want what was read", n, err)
		}
		b.SetReadDeadline(time.Now())
		if n, _ := b.Read(make([]byte, 100)); n != 0 {
			t.Errorf("%d bytes of a write that failed are still there", n)
		}
	})
}

func TestSessionsKnowACut(t *testing.T) {
	for _, end := range []bridge.End{bridge.Clean, bridge.Cut, bridge.Reset} {
		a, b := Sessions(10)
		if b.End() != bridge.Open {
			t.Errorf("End = %s at first", b.End())
		}
		if err := a.EndWrite(end); err != nil {
			t.Error(err)
		}
		if end == bridge.Reset {
			a.Close()
		}
		b.Read(make([]byte, 1))
		if b.End() != end {
			t.Errorf("End = %s, want %s", b.End(), end)
		}
	}
}

func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		t.Log("latency")
		a, b := Pipe(100)
		a.SetFaults(Faults{Latency: time.Second})
		begun := time.Now()
		a.Write([]byte("one"))
		time.Sleep(time.Millisecond)
		a.Write([]byte("two"))
		a.CloseWrite()
		got, err := io.ReadAll(b)
		if string(got) != "onetwo" || err != nil || time.Since(begun) != time.Second+time.Millisecond {
			t.Errorf("ReadAll = %q, %v after %v", got, err, time.Since(begun))
		}

		t.Log("a reset after some bytes")
		a, b = Pipe(100)
		a.SetFaults(Faults{ResetAfter: 5})
		if n, err := a.Write([]byte("onetwo")); n != 5 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("Write = %d, %v", n, err)
		}
		if got, err := io.ReadAll(b); string(got) != "onetw" || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("ReadAll = %q, %v", got, err)
		}

		t.Log("a stall after some bytes")
		a, b = Pipe(100)
		a.SetFaults(Faults{StallAfter: 5})
		a.SetWriteDeadline(time.Now().Add(time.Second))
		if n, err := a.Write([]byte("onetwo")); n != 5 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write = %d, %v", n, err)
		}
		b.Close()

		t.Log("short writes and reads")
		a, b = Pipe(100)
		a.SetFaults(Faults{MaxWrite: 4})
		b.SetFaults(Faults{MaxRead: 3, EOFWithData: true, EmptyReads: true})
		if n, err := a.Write([]byte("onetwo")); n != 4 || !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("Write = %d, %v", n, err)
		}
		a.Close()
		for i, want := range []struct {
			n   int
			err error
		}{{0, nil}, {3, nil}, {0, nil}, {1, io.EOF}} {
			if n, err := b.Read(make([]byte, 10)); n != want.n || err != want.err {
				t.Errorf("Read %d = %d, %v; want %d, %v", i, n, err, want.n, want.err)
			}
		}
	})
}

func TestChunkedHalfCloses(t *testing.T) {
	a, b := Pipe(100)
	c := Chunked(a, 2, 3)
	if n, err := c.Write([]byte("onetwothree")); n != 11 || err != nil {
		t.Errorf("Write = %d, %v", n, err)
	}
	c.(tcp).CloseWrite()
	d := Chunked(b, 4, 1)
	for _, want := range []string{"onet", "w", "othr", "e", "e"} {
		buf := make([]byte, 10)
		if n, err := d.Read(buf); string(buf[:n]) != want || err != nil {
			t.Errorf("Read = %q, %v; want %q", buf[:n], err, want)
		}
	}
	if _, err := d.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("Read = %v at the end", err)
	}
	d.(tcp).SetLinger(0)
	d.Close()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("Read = %v after a RST", err)
	}
	half := Chunked(struct{ net.Conn }{a}) // which can be neither half-closed nor reset
	if err := half.(tcp).SetLinger(0); err != nil {
		t.Error(err)
	}
	half.(tcp).CloseWrite()
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read = %v", err)
	}
}

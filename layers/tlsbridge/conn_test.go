package tlsbridge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
)

// wrap puts TLS on both ends of a connection.
func wrap(client, server net.Conn) (c, s *conn, err error) {
	limiter, done := NewLimiter(0), make(chan error, 1)
	go func() {
		var err error
		s, _, err = shake(context.Background(), bridge.Client, bridge.NewStream(server), limiter, patience,
			func(ctx context.Context, under net.Conn) (*tls.Conn, error) {
				session := tls.Server(under, &tls.Config{Certificates: []tls.Certificate{*certificate("ECDSA")}})
				return session, session.HandshakeContext(ctx)
			})
		done <- err
	}()
	c, _, err = shake(context.Background(), bridge.Server, bridge.NewStream(client), limiter, patience,
		func(ctx context.Context, under net.Conn) (*tls.Conn, error) {
			session := tls.Client(under, &tls.Config{ServerName: serverName, RootCAs: serverCA().pool()})
			return session, session.HandshakeContext(ctx)
		})
	return c, s, errors.Join(err, <-done)
}

// tunnel returns both ends of TLS in TLS in … over TCP, and the TCP conns.
func tunnel(t testing.TB, depth int) (client, server net.Conn, tcp [2]*net.TCPConn) {
	t.Helper()
	tcp[0], tcp[1] = bridgetest.TCPPair(t)
	client, server = tcp[0], tcp[1]
	for range depth {
		var err error
		if client, server, err = wrap(client, server); err != nil {
			t.Fatal(err)
		}
	}
	return client, server, tcp
}

var depths = map[string]int{"TLS": 1, "TLS in TLS": 2}

func TestConnIsANetConn(t *testing.T) {
	for name, depth := range depths {
		t.Run(name, func(t *testing.T) {
			nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
				c, s, tcp := tunnel(t, depth)
				return c, s, func() {
					c.Close()
					s.Close()
					tcp[0].Close()
					tcp[1].Close()
				}, nil
			})
		})
	}
}

// endings are the ways in which a peer can end its direction at the given depth, and
// what the other peer must be told.
var endings = []struct {
	name string
	end  func(c net.Conn, tcp *net.TCPConn) error
	want bridge.End
}{
	{"a goodbye", func(c net.Conn, _ *net.TCPConn) error { return c.(*conn).CloseWrite() }, bridge.Clean},
	{"a FIN without a goodbye", func(_ net.Conn, tcp *net.TCPConn) error { return tcp.CloseWrite() }, bridge.Cut},
	{"a RST", func(_ net.Conn, tcp *net.TCPConn) error {
		tcp.SetLinger(0)
		return tcp.Close()
	}, bridge.Reset},
}

func TestAnEndingComesOutAsItWentIn(t *testing.T) {
	for name, depth := range depths {
		for _, e := range endings {
			for _, side := range []bridge.Side{bridge.Client, bridge.Server} {
				t.Run(fmt.Sprintf("%s: %s of the %s", name, e.name, side), func(t *testing.T) {
					testEnding(t, depth, side, e.end, e.want)
				})
			}
		}
	}
}

// testEnding has a bridge between two tunnels, whose outer peers are the test's.
func testEnding(t *testing.T, depth int, from bridge.Side, end func(net.Conn, *net.TCPConn) error, want bridge.End) {
	c, nearC, tcpC := tunnel(t, depth)
	nearS, s, tcpS := tunnel(t, depth)
	b := &bridge.Bridge{Client: bridge.NewStream(nearC), Server: bridge.NewStream(nearS)}
	relayed := make(chan error, 1)
	go func() { relayed <- bridge.Relay(context.Background(), b) }()

	ender, enderTCP, other := c, tcpC[0], s
	if from == bridge.Server {
		ender, enderTCP, other = s, tcpS[1], c
	}
	io.WriteString(ender, "last words")
	got := make([]byte, 10)
	if _, err := io.ReadFull(other, got); err != nil {
		t.Fatal(err)
	}
	if err := end(ender, enderTCP); err != nil {
		t.Fatal(err)
	}
	if want == bridge.Reset {
		// The bridge has ended; whoever dialled and accepted closes.
		if err := <-relayed; err == nil {
			t.Error("the relay ended in order")
		}
		tcpC[1].Close()
		tcpS[0].Close()
	}
	other.SetReadDeadline(time.Now().Add(patience))
	_, err := io.Copy(io.Discard, other)
	if got := other.(*conn).End(); got != want {
		t.Errorf("the other peer saw %s (%v), want %s", got, err, want)
	}
	if want != bridge.Reset {
		// The other direction goes on.
		if _, err := io.WriteString(other, "still here"); err != nil {
			t.Fatal(err)
		}
		other.(*conn).EndWrite(want)
		back, _ := io.ReadAll(ender)
		if string(back) != "still here" {
			t.Errorf("after the end of one direction %q came in the other, want %q", back, "still here")
		}
		if err := <-relayed; err != nil {
			t.Errorf("relay: %v", err)
		}
	}
}

func TestTheTransportEndsAfterTheGoodbyeOfBoth(t *testing.T) {
	c, s, tcp := tunnel(t, 1)
	// Both said goodbye: the FIN follows at once, and before the grace has passed.
	c.(*conn).EndWrite(bridge.Clean)
	if _, err := s.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("read: %v, want EOF", err)
	}
	s.(*conn).EndWrite(bridge.Clean)
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("read: %v, want EOF", err)
	}
	for _, end := range tcp {
		end.SetReadDeadline(time.Now().Add(patience))
		if n, err := end.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("the transport: %d, %v; want its end", n, err)
		}
	}
}

func TestTheTransportEndsAfterTheGoodbyeOfOneAndAMoment(t *testing.T) {
	c, s, tcp := tunnel(t, 1)
	c.(*conn).EndWrite(bridge.Clean)
	if _, err := s.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("read: %v, want EOF", err)
	}
	tcp[1].SetReadDeadline(time.Now().Add(patience))
	if n, err := tcp[1].Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("the transport: %d, %v; want its end", n, err)
	}
	if _, err := io.WriteString(s, "and yet"); err != nil {
		t.Error(err)
	}
	got := make([]byte, 7)
	if _, err := io.ReadFull(c, got); err != nil {
		t.Errorf("after the FIN: %v", err)
	}
}

func TestAReaderWaitsWithoutABuffer(t *testing.T) {
	for name, depth := range depths {
		t.Run(name, func(t *testing.T) {
			c, s, _ := tunnel(t, depth)
			p, buf := s.(bridge.Poller), make([]byte, 64)
			// The first look takes the session tickets that the handshake has left, if any.
			if n, err := p.TryRead(buf); n != 0 || err != bridge.ErrWouldBlock {
				t.Fatalf("TryRead = %d, %v; want %v", n, err, bridge.ErrWouldBlock)
			}
			s.SetReadDeadline(time.Now().Add(-time.Second))
			if err := p.AwaitRead(); !isTimeout(err) {
				t.Errorf("AwaitRead = %v, want a timeout", err)
			}
			s.SetReadDeadline(time.Time{})
			for _, message := range []string{"one", "and another"} {
				awaited := make(chan error, 1)
				go func() { awaited <- p.AwaitRead() }()
				io.WriteString(c, message)
				if err := <-awaited; err != nil {
					t.Fatal(err)
				}
				if got := tryAll(t, p, len(message)); got != message {
					t.Errorf("got %q, want %q", got, message)
				}
			}
			c.(*conn).CloseWrite()
			if got := tryAll(t, p, 1); got != "" || s.(*conn).End() != bridge.Clean {
				t.Errorf("got %q and a %s end; want none, clean", got, s.(*conn).End())
			}
		})
	}
}

// tryAll reads as a relay does until n bytes have come, or the end.
func tryAll(t *testing.T, p bridge.Poller, n int) string {
	t.Helper()
	var all []byte
	buf := make([]byte, 64)
	for len(all) < n {
		k, err := p.TryRead(buf)
		all = append(all, buf[:k]...)
		if err == bridge.ErrWouldBlock {
			err = p.AwaitRead()
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return string(all)
}

func TestAWriteThatTimedOutGoesOn(t *testing.T) {
	c, s, _ := tunnel(t, 2)
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = byte(i >> 8)
	}
	c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	written := 0
	var err error
	for err == nil {
		var n int
		n, err = c.Write(block[written%len(block):])
		written += n
	}
	if !isTimeout(err) {
		t.Fatalf("write: %v, want a timeout", err)
	}
	c.SetWriteDeadline(time.Time{})
	go func() {
		c.Write(block[written%len(block):])
		c.(*conn).CloseWrite()
	}()
	got, err := io.ReadAll(s)
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range got {
		if b != block[i%len(block)] {
			t.Fatalf("byte %d of %d is not what was sent", i, len(got))
		}
	}
	if len(got)%len(block) != 0 {
		t.Errorf("%d bytes came, want a multiple of %d", len(got), len(block))
	}
}

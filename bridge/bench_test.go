package bridge_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
)

// BenchmarkTurn relays one line of a client at a time.
func BenchmarkTurn(b *testing.B) {
	p := dialledPair(b, 64<<10)
	go io.Copy(io.Discard, p.server())
	message := []byte("a request of ordinary length\n")
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.client.Write(message); err != nil {
			b.Fatal(err)
		}
		if _, err := bridge.Turn(b.Context(), p.Bridge, bridge.Client, line); err != nil {
			b.Fatal(err)
		}
	}
	p.server().Close()
}

// BenchmarkFill reads one message at a time into the buffer.
func BenchmarkFill(b *testing.B) {
	for _, size := range []int{32, 4 << 10} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			client, ours := bridgetest.TCPPair(b)
			s := bridge.NewStream(ours)
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			message := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := client.Write(message); err != nil {
					b.Fatal(err)
				}
				for len(s.Buffered()) < size {
					if err := s.Fill(ctx); err != nil {
						b.Fatal(err)
					}
				}
				s.Discard(size)
			}
		})
	}
}

// BenchmarkRelay moves data through loopback sockets: spliced, copied because a tap wants to see it, and through the
// shortest honest proxy in Go, to compare with.
func BenchmarkRelay(b *testing.B) {
	for _, size := range []int{1 << 10, 32 << 10, 1 << 20} {
		for _, mode := range []string{"splice", "copy", "io.Copy"} {
			b.Run(fmt.Sprintf("size=%d/mode=%s", size, mode), func(b *testing.B) {
				client, accepted := bridgetest.TCPPair(b)
				dialled, server := bridgetest.TCPPair(b)
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					if mode == "io.Copy" {
						plain(accepted, dialled)
						return
					}
					br := &bridge.Bridge{Client: bridge.NewStream(accepted), Server: bridge.NewStream(dialled)}
					if mode == "copy" {
						br.Observer = tapped()
					}
					bridge.Relay(b.Context(), br)
				}()
				exchange := transfer(client, server, make([]byte, size))
				for range 1 + (512<<10)/size { // a direction is spliced once it has moved much
					exchange(b)
				}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					exchange(b)
				}
				client.Close()
				server.Close()
				<-ended
			})
		}
	}
}

// transfer returns what sends data from a to b and waits for it.
func transfer(from, to net.Conn, data []byte) func(testing.TB) {
	got := make([]byte, len(data))
	written := make(chan error, 1)
	return func(t testing.TB) {
		go func() {
			_, err := from.Write(data)
			written <- err
		}()
		if _, err := io.ReadFull(to, got); err != nil {
			t.Fatal(err)
		}
		if err := <-written; err != nil {
			t.Fatal(err)
		}
	}
}

// plain is a proxy of io.Copy.
func plain(a, b *net.TCPConn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(a, b)
		a.CloseWrite()
	}()
	io.Copy(b, a)
	b.CloseWrite()
	<-done
}

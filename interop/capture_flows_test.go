package interop

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/internal/peers"
	"golang.org/x/sync/errgroup"
)

// A tapped mitm captures what it bridges to one server, whose TLS is the test's own.
type tapped struct {
	*mitm
	l      *net.TCPListener
	server *tls.Config
	client *tls.Config
}

// startTapped starts one in front of a server at the IP address.
func startTapped(t *testing.T, ip string, args ...string) *tapped {
	t.Helper()
	return startTappedBy(t, ip, startMitm, args...)
}

// startTappedBy is the same for a mitm that is started in another way.
func startTappedBy(t *testing.T, ip string, start func(t *testing.T, args ...string) *mitm, args ...string) *tapped {
	t.Helper()
	leaf, root := issue(t, "localhost")
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	m := start(t, append([]string{
		"--listen", net.JoinHostPort(ip, "0"), "--connect", l.Addr().String(), "--trust", root, "--no-system-roots",
	}, args...)...)
	return &tapped{
		mitm: m, l: l.(*net.TCPListener),
		server: &tls.Config{Certificates: []tls.Certificate{keyPair(t, leaf)}},
		client: &tls.Config{ServerName: "localhost", RootCAs: pool(t, m.root)},
	}
}

// dial connects a client, from an address that is used once where there are as many:
// conversations are told apart by their addresses.
func (s *tapped) dial(ctx context.Context) (*tls.Conn, error) {
	var d net.Dialer
	if s.l.Addr().(*net.TCPAddr).IP.To4() != nil {
		n := callers.Add(1)
		d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 1, byte(n>>8), byte(n))}
	}
	c, err := d.DialContext(ctx, "tcp", s.addrs[0])
	if err != nil {
		return nil, err
	}
	return tls.Client(c, s.client), c.SetDeadline(time.Now().Add(readTimeout))
}

// accept is the server's part of it.
func (s *tapped) accept() (*tls.Conn, error) {
	c, err := s.l.Accept()
	if err != nil {
		return nil, err
	}
	return tls.Server(c, s.server), c.SetDeadline(time.Now().Add(readTimeout))
}

// connect makes one connection from end to end.
func (s *tapped) connect(t *testing.T) (client, server *tls.Conn) {
	t.Helper()
	client, err := s.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.NetConn().Close() })
	var both errgroup.Group
	both.Go(client.Handshake)
	if server, err = s.accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.NetConn().Close() })
	both.Go(server.Handshake)
	if err := both.Wait(); err != nil {
		t.Fatal(err)
	}
	return client, server
}

// pass has one side say something and the other hear it.
func pass(t *testing.T, from, to *tls.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(from, text); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(to, got); err != nil || string(got) != text {
		t.Fatalf("heard %q, %v, want %q", got, err, text)
	}
}

// finishes ends a side's direction, and wants the other to hear that.
func finishes(t *testing.T, from, to *tls.Conn) {
	t.Helper()
	if err := from.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if n, err := to.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatalf("heard %d bytes, %v, want the end", n, err)
	}
}

// exchange makes a connection in which the client says something, and both end in order.
func (s *tapped) exchange(t *testing.T, text string) {
	t.Helper()
	client, server := s.connect(t)
	pass(t, client, server, "\x00"+text)
	finishes(t, client, server)
	finishes(t, server, client)
	s.flow(t)
}

func resets(t *testing.T, c *tls.Conn) {
	t.Helper()
	raw := c.NetConn().(*net.TCPConn)
	if err := errors.Join(raw.SetLinger(0), raw.Close()); err != nil {
		t.Fatal(err)
	}
}

// However a flow ends, the capture has a connection that ends so.
func TestTheCaptureEndsEachConversation(t *testing.T) {
	t.Parallel()
	const hello, world = "\x00hello", "\x00world, which is longer"
	tests := []struct {
		name   string
		act    func(t *testing.T, client, server *tls.Conn)
		ending string
		said   [2]int64
	}{
		{"the client ends first", func(t *testing.T, client, server *tls.Conn) {
			pass(t, client, server, hello)
			pass(t, server, client, world)
			finishes(t, client, server)
			finishes(t, server, client)
		}, "client", [2]int64{int64(len(hello)), int64(len(world))}},
		{"the server ends first", func(t *testing.T, client, server *tls.Conn) {
			pass(t, client, server, hello)
			pass(t, server, client, world)
			finishes(t, server, client)
			finishes(t, client, server)
		}, "server", [2]int64{int64(len(hello)), int64(len(world))}},
		{"the server speaks when the client has ended", func(t *testing.T, client, server *tls.Conn) {
			pass(t, client, server, hello)
			finishes(t, client, server)
			pass(t, server, client, world)
			pass(t, server, client, world)
			finishes(t, server, client)
		}, "client", [2]int64{int64(len(hello)), 2 * int64(len(world))}},
		{"the client speaks when the server has ended", func(t *testing.T, client, server *tls.Conn) {
			pass(t, client, server, hello)
			finishes(t, server, client)
			pass(t, client, server, world)
			finishes(t, client, server)
		}, "server", [2]int64{int64(len(hello) + len(world)), 0}},
		{"the client resets", func(t *testing.T, client, server *tls.Conn) {
			pass(t, client, server, hello)
			pass(t, server, client, world)
			resets(t, client)
		}, "client reset", [2]int64{int64(len(hello)), int64(len(world))}},
		{"the server resets", func(t *testing.T, client, server *tls.Conn) {
			pass(t, client, server, hello)
			pass(t, server, client, world)
			resets(t, server)
		}, "server reset", [2]int64{int64(len(hello)), int64(len(world))}},
		{"the server resets when the client has ended", func(t *testing.T, client, server *tls.Conn) {
			pass(t, client, server, hello)
			finishes(t, client, server)
			pass(t, server, client, world)
			resets(t, server)
		}, "server reset", [2]int64{int64(len(hello)), int64(len(world))}},
		{"segments of all sizes", func(t *testing.T, client, server *tls.Conn) {
			for n := range 40 {
				pass(t, client, server, "\x00"+string(make([]byte, n*97)))
			}
			finishes(t, client, server)
			finishes(t, server, client)
		}, "client", [2]int64{40 + 97*39*40/2, 0}},
	}
	for _, ip := range []string{"127.0.0.1", "::1"} {
		t.Run(ip, func(t *testing.T) {
			t.Parallel()
			s := startTapped(t, ip, "-w", peers.Here+"/t.pcap")
			for i, tt := range tests {
				client, server := s.connect(t)
				tt.act(t, client, server)
				s.flows(t, i+1)
			}
			s.finish(t)
			all := conversations(t, s.Dir+"/t.pcap")
			if len(all) != len(tests) {
				t.Fatalf("%d conversations, want %d", len(all), len(tests))
			}
			for i, tt := range tests {
				if got := all[i]; got.ending != tt.ending || got.bytes != tt.said || got.server != s.l.Addr().String() {
					t.Errorf("%s: ending %q of %v bytes with %s, want %q of %v with %s",
						tt.name, got.ending, got.bytes, got.server, tt.ending, tt.said, s.l.Addr())
				}
			}
			checkCapture(t, s.Dir+"/t.pcap")
		})
	}
}

// Many short flows at once, of which each ends in its own way.
func TestTheCaptureOfManyShortFlows(t *testing.T) {
	t.Parallel()
	many := 1000
	if os.Getenv("INTEROP") == "full" {
		many = 10_000
	}
	s := startTapped(t, "127.0.0.1", "-w", peers.Here+"/t.pcap")
	var servers errgroup.Group
	servers.Go(func() error {
		for range many {
			c, err := s.accept()
			if err != nil {
				return err
			}
			servers.Go(func() error { return answerShortly(c) })
		}
		return nil
	})
	var clients errgroup.Group
	clients.SetLimit(16)
	for i := range many {
		clients.Go(func() error { return s.askShortly(t.Context(), i) })
	}
	if err := errors.Join(clients.Wait(), servers.Wait()); err != nil {
		t.Fatal(err)
	}
	flows := s.flows(t, many)
	s.finish(t)
	all := conversations(t, s.Dir+"/t.pcap")
	if len(all) != many {
		t.Fatalf("%d conversations, want %d", len(all), many)
	}
	byClient := map[string]peers.Flow{}
	for _, f := range flows {
		byClient[f.Client] = f
	}
	for _, c := range all {
		f := byClient[c.client]
		want := f.EndedBy
		if f.Reason == "reset" {
			want += " reset"
		}
		if c.ending != want || c.bytes != moved(f) {
			t.Errorf("conversation of %s: ending %q of %v bytes, want %q of %v", c.client, c.ending, c.bytes, want, moved(f))
		}
	}
}

// answerShortly answers the number that a client says, and leaves as it says.
func answerShortly(c *tls.Conn) error {
	defer c.NetConn().Close()
	question := make([]byte, 8)
	if _, err := io.ReadFull(c, question); err != nil {
		return err
	}
	if _, err := c.Write(question); err != nil {
		return err
	}
	if question[7]%3 == 2 {
		return errors.Join(c.NetConn().(*net.TCPConn).SetLinger(0), c.NetConn().Close())
	}
	if err := c.CloseWrite(); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, c)
	return err
}

// askShortly is its client: every third one is reset, and every third leaves first.
func (s *tapped) askShortly(ctx context.Context, i int) error {
	c, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer c.NetConn().Close()
	question := fmt.Appendf(nil, "\x00%06d%c", i, i%3)
	if _, err := c.Write(question); err != nil {
		return err
	}
	if i%3 == 1 {
		if err := c.CloseWrite(); err != nil {
			return err
		}
	}
	answer, err := io.ReadAll(c)
	if !slices.Equal(answer, question) || err != nil && i%3 != 2 {
		return fmt.Errorf("client %d heard %q, %w", i, answer, err)
	}
	return nil
}

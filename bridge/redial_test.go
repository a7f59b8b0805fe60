package bridge_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
)

// firstByte is the class of a line for Redial.
var firstByte = bridge.Class(func(s string) any { return s[:1] })

// exchange relays a line of the client and one of the server.
func exchange(t *testing.T, p *pair, request, reply string) {
	t.Helper()
	say(t, p.client, request)
	if _, err := bridge.Turn(t.Context(), p.Bridge, bridge.Client, line); err != nil {
		t.Fatal(err)
	}
	hear(t, p.server(), request)
	say(t, p.server(), reply)
	if _, err := bridge.Turn(t.Context(), p.Bridge, bridge.Server, line, firstByte); err != nil {
		t.Fatal(err)
	}
	hear(t, p.client, reply)
}

// redial runs Redial with a server that answers each request as it was told.
func redial(t *testing.T, p *pair, answers ...string) (heard string, err error) {
	t.Helper()
	before, asked := p.server(), make(chan string)
	dial := p.DialFunc
	p.DialFunc = func(ctx context.Context, hop bridge.Addr, f *bridge.Flow) (net.Conn, error) {
		c, err := dial(ctx, hop, f)
		if err == nil {
			go func() { asked <- answer(p.server(), answers) }()
		}
		return c, err
	}
	defer func() { p.DialFunc = dial }()
	err = p.Redial(t.Context())
	if err != nil && p.server() == before {
		return "", err
	}
	if err == nil {
		say(t, p.Server, "end\n") // outside of what is redone
	}
	return <-asked, err
}

// answer answers lines until there are no answers left, and returns what it was asked.
func answer(c net.Conn, answers []string) string {
	var asked strings.Builder
	one := make([]byte, 1)
	for {
		if _, err := c.Read(one); err != nil {
			return asked.String() + err.Error()
		}
		asked.Write(one)
		if one[0] != '\n' {
			continue
		}
		if len(answers) == 0 {
			return asked.String()
		}
		io.WriteString(c, answers[0])
		answers = answers[1:]
	}
}

func TestRedialSaysTheHandshakeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(1000)
		exchange(t, p, "greeting\n", "2 hello\n")
		exchange(t, p, "request\n", "2 fine\n")
		say(t, p.client, "the hello of the next layer")
		if err := p.Client.Fill(t.Context()); err != nil {
			t.Fatal(err)
		}
		old := p.server()
		heard, err := redial(t, p, "2 good evening\n", "2 all right\n")
		if err != nil || heard != "greeting\nrequest\nend\n" {
			t.Fatalf("Redial = %v, and the server heard %q", err, heard)
		}
		hearEnd(t, old, io.EOF)
		if got := string(p.Client.Buffered()); got != "the hello of the next layer" {
			t.Errorf("the client's bytes after Redial: %q", got)
		}
		if len(p.Server.Buffered()) > 0 {
			t.Errorf("the server's replies are still there: %q", p.Server.Buffered())
		}
		if len(p.dialled) != 2 || p.dialled[0] != hop || p.dialled[1] != hop {
			t.Errorf("dialled %v, want the same hop twice", p.dialled)
		}
		p.client.SetReadDeadline(past)
		if n, err := p.client.Read(make([]byte, 100)); n > 0 {
			t.Errorf("the client got %d bytes more, %v", n, err)
		}
	})
}

func TestRedialGoesOnWithWhatWasOnceRedialled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(1000)
		exchange(t, p, "greeting\n", "2 hello\n")
		for range 3 {
			if heard, err := redial(t, p, "2 hello again\n"); err != nil || heard != "greeting\nend\n" {
				t.Fatalf("Redial = %v, heard %q", err, heard)
			}
		}
	})
}

func TestARedialThatFailsIsFinal(t *testing.T) {
	tests := []struct {
		name    string
		answers []string
		reason  bridge.Reason
		text    string
	}{
		{"another class of reply", []string{"5 go away\n"}, bridge.Internal, "redial: the server answered 2 at first, and 5 now"},
		{"a reply that does not parse", []string{"what!\n"}, bridge.Desynced, "redial: server: malformed: shouting"},
		{"no reply", nil, bridge.Timeout, "redial: server: timed out"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(1000)
				raw := bridge.Chain(bridge.Layer{Name: "rescue", Handle: func(ctx context.Context, b *bridge.Bridge, _ bridge.Handler) error {
					exchange(t, p, "greeting\n", "2 hello\n")
					_, err := redial(t, p, tt.answers...)
					return err
				}})
				err := raw(t.Context(), p.Bridge)
				if err == nil || err.Error() != "rescue: "+tt.text {
					t.Errorf("error %v, want %q", err, tt.text)
				}
				if r, _ := bridge.ReasonOf(err); r != tt.reason {
					t.Errorf("reason %s, want %s", r, tt.reason)
				}
				if p.Server != nil || len(p.servers) != 2 {
					t.Errorf("server side %v after %d dials, want none after two", p.Server, len(p.servers))
				}
			})
		})
	}
	t.Run("no connection", func(t *testing.T) {
		p := newPair(1000)
		exchange(t, p, "greeting\n", "2 hello\n")
		p.fails = errors.New("no route")
		if err := p.Redial(t.Context()); !errors.Is(err, p.fails) || p.Server != nil {
			t.Errorf("Redial = %v, server side %v", err, p.Server)
		}
	})
}

func TestWhatCannotBeRedialled(t *testing.T) {
	sorry := errors.New("a challenge was answered")
	tests := []struct {
		name string
		do   func(t *testing.T, p *pair)
		want string
	}{
		{"a layer says so", func(_ *testing.T, p *pair) { p.NoRedial(sorry) }, "redial: a challenge was answered"},
		{"the first reason counts", func(t *testing.T, p *pair) {
			p.NoRedial(sorry)
			p.NoRedial(errors.New("another"))
		}, "redial: a challenge was answered"},
		{"a layer wrote to the server", func(t *testing.T, p *pair) {
			if err := p.Write(t.Context(), bridge.Server, []byte("of our own")); err != nil {
				t.Fatal(err)
			}
		}, "redial: a layer wrote to the server"},
		{"bytes were passed on outside of a turn", func(t *testing.T, p *pair) {
			say(t, p.client, "some bytes")
			if err := p.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := p.Pass(t.Context(), bridge.Client, 4); err != nil {
				t.Fatal(err)
			}
		}, "redial: bytes were passed on outside of a turn"},
		{"a layer that can't be made again", func(_ *testing.T, p *pair) {
			p.Replace(bridge.Server, p.Server, nil)
		}, "redial: a layer on the server side can't be made again"},
		{"more than 64 KiB were said", func(t *testing.T, p *pair) {
			for range 3 {
				exchange(t, p, strings.Repeat("x", 30<<10)+"\n", "2 go on\n")
			}
		}, "redial: the handshake is too long to be said again"},
		{"application data was relayed", func(t *testing.T, p *pair) {
			p.client.Close()
			p.server().Close()
			if err := bridge.Relay(t.Context(), p.Bridge); err != nil {
				t.Fatal(err)
			}
		}, "redial: application data was relayed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPair(100 << 10)
			exchange(t, p, "greeting\n", "2 hello\n")
			tt.do(t, p)
			err := p.Redial(t.Context())
			if err == nil || err.Error() != tt.want {
				t.Errorf("Redial = %v, want %q", err, tt.want)
			}
			if len(p.dialled) != 1 || p.Server == nil {
				t.Errorf("%d dials, server side %v; want it left alone", len(p.dialled), p.Server)
			}
		})
	}
}

func TestWhatTheServerGetsFromItselfDoesNotSpoilARedial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(1000)
		exchange(t, p, "greeting\n", "2 hello\n")
		say(t, p.server(), "a note for the client")
		if err := p.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := p.Pass(t.Context(), bridge.Server, 6); err != nil {
			t.Fatal(err)
		}
		if heard, err := redial(t, p, "2 hello\n"); err != nil || heard != "greeting\nend\n" {
			t.Errorf("Redial = %v, heard %q", err, heard)
		}
	})
}

func TestRedialMakesLayersAgainInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(1000)
		exchange(t, p, "upgrade\n", "2 go ahead\n")
		var wrapped []net.Conn
		p.Replace(bridge.Server, p.Server, func(_ context.Context, c net.Conn) (net.Conn, error) {
			wrapped = append(wrapped, c)
			return bridgetest.Chunked(c, 1), nil
		})
		exchange(t, p, "inside\n", "2 yes\n")
		heard, err := redial(t, p, "2 go ahead\n", "2 yes\n")
		if err != nil || heard != "upgrade\ninside\nend\n" || len(wrapped) != 1 {
			t.Fatalf("Redial = %v, heard %q, wrapped %d times", err, heard, len(wrapped))
		}
		if _, ok := p.Server.Unwrap().(*bridgetest.Conn); ok {
			t.Error("the server side is not the layer that was made again")
		}
		p.Replace(bridge.Server, p.Server, func(context.Context, net.Conn) (net.Conn, error) {
			return nil, errors.New("another leaf")
		})
		if _, err := redial(t, p, "2 go ahead\n", "2 yes\n"); err == nil || err.Error() != "redial: another leaf" {
			t.Errorf("Redial = %v, want the layer's own error", err)
		}
	})
}

// A client that has ended its direction still gets what it asked for, and the server
// is told of the end after the whole handshake.
func TestRedialForAClientThatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(1000)
		exchange(t, p, "one\n", "2 a\n")
		exchange(t, p, "two\n", "2 b\n")
		p.client.CloseWrite()
		for p.Client.End() == bridge.Open {
			if err := p.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		heard, err := redial(t, p, "2 a\n", "2 b\n")
		if err != nil || heard != "one\ntwo\nend\n" {
			t.Fatalf("Redial = %v, heard %q", err, heard)
		}
		done := make(chan error)
		go func() { done <- bridge.Relay(t.Context(), p.Bridge) }()
		hearEnd(t, p.server(), io.EOF)
		p.server().Close()
		if err := <-done; err != nil {
			t.Errorf("Relay = %v", err)
		}
	})
}

// Without a DialFunc the name is resolved once.
func TestRedialGoesToTheVerySameAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, ours := bridgetest.Pipe(100)
	b := &bridge.Bridge{Client: bridge.NewStream(ours)}
	b.SetHop(bridge.Addr{Host: "localhost", Port: bridge.AddrOf(l.Addr()).Port})
	if err := b.Dial(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := b.Flow().Server()
	b.SetHop(bridge.Addr{Host: "name.invalid", Port: first.Port})
	if err := b.Redial(t.Context()); err != nil {
		t.Fatalf("Redial resolves the hop again: %v", err)
	}
	defer b.Server.Close()
	if again := b.Flow().Server(); again != first || first.Host != "127.0.0.1" {
		t.Errorf("dialled %v, then %v", first, again)
	}
}

func TestReroute(t *testing.T) {
	elsewhere := bridge.Addr{Host: "192.0.2.9", Port: 9}
	for _, tt := range []struct {
		name  string
		begin func(*testing.T, *pair)
		dials int
		ok    bool
	}{
		{"before the dial", func(*testing.T, *pair) {}, 0, true},
		{"after the dial", func(t *testing.T, p *pair) {
			if err := p.Dial(t.Context()); err != nil {
				t.Fatal(err)
			}
		}, 2, true},
		{"after something was said", func(t *testing.T, p *pair) { exchange(t, p, "hello\n", "1 hi\n") }, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPair(1 << 16)
			var dialled []bridge.Addr
			dial := p.DialFunc
			p.DialFunc = func(ctx context.Context, hop bridge.Addr, f *bridge.Flow) (net.Conn, error) {
				if !f.Server().IsZero() {
					t.Errorf("dial %v: the flow's server is still %v", hop, f.Server())
				}
				dialled = append(dialled, hop)
				return dial(ctx, hop, f)
			}
			tt.begin(t, p)
			err := p.Reroute(t.Context(), elsewhere)
			if (err == nil) != tt.ok || len(dialled) != tt.dials {
				t.Errorf("Reroute: %v, dialled %v", err, dialled)
			}
			if tt.ok && p.Hop() != elsewhere || len(dialled) == 2 && dialled[1] != elsewhere {
				t.Errorf("hop %v, dialled %v", p.Hop(), dialled)
			}
		})
	}
}

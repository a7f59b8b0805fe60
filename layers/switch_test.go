package layers_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/layers"
)

// peel is a layer that takes a line off the client's stream and pushes a frame.
func peel(name string) bridge.Layer {
	return bridge.Layer{Name: name, Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
		_, n, err := bridge.Expect(ctx, b, bridge.Client, parseLine)
		if err != nil {
			return err
		}
		b.Client.Discard(n)
		b.Push(bridge.Frame{Proto: name})
		return next(ctx, b)
	}}
}

func parseLine(buf []byte) (string, int, error) {
	line, _, ok := strings.Cut(string(buf), "\n")
	if !ok {
		return "", 0, bridge.ErrShort
	}
	return line, len(line) + 1, nil
}

// conversation is a flow through a switch, with both peers in our hands.
type conversation struct {
	client, server net.Conn
	flow           *bridge.Flow
	out            chan bridge.Outcome
}

// converse starts a flow. Without a hop there is no server.
func converse(t *testing.T, s layers.Switch, hop bridge.Addr, limits bridge.Limits, before ...bridge.Layer) *conversation {
	t.Helper()
	client, accepted := bridgetest.Pipe(1 << 16)
	dialled, server := bridgetest.Pipe(1 << 16)
	c := &conversation{client: client, server: server, out: make(chan bridge.Outcome, 1)}
	p := &bridge.Proxy{
		Handler: bridge.Chain(append(before, s.Layer())...),
		Hop:     func(net.Conn) (bridge.Addr, bool) { return hop, !hop.IsZero() },
		Dial: func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) {
			return dialled, nil
		},
		Limits:   limits,
		Observer: &bridge.Observer{Open: func(f *bridge.Flow) { c.flow = f }},
	}
	go func() { c.out <- p.ServeConn(t.Context(), accepted) }()
	t.Cleanup(func() {
		for _, conn := range []net.Conn{client, accepted, dialled, server} {
			conn.Close()
		}
	})
	return c
}

// end closes both peers' sides and returns the flow's path and outcome.
func (c *conversation) end() (string, bridge.Outcome) {
	c.client.Close()
	c.server.Close()
	out := <-c.out
	return c.flow.Path(), out
}

func read(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v, want %q", got, err, want)
	}
}

func write(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

var hop = bridge.Addr{Host: "192.0.2.1", Port: 1}

func ab() layers.Switch {
	return layers.Switch{Cases: []layers.Case{
		{Detector: detect.Prefix("long", "ab long"), Layers: []bridge.Layer{peel("long")}},
		{Detector: detect.Prefix("short", "ab"), Layers: []bridge.Layer{peel("short")}},
		{Detector: detect.Prefix("named", "named")},
	}}
}

func TestSwitchChoosesAndStacks(t *testing.T) {
	for _, tt := range []struct{ name, says, left, path string }{
		{"nothing matches", "hello", "hello", "raw"},
		{"one layer, and then nothing that is known", "ab long\nx", "x", "long>raw"},
		{"a lower match waits until the higher one is out", "ab lone\nx", "x", "short>raw"},
		{"stacked in any order", "ab\nab long\nab!\nx", "x", "short>long>short>raw"},
		{"a case without layers is named and passed on", "ab\nnamed", "named", "short>named"},
	} {
		for size := range 3 {
			t.Run(fmt.Sprintf("%s, in chunks of %d", tt.name, size), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := converse(t, ab(), hop, bridge.Limits{})
					client := c.client
					if size > 0 {
						client = bridgetest.Chunked(client, size)
					}
					write(t, client, tt.says)
					read(t, c.server, tt.left)
					if path, out := c.end(); path != tt.path || out.Reason != bridge.EOF {
						t.Errorf("path %s, %+v, want %s and eof", path, out, tt.path)
					}
				})
			})
		}
	}
}

// greeter is a server that speaks first.
func greeter() detect.Detector {
	greeting := detect.Prefix("greeter", "220 ")
	return detect.Detector{
		Name: "greeter", ServerFirst: true,
		Func: func(in detect.Input) detect.Verdict { return greeting.Func(detect.Input{Client: in.Server}) },
	}
}

func TestSwitchPassesAGreetingOnAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := ab()
		s.Cases = append(s.Cases, layers.Case{Detector: greeter()})
		c := converse(t, s, hop, bridge.Limits{})
		write(t, c.server, "220 hi\r\n")
		read(t, c.client, "220 hi\r\n")
		if waited := time.Since(began); waited != 0 {
			t.Errorf("the greeting was held for %v", waited)
		}
		if path, _ := c.end(); path != "greeter" {
			t.Errorf("path %s, want greeter", path)
		}
	})
}

func TestSwitchLetsSilenceDecideNothing(t *testing.T) {
	for _, tt := range []struct {
		name   string
		hop    bridge.Addr
		says   string
		fail   bridge.Fail
		after  time.Duration
		path   string
		reason bridge.Reason
	}{
		{"both silent with a hop", hop, "", bridge.FailOpen, 600 * time.Second, "raw", bridge.Idle},
		{"a silent client without a hop", bridge.Addr{}, "", bridge.FailOpen, 60 * time.Second, "raw", bridge.Timeout},
		{"undecided, and let through until it is idle", hop, "a", bridge.FailOpen, 610 * time.Second, "raw", bridge.Idle},
		{"undecided without a hop", bridge.Addr{}, "a", bridge.FailOpen, 10 * time.Second, "raw", bridge.Timeout},
		{"undecided, and closed", hop, "a", bridge.FailClosed, 10 * time.Second, "raw", bridge.Timeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				c := converse(t, ab(), tt.hop, bridge.Limits{Fail: tt.fail})
				write(t, c.client, tt.says)
				out := <-c.out
				// The last words may take a second more.
				if got := time.Since(began).Truncate(5 * time.Second); got != tt.after || out.Reason != tt.reason {
					t.Errorf("ended after %v with %+v, want %v and %s", got, out, tt.after, tt.reason)
				}
			})
		})
	}
}

// Where it holds, the server is not dialled before the client has spoken, or has not for so long.
func TestSwitchHoldsTheDialForTheClient(t *testing.T) {
	for _, tt := range []struct {
		name   string
		says   string
		hold   time.Duration
		path   string
		waited time.Duration
	}{
		{"a client that is silent", "", time.Second, "raw", time.Second},
		{"a client that speaks", "named", time.Second, "named", 0},
		{"a client that speaks a layer's protocol", "ab\nnamed", time.Second, "short>named", 0},
		{"a client that stays undecided", "a", time.Second, "raw", 10 * time.Second},
		{"a client that speaks what is for the next handler to name", "ab\n??", time.Second, "short", 0},
		{"no hold", "", 0, "greeter", 0},
		{"no hold, and what nobody knows", "ab\n??", 0, "short>raw", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				s := ab()
				s.Hold = func(*bridge.Bridge) time.Duration { return tt.hold }
				s.Cases = append(s.Cases, layers.Case{Detector: greeter()})
				c := converse(t, s, hop, bridge.Limits{})
				write(t, c.client, tt.says)
				write(t, c.server, "220 hi\r\n")
				read(t, c.client, "220 hi\r\n")
				if waited := time.Since(began); waited != tt.waited {
					t.Errorf("the greeting was held for %v, want %v", waited, tt.waited)
				}
				if path, _ := c.end(); path != tt.path {
					t.Errorf("path %s, want %s", path, tt.path)
				}
			})
		})
	}
}

func TestSwitchWaitsLongerForTheOneCaseThatIsLeft(t *testing.T) {
	for says, want := range map[string]time.Duration{"ab l": 40 * time.Second, "a": 10 * time.Second} {
		t.Run(says, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := ab()
				s.Cases[0].Within = 40 * time.Second
				s.Cases[1].Detector = detect.Prefix("short", "abc")
				began := time.Now()
				c := converse(t, s, bridge.Addr{}, bridge.Limits{})
				write(t, c.client, says)
				if out := <-c.out; time.Since(began).Truncate(5*time.Second) != want || out.Reason != bridge.Timeout {
					t.Errorf("ended after %v with %+v, want %v and a timeout", time.Since(began), out, want)
				}
			})
		})
	}
}

func TestSwitchDoesNotLookIntoWhatGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frames := bridge.Layer{Name: "starttls", Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
			b.Push(bridge.Frame{Proto: "smtp", Continues: true})
			b.Push(bridge.Frame{Proto: "tls"})
			return next(ctx, b)
		}}
		c := converse(t, ab(), hop, bridge.Limits{}, frames)
		write(t, c.client, "ab\nEHLO")
		read(t, c.server, "ab\nEHLO")
		if path, _ := c.end(); path != "smtp>tls" {
			t.Errorf("path %s, want smtp>tls", path)
		}
	})
}

func TestSwitchDoesNotLookInsideANamedApplicationProtocol(t *testing.T) {
	for alpn, want := range map[string]string{"h2": "tls(h2)", "http/1.1": "tls(http/1.1)>short"} {
		t.Run(alpn, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tls := bridge.Layer{Name: "tls", Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
					b.Push(bridge.Frame{Proto: "tls", ALPN: alpn})
					return next(ctx, b)
				}}
				c := converse(t, ab(), hop, bridge.Limits{}, tls)
				write(t, c.client, "ab\nx")
				synctest.Wait()
				if path, _ := c.end(); !strings.HasPrefix(path, want) {
					t.Errorf("path %s, want %s", path, want)
				}
			})
		})
	}
}

func TestSwitchBeginsAgainNoMoreThanItsDepth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := ab()
		s.Depth = 3
		c := converse(t, s, hop, bridge.Limits{})
		write(t, c.client, strings.Repeat("ab\n", 5))
		read(t, c.server, "ab\nab\n")
		if path, _ := c.end(); path != "short>short>short" {
			t.Errorf("path %s, want three rounds", path)
		}
	})
}

func TestSwitchWithEndsAndResets(t *testing.T) {
	for _, tt := range []struct {
		name   string
		do     func(*conversation)
		reason bridge.Reason
		by     bridge.Party
	}{
		{"the client ends without a word", func(c *conversation) { c.client.Close() }, bridge.EOF, bridge.ByClient},
		{"the client ends undecided", func(c *conversation) {
			io.WriteString(c.client, "a")
			c.client.Close()
			io.Copy(io.Discard, c.server)
		}, bridge.EOF, bridge.ByClient},
		{"the server ends first", func(c *conversation) { c.server.Close() }, bridge.EOF, bridge.ByServer},
		{"the client resets", func(c *conversation) { c.client.(*bridgetest.Conn).Reset() }, bridge.Resets, bridge.ByClient},
		{"the server resets", func(c *conversation) { c.server.(*bridgetest.Conn).Reset() }, bridge.Resets, bridge.ByServer},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := converse(t, ab(), hop, bridge.Limits{})
				synctest.Wait()
				tt.do(c)
				synctest.Wait()
				c.client.Close()
				c.server.Close()
				if out := <-c.out; out.Reason != tt.reason || out.EndedBy != tt.by {
					t.Errorf("outcome %+v, want %s by %s", out, tt.reason, tt.by)
				}
			})
		})
	}
}

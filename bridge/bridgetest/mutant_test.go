package bridgetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/bridgeio/bridgeio/bridge"
)

// recorder is a testing.TB that collects failures. Any other use of it crashes.
type recorder struct {
	testing.TB
	failures []string
}

func (r *recorder) Helper() {}
func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

// failures performs all plays in memory, and returns what is wrong with them.
func failures(t *testing.T, d *dialogue) []string {
	var r recorder
	for _, g := range d.groups() {
		for _, p := range g.plays {
			synctest.Test(t, func(*testing.T) { d.perform(&r, memory(), p) })
		}
	}
	return r.failures
}

func line(buf []byte) (string, int, error) {
	i := bytes.IndexByte(buf, '\n')
	if i < 0 {
		return "", 0, bridge.ErrShort
	}
	return string(buf[:i]), i + 1, nil
}

// layer is a chain of one layer.
func layer(h func(context.Context, *bridge.Bridge, bridge.Handler) error) bridge.Handler {
	return bridge.Chain(bridge.Layer{Name: "mutant", Handle: h})
}

// Each mutant is a layer with one mistake of those that layers are made with.
func TestRelayFindsWhatIsWrongWithALayer(t *testing.T) {
	script := Script{C("HELLO\n"), S("WELCOME\n"), C("payload"), S("answer")}
	greet := func(ctx context.Context, b *bridge.Bridge) error {
		_, err := bridge.Turn(ctx, b, bridge.Client, line)
		return err
	}
	tests := []struct {
		name    string
		handler bridge.Handler
		options []Option
		want    string
	}{
		{"nothing", layer(func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
			if err := greet(ctx, b); err != nil {
				return err
			}
			return next(ctx, b)
		}), nil, ""},
		{"it loses the surplus", layer(func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
			if err := greet(ctx, b); err != nil {
				return err
			}
			b.Client.Discard(len(b.Client.Buffered()))
			return next(ctx, b)
		}), nil, `the client waits for nothing: the server got`},
		{"it takes what came in one read for a message", layer(func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
			if err := b.Client.Fill(ctx); err != nil {
				return err
			}
			if !bytes.HasPrefix(b.Client.Buffered(), []byte("HELLO\n")) {
				return errors.New("no greeting")
			}
			return next(ctx, b)
		}), nil, `one byte at a time: outcome "internal"`},
		{"it writes the message anew", layer(func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
			m, n, err := bridge.Expect(ctx, b, bridge.Client, line)
			if err != nil {
				return err
			}
			b.Client.Discard(n)
			if err := b.Write(ctx, bridge.Server, []byte(strings.ToLower(m)+"\n")); err != nil {
				return err
			}
			return next(ctx, b)
		}), nil, `whole messages: the server got`},
		{"it answers itself", layer(func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
			if err := greet(ctx, b); err != nil {
				return err
			}
			if err := b.Write(ctx, bridge.Client, []byte("WELCOME\n")); err != nil {
				return err
			}
			return next(ctx, b)
		}), nil, `whole messages: the client got`},
		{"it panics on an end", layer(func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
			if err := greet(ctx, b); err != nil {
				panic(err)
			}
			return next(ctx, b)
		}), nil, `the client ends after 0 bytes: outcome "panic"`},
		{"it waits forever", layer(func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
			if _, _, err := bridge.Expect(ctx, b, bridge.Client, line, bridge.Within(-1)); err != nil {
				return err
			}
			return next(ctx, b)
		}), nil, `the client is silent from its message 1: the flow did not end by itself`},
		{"it does not end what is broken off", layer(func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
			if err := greet(ctx, b); err != nil {
				return bridge.Final(err)
			}
			return next(ctx, b)
		}), nil, `the client ends after 3 bytes: the server got`},
		{"nothing, where it may do that", layer(func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
			if err := greet(ctx, b); err != nil {
				return bridge.Final(err)
			}
			return next(ctx, b)
		}), []Option{MayWithhold()}, ""},
		{"nothing, where the client may not pipeline", layer(func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
			if err := greet(ctx, b); err != nil {
				return err
			}
			if len(b.Client.Buffered()) > 0 {
				return errors.New("too early")
			}
			return next(ctx, b)
		}), []Option{NoPipelining()}, ""},
		{"it mirrors a reset as an end", func(ctx context.Context, b *bridge.Bridge) error {
			if err := b.Dial(ctx); err != nil {
				return err
			}
			back := make(chan struct{})
			go func() {
				defer close(back)
				io.Copy(b.Client, b.Server)
				b.Client.CloseWrite()
			}()
			io.Copy(b.Server, b.Client)
			b.Server.CloseWrite()
			<-back
			return nil
		}, nil, `the client resets after 6 bytes: for the server it ended clean, want reset`},
		{"it does not mirror a half-close", func(ctx context.Context, b *bridge.Bridge) error {
			if err := b.Dial(ctx); err != nil {
				return err
			}
			back := make(chan struct{})
			go func() {
				defer close(back)
				io.Copy(b.Client, b.Server)
			}()
			io.Copy(b.Server, b.Client)
			b.Server.Close() // and with it what the server still has to say
			<-back
			return nil
		}, nil, `the client ends after 13 bytes: the client got`},
		{"it pushes another frame", layer(func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
			b.Push(bridge.Frame{Proto: "goodbye"})
			return next(ctx, b)
		}), []Option{Path("hello")}, `path "goodbye", want "hello"`},
		{"it names another target", layer(func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
			return next(ctx, b)
		}), []Option{Target("example.com:80")}, `target "192.0.2.80:1080", want "example.com:80"`},
		{"it changes the hop", layer(func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
			b.SetHop(bridge.Addr{Host: "example.com", Port: 80})
			return next(ctx, b)
		}), nil, `dialled "example.com:80", want "192.0.2.80:1080"`},
		{"it dials twice", layer(func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
			if err := b.Dial(ctx); err != nil {
				return err
			}
			if err := b.Redial(ctx); err != nil {
				return err
			}
			return next(ctx, b)
		}), nil, `dialled twice`},
		{"nothing, where it may dial twice", layer(func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
			if err := greet(ctx, b); err != nil {
				return err
			}
			if err := b.Redial(ctx); err != nil && b.Server == nil {
				return err
			}
			return next(ctx, b)
		}), []Option{Redials()}, ""},
		{"it ends for another reason", layer(func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
			if err := next(ctx, b); err != nil {
				return err
			}
			return bridge.Fails(bridge.Denied, bridge.ByMITM, nil)
		}), nil, `whole messages: outcome "denied" by mitm: denied; want "eof"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			found(t, failures(t, newRelayed(tt.handler, script, tt.options)), tt.want)
		})
	}
}

func TestTerminateFindsWhatIsWrongWithALayer(t *testing.T) {
	script := Script{Send("HELLO\n"), Dials("example.com:80"), Recv("WELCOME\n"), Tunnel()}
	dst := bridge.Addr{Host: "example.com", Port: 80}
	tests := []struct {
		name   string
		handle func(context.Context, *bridge.Bridge, bridge.Handler) error
		want   string
	}{
		{"it dials before it is asked", func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
			b.SetHop(dst)
			return b.Dial(ctx)
		}, `dialled example.com:80 when the client had sent 0 bytes, and it is not due`},
		{"it dials somebody else", func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
			if _, _, err := bridge.Expect(ctx, b, bridge.Client, line); err != nil {
				return err
			}
			b.SetHop(bridge.Addr{Host: "example.org", Port: 80})
			return b.Dial(ctx)
		}, `dialled "example.org:80", want "example.com:80"`},
		{"it passes the request on", func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
			if _, _, err := bridge.Expect(ctx, b, bridge.Client, line); err != nil {
				return err
			}
			b.SetHop(dst)
			if err := b.Write(ctx, bridge.Client, []byte("WELCOME\n")); err != nil {
				return err
			}
			return next(ctx, b)
		}, `whole messages: the server got`},
		{"it forgets to answer", func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
			_, n, err := bridge.Expect(ctx, b, bridge.Client, line)
			if err != nil {
				return err
			}
			b.Client.Discard(n)
			b.SetHop(dst)
			return next(ctx, b)
		}, `whole messages: the client got`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			found(t, failures(t, newTerminated(layer(tt.handle), script, nil)), tt.want)
		})
	}
}

func TestOptionsReachTheProxy(t *testing.T) {
	var opened int
	var limits bridge.Limits
	h := func(ctx context.Context, b *bridge.Bridge) error {
		limits = b.Limits()
		return bridge.Relay(ctx, b)
	}
	d := newRelayed(h, Script{C("hello"), S("welcome")}, []Option{
		Hop("example.com:80"), Target("example.com:80"), Limits(bridge.Limits{Turn: 42}),
		Observed(&bridge.Observer{Open: func(*bridge.Flow) { opened++ }}),
	})
	found(t, failures(t, d), "")
	if opened == 0 || limits.Turn != 42 {
		t.Errorf("the observer saw %d flows, and the limits were %+v", opened, limits)
	}
}

// found checks that one of the failures begins with, or contains, what is wanted; none when that is empty.
func found(t *testing.T, failures []string, want string) {
	t.Helper()
	for _, f := range failures {
		if want != "" && strings.Contains(f, want) {
			return
		}
	}
	if want != "" || len(failures) > 0 {
		t.Errorf("found %q, want %q", failures, want)
	}
}

func TestBaselineFindsWhatIsLeftBehind(t *testing.T) {
	before := takeInventory()
	client, server := TCPPair(t)
	stop := make(chan struct{})
	ended := make(chan struct{})
	go waitsForItsEnd(stop, ended)
	left := takeInventory().less(before)
	if !strings.Contains(left, "created by github.com/bridgeio/bridgeio/bridge/bridgetest.TestBaseline") || strings.Count(left, "socket:") != 2 && len(before.descriptors) > 0 {
		t.Errorf("left behind:\n%s", left)
	}
	client.Close()
	server.Close()
	close(stop)
	<-ended
	Baseline(t) // which waits for a goroutine that is about to end
}

func waitsForItsEnd(stop <-chan struct{}, ended chan<- struct{}) {
	<-stop
	close(ended)
}

package bridge_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/bridgeio/bridgeio/bridge"
)

type handleFunc = func(context.Context, *bridge.Bridge, bridge.Handler) error

// returns is a layer's Handle that returns err without reading.
func returns(err error) handleFunc {
	return func(context.Context, *bridge.Bridge, bridge.Handler) error { return err }
}

// through calls next.
func through(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error { return next(ctx, b) }

func TestChainCallsLayersFromTheOutermost(t *testing.T) {
	var calls []string
	layer := func(name string) bridge.Layer {
		return bridge.Layer{Name: name, Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
			calls = append(calls, name)
			return next(ctx, b)
		}}
	}
	last := func(context.Context, *bridge.Bridge) error {
		calls = append(calls, "last")
		return nil
	}
	if err := bridge.ChainTo(last, layer("outer"), layer("inner"))(t.Context(), newPair(10).Bridge); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(calls, ","); got != "outer,inner,last" {
		t.Errorf("called %s", got)
	}
}

func TestChainNamesTheLayerThatFailed(t *testing.T) {
	wrong := errors.New("wrong")
	last := func(err error) bridge.Handler {
		return func(context.Context, *bridge.Bridge) error { return err }
	}
	tests := []struct {
		name string
		h    bridge.Handler
		want string
	}{
		{"the outer one", bridge.Chain(bridge.Layer{Name: "a", Handle: returns(wrong)}), "a: wrong"},
		{"the inner one", bridge.Chain(
			bridge.Layer{Name: "a", Handle: through}, bridge.Layer{Name: "b", Handle: returns(wrong)}), "b: wrong"},
		{"the last handler is none", bridge.ChainTo(last(wrong), bridge.Layer{Name: "a", Handle: through}), "wrong"},
		{"a chain in a layer", bridge.Chain(bridge.Layer{
			Name: "switch",
			Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
				return bridge.ChainTo(next, bridge.Layer{Name: "b", Handle: returns(wrong)})(ctx, b)
			},
		}), "b: wrong"},
		{"what it calls after the next one is its own", bridge.ChainTo(last(nil), bridge.Layer{
			Name: "a",
			Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
				if err := next(ctx, b); err != nil {
					return err
				}
				return wrong
			},
		}), "wrong"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.h(t.Context(), newPair(10).Bridge)
			if err == nil || err.Error() != tt.want || !errors.Is(err, wrong) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestChainTurnsAPanicIntoAnError(t *testing.T) {
	h := bridge.Chain(bridge.Layer{Name: "a", Handle: func(context.Context, *bridge.Bridge, bridge.Handler) error {
		var b *bridge.Bridge
		return b.Dial(context.Background())
	}})
	err := h(t.Context(), newPair(10).Bridge)
	var caught *bridge.PanicError
	if !errors.As(err, &caught) || !strings.Contains(string(caught.Stack), "chain_test.go") || !strings.HasPrefix(err.Error(), "a: panic: ") {
		t.Errorf("error %v, want that of the panic with its stack", err)
	}
	wantReason(t, err, bridge.Panic, bridge.ByMITM)
}

// relayed plays a conversation that the handler must relay raw from where it is.
func relayed(t *testing.T, p *pair, h bridge.Handler, client, server string) {
	t.Helper()
	done := make(chan error)
	go func() { done <- h(t.Context(), p.Bridge) }()
	go func() {
		io.WriteString(p.client, client)
		p.client.CloseWrite()
	}()
	synctest.Wait()
	if len(p.servers) == 0 {
		t.Fatalf("no server was dialled: %v", <-done)
	}
	hear(t, p.server(), client)
	hearEnd(t, p.server(), io.EOF)
	say(t, p.server(), server)
	p.server().Close()
	hear(t, p.client, server)
	hearEnd(t, p.client, io.EOF)
	if err := <-done; err != nil {
		t.Errorf("error %v", err)
	}
}

// asks is a layer that relays a line from each side, and pushes a frame if it is told to.
func asks(frame bool) bridge.Layer {
	return bridge.Layer{Name: "ask", Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
		if _, err := bridge.Turn(ctx, b, bridge.Client, line); err != nil {
			return err
		}
		if frame {
			b.Push(bridge.Frame{Proto: "asked", Verb: bridge.VerbRelay})
		}
		if _, err := bridge.Turn(ctx, b, bridge.Server, line); err != nil {
			return err
		}
		return next(ctx, b)
	}}
}

func TestChainGoesOnRawWhenALayerLosesItsWay(t *testing.T) {
	tests := []struct {
		name   string
		client string
		frame  bool
		outer  []bridge.Layer
		path   string
	}{
		{"in its first message", "HEL! and more", true, nil, "ask>raw"},
		{"in the middle of its first message", "HEL", true, nil, "ask>raw"},
		{"after its frame", "HELLO\n", true, nil, "asked>raw"},
		{"without any frame", "HELLO\n", false, nil, "ask>raw"},
		{"inside of another layer", "HEL!", true, []bridge.Layer{{Name: "outer", Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
			b.Push(bridge.Frame{Proto: "outer"})
			return next(ctx, b)
		}}}, "outer>ask>raw"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(100)
				var shown []bridge.Frame
				p.Observer = &bridge.Observer{Frame: func(_ *bridge.Flow, f bridge.Frame) { shown = append(shown, f) }}
				relayed(t, p, bridge.Chain(append(tt.outer, asks(tt.frame))...), tt.client, "what?!")
				if got := p.Flow().Path(); got != tt.path {
					t.Errorf("path %q, want %q", got, tt.path)
				}
				if last := shown[len(shown)-1]; !last.Opaque {
					t.Errorf("the observer was shown %v, and nothing opaque", shown)
				}
			})
		})
	}
}

func TestChainEndsTheFlowWhereItMayNotGoOnRaw(t *testing.T) {
	desync := &bridge.Desync{Side: bridge.Client, Why: bridge.Malformed}
	entered := func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
		return errors.Join(desync, next(ctx, b))
	}
	tests := []struct {
		name  string
		layer bridge.Layer
		setup func(p *pair)
		last  bridge.Handler
	}{
		{"no hop is known", bridge.Layer{Name: "a", Handle: returns(desync)}, func(p *pair) { p.SetHop(bridge.Addr{}) }, bridge.Relay},
		{"limits say so", bridge.Layer{Name: "a", Handle: returns(desync)}, func(p *pair) { p.SetLimits(bridge.Limits{Fail: bridge.FailClosed}) }, bridge.Relay},
		{"the layer is closed", bridge.Layer{Name: "a", Handle: returns(desync), Closed: true}, nil, bridge.Relay},
		{"the layer has answered itself", bridge.Layer{Name: "a", Handle: returns(bridge.Final(desync))}, nil, bridge.Relay},
		{"the next handler was called", bridge.Layer{Name: "a", Handle: entered}, nil, func(context.Context, *bridge.Bridge) error { return nil }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPair(100)
			if tt.setup != nil {
				tt.setup(p)
			}
			err := bridge.ChainTo(tt.last, tt.layer)(t.Context(), p.Bridge)
			if !errors.Is(err, desync) {
				t.Errorf("error %v, want the desync", err)
			}
			wantReason(t, err, bridge.Desynced, bridge.ByClient)
			if len(p.dialled) > 0 {
				t.Errorf("it dialled %v", p.dialled)
			}
		})
	}
	if err := bridge.Final(nil); err != nil {
		t.Errorf("Final(nil) = %v", err)
	}
}

package starttls_test

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	. "github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/layers/starttls"
)

// inner is the layer behind the one that is tested: it names what it is given.
func inner() bridge.Layer {
	return bridge.Layer{Name: "inner", Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
		b.Push(bridge.Frame{Proto: "inner"})
		return next(ctx, b)
	}}
}

// dialogue is a conversation that is relayed: up to TLS, for which the words of a tunnel stand, or without.
type dialogue struct {
	name   string
	script Script
	path   string // "smtp>inner" where TLS begins
	plain  starttls.Plain
	frame  bridge.Frame // besides Proto, Verb, Continues, Opaque and Detail
}

// play plays the dialogues in every way in which they can go.
func play(t *testing.T, layer bridge.Layer, dialogues []dialogue) {
	for _, d := range dialogues {
		t.Run(d.name, func(t *testing.T) {
			var options []Option
			switch {
			case strings.HasSuffix(d.path, ">inner"):
				options = []Option{NoPipelining(), MayWithhold()} // what is out of turn where TLS begins
			case d.plain.Refusal != "":
				options = []Option{NoPipelining()}
			}
			d.play(t, layer, options...)
		})
	}
}

// playInTurn plays dialogues of a protocol whose client never goes on without its answer.
func playInTurn(t *testing.T, layer bridge.Layer, dialogues []dialogue) {
	for _, d := range dialogues {
		t.Run(d.name, func(t *testing.T) { d.play(t, layer, NoPipelining(), MayWithhold()) })
	}
}

func (d dialogue) play(t *testing.T, layer bridge.Layer, options ...Option) {
	t.Helper()
	Relay(t, bridge.Chain(layer, inner()), d.script, append(options, Path(d.path), frame(d))...)
}

// frame expects the one frame that the layer has pushed.
func frame(d dialogue) Option {
	return Flow(func(t testing.TB, f *bridge.Flow) {
		t.Helper()
		got := f.Frames()[0]
		plain, ok := got.Detail.(*starttls.Plain)
		if !ok || *plain != d.plain {
			t.Errorf("Detail %+v, want %+v", plain, d.plain)
		}
		proto, rest, _ := strings.Cut(d.path, ">")
		want := d.frame
		want.Proto, want.Verb, want.Continues, want.Opaque = proto, bridge.VerbRelay, rest == "inner", rest == "raw"
		if got.Detail = nil; got != want {
			t.Errorf("frame %+v, want %+v", got, want)
		}
	})
}

// outcome is how a flow has ended, and what the peers got of each other.
type outcome struct {
	bridge.Outcome
	client, server string // what they received
	path           string
}

// say has the client say all at once what it says, and the server each of its words in turn, when it has heard as much
// as the client says before it.
func say(t *testing.T, layer bridge.Layer, script ...write) (o outcome) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		client, ours := Pipe(1 << 17)
		server, dialled := Pipe(1 << 17)
		var flow *bridge.Flow
		proxy := &bridge.Proxy{
			Handler:  bridge.Chain(layer, inner()),
			Hop:      bridge.FixedHop(bridge.Addr{Host: "192.0.2.1", Port: 25}),
			Dial:     func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) { return dialled, nil },
			Observer: &bridge.Observer{Open: func(f *bridge.Flow) { flow = f }},
		}
		done := make(chan bridge.Outcome, 1)
		go func() { done <- proxy.ServeConn(t.Context(), ours) }()
		for _, step := range script {
			synctest.Wait()
			time.Sleep(step.after)
			if step.from == bridge.Client {
				io.WriteString(client, step.words)
			} else {
				io.WriteString(server, step.words)
			}
		}
		synctest.Wait()
		client.CloseWrite()
		server.CloseWrite()
		o.Outcome = <-done
		dialled.Close() // where it was not dialled
		got, _ := io.ReadAll(client)
		o.client = string(got)
		got, _ = io.ReadAll(server)
		o.server, o.path = string(got), flow.Path()
		client.Close()
		server.Close()
	})
	return o
}

// write is one write of a peer, some time after the one before it.
type write struct {
	from  bridge.Side
	words string
	after time.Duration
}

func c(words string) write { return write{from: bridge.Client, words: words} }

func s(words string) write { return write{from: bridge.Server, words: words} }

// later is a pause, on the bubble's clock.
func later(pause time.Duration) write { return write{after: pause} }

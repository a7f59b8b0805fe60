package bridgetest_test

import (
	"bytes"
	"context"
	"strings"
	"syscall"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	. "github.com/bridgeio/bridgeio/bridge/bridgetest"
)

// line parses what ends in a newline.
func line(buf []byte) (string, int, error) {
	i := bytes.IndexByte(buf, '\n')
	if i < 0 {
		return "", 0, bridge.ErrShort
	}
	return string(buf[:i]), i + 1, nil
}

// hello relays a line of the client, which names a destination, and a line of the server.
func hello() bridge.Layer {
	return bridge.Layer{Name: "hello", Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
		asked, err := bridge.Turn(ctx, b, bridge.Client, line)
		if err != nil {
			return err
		}
		dst, _ := bridge.ParseAddr(strings.TrimPrefix(asked, "HELLO "))
		b.Push(bridge.Frame{Proto: "hello", Verb: bridge.VerbRelay, Dst: dst})
		if _, err := bridge.Turn(ctx, b, bridge.Server, line, bridge.AwaitsDial()); err != nil {
			return err
		}
		return next(ctx, b)
	}}
}

// helloServer is the server of hello.
func helloServer() bridge.Layer {
	return bridge.Layer{Name: "hello", Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
		asked, n, err := bridge.Expect(ctx, b, bridge.Client, line)
		if err != nil {
			return err
		}
		b.Client.Discard(n)
		dst, err := bridge.ParseAddr(strings.TrimPrefix(asked, "HELLO "))
		if err != nil {
			return bridge.Final(b.Write(ctx, bridge.Client, []byte("WHAT\n")))
		}
		b.Push(bridge.Frame{Proto: "hello", Verb: bridge.VerbTerminate, Dst: dst})
		b.SetHop(dst)
		if err := b.Dial(ctx); err != nil {
			b.Write(ctx, bridge.Client, []byte("SORRY\n"))
			return bridge.Final(err)
		}
		if err := b.Write(ctx, bridge.Client, []byte("WELCOME\n")); err != nil {
			return err
		}
		return next(ctx, b)
	}}
}

func TestRelayOfRawBytes(t *testing.T) {
	Relay(t, bridge.Chain(), Script{C("hello"), S("welcome"), C("more"), S("and more"), S("bye")}, Path("raw"))
}

func TestRelayOfALayer(t *testing.T) {
	Relay(t, bridge.Chain(hello()), Script{
		C("HELLO example.com:80\n"), S("WELCOME\n"), C("payload"), S("answer"),
	}, Path("hello"), Target("example.com:80"))
}

func TestRelayWhereTheServerSpeaksFirst(t *testing.T) {
	Relay(t, bridge.Chain(), Script{S("220 ready\r\n"), C("QUIT\r\n"), S("221 bye\r\n")}, Path("raw"))
}

func TestTerminateWithATunnel(t *testing.T) {
	Terminate(t, bridge.Chain(helloServer()), Script{
		Send("HELLO example.com:80\n"), Dials("example.com:80"), Recv("WELCOME\n"), Tunnel(),
	}, Path("hello"), Target("example.com:80"))
}

func TestTerminateWithARefusal(t *testing.T) {
	Terminate(t, bridge.Chain(helloServer()), Script{
		Send("HELLO example.com:80\n"), DialFails("example.com:80", syscall.ECONNREFUSED), Recv("SORRY\n"),
	}, Reason(bridge.Refused))
}

func TestTerminateWithoutADial(t *testing.T) {
	Terminate(t, bridge.Chain(helloServer()), Script{Send("NONSENSE\n"), Recv("WHAT\n")})
}

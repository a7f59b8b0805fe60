package bridge_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"strings"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
)

// greeting parses a line "HELLO destination". It is pure: all that it knows is buf.
func greeting(buf []byte) (destination string, n int, err error) {
	i := bytes.IndexByte(buf, '\n')
	switch {
	case i >= 0 && bytes.HasPrefix(buf, []byte("HELLO ")):
		return string(buf[6:i]), i + 1, nil
	case i < 0 && bytes.HasPrefix(append(buf, "HELLO "...), []byte("HELLO ")):
		return "", 0, bridge.ErrShort
	}
	return "", 0, fmt.Errorf("no greeting")
}

// A layer of one's own: the client names a destination in a line, the server answers in a line, and then the two have a
// tunnel. What breaks the protocol goes on raw; nothing is lost.
func ExampleLayer() {
	layer := bridge.Layer{Name: "hello", Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
		destination, err := bridge.Turn(ctx, b, bridge.Client, greeting)
		if err != nil {
			return err
		}
		dst, _ := bridge.ParseAddr(destination)
		b.Push(bridge.Frame{Proto: "hello", Verb: bridge.VerbRelay, Dst: dst})
		if _, err := bridge.Turn(ctx, b, bridge.Server, line, bridge.AwaitsDial()); err != nil {
			return err
		}
		return next(ctx, b)
	}}

	client, flow := converse(bridge.Chain(layer), "HELLO example.com:80\n", "WELCOME\n", "and now in the tunnel")
	fmt.Printf("client got %q\npath %s, target %s\n", client, flow.Path(), flow.Target())

	client, flow = converse(bridge.Chain(layer), "GET / HTTP/1.0\n", "400 what?\n", "never mind")
	fmt.Printf("client got %q\npath %s\n", client, flow.Path())
	// Output:
	// client got "WELCOME\n"
	// path hello, target example.com:80
	// client got "400 what?\n"
	// path hello>raw
}

// A chain of one's own is a list of layers. This one tells of each flow, and changes what the client says.
func ExampleChain() {
	watch := bridge.Layer{Name: "watch", Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
		fmt.Println("from", b.Flow().Client(), "to", b.Hop())
		return next(ctx, b)
	}}
	upper := bridge.Layer{Name: "upper", Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
		request, n, err := bridge.Expect(ctx, b, bridge.Client, line)
		if err != nil {
			return err
		}
		b.Client.Discard(n) // what a layer rewrites is no longer transparent
		if err := b.Write(ctx, bridge.Server, []byte(strings.ToUpper(request)+"\n")); err != nil {
			return err
		}
		return next(ctx, b)
	}}

	client, _ := converse(bridge.Chain(watch, upper), "quiet\n", "I heard you\n", "")
	fmt.Printf("client got %q\n", client)
	// Output:
	// from 192.0.2.1:50000 to 192.0.2.80:1080
	// client got "I heard you\n"
}

// converse plays a conversation in memory, and returns what the client got.
func converse(handler bridge.Handler, request, reply, more string) (got string, f *bridge.Flow) {
	client, accepted := bridgetest.Pipe(1000)
	dialled, server := bridgetest.Pipe(1000)
	proxy := &bridge.Proxy{
		Handler:  handler,
		Hop:      bridge.FixedHop(hop),
		Dial:     func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) { return dialled, nil },
		Observer: &bridge.Observer{Open: func(flow *bridge.Flow) { f = flow }},
	}
	go func() {
		bufio.NewReader(server).ReadString('\n')
		io.WriteString(server, reply)
		io.Copy(io.Discard, server)
		server.Close()
	}()
	go func() {
		io.WriteString(client, request+more)
		client.CloseWrite()
	}()
	proxy.ServeConn(context.Background(), accepted)
	answer, _ := io.ReadAll(client)
	return string(answer), f
}

// A Proxy takes conns from a listener through a handler.
func ExampleProxy() {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() { // a server that answers one client
		c, err := server.Accept()
		if err != nil {
			log.Fatal(err)
		}
		defer c.Close()
		name, _ := bufio.NewReader(c).ReadString('\n')
		fmt.Fprintf(c, "hello %s", name)
	}()

	ended := make(chan bridge.Outcome, 1)
	proxy := &bridge.Proxy{
		Handler:  bridge.Chain(), // no layers: a raw relay
		Hop:      bridge.FixedHop(bridge.AddrOf(server.Addr())),
		Observer: &bridge.Observer{Close: func(_ *bridge.Flow, o bridge.Outcome) { ended <- o }},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go proxy.Serve(context.Background(), l)

	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprintln(c, "world")
	answer, _ := io.ReadAll(c)
	c.Close()
	out := <-ended
	fmt.Printf("%s%s by the %s\n", answer, out.Reason, out.EndedBy)
	fmt.Println(proxy.Shutdown(context.Background()))
	// Output:
	// hello world
	// eof by the server
	// <nil>
}

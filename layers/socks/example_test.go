package socks_test

import (
	"context"
	"fmt"
	"io"
	"net"

	"golang.org/x/net/proxy"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/layers/socks"
)

// A SOCKS server with one user.
func ExampleTerminate() {
	server := &bridge.Proxy{
		Handler: bridge.Chain(socks.Terminate(socks.Config{
			Auth: func(user, password string) bool { return user == "alice" && password == "secret" },
		})),
		Observer: &bridge.Observer{Frame: func(f *bridge.Flow, frame bridge.Frame) {
			fmt.Printf("%s by %s\n", f.Path(), frame.User)
		}},
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	go server.Serve(ctx, l)
	defer server.Shutdown(ctx)

	destination, _ := net.Listen("tcp", "127.0.0.1:0")
	defer destination.Close()
	go greet(destination)

	client, _ := proxy.SOCKS5("tcp", l.Addr().String(), &proxy.Auth{User: "alice", Password: "secret"}, nil)
	c, err := client.Dial("tcp", destination.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	greeting, _ := io.ReadAll(c)
	fmt.Printf("%s\n", greeting)
	// Output:
	// socks5 by alice
	// welcome
}

// A layer behind the relay sees the tunnel, and knows where it leads.
func ExampleRelay() {
	peek := bridge.Layer{Name: "peek", Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
		fmt.Printf("%s to %s through %s\n", b.Flow().Path(), b.Flow().Target(), b.Hop())
		return next(ctx, b)
	}}
	client, clientSide := net.Pipe()
	server, serverSide := net.Pipe()
	relay := &bridge.Proxy{
		Handler: bridge.Chain(socks.Relay(), peek),
		Hop:     bridge.FixedHop(bridge.Addr{Host: "192.0.2.1", Port: 1080}),
		Dial:    func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) { return serverSide, nil },
	}
	go func() {
		io.ReadFull(server, make([]byte, 3))
		server.Write(socks.AppendMethod(nil, socks.MethodNoAuth))
		io.ReadFull(server, make([]byte, 4+1+len("example.com")+2))
		reply, _ := socks.AppendReply(nil, socks.Reply{Rep: socks.RepSucceeded})
		server.Write(reply)
		server.Close()
	}()
	go func() {
		greeting, _ := socks.AppendGreeting(nil, socks.MethodNoAuth)
		client.Write(greeting)
		io.ReadFull(client, make([]byte, 2))
		request, _ := socks.AppendRequest(nil, socks.Request{
			Cmd: socks.CmdConnect,
			Dst: socks.Addr{Name: "example.com", Port: 443},
		})
		client.Write(request)
		io.Copy(io.Discard, client)
		client.Close()
	}()
	relay.ServeConn(context.Background(), clientSide)
	// Output:
	// socks5 to example.com:443 through 192.0.2.1:1080
}

// A bridge whose server side is reached through a SOCKS server.
func ExampleDial() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	server := &bridge.Proxy{Handler: bridge.Chain(socks.Terminate(socks.Config{
		Auth: func(user, password string) bool { return user == "alice" && password == "secret" },
	}))}
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	go server.Serve(ctx, l)
	defer server.Shutdown(ctx)

	destination, _ := net.Listen("tcp", "127.0.0.1:0")
	defer destination.Close()
	go greet(destination)

	client, accepted := net.Pipe()
	proxy := &bridge.Proxy{
		Handler: bridge.Chain(),
		Hop:     bridge.FixedHop(bridge.AddrOf(destination.Addr())),
		Dial: socks.Dial(nil, socks.DialConfig{
			Proxy: bridge.AddrOf(l.Addr()),
			User:  "alice", Password: "secret",
		}),
		Observer: &bridge.Observer{Frame: func(_ *bridge.Flow, frame bridge.Frame) {
			fmt.Println(frame.Verb, frame.Proto, "as", frame.User)
		}},
	}
	go proxy.ServeConn(ctx, accepted)
	greeting, _ := io.ReadAll(client)
	fmt.Printf("%s\n", greeting)
	client.Close()
	// Output:
	// originate socks5 as alice
	// welcome
}

// greet says a word to whoever connects.
func greet(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		io.WriteString(c, "welcome")
		c.Close()
	}
}

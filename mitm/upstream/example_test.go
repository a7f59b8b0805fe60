package upstream_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/layers/httpconnect"
	"github.com/bridgeio/bridgeio/mitm/upstream"
)

// A bridge whose server side is reached through an HTTP proxy that wants a password.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	there := &bridge.Proxy{
		Handler: bridge.Chain(httpconnect.Terminate(httpconnect.Config{
			Auth: func(user, password string) bool { return user == "alice" && password == "p@ss" },
		})),
		Dial: func(_ context.Context, hop bridge.Addr, _ *bridge.Flow) (net.Conn, error) {
			fmt.Println("the proxy dials", hop)
			server, ours := net.Pipe()
			go func() {
				io.WriteString(server, "welcome")
				server.Close()
			}()
			return ours, nil
		},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go there.Serve(ctx, l)
	defer there.Shutdown(ctx)

	proxy, err := upstream.Parse("http://alice:p%40ss@" + l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	here := &bridge.Proxy{
		Handler: bridge.Chain(),
		Hop:     bridge.FixedHop(bridge.Addr{Host: "server.example", Port: 7}),
		Dial:    proxy.Dialer(nil, nil, bridge.Limits{}),
	}
	client, accepted := net.Pipe()
	go here.ServeConn(ctx, accepted)
	greeting, _ := io.ReadAll(client)
	client.Close()
	fmt.Printf("%s\n", greeting)
	// Output:
	// the proxy dials server.example:7
	// welcome
}

package starttls_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/layers/starttls"
)

// The layer behind gets the conversation where TLS begins: tlsbridge.Relay, as a rule.
func ExampleSMTP() {
	tls := bridge.Layer{Name: "tls", Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
		frame := b.Flow().Frames()[0]
		plain := frame.Detail.(*starttls.Plain)
		fmt.Printf("%s goes on in TLS, from %q to %q\n", frame.Proto, plain.Client, plain.Greeting)
		return next(ctx, b)
	}}
	client, clientSide := net.Pipe()
	server, serverSide := net.Pipe()
	proxy := &bridge.Proxy{
		Handler: bridge.Chain(starttls.SMTP(), tls),
		Hop:     bridge.FixedHop(bridge.Addr{Host: "192.0.2.1", Port: 25}),
		Dial:    func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) { return serverSide, nil },
	}
	go func() {
		defer server.Close()
		lines := bufio.NewReader(server)
		io.WriteString(server, "220 mx.example.net ESMTP\r\n")
		lines.ReadString('\n')
		io.WriteString(server, "250-mx.example.net\r\n250 STARTTLS\r\n")
		lines.ReadString('\n')
		io.WriteString(server, "220 Ready to start TLS\r\n")
	}()
	go func() {
		defer client.Close()
		lines := bufio.NewReader(client)
		lines.ReadString('\n')
		io.WriteString(client, "EHLO mail.example.com\r\n")
		lines.ReadString('\n')
		lines.ReadString('\n')
		io.WriteString(client, "STARTTLS\r\n")
		lines.ReadString('\n')
	}()
	proxy.ServeConn(context.Background(), clientSide)
	// Output:
	// smtp goes on in TLS, from "mail.example.com" to "220 mx.example.net ESMTP"
}

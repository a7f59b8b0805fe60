package proxyproto_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/layers/proxyproto"
)

// A server behind a balancer learns whose connection it is.
func ExampleTerminate() {
	fromBalancer := proxyproto.Config{Trust: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	greeter := bridge.Layer{Name: "greeter", Handle: func(ctx context.Context, b *bridge.Bridge, _ bridge.Handler) error {
		h := b.Flow().Frames()[0].Detail.(*detect.ProxyHeader)
		return b.Write(ctx, bridge.Client, fmt.Appendf(nil, "hello %s, you asked for %s", b.Flow().Client(), h.TLVs[0].Value))
	}}
	server := &bridge.Proxy{Handler: bridge.Chain(proxyproto.Terminate(fromBalancer), greeter)}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	go server.Serve(ctx, l)
	defer server.Shutdown(ctx)

	header, _ := proxyproto.AppendHeader(nil, &detect.ProxyHeader{
		Version: 2, Command: detect.ProxyProxied, Family: detect.ProxyInet, Transport: detect.ProxyStream,
		Src:  netip.MustParseAddrPort("192.0.2.7:50122"),
		Dst:  netip.MustParseAddrPort("198.51.100.7:443"),
		TLVs: []detect.TLV{{Type: proxyproto.TypeAuthority, Value: []byte("example.com")}},
	})
	balancer, _ := net.Dial("tcp", l.Addr().String())
	defer balancer.Close()
	balancer.Write(header)
	balancer.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(balancer)
	fmt.Printf("%s\n", answer)
	// Output:
	// hello 192.0.2.7:50122, you asked for example.com
}

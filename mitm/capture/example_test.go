package capture_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/mitm/capture"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// The flows of a proxy are captured, and what they carried is read back.
func Example() {
	var file bytes.Buffer
	w, err := capture.NewWriter(&file, capture.Config{All: true})
	if err != nil {
		log.Fatal(err)
	}
	proxy := &bridge.Proxy{
		Handler:  bridge.Chain(),
		Hop:      bridge.FixedHop(bridge.Addr{Host: "203.0.113.9", Port: 7}),
		Dial:     echo,
		Observer: w.Observer(),
	}
	client, accepted := net.Pipe()
	go func() {
		io.WriteString(client, "hello")
		io.ReadFull(client, make([]byte, 5))
		client.Close()
	}()
	proxy.ServeConn(context.Background(), accepted)
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}

	packets, err := pcapgo.NewReader(&file)
	if err != nil {
		log.Fatal(err)
	}
	for p := range gopacket.NewPacketSource(packets, layers.LinkTypeEthernet).Packets() {
		if app := p.ApplicationLayer(); app != nil {
			fmt.Printf("%v: %s\n", p.NetworkLayer().NetworkFlow(), app.Payload())
		}
	}
	// Output:
	// 0.0.0.0->203.0.113.9: hello
	// 203.0.113.9->0.0.0.0: hello
}

// echo dials a server that says what it hears.
func echo(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) {
	server, peer := net.Pipe()
	go func() {
		defer peer.Close()
		io.Copy(peer, peer)
	}()
	return server, nil
}

// Readers on the network get a capture each, of the flows that begin while they read.
func ExampleServe() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	feed := capture.Serve(l, capture.OverIP{}, capture.Config{All: true, Log: quiet})
	reader, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	packets, err := pcapgo.NewReader(reader) // who has its header misses no flow
	if err != nil {
		log.Fatal(err)
	}
	proxy := &bridge.Proxy{
		Handler:  bridge.Chain(),
		Hop:      bridge.FixedHop(bridge.Addr{Host: "203.0.113.9", Port: 7}),
		Dial:     echo,
		Observer: feed.Observer(),
	}
	client, accepted := net.Pipe()
	go func() {
		io.WriteString(client, "hello")
		io.ReadFull(client, make([]byte, 5))
		client.Close()
	}()
	proxy.ServeConn(context.Background(), accepted)
	feed.Close()
	for p := range gopacket.NewPacketSource(packets, layers.LinkTypeEthernet).Packets() {
		if app := p.ApplicationLayer(); app != nil {
			fmt.Printf("%v: %s\n", p.NetworkLayer().NetworkFlow(), app.Payload())
		}
	}
	reader.Close()
	// Output:
	// 0.0.0.0->203.0.113.9: hello
	// 203.0.113.9->0.0.0.0: hello
}

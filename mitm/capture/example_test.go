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
	proxy := &bridge.Proxy{Handler: bridge.Chain(), Hop: hop, Dial: echo, Observer: w.Observer()}
	serveHello(proxy)
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}

	packets, err := pcapgo.NewReader(&file)
	if err != nil {
		log.Fatal(err)
	}
	printPayloads(packets)
	// Output:
	// 0.0.0.0->203.0.113.9: hello
	// 203.0.113.9->0.0.0.0: hello
}

var hop = bridge.FixedHop(bridge.Addr{Host: "203.0.113.9", Port: 7})

// serveHello has a proxy serve a client that says hello, and waits for an answer.
func serveHello(proxy *bridge.Proxy) {
	client, accepted := net.Pipe()
	go func() {
		io.WriteString(client, "hello")
		io.ReadFull(client, make([]byte, 5))
		client.Close()
	}()
	proxy.ServeConn(context.Background(), accepted)
}

// printPayloads prints what the packets of a capture carry, and between whom.
func printPayloads(packets *pcapgo.Reader) {
	for p := range gopacket.NewPacketSource(packets, layers.LinkTypeEthernet).Packets() {
		if app := p.ApplicationLayer(); app != nil {
			fmt.Printf("%v: %s\n", p.NetworkLayer().NetworkFlow(), app.Payload())
		}
	}
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
	proxy := &bridge.Proxy{Handler: bridge.Chain(), Hop: hop, Dial: echo, Observer: feed.Observer()}
	serveHello(proxy)
	feed.Close()
	printPayloads(packets)
	reader.Close()
	// Output:
	// 0.0.0.0->203.0.113.9: hello
	// 203.0.113.9->0.0.0.0: hello
}

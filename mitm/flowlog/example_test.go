package flowlog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/mitm/flowlog"
)

// A flow through a proxy becomes a line.
func Example() {
	var file bytes.Buffer
	l := flowlog.New(&file)
	proxy := &bridge.Proxy{
		Handler:  bridge.Chain(),
		Hop:      bridge.FixedHop(bridge.Addr{Host: "echo.example", Port: 7}),
		Dial:     echo,
		Observer: l.Observer(),
	}
	client, accepted := net.Pipe()
	go func() {
		io.WriteString(client, "hello")
		io.ReadFull(client, make([]byte, 5))
		client.Close()
	}()
	proxy.ServeConn(context.Background(), accepted)
	if err := l.Close(); err != nil {
		log.Fatal(err)
	}

	var line struct {
		Target, Path, Action, Reason string
		Bytes                        struct {
			FromClient int `json:"from_client"`
			FromServer int `json:"from_server"`
		}
	}
	if err := json.Unmarshal(file.Bytes(), &line); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%+v\n", line)
	// Output:
	// {Target:echo.example:7 Path:raw Action:allow Reason:eof Bytes:{FromClient:5 FromServer:5}}
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

package httpconnect_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/layers/httpconnect"
)

// transparent relays what two peers say, who wait for nothing and close behind it, and returns the flow's path.
func transparent(t *testing.T, client, server []byte) (path string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c, accepted := bridgetest.Pipe(1 << 20)
		dialled, s := bridgetest.Pipe(1 << 20)
		proxy := &bridge.Proxy{
			Handler:  bridge.Chain(httpconnect.Relay()),
			Hop:      bridge.FixedHop(bridge.Addr{Host: "192.0.2.1", Port: 3128}),
			Dial:     func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) { return dialled, nil },
			Observer: &bridge.Observer{Close: func(f *bridge.Flow, _ bridge.Outcome) { path = f.Path() }},
		}
		fromClient, fromServer := make(chan []byte, 1), make(chan []byte, 1)
		go say(c, client, fromServer)
		go say(s, server, fromClient)
		out := proxy.ServeConn(t.Context(), accepted)
		if got := <-fromClient; !bytes.Equal(got, client) {
			t.Errorf("the server got %q of %q: %v", got, client, out.Err)
		}
		if got := <-fromServer; !bytes.Equal(got, server) {
			t.Errorf("the client got %q of %q: %v", got, server, out.Err)
		}
		if out.Reason == bridge.Internal || out.Reason == bridge.Panic {
			t.Errorf("outcome %s: %v", out.Reason, out.Err)
		}
	})
	return path
}

// say writes data, ends its direction, hands over all that it reads, and closes.
func say(c *bridgetest.Conn, data []byte, heard chan<- []byte) {
	defer c.Close()
	c.Write(data)
	c.CloseWrite()
	all, _ := io.ReadAll(c)
	heard <- all
}

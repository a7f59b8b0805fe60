package bridge_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"net"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
)

// echoServer answers each conn with what it got, after the end of it.
func echoServer(t testing.TB) bridge.Addr {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
				c.(*net.TCPConn).CloseWrite()
			}()
		}
	}()
	return bridge.AddrOf(l.Addr())
}

func TestRelayMovesMuchAndMirrorsTheHalfClose(t *testing.T) {
	for name, observer := range map[string]*bridge.Observer{
		"spliced": nil,
		"tapped":  {Tap: func(*bridge.Flow) func(bridge.Side, []byte) { return func(bridge.Side, []byte) {} }},
	} {
		t.Run(name, func(t *testing.T) {
			out := make(chan bridge.Outcome, 1)
			p := &bridge.Proxy{
				Handler:  bridge.Chain(),
				Hop:      bridge.FixedHop(echoServer(t)),
				Observer: bridge.Observers(observer, &bridge.Observer{Close: func(_ *bridge.Flow, o bridge.Outcome) { out <- o }}),
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			go p.Serve(context.Background(), l)
			defer p.Shutdown(context.Background())
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			sent := make([]byte, 8<<20)
			rand.Read(sent)
			go func() {
				c.Write(sent)
				c.(*net.TCPConn).CloseWrite()
			}()
			got, err := io.ReadAll(c)
			if err != nil || !bytes.Equal(got, sent) {
				t.Fatalf("got %d bytes, %v; want the %d that were sent", len(got), err, len(sent))
			}
			if o := <-out; o.Reason != bridge.EOF || o.EndedBy != bridge.ByClient {
				t.Errorf("outcome %+v, want eof by client", o)
			}
		})
	}
}

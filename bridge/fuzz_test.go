package bridge_test

import (
	"bytes"
	"io"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
)

// FuzzRelay holds transparency: whatever the peers say, in whichever pieces, comes out as it went in, through a chain
// without layers and through one whose layer understands it or not.
func FuzzRelay(f *testing.F) {
	f.Add([]byte(nil), []byte(nil), uint8(0))
	f.Add([]byte("EHLO client\n"), []byte("250 server\n"), uint8(1))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), []byte("no line!"), uint8(3))
	f.Add(bytes.Repeat([]byte("0123456789"), 2000), []byte("out of turn\n"), uint8(200))
	f.Add([]byte("no line"), bytes.Repeat([]byte("\x00\xff\n"), 30_000), uint8(255))
	f.Fuzz(func(t *testing.T, client, server []byte, chunk uint8) {
		for _, h := range []bridge.Handler{bridge.Chain(), bridge.Chain(asks(true))} {
			synctest.Test(t, func(t *testing.T) {
				c := inMemory(t)
				c.accepted.(*bridgetest.Conn).SetFaults(bridgetest.Faults{MaxRead: int(chunk)})
				out := c.serve(t, h)
				var got [2][]byte
				var peers sync.WaitGroup
				for i, p := range []*bridgetest.Conn{c.client.(*bridgetest.Conn), c.server.(*bridgetest.Conn)} {
					peers.Go(func() {
						p.Write([][]byte{client, server}[i])
						p.CloseWrite()
					})
					peers.Go(func() { got[i], _ = io.ReadAll(p) })
				}
				peers.Wait()
				if o := <-out; o.Reason != bridge.EOF {
					t.Errorf("outcome %s by %s: %v", o.Reason, o.EndedBy, o.Err)
				}
				c.client.Close()
				c.server.Close()
				if !bytes.Equal(got[1], client) || !bytes.Equal(got[0], server) {
					t.Errorf("the server got %q of %q, and the client %q of %q", got[1], client, got[0], server)
				}
			})
		}
	})
}

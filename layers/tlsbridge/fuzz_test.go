package tlsbridge

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
)

// FuzzRelayHello puts mutated hellos of real clients through the whole layer, in front
// of a server that takes whatever crypto/tls takes. No panic may come out of it, and the
// flow ends soon after its client has left.
func FuzzRelayHello(f *testing.F) {
	for _, hello := range realHellos(f) {
		f.Add(hello)
	}
	f.Add(append(helloOf(f, known()), "GET / HTTP/1.1\r\n\r\n"...))
	f.Add([]byte(sslv2Hello))
	config := &tls.Config{
		Certificates: []tls.Certificate{*certificate("ECDSA"), *certificate("RSA")},
		MinVersion:   tls.VersionTLS10, CipherSuites: allSuites(), NextProtos: []string{"h2", "http/1.1", "foo"},
	}
	handler := relayed()
	f.Fuzz(func(t *testing.T, hello []byte) {
		testHello(t, handler, config, hello[:min(len(hello), 80<<10)])
	})
}

// testHello has one client that sends hello, waits a little for an answer, and leaves.
func testHello(t *testing.T, handler bridge.Handler, config *tls.Config, hello []byte) {
	const moment = 100 * time.Millisecond
	var servers sync.WaitGroup
	p := &bridge.Proxy{
		Handler: handler,
		Hop:     bridge.FixedHop(bridge.Addr{Host: "192.0.2.1", Port: 443}),
		Limits:  bridge.Limits{Turn: moment, Drain: moment},
		Dial: func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) {
			near, far := bridgetest.Pipe(1 << 20)
			servers.Go(func() {
				defer far.Close()
				s := tls.Server(far, config)
				io.Copy(io.Discard, s)
				s.CloseWrite()
			})
			return near, nil
		},
	}
	client, near := bridgetest.Pipe(1 << 20)
	ended := make(chan bridge.Outcome, 1)
	go func() { ended <- p.ServeConn(context.Background(), near) }()
	client.Write(hello)
	client.SetReadDeadline(time.Now().Add(moment))
	client.Read(make([]byte, 1))
	client.Close()
	select {
	case out := <-ended:
		if out.Reason == bridge.Panic {
			t.Errorf("outcome %+v", out)
		}
	case <-time.After(patience):
		t.Fatal("the flow does not end")
	}
	servers.Wait()
}

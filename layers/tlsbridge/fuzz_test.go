package tlsbridge

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
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

// TestMutatedHellosEndTheirFlowsAlone is FuzzRelayHello without chance: the engine's
// mutations find most of their time lost where handshakes with fresh keys look new.
func TestMutatedHellosEndTheirFlowsAlone(t *testing.T) {
	bridgetest.Baseline(t)
	config := &tls.Config{
		Certificates: []tls.Certificate{*certificate("ECDSA"), *certificate("RSA")},
		MinVersion:   tls.VersionTLS10, CipherSuites: allSuites(), NextProtos: []string{"h2", "http/1.1", "foo"},
	}
	handler, hellos := relayed(), realHellos(t)
	random := rand.New(rand.NewPCG(1, 2))
	var flows sync.WaitGroup
	running := make(chan struct{}, 8)
	for _, name := range slices.Sorted(maps.Keys(hellos)) {
		for range 20 {
			hello := mutated(random, hellos[name])
			running <- struct{}{}
			flows.Go(func() {
				testHello(t, handler, config, hello)
				<-running
			})
		}
	}
	flows.Wait()
}

// mutated returns hello with a few bytes changed, or a piece of it left out or doubled.
func mutated(random *rand.Rand, hello []byte) []byte {
	out := bytes.Clone(hello)
	for range 1 + random.IntN(4) {
		i := random.IntN(len(out))
		n := min(random.IntN(16), len(out)-i)
		switch random.IntN(6) {
		case 0:
			out = slices.Delete(out, i, i+n)
		case 1:
			out = slices.Insert(out, i, out[i:i+n]...)
		default:
			out[i] = byte(random.IntN(256))
		}
	}
	return out
}

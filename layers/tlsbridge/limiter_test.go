package tlsbridge

import (
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
)

func TestWhoWaitsForAPeerHoldsNoSlot(t *testing.T) {
	bridgetest.Baseline(t)
	silent := serveTCP(t, func(c *net.TCPConn) { io.Copy(io.Discard, c) })
	addr, _ := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{*certificate("ECDSA")}})
	handler := bridge.Chain(Relay(Config{Minter: copying{}, Limiter: NewLimiter(1)}))
	stalled := newLab(t, handler, silent, bridge.Limits{})
	var waiting []*net.TCPConn
	for range 4 {
		c := stalled.dial(t)
		c.Write(helloOf(t, known()))
		waiting = append(waiting, c)
	}
	l := newLab(t, handler, addr, bridge.Limits{})
	for range 4 {
		roundtrip(t, tls.Client(l.dial(t), clientConfig()))
		l.ends(t)
	}
	for _, c := range waiting {
		c.Close()
		stalled.ends(t)
	}
}

func TestWhoWaitsForASlotDoesSoInsideOfItsDeadline(t *testing.T) {
	bridgetest.Baseline(t)
	limiter := NewLimiter(1)
	if !limiter.acquire(nil) {
		t.Fatal("no slot")
	}
	addr := serveTCP(t, func(c *net.TCPConn) { io.Copy(io.Discard, c) })
	l := newLab(t, bridge.Chain(Relay(Config{Minter: copying{}, Limiter: limiter})), addr, bridge.Limits{Turn: 50 * time.Millisecond})
	c := l.dial(t)
	c.Write(helloOf(t, known()))
	if got, err := io.ReadAll(c); len(got) != 0 || err != nil {
		t.Errorf("the client got %x, %v; want a FIN", got, err)
	}
	c.Close()
	if _, out := l.ends(t); out.Reason != bridge.Timeout {
		t.Errorf("outcome %+v, want timeout", out)
	}
}

func TestALimiterHasFourSlotsForEachProcessorByDefault(t *testing.T) {
	limiter := NewLimiter(0)
	for range 4 * runtime.GOMAXPROCS(0) {
		limiter.acquire(nil)
	}
	done := make(chan struct{})
	close(done)
	if limiter.acquire(done) {
		t.Error("there is one more")
	}
}

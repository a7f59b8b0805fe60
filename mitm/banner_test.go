package mitm_test

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/mitm"
	"github.com/bridgeio/bridgeio/mitm/ca"
)

const banner = "220 mail.example.test ESMTP Postfix (Debian/GNU)\r\n"

// greet greets whoever comes, until the listener is closed.
func greet(l net.Listener, done chan<- struct{}) {
	defer close(done)
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		io.WriteString(c, banner)
		c.Close()
	}
}

// BenchmarkBanner is the time from a client's dial to the whole greeting of a server that speaks first, through us.
// Beside each is one of the server itself: µs-direct is what that takes, µs-more what we add.
func BenchmarkBanner(b *testing.B) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	greeted := make(chan struct{})
	go greet(server, greeted)
	authority, err := ca.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	m, err := mitm.New(mitm.Config{Listen: []string{"127.0.0.1:0"}, Connect: bridge.AddrOf(server.Addr()), CA: authority})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error)
	go func() { served <- m.Serve(ctx) }()
	b.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			b.Error(err)
		}
		server.Close()
		<-greeted
		authority.Close()
	})

	ask := func(addr string) time.Duration {
		began := time.Now()
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		got := make([]byte, len(banner))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != banner {
			b.Fatalf("%q, %v", got, err)
		}
		return time.Since(began)
	}
	through := m.Listening()[0].Addr.String()
	var direct, ours time.Duration
	b.ReportAllocs()
	for b.Loop() {
		ours += ask(through)
		direct += ask(server.Addr().String())
	}
	n := float64(b.N)
	b.ReportMetric(float64(direct.Microseconds())/n, "µs-direct")
	b.ReportMetric(float64((ours-direct).Microseconds())/n, "µs-more")
}

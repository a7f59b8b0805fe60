package interop

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// Clients beyond the limit wait in the kernel's queue, and are served when there is room.
func TestFlowsBeyondTheLimitWaitAndAreServed(t *testing.T) {
	const limit, crowd = 50, 300
	m := startMitm(t, "--listen", "127.0.0.1:0", "--max-flows", "50")
	m.serveHalf(t)
	before := m.descriptors(t)
	var all [crowd]*caller
	for i := range all {
		all[i] = call(t, m.addrs[0])
		all[i].say("\x05\x02\x00") // half of a greeting
	}
	m.eventually(t, "as many flows as may be", func() bool { return m.descriptors(t) >= before+limit })
	late := call(t, m.addrs[0])
	late.say("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if got := m.descriptors(t); got > before+limit {
		t.Errorf("%d descriptors for %d flows", got-before, limit)
	}
	for _, c := range all {
		c.Close()
	}
	if got := late.hearLine(); !strings.HasPrefix(got, "HTTP/1.1 421 ") {
		t.Errorf("the one that waited was answered %q", got)
	}
	late.Close()
	m.ended(t, late, "desync")
	m.settles(t, before)
}

// serveHalf warms the process up: what it opens once for all is open.
func (m *mitm) serveHalf(t *testing.T) {
	t.Helper()
	c := call(t, m.addrs[0])
	c.say("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	c.end()
	c.Close()
	m.flowsOf(t, c)
}

func TestABurstOfClients(t *testing.T) {
	const burst = 500
	m := startMitm(t, "--listen", "127.0.0.1:0")
	m.serveHalf(t)
	before := m.descriptors(t)
	var all sync.WaitGroup
	for range burst {
		c := call(t, m.addrs[0])
		all.Go(func() {
			c.say("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			if got := c.end(); !strings.HasPrefix(got, "HTTP/1.1 421 ") {
				t.Errorf("answered %.40q", got)
			}
			c.Close()
		})
	}
	all.Wait()
	m.flows(t, burst+1)
	m.settles(t, before)
}

// plain builds mitm, once, without the race detector, which takes memory of its own.
var plain = sync.OnceValues(func() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	file := filepath.Join(binaries(), "mitm-plain")
	return file, peers.BuildMitm(ctx, file, false)
})

// What a client makes us keep is what it has sent, twice at most and some stack, and it
// is given back: a second crowd takes no more than the first.
func TestMemoryIsBoundedByWhatClientsSend(t *testing.T) {
	file, err := plain()
	if err != nil {
		t.Fatal(err)
	}
	const crowd, each = 1000, 60 << 10
	m := startMitmAs(t, func(p peers.Program) peers.Program { p.Name = file; return p }, "--listen", "127.0.0.1:0", "--max-flows", "1000")
	m.serveHalf(t)
	half := bigHello(each)
	half = half[:len(half)-1]
	before, descriptors := m.rss(t), m.descriptors(t)
	var first int64
	for round := range 3 {
		var all [crowd]*caller
		for i := range all {
			all[i] = call(t, m.addrs[0])
			all[i].say(half)
		}
		m.eventually(t, "all are being served", func() bool { return m.descriptors(t) >= descriptors+crowd })
		grown := m.rss(t) - before
		for _, c := range all {
			c.reset()
		}
		m.settles(t, descriptors)
		t.Logf("%d clients with %d KiB each: %d KiB more", crowd, each>>10, grown>>10)
		if limit := int64(crowd * (2*each + 64<<10)); grown > limit {
			t.Errorf("round %d: %d KiB more, want at most %d", round, grown>>10, limit>>10)
		}
		if round == 0 {
			first = grown
		} else if grown > 2*first {
			t.Errorf("round %d: %d KiB more, and in the first one %d", round, grown>>10, first>>10)
		}
	}
}

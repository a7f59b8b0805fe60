package main

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// A scale says how much each load does.
type scale struct {
	Rounds     int   // that count; one more, smaller, comes first and does not
	Bytes      int64 // of a relay
	Conns      int   // that are opened and closed
	Requests   int
	Handshakes int    // of TLS
	Names      int    // of servers, at a time
	Flows      [3]int // that are idle at once: few, more, many
	Looks      int    // at memory that does not change, until it counts
}

var (
	whole   = scale{Rounds: 5, Bytes: 512 << 20, Conns: 2400, Requests: 6400, Handshakes: 320, Names: 5000, Flows: [3]int{1000, 4000, mostFlows}, Looks: 8}
	quickly = scale{Rounds: 1, Bytes: 32 << 20, Conns: 160, Requests: 320, Handshakes: 24, Names: 50, Flows: [3]int{100, 150, 200}, Looks: 1}
)

// mostFlows is the most that are open at once. Both of their ends are ours, two
// descriptors each, and 20,000 is a common limit.
const mostFlows = 9500

// warmUp is the scale of the round that does not count: what is done once, and what
// grows until it fits, is done then.
func (s scale) warmUp() scale {
	s.Bytes, s.Conns, s.Requests, s.Handshakes = s.Bytes/4, s.Conns/4, s.Requests/4, s.Handshakes/4
	return s
}

const (
	tlsAtOnce   = 8 // handshakes
	smallAnswer = 128
	smallBuffer = 256
	largeBuffer = 256 << 10
)

// A load puts a proxy to work and returns one value for each metric of its workload.
type load func(ctx context.Context, t *target, s scale) ([]float64, error)

// cpuOf returns the CPU time that the proxy spends on f and on what follows from it.
func (t *target) cpuOf(ctx context.Context, f func() error) (time.Duration, error) {
	before, err := t.usage.settled(ctx)
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := t.usage.settled(ctx)
	return after - before, err
}

// drained waits until the proxy has closed every connection to the origin.
func (t *target) drained(ctx context.Context) error {
	open := 0
	err := poll(ctx, time.Millisecond, 10*time.Second, func() (bool, error) {
		var err error
		open, err = t.origin.state()
		return open == 0, err
	})
	if err == nil && open > 0 {
		return fmt.Errorf("%d connections to the origin are still open", open)
	}
	return err
}

// relay moves bytes from the origin to the client over several connections at once.
// Its value is CPU seconds per gibibyte.
func relay(conns int) load {
	return func(ctx context.Context, t *target, s scale) ([]float64, error) {
		clients, err := t.dialAll(ctx, conns, largeBuffer)
		defer closeAll(clients)
		if err != nil {
			return nil, err
		}
		each := s.Bytes / int64(conns)
		cpu, err := t.cpuOf(ctx, func() error {
			return inParallel(clients, func(c *client) error { return c.ask(each) })
		})
		if err != nil {
			return nil, err
		}
		closeAll(clients)
		return []float64{cpu.Seconds() / (float64(each) * float64(conns) / (1 << 30))}, t.drained(ctx)
	}
}

// connections opens a connection, asks one small thing and closes it, and so on, 16 at
// once. Its value is CPU milliseconds per connection.
func connections(ctx context.Context, t *target, s scale) ([]float64, error) {
	cpu, err := t.cpuOf(ctx, func() error { return t.visit(ctx, 16, s.Conns) })
	return []float64{milliseconds(cpu) / float64(s.Conns)}, err
}

// handshakes is the same over TLS, which is why there are fewer. Its values are CPU
// milliseconds per connection, and connections per second with everything on the same
// processors.
func handshakes(ctx context.Context, t *target, s scale) ([]float64, error) {
	var took time.Duration
	cpu, err := t.cpuOf(ctx, func() error {
		began := time.Now()
		err := t.visit(ctx, tlsAtOnce, s.Handshakes)
		took = time.Since(began)
		return err
	})
	return []float64{milliseconds(cpu) / float64(s.Handshakes), float64(s.Handshakes) / took.Seconds()}, err
}

// visit makes n connections, so many at once, each with one small request.
func (t *target) visit(ctx context.Context, atOnce, n int) error {
	return t.visitEach(ctx, atOnce, n, func(int) string { return serverName })
}

// visitEach is the same with an origin of its own name for each connection.
func (t *target) visitEach(ctx context.Context, atOnce, n int, name func(i int) string) error {
	var begun atomic.Int64
	var g errgroup.Group
	for range atOnce {
		g.Go(func() error {
			for i := int(begun.Add(1)); i <= n; i = int(begun.Add(1)) {
				c, err := t.dialName(ctx, name(i), smallBuffer)
				if err != nil {
					return err
				}
				err = c.askSmall()
				c.Close()
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return t.drained(ctx)
}

// latency asks small things one after the other over one connection. Its value is the
// median of the time until the answer is there, in microseconds.
func latency(ctx context.Context, t *target, s scale) ([]float64, error) {
	c, err := t.dial(ctx, smallBuffer)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	took := make([]float64, s.Requests)
	for i := range took {
		began := time.Now()
		if err := c.ask(smallAnswer); err != nil {
			return nil, err
		}
		took[i] = float64(time.Since(began)) / float64(time.Microsecond)
	}
	c.Close()
	return []float64{median(took)}, t.drained(ctx)
}

// requests asks small things over several connections at once. Its value is CPU
// microseconds per request.
func requests(conns int) load {
	return func(ctx context.Context, t *target, s scale) ([]float64, error) {
		clients, err := t.dialAll(ctx, conns, smallBuffer)
		defer closeAll(clients)
		if err != nil {
			return nil, err
		}
		each := s.Requests / conns
		cpu, err := t.cpuOf(ctx, func() error {
			return inParallel(clients, func(c *client) error {
				for range each {
					if err := c.ask(smallAnswer); err != nil {
						return err
					}
				}
				return nil
			})
		})
		if err != nil {
			return nil, err
		}
		closeAll(clients)
		return []float64{milliseconds(cpu) * 1000 / float64(each*conns)}, t.drained(ctx)
	}
}

// idle opens flows that fall silent after one small request, and weighs the proxy. Its
// values are KiB and descriptors per flow, beyond those of the proxy without any.
func idle(size int) load {
	return func(ctx context.Context, t *target, s scale) ([]float64, error) {
		n := s.Flows[size]
		if err := t.visit(ctx, 16, 64); err != nil {
			return nil, err
		}
		before, err := t.weigh(ctx, s.Looks)
		if err != nil {
			return nil, err
		}
		clients, err := t.dialAll(ctx, n, smallBuffer)
		defer closeAll(clients)
		if err != nil {
			return nil, err
		}
		after, err := t.weigh(ctx, s.Looks)
		if err != nil {
			return nil, err
		}
		// A flow that the proxy has given up weighs nothing.
		if err := inParallel(clients, (*client).askSmall); err != nil {
			return nil, err
		}
		closeAll(clients)
		flows := float64(n)
		return []float64{
			float64(after.memory-before.memory) / 1024 / flows,
			float64(after.descriptors-before.descriptors) / flows,
		}, t.drained(ctx)
	}
}

// weight is what a proxy holds.
type weight struct{ memory, descriptors int64 }

func (t *target) weigh(ctx context.Context, looks int) (weight, error) {
	memory, err := t.usage.settledMemory(ctx, looks)
	if err != nil {
		return weight{}, err
	}
	descriptors, err := t.usage.descriptors()
	return weight{memory, descriptors}, err
}

// dialAll opens n clients, each with a small request made. The caller closes those it
// returns, also with an error.
func (t *target) dialAll(ctx context.Context, n, buffer int) ([]*client, error) {
	clients := make([]*client, n)
	var g errgroup.Group
	g.SetLimit(16)
	for i := range clients {
		g.Go(func() error {
			c, err := t.dial(ctx, buffer)
			if err != nil {
				return err
			}
			clients[i] = c
			return c.askSmall()
		})
	}
	err := g.Wait()
	clients = slices.DeleteFunc(clients, func(c *client) bool { return c == nil })
	return clients, err
}

func (c *client) askSmall() error { return c.ask(smallAnswer) }

// inParallel calls f for each of the clients at once.
func inParallel(clients []*client, f func(*client) error) error {
	var g errgroup.Group
	for _, c := range clients {
		g.Go(func() error { return f(c) })
	}
	return g.Wait()
}

func closeAll(clients []*client) {
	for _, c := range clients {
		c.Close()
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// A workload is a load, who is put under it, and what is to be said about the result.
type workload struct {
	name       string
	load       load
	metrics    []metric
	front      front
	hello      hello       // what the client's TLS begins with; "": none
	group      tls.CurveID // of its key exchange; 0: X25519, which all programs have
	anyName    bool        // the origin has every name, and a certificate for each
	fresh      bool        // each round starts the programs anew, one at a time
	rounds     int         // at most; 0: as many as the scale says
	contenders []contender
}

// A metric is what one value of a load means.
type metric struct {
	unit   string
	versus string // the contender that ratios are to
	aims   []aim
}

// An aim is what one of our own programs is to keep to. Where versus is empty the
// bound is one on the value itself.
type aim struct {
	Of     string  `json:"of"`
	Versus string  `json:"versus,omitempty"`
	AtMost float64 `json:"at_most"`
}

// workloads returns all there are. The bounds are the project's first aims.
func workloads() []workload {
	relayed := []contender{automatic(), role(nameLibrary, roleBridge), role(namePlain, roleCopy), haproxy(nameHAProxy, peers.HAProxyConfig{Flows: mostFlows + 100}), nginx()}
	spliced := append(relayed[:len(relayed):len(relayed)], haproxy(nameSplicing, peers.HAProxyConfig{Splice: true}))
	crowd := append(relayed[:2:2], relayed[3:]...) // io.Copy holds six descriptors a flow: too many
	balancer := func(unit string, atMost float64) []metric {
		return []metric{{unit, nameHAProxy, []aim{{nameMitm, nameHAProxy, atMost}, {nameLibrary, nameHAProxy, atMost}}}}
	}
	idleFlow := []metric{
		{"KiB per idle flow", nameHAProxy, []aim{{Of: nameMitm, AtMost: 10}, {Of: nameLibrary, AtMost: 10}}},
		{"descriptors per idle flow", "", []aim{{Of: nameMitm, AtMost: 2}, {Of: nameLibrary, AtMost: 2}}},
	}
	const perConn, perRequest, perGiB = "CPU-ms per connection", "CPU-µs per request", "CPU-s per GiB"
	plain := []workload{
		{name: "relay, 1 connection", load: relay(1), front: direct, contenders: spliced, metrics: balancer(perGiB, .55)},
		{name: "relay, 16 connections", load: relay(16), front: direct, contenders: spliced, metrics: balancer(perGiB, .40)},
		{
			name: "accept, dial, one request, close", load: connections, front: direct, contenders: relayed,
			metrics: []metric{{unit: perConn, versus: nameHAProxy}},
		},
		{
			name: "the same through SOCKS5", load: connections, front: socks5,
			contenders: []contender{fronted(nameMitm, "--socks", "127.0.0.1,0"), fronted(nameAutomatic, "--listen", "127.0.0.1:0"), role(nameLibrary, roleSOCKS), role(namePlain, roleCopySOCKS), microsocks()},
			metrics:    []metric{{perConn, nameMicrosocks, []aim{{nameMitm, nameMicrosocks, .95}}}},
		},
		{
			name: "the same through CONNECT", load: connections, front: httpConnect,
			contenders: []contender{fronted(nameMitm, "--httpconnect", "127.0.0.1,0"), fronted(nameAutomatic, "--listen", "127.0.0.1:0"), role(nameLibrary, roleConnect), role(namePlain, roleCopyConnect), tinyproxy()},
			metrics:    []metric{{perConn, nameTinyproxy, []aim{{nameMitm, nameTinyproxy, .90}}}},
		},
		{
			name: "one small request, 1 connection", load: latency, front: direct, contenders: relayed,
			metrics: balancer("µs until the answer, p50", 1.4),
		},
		{name: "small requests, 32 connections", load: requests(32), front: direct, contenders: relayed, metrics: balancer(perRequest, 1.3)},
		{name: "idle, 1000 flows", load: idle(0), front: direct, fresh: true, rounds: 2, contenders: relayed, metrics: idleFlow},
		{name: "idle, 9500 flows", load: idle(2), front: direct, fresh: true, rounds: 2, contenders: crowd, metrics: idleFlow},
	}
	return slices.Concat(plain, bridged(), captured())
}

// without leaves out the contenders whose names match, and aims that are relative to one
// of them. Nil matches none.
func (w workload) without(name *regexp.Regexp) workload {
	if name == nil {
		return w
	}
	absent := func(contender string) bool { return contender != "" && name.MatchString(contender) }
	w.contenders = slices.DeleteFunc(slices.Clone(w.contenders), func(c contender) bool { return absent(c.name) })
	w.metrics = slices.Clone(w.metrics)
	for i, m := range w.metrics {
		if absent(m.versus) {
			w.metrics[i].versus = ""
		}
		w.metrics[i].aims = slices.DeleteFunc(slices.Clone(m.aims), func(a aim) bool { return absent(a.Of) || absent(a.Versus) })
	}
	return w
}

// fronted is our own command behind one flag, which dials where the client says.
func fronted(name string, flags ...string) contender {
	return ours(name, func(*lab, string) []string { return flags[:len(flags):len(flags)] })
}

// measure puts the contenders under the load, round after round, and returns a table
// for each metric.
func (w workload) measure(ctx context.Context, l *lab, s scale) ([]*table, error) {
	if w.rounds > 0 {
		s.Rounds = min(s.Rounds, w.rounds)
	}
	values := make([][][]float64, len(w.metrics)) // by metric, contender and round
	for m := range values {
		values[m] = make([][]float64, len(w.contenders))
	}
	keep := func(contender int, got []float64) {
		for m, v := range got {
			values[m][contender] = append(values[m][contender], v)
		}
	}
	rounds := w.together
	if w.fresh {
		rounds = w.oneByOne
	}
	if err := rounds(ctx, l, s, keep); err != nil {
		return nil, err
	}
	tables := make([]*table, len(w.metrics))
	for m, metric := range w.metrics {
		tables[m] = newTable(w, metric, values[m])
	}
	return tables, nil
}

// together lets all contenders run for all of the time.
func (w workload) together(ctx context.Context, l *lab, s scale, keep func(int, []float64)) error {
	var stands []*stand
	defer func() {
		for _, st := range stands {
			st.close()
		}
	}()
	for _, c := range w.contenders {
		st, err := w.set(ctx, l, c)
		if err != nil {
			return err
		}
		stands = append(stands, st)
	}
	for round := range 1 + s.Rounds {
		for i, st := range stands {
			if round == 0 {
				if _, err := st.run(ctx, w.load, s.warmUp()); err != nil {
					return err
				}
				continue
			}
			got, err := st.run(ctx, w.load, s)
			if err != nil {
				return err
			}
			keep(i, got)
		}
	}
	return nil
}

// oneByOne starts each contender for each round.
func (w workload) oneByOne(ctx context.Context, l *lab, s scale, keep func(int, []float64)) error {
	for range s.Rounds {
		for i, c := range w.contenders {
			st, err := w.set(ctx, l, c)
			if err != nil {
				return err
			}
			got, err := st.run(ctx, w.load, s)
			st.close()
			if err != nil {
				return err
			}
			keep(i, got)
		}
	}
	return nil
}

// A stand is a contender that runs, with an origin of its own.
type stand struct {
	contender contender
	target    *target
	running   *running
}

// set starts an origin and, in front of it, a contender.
func (w workload) set(ctx context.Context, l *lab, c contender) (*stand, error) {
	t := &target{front: w.front}
	var config *tls.Config
	var err error
	if w.hello != "" {
		group := cmp.Or(w.group, tls.X25519)
		if config = l.certs.originConfig(group); w.anyName {
			config = l.certs.anyName(group)
		}
		record, err := l.readHello(w.hello)
		if err != nil {
			return nil, err
		}
		t.shake = l.certs.shake(record, group, c.itsOwn)
	}
	if t.origin, err = newOrigin(l.pattern, config); err != nil {
		return nil, err
	}
	r, err := c.start(ctx, l, t.origin.addr())
	if err != nil {
		t.origin.close()
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	t.proxy, t.usage = r.addr, account(r.process.Pid())
	return &stand{c, t, r}, nil
}

// run puts the contender under the load once.
func (s *stand) run(ctx context.Context, load load, sc scale) ([]float64, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, loadTimeout, errLoadTimeout)
	defer cancel()
	if s.contender.load != nil {
		load = s.contender.load
	}
	values, err := load(ctx, s.target, sc)
	if err != nil && ctx.Err() != nil {
		err = errors.Join(context.Cause(ctx), err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", s.contender.name, err, tail(s.running.process.Logs()))
	}
	return values, nil
}

var errLoadTimeout = errors.New("a load took over three minutes")

// tail keeps the end of what a program said, which tells most.
func tail(logs string) string {
	const most = 4 << 10
	if len(logs) > most {
		return "…" + logs[len(logs)-most:]
	}
	return logs
}

func (s *stand) close() {
	s.running.stop()
	s.target.origin.close()
}

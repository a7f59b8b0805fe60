package main

import (
	"context"
	"time"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// Names of contenders that capture what they decrypt.
const (
	nameToNull = "mitm -w /dev/null"
	nameToDisk = "mitm -w FILE"
)

// segment is what a packet of a capture carries of a long write.
const segment = 1460

// captured returns the workloads that say what capturing costs: mitm beside itself.
func captured() []workload {
	contenders := []contender{
		automatic(),
		automaticWith(nameToNull, "-w", "/dev/null"),
		automaticWith(nameToDisk, "-w", peers.Here+"/t.pcap"),
	}
	besides := func(unit string, atMost float64) metric {
		return metric{unit, nameMitm, []aim{{nameToNull, nameMitm, atMost}, {nameToDisk, nameMitm, atMost}}}
	}
	return []workload{
		{
			name: "captured TLS relay, 8 connections", load: segments(8), front: direct, hello: helloGo, contenders: contenders,
			metrics: []metric{besides("CPU-s per GiB", 1.5), {unit: "thousand segments of 1460 bytes per second", versus: nameMitm}},
		},
		{
			name: "captured small request, 1 connection", load: latency, front: direct, hello: helloGo, contenders: contenders,
			metrics: []metric{besides("µs until the answer, p50", 1.05)},
		},
		{
			name: "captured small requests, 32 connections", load: requests(32), front: direct, hello: helloGo, contenders: contenders,
			metrics: []metric{{unit: "CPU-µs per request", versus: nameMitm}},
		},
	}
}

// segments is relay with a second value: how many segments' worth it has moved in a
// second, in thousands, with everything on the same processors.
func segments(conns int) load {
	return func(ctx context.Context, t *target, s scale) ([]float64, error) {
		began := time.Now()
		values, err := relay(conns)(ctx, t, s)
		if err != nil {
			return nil, err
		}
		return append(values, float64(s.Bytes)/segment/1000/time.Since(began).Seconds()), nil
	}
}

package main

import (
	"crypto/tls"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// bridged returns the workloads of TLS, which each program decrypts and encrypts again.
func bridged() []workload {
	bridge, plain := role(nameLibrary, roleRelay), role(namePlain, roleCopyTLS)
	balancer := haproxyTLS(nameHAProxy, "")
	everybody := []contender{
		automatic(), automaticWith(nameIgnoring, "--verify", "ignore"), bridge, plain, balancer,
		haproxyTLS(nameNoReuse, "no-ssl-reuse"), nginxTLS(),
		sslsplit(nameSSLsplit), sslsplit(nameSSLsplitP256, "-K", peers.Here+"/leaf.key"),
		mitmproxy(nameMitmproxy, false), mitmproxy(nameMitmproxyP256, true),
	}
	handshake := []metric{
		{"CPU-ms per handshake", nameHAProxy, []aim{
			// The others do not verify either.
			{nameIgnoring, nameHAProxy, .70},
			{nameIgnoring, nameSSLsplit, .33},
			{nameIgnoring, nameMitmproxy, .12},
		}},
		{unit: "handshakes per second"},
	}
	quiet := []contender{automatic(), bridge, plain, balancer, nginxTLS()}
	relayed := append(quiet[:len(quiet):len(quiet)], sslsplit(nameSSLsplit))
	bulk := []metric{{"CPU-s per GiB", nameHAProxy, []aim{{nameMitm, nameHAProxy, 1}, {nameLibrary, nameHAProxy, 1}}}}
	idleFlow := []metric{
		{"KiB per idle flow", nameHAProxy, []aim{{Of: nameMitm, AtMost: 34}, {Of: nameLibrary, AtMost: 34}}},
		{"descriptors per idle flow", "", []aim{{Of: nameMitm, AtMost: 2}, {Of: nameLibrary, AtMost: 2}}},
	}
	return []workload{
		{
			name: "bridged TLS handshakes, curl's hello", load: handshakes, front: direct, hello: helloCurl,
			contenders: everybody, metrics: handshake,
		},
		{
			name: "bridged TLS handshakes, Chromium's hello", load: handshakes, front: direct, hello: helloChromium,
			contenders: everybody, metrics: handshake,
		},
		insideWorkload("one more handshake inside, curl's hello", helloCurl, tls.X25519, 1.35),
		insideWorkload("one more handshake inside, Chromium's hello", helloChromium, tls.X25519, 1.6),
		insideWorkload("the same with X25519MLKEM768", helloChromium, tls.X25519MLKEM768, 1.6),
		{name: "TLS relay, 1 connection", load: relay(1), front: direct, hello: helloGo, contenders: relayed, metrics: bulk},
		{name: "TLS relay, 8 connections", load: relay(8), front: direct, hello: helloGo, contenders: relayed, metrics: bulk},
		{
			name: "one small request over TLS, 1 connection", load: latency, front: direct, hello: helloGo, contenders: relayed,
			metrics: []metric{{unit: "µs until the answer, p50", versus: nameHAProxy}},
		},
		{
			name: "small requests over TLS, 32 connections", load: requests(32), front: direct, hello: helloGo, contenders: relayed,
			metrics: []metric{{unit: "CPU-µs per request", versus: nameHAProxy}},
		},
		{name: "idle TLS, 1000 flows", load: idle(0), front: direct, hello: helloChromium, fresh: true, rounds: 2, contenders: append(quiet[:len(quiet):len(quiet)], mitmproxy(nameMitmproxy, false)), metrics: idleFlow},
		{name: "idle TLS, 4000 flows", load: idle(1), front: direct, hello: helloChromium, fresh: true, rounds: 2, contenders: quiet, metrics: idleFlow},
		{
			name: "5000 names, four times", load: names, front: direct, hello: helloGo, anyName: true, fresh: true, rounds: 3,
			contenders: []contender{automatic()},
			metrics: []metric{
				{unit: "KiB per name, of the first"},
				{unit: "KiB per name, of the second"},
				{unit: "KiB per name, of the third"},
				{unit: "KiB per name, of the last", aims: []aim{{Of: nameMitm, AtMost: .5}}},
			},
		},
	}
}

// insideWorkload compares what the bridge adds to a handshake with a bare pair.
func insideWorkload(name string, kind hello, group tls.CurveID, atMost float64) workload {
	return workload{
		name: name, front: direct,
		contenders: []contender{inside(nameInside, roleInside, kind, group), inside(nameInsidePlain, roleInsideCopy, kind, group), pair(group)},
		metrics:    []metric{{"CPU-ms per handshake", namePair, []aim{{nameInside, namePair, atMost}}}},
	}
}

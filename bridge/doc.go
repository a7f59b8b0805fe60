// Package bridge pairs a client's stream with a server's stream and relays what
// the two say to each other, message by message.
//
// A [Bridge] has two sides. The client side was accepted; the server side is
// dialled when it is first needed, to the bridge's hop. [Layer] values are
// stacked with [Chain]: each relays the handshake of one protocol between the two
// real peers, learns from it, and hands the inner streams to the next layer; the
// last handler is [Relay], which copies until both directions have ended.
//
//	handler := bridge.Chain(
//		socks.Relay(),
//		tlsbridge.Relay(config),
//	)
//	proxy := &bridge.Proxy{Handler: handler, Hop: bridge.FixedHop(bridge.Addr{Host: "192.0.2.1", Port: 1080})}
//	err := proxy.Serve(ctx, listener)
//
// # Turns
//
// A layer is a straight list of turns. [Expect] waits until a pure [Parser] finds
// a whole message at the start of one side's buffer; [Turn] also passes it on. They
// are the one place that waits, bounds, times out and watches the silent side.
// What the parser does not understand is a [Desync]; since a relayed message is
// passed on exactly as it came, Chain can then stop parsing and go on as a raw
// relay without anything being lost.
//
// What we speak with the server alone, to be brought to the hop, is no layer but a
// wrapper around the DialFunc: [Originate] makes one of a handshake.
//
// # Two addresses
//
// The hop is where the server side is, or will be, connected. The target is the
// innermost destination that any layer learnt; it is for names, certificates,
// policy and logs, and is never dialled. After a relayed SOCKS5 CONNECT to
// example.com the target is example.com, and the hop is still the SOCKS server.
//
// # Concurrency
//
// A Bridge and its Streams belong to one goroutine at a time, and a Stream has at
// most one reader at any time. A [Flow] is safe for concurrent use.
//
// The package imports only the standard library. It knows no protocol.
package bridge

// Package proxyproto terminates, relays and originates the header of the PROXY protocol, versions 1 and 2, as a layer of
// a bridge.
//
// The header stands once at the beginning of a connection and says whose connection it was at the balancer before us.
// [Terminate] takes it off; [Relay] passes it on to a server that wants it, too. Both stand outermost in a chain:
//
//	balancers := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/28")}
//	handler := bridge.Chain(proxyproto.Terminate(proxyproto.Config{Trust: balancers}), rest)
//
// Whoever may send a header may claim any address. So it is read from configured sources only: those of Config.Trust
// must send one, those of Config.Auto may. From all others, and a second time on the same connection, nothing is
// read. A header that is broken, cut off or late ends the flow, and is never taken for payload: the layers are Closed.
// Nothing is ever sent to the sender.
//
// The frame is "proxy1" or "proxy2", with the client's address as Src, unless the header has none (LOCAL, UNKNOWN, a
// Unix socket), and the whole [*detect.ProxyHeader], all its TLVs included, as Detail.
//
// [Dial] begins connections with a header: with one of its own, or with the one that Terminate has taken off, as it came
// or rewritten (Config.Forward). That is for chains in which the destination is not known at once, and for dialling
// through a proxy.
//
// Package detect parses the header. Here are [AppendHeader], its inverse, and [ParseSSL] for the one TLV that holds
// others, with its inverse.
//
// Specification: HAProxy's "The PROXY protocol, Versions 1 & 2" (proxy-protocol.txt).
package proxyproto

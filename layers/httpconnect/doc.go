// Package httpconnect relays and terminates HTTP CONNECT as layers of a bridge, forwards requests for an HTTP proxy, and
// dials through one.
//
// [Relay] stands between a client and a real HTTP proxy: it passes each head on as it came, learns the destination, and
// hands the tunnel to the next layer once the proxy has said that it stands.
//
//	handler := bridge.Chain(httpconnect.Relay(), tls) // client > us > HTTP proxy > destination
//
// [Terminate] is the HTTP proxy. It dials the destination of a CONNECT itself, and says that the tunnel stands once it
// does; requests in absolute-form ("GET http://example.com/ HTTP/1.1") it forwards, one after the other.
//
//	handler := bridge.Chain(httpconnect.Terminate(httpconnect.Config{}), tls) // client > us > destination
//
// Both push one frame, "connect" or "http", with a [*Handshake] as its Detail.
//
// [Dial] is the client of an HTTP proxy: what the bridge dials, it reaches by CONNECT. On top of a dialler that puts TLS
// on its connections the proxy is an HTTPS proxy.
//
//	proxy := &bridge.Proxy{Handler: handler, Dial: httpconnect.Dial(nil, httpconnect.DialConfig{Proxy: server})}
//
// # Judging
//
// A relay never judges: what it does not understand goes on raw, since both peers get exactly what the other sent. The
// HTTP proxy is a recipient that passes on what it has read, so it refuses every request which another recipient could
// read as a different number of requests, or as one for somebody else (RFC 9112 §11.2), and does not pass on a response
// of which that is true.
//
// # Codec
//
// [ParseResponseHead], [RequestBody] with [ResponseBody], and [AppendAnswer] do no I/O. The request head, the client's
// first message, is parsed by package detect.
//
// # What it does not do
//
// Nothing is cached. A request is passed on as it came but for what is said above, so that what the server sees is the
// client's: no Via field is added, Max-Forwards is not counted down, and a response is not touched at all. CONNECT of
// HTTP/2 (RFC 9113 §8.5) is not spoken. Dial authenticates by Basic, and by nothing else.
//
// Specifications: RFC 9110 (HTTP semantics; CONNECT is §9.3.6), RFC 9112 (HTTP/1.1), RFC 7617 (Basic).
package httpconnect

// Package tlsbridge takes TLS apart between two real peers: it relays it decrypted
// ([Relay]), is the server of it ([Terminate]), or puts it on a server side ([Dial]).
//
//	handler := bridge.Chain(
//		tlsbridge.Relay(tlsbridge.Config{Minter: minter}),
//	)
//
// # Server side first
//
// Relay reads the client's hello and does not answer it. It dials the server and
// completes that handshake, with what the client offers and nothing else; only then
// does it finish the client's, with what the server chose: the same version, ALPN,
// group and, below TLS 1.3, cipher suite, and a certificate that a [Minter] makes
// after the server's own. What was agreed on is a [Snapshot].
//
// So until the server side stands the client has received nothing. When it fails, the
// client sees what it would have seen without us: the server's own alert, its FIN, its
// RST. And when it cannot be bridged for a reason that is ours (the server asks for a
// client certificate, it shows a certificate that Go cannot parse, there are no
// parameters that we know), the flow is rescued: the server is dialled again and the
// very same hello goes through raw.
//
// # Endings
//
// The streams that come out of a handshake tell a goodbye from a truncation (RFC 8446
// section 6.1): close_notify is [bridge.Clean], the end of the transport without it
// [bridge.Cut], a RST [bridge.Reset]; and they end their own direction in each of the
// three ways.
//
// # What it does not do
//
// The hello that the server sees is Go's, not the client's. The TLS 1.3 cipher suite
// is whatever crypto/tls picks for the client. Sessions are not resumed on either
// side, early data and SSLv2 hellos go through raw, and renegotiation is refused.
package tlsbridge

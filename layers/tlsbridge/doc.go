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
// completes that handshake, with the client's own hello; only then does it finish the
// client's, with what the server chose: the same version, ALPN, group and, below TLS 1.3,
// cipher suite, and a certificate that a [Minter] makes after the server's own. What was
// agreed on is a [Snapshot].
//
// So until the server side stands the client has received nothing. When it fails, the
// client sees what it would have seen without us: the server's own alert, its FIN, its
// RST.
//
// # The client's own hello
//
// [Mirror] sends the server the client's hello: every extension, in its order and with its
// bytes. What must be fresh is: the random, the session identifier, the key shares, what is
// random in an ECH that nobody can decrypt. Tickets are left out, or replaced by one that
// the same client got through us; early data is never sent on. JA3 and JA4 are the same on
// both sides, and in the flow's [Info].
//
// A client may offer what the TLS library on our side cannot do. Where a server takes that
// up the handshake fails, and is tried again on another connection with a hello without it;
// that is the Rung of the Info, "faithful" at first. A [Memory] has the next flow begin
// where this one arrived.
//
// # Rescue
//
// When the server side cannot be bridged for a reason that is ours (it wants a client
// certificate, it shows a certificate that Go cannot parse, it knows no parameters that we
// know), the flow is rescued: the server is dialled again and the very same hello goes
// through raw. That is remembered for ten minutes too. [MutualTLS] has other ways with
// servers that ask for a client certificate.
//
// # Clients that refuse
//
// A client that does not accept the minted certificate says so on the wire, often in a way
// that crypto/tls keeps to itself. Config.Refused is told how, as a [Refusal].
//
// # Sessions
//
// [Tickets] lets clients resume their sessions, each bound to the server's certificate and
// to what the client was shown in its place; [Sessions] resumes those with servers, where
// the client itself tries to, and never with another client's ticket.
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
// The TLS 1.3 cipher suite is whatever crypto/tls picks for the client. SSLv2 and SSLv3
// hellos and early data go through raw. Renegotiation is refused. A server that asks for a
// client certificate after the handshake ends the connection; the next one is rescued.
package tlsbridge

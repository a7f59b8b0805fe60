// Package socks relays and terminates SOCKS5, SOCKS4 and SOCKS4A as layers of a bridge.
//
// [Relay] stands between a client and a real SOCKS server: it passes each message on as it came, learns the
// destination, and hands the tunnel to the next layer once the server has said that it stands.
//
//	handler := bridge.Chain(socks.Relay(), tls) // client > us > SOCKS server > destination
//
// [Terminate] is the SOCKS server: it dials the destination itself, and says that the tunnel stands once it does.
//
//	handler := bridge.Chain(socks.Terminate(socks.Config{}), tls) // client > us > destination
//
// Both choose the version by the client's first byte, and push one frame, "socks5" or "socks4", with a
// [*Handshake] as its Detail.
//
// The codec is in functions without I/O: Parse functions take a buffer that may hold too little or too much and
// return the message with its length, [bridge.ErrShort], or a [*detect.MalformedError]; Append functions write the
// message. The client's first message, in both versions, is parsed by package detect.
//
// # What it does not do
//
// A relayed method other than "no authentication" and "user and password", and a relayed command other than
// CONNECT, is passed on raw from where it begins. Terminate serves CONNECT only.
//
// Specifications: RFC 1928 (SOCKS5), RFC 1929 (user and password), the memos "SOCKS: A protocol for TCP proxy
// across firewalls" (SOCKS4) and "SOCKS 4A: A Simple Extension to SOCKS 4 Protocol".
package socks

// Package socks relays and terminates SOCKS5, SOCKS4 and SOCKS4A as layers of a bridge, and dials through them.
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
// [Dial] is the SOCKS client: what the bridge dials, it reaches through a SOCKS server.
//
//	proxy := &bridge.Proxy{Handler: handler, Dial: socks.Dial(nil, socks.DialConfig{Proxy: server})}
//
// The layers choose the version by the client's first byte, and push one frame, "socks5" or "socks4", with a
// [*Handshake] as its Detail.
//
// The codec is in functions without I/O: Parse functions take a buffer that may hold too little or too much and
// return the message with its length, [bridge.ErrShort], or a [*detect.MalformedError]; Append functions write the
// message. The client's first message, in both versions, is parsed by package detect.
//
// # What is relayed
//
// The methods "no authentication", "user and password", and GSSAPI: its messages are passed on one by one until both
// peers have agreed on a protection level. With one, what follows is sealed and goes on raw; with level 00, which is
// not in the RFC and in use all the same, a request follows that can be read.
//
// CONNECT; BIND with both replies, after which whoever has connected is the destination; UDP ASSOCIATE, whose
// datagrams go past us, as the frame's Note says; RESOLVE and RESOLVE_PTR of Tor, whose answer is in the Note. The
// version 4 has CONNECT and BIND.
//
// Behind a BIND either peer may be the TLS client. The next layer can bridge TLS whose client is ours; a ClientHello
// of the one who has connected is passed on, in a frame "tls" of its own with [bridge.VerbPass].
//
// # What it does not do
//
// Other methods and commands are passed on raw from where they begin, and so is what GSSAPI has sealed. The RESOLVE
// that Tor takes in version 4 is not known. Terminate serves CONNECT only, and asks for a password or for nothing; so
// does Dial ask for CONNECT only, with a password or with nothing, and resolves no name for a SOCKS4 server that does
// not know SOCKS4A.
//
// Specifications: RFC 1928 (SOCKS5), RFC 1929 (user and password), RFC 1961 (GSSAPI), the memos "SOCKS: A protocol
// for TCP proxy across firewalls" (SOCKS4) and "SOCKS 4A: A Simple Extension to SOCKS 4 Protocol", and "Tor's
// extensions to the SOCKS protocol" (RESOLVE).
package socks

// Package capture writes what flows carried, decrypted, as packets that Wireshark
// and tcpdump read.
//
//	w, err := capture.Create("flows.pcap", capture.Config{})
//	if err != nil { … }
//	defer w.Close()
//	proxy := &bridge.Proxy{Handler: chain, Observer: w.Observer()}
//
// A [Writer] is an observer. It sees application data only, never a handshake of the
// layers around it, and makes a TCP connection of it that nobody ever sent: the
// client's and the server's real addresses, SYN, SYN-ACK and ACK with the time at which
// the flow began, segments, a FIN exchange when the flow ended in order and a RST when
// it did not. The flows that are written are those in which a layer took encryption
// off; [Config].All adds the others.
//
// # Format
//
// A little-endian pcap file, version 2.4, with microseconds, a snapshot length of 262144
// and link type 1: Ethernet II, IPv4 (RFC 791) or IPv6 (RFC 8200), TCP (RFC 9293), with
// valid checksums and nothing cut off or padded. The client's MAC is
// 02:00:00:11:11:11 and the server's 02:00:00:22:22:22. Where the peers' address
// families differ both are written as IPv6, the IPv4 one mapped (RFC 4291 section
// 2.5.5.2). An address that nobody knows is the unspecified one.
//
// The server is the flow's target where that is an IP address, else the peer of the
// server's socket; the port is the target's. The port of a decrypted flow becomes that
// of the protocol without TLS: 443 is written as 80, 993 as 143.
//
// A write of one peer becomes segments of at most 1460 (IPv4) or 1440 (IPv6) bytes and
// one pure ACK of the other's. Sequence numbers wrap (RFC 9293 section 3.4); the initial
// ones go by the clock (section 3.4.1), so a second flow between the same ports is a
// second conversation to readers. Flows are interleaved as their bytes came. The
// handshake's packets stand where the first byte came, so they are older than the
// packets before them.
//
// # Limits
//
// Observers must not block flows, and memory is bounded: bytes are copied into one
// queue of 64 MiB, which one goroutine writes, at the latest after a second and always
// whole packets at a time. A flow that finds the queue full waits, since a complete
// capture is worth more than a fast one, but at most a second for each write. Then the
// capture gives up on that flow; the flow itself goes on. The gap is marked: an empty
// segment whose sequence number lies past the bytes that were lost ("previous segment
// not captured", to Wireshark), then a RST. It is counted in [Stats] and logged once.
//
// A write that fails, as on a full disk, is that case at once for every flow that moves
// while it lasts, and is logged once. Writing is tried again every second, and flows
// that begin later are captured again.
//
// # What it does not do
//
// It writes one file: it does not rotate, serve captures on the network, or write
// pcapng. It never reads packets from a network.
package capture

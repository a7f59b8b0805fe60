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
// of the protocol without TLS: 443 is written as 80, 993 as 143. [Config].PortMap adds to
// that, and Port comes before it.
//
// A write of one peer becomes segments of at most 1460 (IPv4) or 1440 (IPv6) bytes and
// one pure ACK of the other's. Sequence numbers wrap (RFC 9293 section 3.4); the initial
// ones go by the clock (section 3.4.1), so a second flow between the same ports is a
// second conversation to readers. Flows are interleaved as their bytes came. The
// handshake's packets stand where the first byte came, so they are older than the
// packets before them.
//
// [Config].Cutoff ends what is written of a direction early. What is left out is marked
// before the end of the conversation, by empty segments whose sequence numbers go on.
//
// # pcapng
//
// [PCAPNG] (draft-ietf-opsawg-pcapng) has the same packets, and says more. Before the
// first packet of a flow in each file there are the secrets of its TLS connections
// (Decryption Secrets Block) and the name of its server (Name Resolution Block): that
// which the client asked for, where it is a host's. The first packet of a conversation has a
// comment of words name=value, with those values quoted that have spaces or come from
// the wire with worse: flow, view, client, server, target, path and action as in the
// flow log; sni, alpn, ja3, ja4, server_ja3, server_ja4, rung, ech, server_sha256,
// leaf_sha256, verdict and rule of the innermost TLS. continued=true says that it began
// in an earlier file. What is not known by then, as at the beginning of a socket's view,
// is not in it.
//
// # Views
//
// A PCAPNG can have what was said on the sockets beside what was inside: [ViewClient] and
// [ViewServer], each the conversation of one socket with its real addresses, all headers
// and handshakes, on an interface of its own; the flow's comment links them. What sockets
// carry and the secrets come by a [Wire]; secrets stand before what they decrypt, so that
// one pass over the file does it. A view begins and ends with its socket, so one client's
// socket can carry several flows, and a flow can have several sockets to servers.
//
// Two views of a flow have the same addresses and ports where we are transparent towards
// both sides and no port is mapped; readers that do not tell interfaces apart then take
// them for one conversation. Below SOCKS and CONNECT Wireshark has to be told where TLS is:
// -d tcp.port==8080,tls --disable-heuristic http_tcp.
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
// # Where it goes
//
// [Create] writes one file, [CreateIn] a directory of files that end by time or size,
// with a quota and a floor of free space. [Serve] and [Connect] give the same stream to
// readers on the network, as programs read it from TCP@host:port. Each of these is a
// capture of its own, with its own losses; [bridge.Observers] joins them.
//
// A reader has a Writer to itself, which begins with a header and with the flows that
// show their data from then on. Packets are made anew for each reader: that costs a
// copy and a checksum, about as much as sending them does, and in return a reader that
// joins, loses or leaves concerns no other, and each is in the state of a file of its own:
// what has been named, which keys were told, where a gap must be. What waits for all
// readers together is bounded by 64 MiB.
//
// # What it does not do
//
// It never reads packets from a network. Readers are not asked who they are: what is
// served is what was encrypted, so serve it on loopback, or where every host may see it.
package capture

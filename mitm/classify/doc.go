// Package classify names the protocol of bytes that lie before it: what a peer said first, in a file or in a capture.
// It is what the command's detect does.
//
//	answer := classify.Clients().Identify(data, true)
//	trace := classify.Clients().Trace(data, true) // each detector's way to its verdict
//
//	summary, err := classify.Capture(file, classify.Config{}, func(f classify.Flow) { fmt.Println(f) })
//
// A [Family] is a list of detectors that look at the same side. An [Answer] is what one says of some bytes, a [Trace]
// how it came to say so. [Capture] reads packets, puts the first bytes of each direction of each flow together, and
// asks the families about them.
//
// # Captures
//
// Read are pcap, with micro- or nanoseconds, and pcapng (draft-ietf-opsawg-pcapng), of either byte order and of any
// number of interfaces and sections; the link types Ethernet with any number of VLAN tags, Linux cooked v1 and v2, BSD
// loopback (NULL, LOOP) and raw IP; IPv4 (RFC 791), IPv6 with extension headers (RFC 8200), TCP (RFC 9293), UDP (RFC 768).
//
// Of TCP the first 64 KiB of each direction are kept, whatever the order of their segments. Where segments disagree
// about a byte, the first that was captured counts. The client is who sent the SYN; a flow of which no SYN was captured
// is marked midstream, and then the ends are told apart by what they say, and if that fits both ways or neither, by who has
// the higher port. A hole in what is kept is marked as a gap, and what is behind it is not looked at. Of UDP the first
// datagram between two ports is looked at, and its sender is the client.
//
// # Limits
//
// A capture may come from anyone. Memory is bounded in the number of flows and in the bytes that are kept of all of
// them; beyond, the flow that has been silent for longest is judged by what there is of it, and counted as evicted. No
// length that a file states is allocated before it was compared with a bound. Where a file is damaged reading ends with
// a [*ReadError], after the flows up to there have been reported. A detector that panics costs its flow the answer.
//
// # What it does not do
//
// It does not reassemble IP fragments, look into tunnels (GRE, VXLAN, IP in IP, MPLS, PPPoE) or check checksums, which
// a capture of outgoing packets often has not got yet. It does not go on to what is inside of TLS, SOCKS or CONNECT.
// It reads no compressed files and captures nothing itself.
//
// The files and headers are read here instead of by a packet library because a damaged file must cost neither memory by
// its claims nor the place at which it went wrong; the tests compare with such a library.
package classify

// Package tproxy has the Linux kernel bring connections to a proxy that their clients know nothing of: nftables rules for
// REDIRECT and TPROXY, the routes that TPROXY needs, and the switches below /proc/sys. It takes all of that back, and says
// what is missing.
//
//	rules := tproxy.Rules{Mode: tproxy.TPROXY, Port: 8080, Interfaces: []string{"eth1"}}
//	hold, err := rules.Up(ctx, log)
//	...
//	err = hold.Release(ctx) // nothing new is brought any more; then the proxy's listeners close, and its flows end
//	...
//	err = hold.Down(ctx)
//
// What a host needs is text first ([Rules.Commands], [Rules.Script]), for which no rights are needed, on any system.
// [Rules.Apply] does what is missing of it, by the programs nft and ip: doing it twice is the same as doing it once.
// [Down] finds what is ours by its name: the table inet mitm, the routing table 7746 and the mark 0x2000000. For what the
// switches were before, there is a file in /run/mitm, or in XDG_RUNTIME_DIR where /run can't be written to, one for each
// network namespace. So a program that ended without taking its rules back does no harm that Down can't undo. Of two programs
// that want rules at once the second is refused, unless the first one has released its own: then it takes their place, and the
// first one's Down leaves everything to it. Two that do not see each other's files may leave a switch to the one that has turned it.
// Who holds the rules has the abstract Unix socket @mitm-tproxy, and its name is in the table's comment: any program of the
// network namespace can have that socket, and so keep others from holding rules. A table inet mitm that has another comment
// than ours stays as it is (the kernel keeps comments since Linux 5.10).
//
// TPROXY is as the kernel describes it (Documentation/networking/tproxy.rst): packets whose socket is on this host get a
// mark, by which a routing rule says that every address is local. Whatever the mode, only connections that begin are
// brought: those that exist when the rules come go on as they are. TPROXY of other hosts' connections does without the kernel's
// table of connections, but not where a full backlog has the kernel answer with cookies; with it, a bit of the connection's mark,
// the same one, stands for those that were brought. What comes in by a bridge that hands its packets to nftables (net.bridge.bridge-nf-call-iptables, usual with Docker) TPROXY can't bring.
//
// What the kernel keeps of a connection that has ended (TIME_WAIT) would keep a client from using its port again where nothing is
// brought any more: with the routes such sockets go, if their address is not this host's, by the program ss.
//
// The same mark is for answers to addresses that are not ours, where the proxy's connections seem to come from such ones
// ([Rules.ForeignSource]).
//
// The listener is not made here, and UDP is not brought to it. Where connections of this host are chosen by control group,
// the group must exist before the rules do; nft knows it by its number, so one that was made anew is another.
package tproxy

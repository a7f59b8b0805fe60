package classify

import (
	"fmt"
	"net/netip"
	"strings"
)

// Flow is a conversation in a capture: of TCP a connection, of UDP what goes between two ports.
type Flow struct {
	Number  int    `json:"flow"`    // in the order of their first packets, from 1
	Network string `json:"network"` // tcp or udp

	// First is who spoke first: Client or Server; empty if nobody did.
	First string `json:"first,omitempty"`

	Client Peer `json:"client"`
	Server Peer `json:"server"` // of UDP without an answer, since only the first datagram is looked at

	Midstream bool `json:"midstream,omitempty"` // the capture lacks the beginning
	Gap       bool `json:"gap,omitempty"`       // the capture lacks bytes that the answers might have needed
	Evicted   bool `json:"evicted,omitempty"`   // it was judged before its end, to make room for others

	// Panic says that a detector panicked, and how. The answer of that side is None.
	Panic string `json:"panic,omitempty"`
}

// Peer is one of the two ends of a flow.
type Peer struct {
	Addr netip.AddrPort `json:"addr"`

	// Answer is what the peer's family says of what it sent first; nil where there is no such family.
	*Answer

	// Data is what the peer sent first, and Ended says that no more came. Data is valid during the call only.
	Data  []byte `json:"-"`
	Ended bool   `json:"-"`

	family Family // that was asked
}

// Matched says whether the protocol is known by what either peer said.
func (f Flow) Matched() bool { return f.Client.matched() || f.Server.matched() }

func (p Peer) matched() bool { return p.Answer != nil && p.Verdict == Match }

// Traces says how the answers came about, as long as Data is valid.
func (f Flow) Traces() []Trace {
	var traces []Trace
	for _, p := range []Peer{f.Client, f.Server} {
		if p.Answer != nil {
			traces = append(traces, p.family.Trace(p.Data, p.Ended))
		}
	}
	return traces
}

// String is the flow on one line: the addresses, who spoke first, what is missing, and the answers. That about the
// server is left out where it only says that the reply to a client is no greeting.
func (f Flow) String() string {
	words := []string{f.Network, f.Client.Addr.String(), ">", f.Server.Addr.String()}
	if f.First != "" {
		words = append(words, "first="+f.First)
	}
	for _, flag := range []struct {
		name string
		set  bool
	}{{"midstream", f.Midstream}, {"gap", f.Gap}, {"evicted", f.Evicted}} {
		if flag.set {
			words = append(words, flag.name)
		}
	}
	if f.Client.Answer != nil {
		words = append(words, "client: "+f.Client.Answer.String())
	}
	if f.Server.Answer != nil && (f.First == Server || f.Server.matched()) {
		words = append(words, "server: "+f.Server.Answer.String())
	}
	if f.Panic != "" {
		words = append(words, fmt.Sprintf("panic=%q", f.Panic))
	}
	return strings.Join(words, " ")
}

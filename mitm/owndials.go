package mitm

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/mitm/intercept"
)

// ownDials knows the sockets by which we connect to servers, from before they are connected
// until their flows end: a connection that is accepted and has the same ends is one of them,
// come back. Which addresses lead back is nothing that the addresses tell. Rules of a firewall
// may bring any of them here, and a route may make any of them this host's.
//
// A socket has no address of its own before the kernel connects it, and has one before the
// other end can be accepted. Whoever accepts asks for it, so that not even the first dial is
// missed that comes back before we know that it was made.
//
// Where servers see clients' addresses, the same ends may be there by chance: the kernel has chosen
// for us a port from which the client itself comes to the same server. So what has come back is let
// through, and its own dial, but not a third one in a row.
//
// What a firewall has changed about the source of a connection is out of sight. A nil *ownDials
// knows of none.
type ownDials struct {
	mu    sync.Mutex
	begun map[*ownSocket]struct{}         // those whose own address is not known
	from  map[netip.AddrPort][]*ownSocket // the others, by that
	flows map[*bridge.Flow]*ownDial
	most  int // so many in a row may have come back
	ask   func(syscall.RawConn) (netip.AddrPort, error)
}

func newOwnDials(source Source) *ownDials {
	most := 0
	switch source {
	case SourceClient:
		return nil // all have the same ends, on purpose
	case SourceClientIP:
		most = 2
	}
	return &ownDials{
		most:  most,
		begun: map[*ownSocket]struct{}{},
		from:  map[netip.AddrPort][]*ownSocket{},
		flows: map[*bridge.Flow]*ownDial{},
		ask:   intercept.LocalAddr,
	}
}

// An ownDial is what a flow's server is being connected by, which may be several sockets when
// it has several addresses, and then the one that was connected.
type ownDial struct {
	sockets []*ownSocket
	over    bool
	row     int // of how many dials that have come back it is the next
}

// An ownSocket is guarded by its ownDials.
type ownSocket struct {
	dial     *ownDial
	raw      syscall.RawConn // nil when from is known
	from, to netip.AddrPort
	back     bool // its other end was accepted by us
}

// dial begins a dial of the flow's, which has one at a time.
func (o *ownDials) dial(f *bridge.Flow) *ownDial {
	if o == nil {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	d := &ownDial{}
	if before := o.flows[f]; before != nil {
		d.row = before.row
		o.endLocked(before)
	}
	o.flows[f] = d
	return d
}

// connects adds a socket that is about to be connected. Of the sockets of a dial the last ones
// may come when it is over, since another one was faster; they won't be connected.
func (o *ownDials) connects(d *ownDial, raw syscall.RawConn, to netip.AddrPort) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if d.over {
		return
	}
	s := &ownSocket{dial: d, raw: raw, to: plainAddr(to)}
	d.sockets = append(d.sockets, s)
	o.begun[s] = struct{}{}
}

// connected ends the dial. It reports whether the connection has come back to us already.
func (o *ownDials) connected(d *ownDial, c net.Conn) (back bool) {
	if o == nil {
		return false
	}
	from, to := plainAddr(addrPortOf(c.LocalAddr())), plainAddr(addrPortOf(c.RemoteAddr()))
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range d.sockets {
		if s.to == to && (s.raw != nil || s.from == from) {
			back = back || s.back
		}
		o.removeLocked(s)
	}
	won := &ownSocket{dial: d, from: from, to: to, back: back}
	d.over, d.sockets = true, []*ownSocket{won}
	o.addLocked(won)
	return back
}

// forget ends what the flow has dialled.
func (o *ownDials) forget(f *bridge.Flow) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.endLocked(o.flows[f])
	delete(o.flows, f)
}

// observer forgets flows that have ended.
func (o *ownDials) observer() *bridge.Observer {
	if o == nil {
		return nil
	}
	return &bridge.Observer{Close: func(f *bridge.Flow, _ bridge.Outcome) { o.forget(f) }}
}

// accepted reports whether the connection of a new flow, from one address to the other, is one of
// ours. The source is shared when that of one is the same: a firewall may have changed the other end.
func (o *ownDials) accepted(f *bridge.Flow, from, to netip.AddrPort) (back, shared bool) {
	if o == nil {
		return false, false
	}
	from, to = plainAddr(from), plainAddr(to)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.learnLocked()
	for _, s := range o.from[from] {
		shared = true
		switch {
		case s.to != to:
		case s.dial.row >= o.most:
			s.back, back = true, true
		default:
			o.flows[f] = &ownDial{over: true, row: s.dial.row + 1}
		}
	}
	return back, shared
}

// learnLocked asks for the addresses that sockets have got by now. Each is answered once.
func (o *ownDials) learnLocked() {
	for s := range o.begun {
		from, err := o.ask(s.raw)
		if err == nil && from.Port() == 0 {
			continue
		}
		delete(o.begun, s)
		if err == nil { // else it is closed, or can't be asked
			s.raw, s.from = nil, plainAddr(from)
			o.addLocked(s)
		}
	}
}

func (o *ownDials) addLocked(s *ownSocket) {
	o.from[s.from] = append(o.from[s.from], s)
}

func (o *ownDials) endLocked(d *ownDial) {
	if d == nil {
		return
	}
	for _, s := range d.sockets {
		o.removeLocked(s)
	}
	d.over, d.sockets = true, nil
}

func (o *ownDials) removeLocked(s *ownSocket) {
	delete(o.begun, s)
	others := slices.DeleteFunc(o.from[s.from], func(other *ownSocket) bool { return other == s })
	if len(others) == 0 {
		delete(o.from, s.from)
		return
	}
	o.from[s.from] = others
}

// plainAddr is an address as both ends have it: zones are names of this host's.
func plainAddr(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

func addrPortOf(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	return tcp.AddrPort()
}

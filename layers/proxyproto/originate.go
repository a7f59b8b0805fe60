package proxyproto

import (
	"context"
	"net"
	"net/netip"
	"slices"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// DialConfig is how Dial introduces a client to a server. The zero value sends no header but those that Terminate has
// left to it (see Forward). It is not changed after first use.
type DialConfig struct {
	// Version is that of the header for flows whose client came without one, or with one that was stripped: 1 or 2.
	// Zero means that there is none.
	Version int

	// TLVs returns what a header of version 2 has besides addresses; nil means nothing. The value of a PP2_TYPE_CRC32C,
	// four bytes, is computed. A header that is rewritten keeps its own of the same type. It is called on the goroutine
	// that dials.
	TLVs func(context.Context, *bridge.Flow) []detect.TLV

	// Meant returns the address that the client's connection was made to, where that is not the socket's: NAT may have
	// brought it here. Nil, and the zero Addr, mean that it is.
	Meant func(context.Context, *bridge.Flow) bridge.Addr

	// Tunnelled says that next connects to a proxy, which connects to the hop: the address of a hop with a name is then
	// not known.
	Tunnelled bool

	// Limits bounds the writing of the header, by its Turn.
	Limits bridge.Limits
}

// Dial returns the dialler that begins each connection of next with a PROXY header, in one Write and before anybody has
// said anything. Nil for next means a net.Dialer. The header stands where next's connections begin: next may put a tunnel
// below it, and what puts TLS on the connection stands around Dial.
//
// The header's source is the flow's client. Its destination is what the client has asked us for, or a balancer for it;
// where that has a name, the address that was reached, if it is the name that was dialled. Else it is what the client has
// connected to, as for all senders that clients ask for nothing: the hop is something that the server knows better. It
// has to be of the source's family, or the next of these is said. Without one the header has no addresses: UNKNOWN in
// version 1, AF_UNSPEC in version 2. A flow without a client is a connection of our own, and so is what came with a LOCAL
// header: LOCAL in version 2, UNKNOWN in version 1.
//
// There is one header on a connection. One that a layer passes on by itself (Relay), or that Terminate has left to Dial,
// is the one. What was sent is in the flow's originated frames, with the [*detect.ProxyHeader] as Detail. An error of next
// is returned as it is: it is the server's.
func Dial(next bridge.DialFunc, c DialConfig) bridge.DialFunc {
	if next == nil {
		next = dialTCP
	}
	return func(ctx context.Context, hop bridge.Addr, f *bridge.Flow) (net.Conn, error) {
		conn, err := next(ctx, hop, f)
		if err != nil || !c.introduces(ctx, f) {
			return conn, err
		}
		connected := func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) { return conn, nil }
		introduce := func(ctx context.Context, b *bridge.Bridge, hop bridge.Addr) (bridge.Frame, error) {
			return c.introduce(ctx, b, c.addresses(ctx, f, hop, conn.RemoteAddr()))
		}
		return bridge.Originate(connected, bridge.Addr{}, c.Limits, introduce)(ctx, hop, f)
	}
}

// introduces reports whether a header is for Dial to send.
func (c DialConfig) introduces(ctx context.Context, f *bridge.Flow) bool {
	if receivedIn(ctx) != nil {
		return true
	}
	return c.Version != 0 && !slices.ContainsFunc(f.Frames(), func(frame bridge.Frame) bool {
		return isHeader(frame) && frame.Verb == bridge.VerbRelay
	})
}

// introduce sends the header.
func (c DialConfig) introduce(ctx context.Context, b *bridge.Bridge, a addresses) (bridge.Frame, error) {
	h, verb, wire := (*detect.ProxyHeader)(nil), bridge.VerbOriginate, []byte(nil)
	switch r := receivedIn(ctx); {
	case r == nil:
		h = c.header(ctx, b.Flow(), a)
	case r.forward == Verbatim:
		h, verb, wire = r.header, bridge.VerbRelay, r.wire
	default:
		h = rewritten(r.header, a, c.tlvs(ctx, b.Flow()))
	}
	frame := frameOf(h, verb)
	if wire == nil {
		var err error
		if wire, err = AppendHeader(nil, h); err != nil {
			return frame, bridge.Fails(bridge.Internal, bridge.ByMITM, err)
		}
	}
	return frame, b.Write(ctx, bridge.Server, wire)
}

func (c DialConfig) tlvs(ctx context.Context, f *bridge.Flow) []detect.TLV {
	if c.TLVs == nil {
		return nil
	}
	return c.TLVs(ctx, f)
}

// header is the one of our own.
func (c DialConfig) header(ctx context.Context, f *bridge.Flow, a addresses) *detect.ProxyHeader {
	h := &detect.ProxyHeader{Version: c.Version, Command: detect.ProxyProxied}
	switch own := isOwn(f); {
	case own && c.Version != 1:
		h.Command = detect.ProxyLocal
	case !own:
		a.into(h)
	}
	if c.Version != 1 {
		h.TLVs = c.tlvs(ctx, f)
	}
	return h
}

// isOwn reports whether a flow is on behalf of nobody: it has no client, or that is a balancer which speaks for itself.
func isOwn(f *bridge.Flow) bool {
	return f.Client().IsZero() || slices.ContainsFunc(f.Frames(), func(frame bridge.Frame) bool {
		h, ok := frame.Detail.(*detect.ProxyHeader)
		return ok && h.Version == 2 && h.Command == detect.ProxyLocal
	})
}

// addresses are those of a header: both of one family, or both invalid.
type addresses struct{ src, dst netip.AddrPort }

// addresses returns what is to be said about a flow whose dial to the hop has reached an address.
func (c DialConfig) addresses(ctx context.Context, f *bridge.Flow, hop bridge.Addr, reached net.Addr) addresses {
	to := asked(f)
	if _, isIP := to.IP(); !isIP && to == hop && !c.Tunnelled {
		to = bridge.AddrOf(reached)
	}
	src := endpoint(f.Client())
	for _, dst := range []netip.AddrPort{endpoint(to), endpoint(c.meant(ctx, f)), endpoint(f.Local())} {
		if src.IsValid() && dst.IsValid() && src.Addr().Is4() == dst.Addr().Is4() {
			return addresses{src, dst}
		}
	}
	return addresses{}
}

func (c DialConfig) meant(ctx context.Context, f *bridge.Flow) bridge.Addr {
	if c.Meant == nil {
		return bridge.Addr{}
	}
	return c.Meant(ctx, f)
}

// asked is the innermost destination that the client has named to us, or a balancer for it. What it names to servers is
// nothing that we know when they are first dialled, and a redial is to say the same.
func asked(f *bridge.Flow) bridge.Addr {
	for _, frame := range slices.Backward(f.Frames()) {
		if frame.Verb == bridge.VerbTerminate && !frame.Dst.IsZero() {
			return frame.Dst
		}
	}
	return bridge.Addr{}
}

// endpoint is invalid where the host is no IP address. A header has no place for zones.
func endpoint(a bridge.Addr) netip.AddrPort {
	ip, ok := a.IP()
	if !ok {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ip.WithZone(""), a.Port)
}

// into writes the addresses into a header, which has none.
func (a addresses) into(h *detect.ProxyHeader) {
	if !a.src.IsValid() {
		return
	}
	h.Family, h.Transport, h.Src, h.Dst = detect.ProxyInet6, detect.ProxyStream, a.src, a.dst
	if a.src.Addr().Is4() {
		h.Family = detect.ProxyInet
	}
}

// dialTCP is the dialler where there is none. On a redial the hop's name is not resolved again.
func dialTCP(ctx context.Context, hop bridge.Addr, f *bridge.Flow) (net.Conn, error) {
	if reached := f.Server(); !reached.IsZero() {
		hop = reached
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", hop.String())
}

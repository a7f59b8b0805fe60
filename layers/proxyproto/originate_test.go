package proxyproto_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	. "github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/layers/proxyproto"

	foreign "github.com/pires/go-proxyproto"
)

// The server is told first, in each way in which it can go on.
func TestTheServerIsToldFirst(t *testing.T) {
	for version, header := range map[int]string{
		1: "PROXY TCP4 192.0.2.1 198.51.100.1 50000 443\r\n",
		2: signature + "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x01\xc3\x50\x01\xbb",
	} {
		flow := Originate(t, func(next bridge.DialFunc) bridge.DialFunc {
			return proxyproto.Dial(next, proxyproto.DialConfig{Version: version})
		}, "203.0.113.9:443", Script{C(header), S("")}, bridge.EOF)
		want := frame(version, bridge.VerbOriginate, "192.0.2.1:50000", "198.51.100.1:443", "")
		if got := flow.Originated(); len(got) != 1 || got[0].Detail == nil || withoutDetail(got[0]) != want {
			t.Errorf("originated %+v, want %+v", got, want)
		}
	}
}

func withoutDetail(f bridge.Frame) bridge.Frame {
	f.Detail = nil
	return f
}

// meeting is a flow that is about to be dialled, and what is said of it.
type meeting struct {
	name                   string
	client, local, reached string // addresses of sockets
	hop, meant             string
	frames                 []bridge.Frame
	tunnelled              bool
	v1                     string // without PROXY and the line's end
	src, dst               string // of version 2; "" means that there are no addresses
	local2                 bool   // it is LOCAL
}

func terminated(proto, dst string) bridge.Frame {
	f := bridge.Frame{Proto: proto, Verb: bridge.VerbTerminate}
	f.Dst.UnmarshalText([]byte(dst))
	return f
}

func meetings() []meeting {
	const (
		client, local, reached = "192.0.2.7:50122", "192.0.2.100:8080", "203.0.113.9:8443"
		client6, local6        = "[2001:db8::7]:50122", "[2001:db8::100]:8080"
	)
	balancer := bridge.Frame{Proto: "proxy2", Verb: bridge.VerbTerminate}
	balancer.Src.UnmarshalText([]byte("198.51.100.1:1"))
	balancer.Dst.UnmarshalText([]byte("198.51.100.2:2"))
	speaksForItself := bridge.Frame{Proto: "proxy2", Verb: bridge.VerbTerminate, Detail: &detect.ProxyHeader{Version: 2}}
	knowsNothing := bridge.Frame{Proto: "proxy1", Verb: bridge.VerbTerminate, Detail: &detect.ProxyHeader{Version: 1, Command: 1}}
	return []meeting{
		{
			name: "what the client has connected to, not the hop", client: client, local: local, reached: reached, hop: "203.0.113.1:443",
			v1: "TCP4 192.0.2.7 192.0.2.100 50122 8080", src: client, dst: local,
		},
		{
			name: "the same where the hop has a name", client: client, local: local, reached: reached, hop: "example.com:443",
			v1: "TCP4 192.0.2.7 192.0.2.100 50122 8080", src: client, dst: local,
		},
		{
			name: "what it has connected to before NAT", client: client, local: local, reached: reached, hop: "203.0.113.1:443", meant: "203.0.113.5:443",
			v1: "TCP4 192.0.2.7 203.0.113.5 50122 443", src: client, dst: "203.0.113.5:443",
		},
		{
			name: "IPv6", client: client6, local: local6, reached: reached, hop: "[2001:db8::9]:443",
			v1: "TCP6 2001:db8::7 2001:db8::100 50122 8080", src: client6, dst: local6,
		},
		{
			name: "IPv4 on sockets of IPv6", client: "[::ffff:192.0.2.7]:50122", local: "[::ffff:192.0.2.100]:8080", reached: reached, hop: "example.com:443",
			v1: "TCP4 192.0.2.7 192.0.2.100 50122 8080", src: client, dst: local,
		},
		{
			name: "what was asked for, not the hop that stands for it", client: client, local: local, reached: reached, hop: "203.0.113.1:443",
			frames: []bridge.Frame{terminated("socks5", "198.51.100.5:25")},
			v1:     "TCP4 192.0.2.7 198.51.100.5 50122 25", src: client, dst: "198.51.100.5:25",
		},
		{
			name: "a name that was asked for", client: client, local: local, reached: "[::ffff:203.0.113.9]:8443", hop: "example.com:443",
			frames: []bridge.Frame{terminated("connect", "example.com:443")},
			v1:     "TCP4 192.0.2.7 203.0.113.9 50122 8443", src: client, dst: reached,
		},
		{
			name: "a name that was asked for, and the hop that stands for it", client: client, local: local, reached: reached, hop: "203.0.113.1:443",
			frames: []bridge.Frame{terminated("connect", "example.com:443")},
			v1:     "TCP4 192.0.2.7 192.0.2.100 50122 8080", src: client, dst: local,
		},
		{
			name: "what was asked of the server counts for nothing", client: client, local: local, reached: reached, hop: "203.0.113.1:443",
			frames: []bridge.Frame{{Proto: "socks5", Verb: bridge.VerbRelay, Dst: bridge.Addr{Host: "198.51.100.5", Port: 25}}},
			v1:     "TCP4 192.0.2.7 192.0.2.100 50122 8080", src: client, dst: local,
		},
		{
			name: "a client that a balancer speaks for", client: client, local: local, reached: reached, hop: "203.0.113.1:443",
			frames: []bridge.Frame{balancer},
			v1:     "TCP4 198.51.100.1 198.51.100.2 1 2", src: "198.51.100.1:1", dst: "198.51.100.2:2",
		},
		{
			name: "another family: the address of ours", client: client6, local: local6, reached: reached, hop: "203.0.113.1:443",
			frames: []bridge.Frame{terminated("socks5", "198.51.100.5:25")},
			v1:     "TCP6 2001:db8::7 2001:db8::100 50122 8080", src: client6, dst: local6,
		},
		{
			name: "a name that a proxy resolves: the address of ours", client: client, local: local, reached: reached, hop: "example.com:443", tunnelled: true,
			frames: []bridge.Frame{terminated("connect", "example.com:443")},
			v1:     "TCP4 192.0.2.7 192.0.2.100 50122 8080", src: client, dst: local,
		},
		{
			name: "no address of one family", client: client6, local: local, reached: reached, hop: "203.0.113.1:443",
			v1: "UNKNOWN",
		},
		{
			name: "a zone has no place", client: "[fe80::1%eth0]:1", local: "[fe80::2%eth0]:2", reached: reached, hop: "203.0.113.1:443",
			v1: "TCP6 fe80::1 fe80::2 1 2", src: "[fe80::1]:1", dst: "[fe80::2]:2",
		},
		{name: "a connection of our own", reached: reached, hop: "203.0.113.1:443", v1: "UNKNOWN", local2: true},
		{
			name: "a balancer that speaks for itself", client: client, local: local, reached: reached, hop: "203.0.113.1:443",
			frames: []bridge.Frame{speaksForItself}, v1: "UNKNOWN", local2: true,
		},
		{
			name: "a balancer that knows nothing", client: client, local: local, reached: reached, hop: "203.0.113.1:443",
			frames: []bridge.Frame{knowsNothing},
			v1:     "TCP4 192.0.2.7 192.0.2.100 50122 8080", src: client, dst: local,
		},
	}
}

func socket(t *testing.T, address string) net.Addr {
	t.Helper()
	if address == "" {
		return &net.UnixAddr{Net: "unix"}
	}
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))
}

// dial has the flow dialled, and returns what the server got, and what was written.
func (m meeting) dial(t *testing.T, c proxyproto.DialConfig) (wire string, flow *bridge.Flow) {
	t.Helper()
	_, accepted := Pipe(0)
	accepted.Remote, accepted.Local = socket(t, m.client), socket(t, m.local)
	flow = (&bridge.Bridge{Client: bridge.NewStream(accepted)}).Flow()
	for _, frame := range m.frames {
		flow.Push(frame)
	}
	server, dialled := Pipe(1 << 16)
	dialled.Remote = socket(t, m.reached)
	recorded := &writes{Conn: dialled}
	hop, err := bridge.ParseAddr(m.hop)
	if err != nil {
		t.Fatal(err)
	}
	c.Tunnelled = m.tunnelled
	c.Meant = func(context.Context, *bridge.Flow) (to bridge.Addr) {
		to.UnmarshalText([]byte(m.meant))
		return to
	}
	conn, err := proxyproto.Dial(func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) { return recorded, nil }, c)(t.Context(), hop, flow)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	got, _ := io.ReadAll(server)
	if len(recorded.lengths) != 1 || recorded.lengths[0] != len(got) {
		t.Errorf("written in pieces of %d, want one of %d", recorded.lengths, len(got))
	}
	return string(got), flow
}

func TestWhatTheHeaderSays(t *testing.T) {
	for _, m := range meetings() {
		t.Run(m.name, func(t *testing.T) {
			if got, _ := m.dial(t, proxyproto.DialConfig{Version: 1}); got != "PROXY "+m.v1+"\r\n" {
				t.Errorf("version 1: %q, want %q", got, m.v1)
			}
			got, flow := m.dial(t, proxyproto.DialConfig{Version: 2})
			want := &detect.ProxyHeader{Version: 2, Command: detect.ProxyProxied}
			if m.local2 {
				want.Command = detect.ProxyLocal
			}
			if m.src != "" {
				want.Family, want.Transport = detect.ProxyInet6, detect.ProxyStream
				want.Src, want.Dst = netip.MustParseAddrPort(m.src), netip.MustParseAddrPort(m.dst)
				if want.Src.Addr().Is4() {
					want.Family = detect.ProxyInet
				}
			}
			wire, err := proxyproto.AppendHeader(nil, want)
			if err != nil || got != string(wire) {
				t.Errorf("version 2: %x, want %x, %v", got, wire, err)
			}
			originated := flow.Originated()
			if len(originated) != 1 || originated[0].Src.String() != m.src || originated[0].Dst.String() != m.dst || originated[0].Proto != "proxy2" {
				t.Errorf("originated %+v, want proxy2 from %s to %s", originated, m.src, m.dst)
			}
			for n := range got {
				if h, _, err := detect.ParseProxyHeader([]byte(got[:n])); h != nil || !errors.Is(err, bridge.ErrShort) {
					t.Errorf("the first %d bytes parse as %+v, %v", n, h, err)
				}
			}
		})
	}
}

// labels are TLVs that say whose flow it is.
func labels(_ context.Context, f *bridge.Flow) []detect.TLV {
	return []detect.TLV{
		{Type: proxyproto.TypeUniqueID, Value: []byte(f.ID())},
		{Type: proxyproto.TypeAuthority, Value: []byte("ours.example")},
		{Type: proxyproto.TypeCRC32C, Value: make([]byte, 4)},
	}
}

func TestTheHeaderHasWhatIsAskedFor(t *testing.T) {
	for _, m := range meetings() {
		wire, flow := m.dial(t, proxyproto.DialConfig{Version: 2, TLVs: labels})
		h, n, err := detect.ParseProxyHeader([]byte(wire))
		if err != nil || n != len(wire) || len(h.TLVs) != 3 || string(h.TLVs[0].Value) != flow.ID() {
			t.Errorf("%s: %x is %+v, %d, %v", m.name, wire, h, n, err)
		}
		if v1, _ := m.dial(t, proxyproto.DialConfig{Version: 1, TLVs: labels}); v1 != "PROXY "+m.v1+"\r\n" {
			t.Errorf("%s: version 1 says %q", m.name, v1)
		}
	}
}

func TestADialThatFails(t *testing.T) {
	flow := &bridge.Flow{}
	hop := bridge.Addr{Host: "192.0.2.1", Port: 80}
	t.Run("by the server's doing", func(t *testing.T) {
		refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		next := func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) { return nil, refused }
		if c, err := proxyproto.Dial(next, proxyproto.DialConfig{Version: 1})(t.Context(), hop, flow); c != nil || err != error(refused) {
			t.Errorf("%v, %v; want the very error", c, err)
		}
	})
	t.Run("by a header that can't be", func(t *testing.T) {
		_, dialled := Pipe(1 << 16)
		next := func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) { return dialled, nil }
		tlvs := func(context.Context, *bridge.Flow) []detect.TLV { return []detect.TLV{{Value: make([]byte, 1<<16)}} }
		_, err := proxyproto.Dial(next, proxyproto.DialConfig{Version: 2, TLVs: tlvs})(t.Context(), hop, flow)
		if reason, by := bridge.ReasonOf(err); reason != bridge.Internal || by != bridge.ByMITM {
			t.Errorf("%v: %s by %s, want internal by us", err, reason, by)
		}
		if _, err := dialled.Write(nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the connection is left open: %v", err)
		}
	})
}

// forwarding is what two servers get of a client, the second one after a redial.
func forwarding(t *testing.T, layer bridge.Layer, d proxyproto.DialConfig, says string) (got [2]string, flow *bridge.Flow, out bridge.Outcome) {
	t.Helper()
	client, ours := Pipe(1 << 16)
	io.WriteString(client, says)
	client.CloseWrite()
	var servers []*Conn
	p := &bridge.Proxy{
		Hop: bridge.FixedHop(bridge.Addr{Host: "203.0.113.1", Port: 80}),
		Dial: proxyproto.Dial(func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) {
			theirs, ours := Pipe(1 << 16)
			servers = append(servers, theirs)
			theirs.CloseWrite()
			return ours, nil
		}, d),
		Observer: &bridge.Observer{Open: func(f *bridge.Flow) { flow = f }},
		Handler: bridge.Chain(layer, bridge.Layer{Name: "redial", Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
			if err := b.Dial(ctx); err != nil {
				return err
			}
			if err := b.Redial(ctx); err != nil {
				return err
			}
			return next(ctx, b)
		}}),
	}
	out = p.ServeConn(t.Context(), ours)
	client.Close()
	for i, s := range servers {
		all, _ := io.ReadAll(s)
		got[i] = string(all)
	}
	return got, flow, out
}

func forward(f proxyproto.Forward) bridge.Layer {
	return proxyproto.Terminate(proxyproto.Config{Trust: balancers, Forward: f})
}

func TestAHeaderIsPassedOnAsItCame(t *testing.T) {
	for _, tt := range said {
		t.Run(tt.name, func(t *testing.T) {
			for version := range 3 {
				got, flow, out := forwarding(t, forward(proxyproto.Verbatim), proxyproto.DialConfig{Version: version, TLVs: labels}, tt.header+request)
				if got[0] != tt.header || got[1] != tt.header+request || out.Reason != bridge.EOF {
					t.Errorf("the servers got %q, %+v", got, out)
				}
				want := frame(tt.version, bridge.VerbRelay, tt.src, tt.dst, tt.note)
				frames, originated := flow.Frames(), flow.Originated()
				if len(frames) != 1 || len(originated) != 1 || withoutDetail(frames[0]) != want || withoutDetail(originated[0]) != want {
					t.Errorf("frames %+v, originated %+v; want %+v in both", frames, originated, want)
				}
			}
		})
	}
}

func TestAStrippedHeaderIsFollowedByOurs(t *testing.T) {
	got, _, _ := forwarding(t, forward(proxyproto.Strip), proxyproto.DialConfig{Version: 1}, binary4+request)
	if got[0] != tcp4 || got[1] != tcp4+request {
		t.Errorf("the servers got %q, want %q first", got, tcp4)
	}
	if got, _, _ := forwarding(t, forward(proxyproto.Strip), proxyproto.DialConfig{}, binary4+request); got[0] != "" || got[1] != request {
		t.Errorf("the servers got %q, want no header", got)
	}
}

func TestThereIsOneHeader(t *testing.T) {
	got, _, _ := forwarding(t, proxyproto.Relay(trust), proxyproto.DialConfig{Version: 2}, tcp4+request)
	if got[1] != tcp4+request {
		t.Errorf("the server got %q behind a layer that has passed the header on", got[1])
	}
	// The second one is the client's payload, whoever reads it.
	got, _, _ = forwarding(t, forward(proxyproto.Verbatim), proxyproto.DialConfig{Version: 2}, tcp4+binary4)
	if got[1] != tcp4+binary4 {
		t.Errorf("the server got %q", got[1])
	}
}

// A header that is nobody's to believe is payload, which ours stands in front of.
func TestAnUntrustedHeaderIsNotPassedOn(t *testing.T) {
	elsewhere := proxyproto.Config{Trust: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Forward: proxyproto.Verbatim}
	got, flow, _ := forwarding(t, proxyproto.Terminate(elsewhere), proxyproto.DialConfig{Version: 1}, tcp6+request)
	if want := "PROXY TCP4 192.0.2.1 198.51.100.1 50000 443\r\n" + tcp6 + request; got[1] != want || len(flow.Frames()) != 0 {
		t.Errorf("the server got %q, frames %+v; want %q", got[1], flow.Frames(), want)
	}
}

func TestAHeaderIsRewritten(t *testing.T) {
	const tail = "\x01\x00"
	checked, err := proxyproto.AppendHeader(nil, &detect.ProxyHeader{
		Version: 2, Command: 1, Family: 1, Transport: 1, Src: netip.MustParseAddrPort("192.0.2.7:50122"), Dst: netip.MustParseAddrPort("198.51.100.7:443"),
		TLVs: []detect.TLV{{Type: 3, Value: make([]byte, 4)}, {Type: 0xe5, Value: []byte("kept")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, header string
		tlvs         func(context.Context, *bridge.Flow) []detect.TLV
		src, dst     string
		types        []byte
	}{
		{"version 1, IPv4", tcp4, nil, "192.0.2.7:50122", "198.51.100.7:443", nil},
		{"version 1, IPv6", tcp6, nil, "[2001:db8::7]:50122", "[2001:db8::8]:443", nil},
		{"version 1, IPv6, and TLVs of ours", tcp6, labels, "[2001:db8::7]:50122", "[2001:db8::8]:443", []byte{5, 2, 3}},
		{"version 1, unknown: what the connection itself says", unknown, nil, "192.0.2.1:50000", "198.51.100.1:443", nil},
		{"version 2 with a TLV of which we have one, too", withTLV, labels, "192.0.2.7:50122", "198.51.100.7:443", []byte{2, 5, 3}},
		{"version 2 with a checksum", string(checked), labels, "192.0.2.7:50122", "198.51.100.7:443", []byte{3, 0xe5, 5, 2}},
		{
			"version 2 with a rest, which can't stay", strings.Replace(withTLV, "\x00\x13", "\x00\x15", 1) + tail, labels,
			"192.0.2.7:50122", "198.51.100.7:443",
			[]byte{2, 5, 3},
		},
		{"LOCAL", local, nil, "", "", nil},
		{"LOCAL with addresses, which are nobody's", localWithAddresses, labels, "", "", []byte{5, 2, 3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, flow, out := forwarding(t, forward(proxyproto.Rewritten), proxyproto.DialConfig{Version: 2, TLVs: tt.tlvs}, tt.header+request)
			if out.Reason != bridge.EOF || got[1] != got[0]+request {
				t.Fatalf("the servers got %q, %+v", got, out)
			}
			h, n, err := detect.ParseProxyHeader([]byte(got[0]))
			if err != nil || n != len(got[0]) || h.Version != 2 || h.Tail != nil {
				t.Fatalf("%x is %+v, %d, %v", got[0], h, n, err)
			}
			if local := h.Command == detect.ProxyLocal; local != (tt.src == "") || !local && (h.Src.String() != tt.src || h.Dst.String() != tt.dst) {
				t.Errorf("%+v, want %s to %s", h, tt.src, tt.dst)
			}
			var types []byte
			for _, v := range h.TLVs {
				types = append(types, v.Type)
				switch {
				case v.Type == 2 && strings.Contains(tt.header, "a.de") && string(v.Value) != "a.de":
					t.Errorf("authority %q, want the one that came", v.Value)
				case v.Type == 0xe5 && string(v.Value) != "kept", v.Type == 5 && string(v.Value) != flow.ID():
					t.Errorf("TLV %02x is %q", v.Type, v.Value)
				}
			}
			if string(types) != string(tt.types) {
				t.Errorf("TLVs %x, want %x", types, tt.types)
			}
			if f := flow.Originated(); len(f) != 1 || f[0].Verb != bridge.VerbOriginate || f[0].Proto != "proxy2" {
				t.Errorf("originated %+v", f)
			}
			theirs, err := foreign.Read(bufio.NewReader(strings.NewReader(got[0])))
			if err != nil || theirs.Command.IsLocal() != (tt.src == "") {
				t.Errorf("they read %+v, %v", theirs, err)
			}
		})
	}
}

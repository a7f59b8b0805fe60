package mitm

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/mitm/upstream"
)

// ended counts flows, and collects how they have ended.
type ended struct {
	mu      sync.Mutex
	begun   int
	reasons []bridge.Reason
	flow    chan struct{}
}

func newEnded() *ended { return &ended{flow: make(chan struct{}, 1024)} }

func (e *ended) observer() *bridge.Observer {
	return &bridge.Observer{
		Open: func(*bridge.Flow) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.begun++
		},
		Close: func(_ *bridge.Flow, out bridge.Outcome) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.reasons = append(e.reasons, out.Reason)
			e.flow <- struct{}{}
		},
	}
}

func (e *ended) all() (begun int, reasons []bridge.Reason) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.begun, slices.Clone(e.reasons)
}

// A way back that no address tells of ends where the first dial comes back.
func TestADialThatComesBackIsTheLastOne(t *testing.T) {
	for _, tt := range []struct {
		name   string
		says   string
		config func(back bridge.Addr) Config
	}{
		{"to the operator's server", "", func(back bridge.Addr) Config {
			return Config{Listen: []string{"127.0.0.1:0"}, Connect: back}
		}},
		{"through a proxy", "", func(back bridge.Addr) Config {
			return Config{Listen: []string{"127.0.0.1:0"}, Connect: siteAddr(), Upstream: &upstream.Proxy{Scheme: "socks5", Addr: back}}
		}},
		{"of a listener for TLS", "", func(back bridge.Addr) Config {
			return Config{TLS: []TLSListener{{Addr: "127.0.0.1:0", Decrypted: 80}}, Connect: back, NonTLS: NonTLSAllow}
		}},
		{"of a SOCKS server", string(socksRequest()), func(back bridge.Addr) Config {
			return Config{SOCKS: []string{"127.0.0.1:0"}, Connect: back}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			// Of this listener the server does not know that it is its own.
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			flows := newEnded()
			config := tt.config(bridge.AddrOf(l.Addr()))
			config.CA, config.Observer, config.Limits.MaxFlows = w.ours, flows.observer(), 64
			s, err := New(config)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			var serving sync.WaitGroup
			serving.Go(func() { s.proxy.Serve(context.WithValue(ctx, listenerKey{}, s.listeners[0]), l) })
			defer func() { cancel(); serving.Wait(); s.Close() }()

			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(c, tt.says)
			io.Copy(io.Discard, c) // until it ends
			c.Close()
			<-flows.flow
			<-flows.flow
			if begun, got := flows.all(); begun != 2 || !slices.Contains(got, bridge.Loop) {
				t.Errorf("%d flows, which have ended as %v, want two, and a loop among them", begun, got)
			}
			if o := s.own; len(o.begun)+len(o.from)+len(o.flows) != 0 {
				t.Errorf("it still knows %d, %d and %d", len(o.begun), len(o.from), len(o.flows))
			}
		})
	}
}

func siteAddr() bridge.Addr { return bridge.Addr{Host: siteName, Port: 80} }

// socksRequest asks a SOCKS server for siteName.
func socksRequest() []byte {
	request := append([]byte{5, 1, 0, 5, 1, 0, 3, byte(len(siteName))}, siteName...)
	return append(request, 0, 80)
}

// socketAt is a socket with an address, as far as ownDials asks.
type socketAt struct {
	syscall.RawConn
	addr string // "": it is closed
}

func askFake(c syscall.RawConn) (netip.AddrPort, error) {
	if c.(*socketAt).addr == "" {
		return netip.AddrPort{}, errors.New("closed")
	}
	return netip.ParseAddrPort(c.(*socketAt).addr)
}

// connAt is a connection that only has addresses.
type connAt struct {
	net.Conn
	from, to string
}

func (c connAt) LocalAddr() net.Addr  { return tcpAddr(c.from) }
func (c connAt) RemoteAddr() net.Addr { return tcpAddr(c.to) }

func tcpAddr(a string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(a)) }

func TestOwnDials(t *testing.T) {
	const own, server, other = "203.0.113.1:40000", "203.0.113.2:80", "203.0.113.3:80"
	to := netip.MustParseAddrPort(server)
	type result struct{ back, shared bool }
	for _, tt := range []struct {
		name string
		did  func(o *ownDials, f *bridge.Flow) // f's dial, and what became of it
		from string
		to   string
		want result
	}{
		{"nothing was dialled", func(*ownDials, *bridge.Flow) {}, own, server, result{}},
		{"a socket that has no address yet", func(o *ownDials, f *bridge.Flow) {
			o.connects(o.dial(f), &socketAt{addr: "0.0.0.0:0"}, to)
		}, own, server, result{}},
		{"one that is being connected", func(o *ownDials, f *bridge.Flow) {
			o.connects(o.dial(f), &socketAt{addr: own}, to)
		}, own, server, result{true, true}},
		{"one that has got its address since", func(o *ownDials, f *bridge.Flow) {
			s := &socketAt{addr: "0.0.0.0:0"}
			o.connects(o.dial(f), s, to)
			o.accepted(&bridge.Flow{}, netip.MustParseAddrPort(own), to)
			s.addr = own
		}, own, server, result{true, true}},
		{"a socket that was closed", func(o *ownDials, f *bridge.Flow) {
			o.connects(o.dial(f), &socketAt{}, to)
		}, own, server, result{}},
		{"one that is connected", func(o *ownDials, f *bridge.Flow) {
			d := o.dial(f)
			o.connects(d, &socketAt{addr: own}, to)
			o.connected(d, connAt{from: own, to: server})
		}, own, server, result{true, true}},
		{"the same in IPv6 clothes", func(o *ownDials, f *bridge.Flow) {
			d := o.dial(f)
			o.connects(d, &socketAt{addr: own}, to)
			o.connected(d, connAt{from: "[::ffff:203.0.113.1]:40000", to: server})
		}, "[::ffff:203.0.113.1]:40000", "[::ffff:203.0.113.2]:80", result{true, true}},
		{"one with a zone", func(o *ownDials, f *bridge.Flow) {
			o.connects(o.dial(f), &socketAt{addr: "[fe80::1%out]:40000"}, netip.MustParseAddrPort("[fe80::2%out]:80"))
		}, "[fe80::1%wire]:40000", "[fe80::2%wire]:80", result{true, true}},
		{"another port of ours", func(o *ownDials, f *bridge.Flow) {
			o.connects(o.dial(f), &socketAt{addr: own}, to)
		}, "203.0.113.1:40001", server, result{}},
		{"another server", func(o *ownDials, f *bridge.Flow) {
			o.connects(o.dial(f), &socketAt{addr: own}, to)
		}, own, other, result{false, true}},
		{"a port that serves for two servers", func(o *ownDials, f *bridge.Flow) {
			o.connects(o.dial(f), &socketAt{addr: own}, netip.MustParseAddrPort(other))
			o.connects(o.dial(&bridge.Flow{}), &socketAt{addr: own}, to)
			o.connects(o.dial(&bridge.Flow{}), &socketAt{addr: own}, netip.MustParseAddrPort("203.0.113.4:80"))
		}, own, server, result{true, true}},
		{"one of the two is over", func(o *ownDials, f *bridge.Flow) {
			o.connects(o.dial(f), &socketAt{addr: own}, to)
			o.connects(o.dial(&bridge.Flow{}), &socketAt{addr: own}, netip.MustParseAddrPort(other))
			o.accepted(&bridge.Flow{}, netip.MustParseAddrPort(own), to)
			o.forget(f)
		}, own, server, result{false, true}},
		{"the flow has ended", func(o *ownDials, f *bridge.Flow) {
			d := o.dial(f)
			o.connects(d, &socketAt{addr: own}, to)
			o.connected(d, connAt{from: own, to: server})
			o.observer().Close(f, bridge.Outcome{})
		}, own, server, result{}},
		{"the flow has dialled again", func(o *ownDials, f *bridge.Flow) {
			d := o.dial(f)
			o.connects(d, &socketAt{addr: own}, to)
			o.connected(d, connAt{from: own, to: server})
			o.dial(f)
		}, own, server, result{}},
		{"a socket that another one has outrun", func(o *ownDials, f *bridge.Flow) {
			d := o.dial(f)
			o.connects(d, &socketAt{addr: own}, to)
			o.connected(d, connAt{from: "203.0.113.1:40001", to: other})
		}, own, server, result{}},
		{"one that is late", func(o *ownDials, f *bridge.Flow) {
			d := o.dial(f)
			o.connected(d, connAt{from: "203.0.113.1:40001", to: other})
			o.connects(d, &socketAt{addr: own}, to)
		}, own, server, result{}},
		{"one that is late, of a flow that has ended", func(o *ownDials, f *bridge.Flow) {
			d := o.dial(f)
			o.forget(f)
			o.connects(d, &socketAt{addr: own}, to)
		}, own, server, result{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOwnDials(SourceOwn)
			o.ask = askFake
			tt.did(o, &bridge.Flow{})
			back, shared := o.accepted(&bridge.Flow{}, netip.MustParseAddrPort(tt.from), netip.MustParseAddrPort(tt.to))
			if got := (result{back, shared}); got != tt.want {
				t.Errorf("accepted(%s, %s) = %+v, want %+v", tt.from, tt.to, got, tt.want)
			}
			for f := range o.flows {
				o.forget(f)
			}
			if len(o.begun)+len(o.from)+len(o.flows) != 0 {
				t.Errorf("without flows it knows %v, %v, %v", o.begun, o.from, o.flows)
			}
		})
	}
}

// Whoever has dialled is told when the other end was accepted meanwhile.
func TestOwnDialsTellWhoHasDialled(t *testing.T) {
	from, to := netip.MustParseAddrPort("203.0.113.1:40000"), netip.MustParseAddrPort("203.0.113.2:80")
	for _, meanwhile := range []bool{true, false} {
		o := newOwnDials(SourceOwn)
		o.ask = askFake
		d := o.dial(&bridge.Flow{})
		o.connects(d, &socketAt{addr: from.String()}, to)
		if meanwhile {
			o.accepted(&bridge.Flow{}, from, to)
		}
		if back := o.connected(d, connAt{from: from.String(), to: to.String()}); back != meanwhile {
			t.Errorf("connected = %v, want %v", back, meanwhile)
		}
	}
}

// Where clients' ports may be ours by chance, it takes three in a row, whatever is dialled again.
func TestOwnDialsByChance(t *testing.T) {
	o := newOwnDials(SourceClientIP)
	o.ask = askFake
	to := netip.MustParseAddrPort("203.0.113.2:80")
	flows := []*bridge.Flow{{}, {}, {}, {}}
	var got []bool
	for i, f := range flows {
		from := netip.AddrPortFrom(netip.MustParseAddr("198.51.100.2"), uint16(40000+i))
		back, _ := o.accepted(f, from, to)
		got = append(got, back)
		o.connects(o.dial(f), &socketAt{addr: from.String()}, to)
		from = netip.AddrPortFrom(from.Addr(), from.Port()+1)
		o.connects(o.dial(f), &socketAt{addr: from.String()}, to)
	}
	if want := []bool{false, false, false, true}; !slices.Equal(got, want) {
		t.Errorf("accepted: %t, want %t", got, want)
	}
	if back, _ := o.accepted(&bridge.Flow{}, netip.MustParseAddrPort("198.51.100.2:40001"), to); back {
		t.Error("one that stands alone is refused")
	}
	for f := range o.flows {
		o.forget(f)
	}
	if len(o.begun)+len(o.from)+len(o.flows) != 0 {
		t.Errorf("without flows it knows %v, %v, %v", o.begun, o.from, o.flows)
	}
}

// Nothing is known where ends are the same on purpose.
func TestNoOwnDials(t *testing.T) {
	var o *ownDials
	f := &bridge.Flow{}
	d := o.dial(f)
	to := netip.MustParseAddrPort("203.0.113.2:80")
	o.connects(d, &socketAt{}, to)
	o.forget(f)
	if back, shared := o.accepted(&bridge.Flow{}, to, to); back || shared || o.connected(d, connAt{}) || o.observer() != nil {
		t.Error("it knows something")
	}
}

// BenchmarkOwnDials is what a flow costs among a thousand others: it is accepted, dials and ends.
func BenchmarkOwnDials(b *testing.B) {
	o := newOwnDials(SourceOwn)
	o.ask = func(c syscall.RawConn) (netip.AddrPort, error) { return c.(*addrOnly).addr, nil }
	to := netip.MustParseAddrPort("203.0.113.2:80")
	server := net.TCPAddrFromAddrPort(to)
	begin := func(port uint16) *bridge.Flow {
		from := netip.AddrPortFrom(netip.MustParseAddr("203.0.113.1"), port)
		f := &bridge.Flow{}
		o.accepted(&bridge.Flow{}, from, to)
		d := o.dial(f)
		o.connects(d, &addrOnly{addr: from}, to)
		o.connected(d, addrConn{from: net.TCPAddrFromAddrPort(from), to: server})
		return f
	}
	for port := range uint16(1000) {
		begin(port + 1)
	}
	b.ReportAllocs()
	for b.Loop() {
		o.forget(begin(40000))
	}
}

type addrOnly struct {
	syscall.RawConn
	addr netip.AddrPort
}

type addrConn struct {
	net.Conn
	from, to *net.TCPAddr
}

func (c addrConn) LocalAddr() net.Addr  { return c.from }
func (c addrConn) RemoteAddr() net.Addr { return c.to }

package proxyproto_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	. "github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/layers/proxyproto"
)

// run is a flow whose client sends and ends, and what became of it.
type run struct {
	flow   *bridge.Flow
	out    bridge.Outcome
	heard  string // by the server
	writes []int  // the lengths of what was written to it
	told   string // to the client
	took   time.Duration
}

func (r *run) String() string {
	return fmt.Sprintf("path %s, outcome %s by %s: %v", r.flow.Path(), r.out.Reason, r.out.EndedBy, r.out.Err)
}

// send takes a client that sends all of it and ends through the layer.
func send(t *testing.T, layer bridge.Layer, f Faults, says string) (r *run) {
	t.Helper()
	return talk(t, layer, f, func(client *Conn) {
		io.WriteString(client, says)
		client.CloseWrite()
	})
}

// talk takes a client through the layer, in a bubble.
func talk(t *testing.T, layer bridge.Layer, f Faults, client func(*Conn)) *run {
	t.Helper()
	r := &run{}
	synctest.Test(t, func(t *testing.T) {
		theirs, ours := Pipe(1 << 16)
		ours.SetFaults(f)
		serverEnd, dialled := Pipe(1 << 16)
		recorded := &writes{Conn: dialled}
		p := &bridge.Proxy{
			Handler:  bridge.Chain(layer),
			Hop:      bridge.FixedHop(bridge.Addr{Host: "192.0.2.1", Port: 80}),
			Dial:     func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) { return recorded, nil },
			Observer: &bridge.Observer{Open: func(flow *bridge.Flow) { r.flow = flow }},
		}
		began := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			client(theirs)
		}()
		heard, told := make(chan string), make(chan string)
		go readAll(serverEnd, heard)
		go func() {
			all := make(chan string, 1)
			readAll(theirs, all)
			r.took = time.Since(began)
			told <- <-all
		}()
		r.out = p.ServeConn(t.Context(), ours)
		dialled.Close()
		r.heard, r.told = <-heard, <-told
		<-done
		r.writes = recorded.lengths
	})
	return r
}

// readAll reads until the peer ends, and then ends, too.
func readAll(c *Conn, all chan<- string) {
	got, _ := io.ReadAll(c)
	c.Close()
	all <- string(got)
}

// writes is a conn that remembers the lengths of its writes.
type writes struct {
	*Conn
	lengths []int
}

func (w *writes) Write(p []byte) (int, error) {
	w.lengths = append(w.lengths, len(p))
	return w.Conn.Write(p)
}

func TestTheHeaderIsPassedOnInOneWrite(t *testing.T) {
	for _, header := range []string{tcp4, withTLV} {
		for _, maxRead := range []int{0, 1, 7} {
			r := send(t, proxyproto.Relay(trust), Faults{MaxRead: maxRead}, header+request)
			if r.heard != header+request || len(r.writes) == 0 || r.writes[0] != len(header) {
				t.Errorf("read %d at a time: the server heard %q in writes of %d, %s; want %d first", maxRead, r.heard, r.writes, r, len(header))
			}
		}
	}
}

func TestTheHeaderMustComeInTime(t *testing.T) {
	tests := []struct {
		name   string
		layer  bridge.Layer
		client func(*Conn)
	}{
		{"silence", proxyproto.Terminate(trust), func(*Conn) {}},
		{"a beginning", proxyproto.Relay(trust), func(c *Conn) { io.WriteString(c, tcp4[:20]) }},
		{"a byte a second", proxyproto.Terminate(trust), func(c *Conn) {
			for i := range tcp4 {
				if _, err := io.WriteString(c, tcp4[i:i+1]); err != nil {
					return
				}
				<-time.After(time.Second)
			}
		}},
		{"the beginning of one that may be there", proxyproto.Terminate(auto), func(c *Conn) { io.WriteString(c, tcp4[:20]) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := talk(t, tt.layer, Faults{}, tt.client)
			if r.out.Reason != bridge.Timeout || r.took != 5*time.Second || r.heard != "" || r.told != "" {
				t.Errorf("the server heard %q, the client %q after %s, %s; want nothing and a timeout after 5s", r.heard, r.told, r.took, r)
			}
		})
	}
}

func TestABalancerMayEndItsCheckByAReset(t *testing.T) {
	for name, layer := range map[string]bridge.Layer{
		"required": proxyproto.Terminate(trust), "optional": proxyproto.Terminate(auto), "passed on": proxyproto.Relay(trust),
	} {
		r := talk(t, layer, Faults{}, func(c *Conn) { c.Reset() })
		if r.out.Reason != bridge.PeerClosed || r.out.EndedBy != bridge.ByClient || !errors.Is(r.out.Err, proxyproto.ErrHealthCheck) || r.heard != "" {
			t.Errorf("%s: %s", name, r)
		}
	}
	if r := talk(t, proxyproto.Terminate(trust), Faults{}, func(c *Conn) {
		io.WriteString(c, tcp4[:7])
		c.Reset()
	}); r.out.Reason != bridge.Resets {
		t.Errorf("in a header: %s; want a reset", r)
	}
}

func TestAClientThatMayHaveAHeaderAndSaysNothing(t *testing.T) {
	r := talk(t, proxyproto.Terminate(auto), Faults{}, func(c *Conn) {
		<-time.After(6 * time.Second)
		io.WriteString(c, tcp4)
		c.CloseWrite()
	})
	if r.heard != tcp4 || r.flow.Path() != "raw" {
		t.Errorf("the server heard %q, %s; want all of it as payload", r.heard, r)
	}
}

func TestALongHeaderNeedsLeave(t *testing.T) {
	h := &detect.ProxyHeader{
		Version: 2, Command: 1, Family: 1, Transport: 1,
		Src: netip.MustParseAddrPort("192.0.2.7:1"), Dst: netip.MustParseAddrPort("198.51.100.7:2"),
	}
	for _, size := range []int{4096, 4097, 10000, 65535} {
		h.TLVs = []detect.TLV{{Type: 0xe0, Value: make([]byte, size-12-3)}}
		header, err := proxyproto.AppendHeader(nil, h)
		if err != nil {
			t.Fatal(err)
		}
		for limit, ok := range map[int]bool{0: size <= 4096, -1: size <= 4096, 10000: size <= 10000, 65535: true, 1 << 20: true} {
			c := trust
			c.MaxHeader = limit
			r := send(t, proxyproto.Terminate(c), Faults{}, string(header)+request)
			if (r.heard == request) != ok || (r.out.Reason == bridge.EOF) != ok {
				t.Errorf("%d bytes with a limit of %d: the server heard %q, %s", size, limit, r.heard, r)
			}
		}
	}
}

func TestARestBehindTheLastTLV(t *testing.T) {
	broken := strings.Replace(withTLV, "\x00\x04a.de", "\x00\x05a.de", 1)
	c := trust
	if r := send(t, proxyproto.Terminate(c), Faults{}, broken+request); r.heard != request {
		t.Errorf("the server heard %q, %s", r.heard, r)
	}
	c.Strict = true
	r := send(t, proxyproto.Terminate(c), Faults{}, broken+request)
	if bad := (*detect.MalformedError)(nil); r.heard != "" || !errors.As(r.out.Err, &bad) || bad.Field != "TLV" || bad.Offset != 28 {
		t.Errorf("strictly, the server heard %q, %s", r.heard, r)
	}
	if r := send(t, proxyproto.Terminate(c), Faults{}, withTLV+request); r.heard != request {
		t.Errorf("strictly, the server heard %q, %s", r.heard, r)
	}
}

func TestASourceIsItsAddress(t *testing.T) {
	tests := []struct {
		name, trust string
		source      net.Addr
		trusted     bool
	}{
		{"IPv4", "192.0.2.0/28", &net.TCPAddr{IP: net.IPv4(192, 0, 2, 15)}, true},
		{"IPv4 beside the prefix", "192.0.2.0/28", &net.TCPAddr{IP: net.IPv4(192, 0, 2, 16)}, false},
		{"IPv4 on a socket of IPv6", "192.0.2.0/28", &net.TCPAddr{IP: net.ParseIP("::ffff:192.0.2.15")}, true},
		{"IPv6", "2001:db8::/64", &net.TCPAddr{IP: net.ParseIP("2001:db8::1")}, true},
		{"IPv6 with a zone", "fe80::/10", &net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0"}, true},
		{"IPv6 is not IPv4", "0.0.0.0/0", &net.TCPAddr{IP: net.ParseIP("2001:db8::1")}, false},
		{"IPv4 is not IPv6", "::/0", &net.TCPAddr{IP: net.IPv4(192, 0, 2, 15)}, false},
		{"a Unix socket has none", "0.0.0.0/0", &net.UnixAddr{Name: "@", Net: "unix"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client, ours := Pipe(1 << 10)
			ours.Remote = tt.source
			io.WriteString(client, tcp4)
			client.CloseWrite()
			var flow *bridge.Flow
			p := &bridge.Proxy{
				Handler: bridge.Chain(proxyproto.Terminate(proxyproto.Config{
					Trust: []netip.Prefix{netip.MustParsePrefix(tt.trust)}, Untrusted: proxyproto.Reject,
				})),
				Observer: &bridge.Observer{Open: func(f *bridge.Flow) { flow = f }},
			}
			out := p.ServeConn(t.Context(), ours)
			client.Close()
			if trusted := flow.Path() == "proxy1"; trusted != tt.trusted || trusted == (out.Reason == bridge.Denied) {
				t.Errorf("path %s, outcome %s: %v; want trusted %v", flow.Path(), out.Reason, out.Err, tt.trusted)
			}
		})
	}
}

func TestRedialSaysTheHeaderAgain(t *testing.T) {
	for name, want := range map[string]string{"relay": tcp4 + request, "terminate": request} {
		layer := proxyproto.Relay(trust)
		if name == "terminate" {
			layer = proxyproto.Terminate(trust)
		}
		t.Run(name, func(t *testing.T) {
			client, ours := Pipe(1 << 16)
			io.WriteString(client, tcp4+request)
			client.CloseWrite()
			var servers []*Conn
			p := &bridge.Proxy{
				Hop: bridge.FixedHop(bridge.Addr{Host: "192.0.2.1", Port: 80}),
				Dial: func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) {
					theirs, ours := Pipe(1 << 16)
					servers = append(servers, theirs)
					theirs.CloseWrite()
					return ours, nil
				},
				Handler: bridge.Chain(layer, bridge.Layer{Name: "redial", Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
					if err := b.Redial(ctx); err != nil {
						return err
					}
					return next(ctx, b)
				}}),
			}
			out := p.ServeConn(t.Context(), ours)
			client.Close()
			got, _ := io.ReadAll(servers[len(servers)-1])
			if string(got) != want || out.Reason != bridge.EOF {
				t.Errorf("the last of %d servers got %q, outcome %s: %v", len(servers), got, out.Reason, out.Err)
			}
		})
	}
}

package mitm

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/layers/socks"
	"github.com/bridgeio/bridgeio/mitm/policy"
	"github.com/bridgeio/bridgeio/mitm/upstream"
)

func TestWhatAnUpstreamProxyIsAskedFor(t *testing.T) {
	lan := netip.MustParsePrefix("192.0.2.0/24")
	for _, tt := range []struct {
		name    string
		client  string
		hop     string
		config  Config
		asked   string // of the proxy
		refused bridge.Reason
	}{
		{"a name, which nobody resolves", "198.51.100.7", "nobody.invalid", Config{}, "nobody.invalid:443", ""},
		{"a name in its ASCII form", "198.51.100.7", "bücher.example", Config{}, "xn--bcher-kva.example:443", ""},
		{"an address", "198.51.100.7", "203.0.113.9", Config{}, "203.0.113.9:443", ""},
		{"no host name", "198.51.100.7", "a b", Config{}, "", bridge.DNS},
		{"an address that is denied", "127.0.0.1", "192.0.2.5", Config{DenyTarget: []netip.Prefix{lan}}, "", bridge.Denied},
		{"loopback, for a remote client", "198.51.100.7", "127.0.0.1", Config{}, "", bridge.Denied},
		{"loopback in disguise", "198.51.100.7", "::ffff:127.0.0.1", Config{}, "", bridge.Denied},
		{"loopback by its name", "198.51.100.7", "a.LocalHost.", Config{}, "", bridge.Denied},
		{"loopback, for a client there", "127.0.0.1", "localhost", Config{}, "localhost:443", ""},
		{"the operator's server", "198.51.100.7", "192.0.2.5", Config{
			DenyTarget: []netip.Prefix{lan}, Connect: bridge.Addr{Host: "192.0.2.5", Port: 443},
		}, "192.0.2.5:443", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := ""
			s := &Server{config: tt.config, upstream: func(_ context.Context, hop bridge.Addr, _ *bridge.Flow) (net.Conn, error) {
				asked = hop.String()
				return nil, io.EOF
			}}
			_, err := s.dial(t.Context(), bridge.Addr{Host: tt.hop, Port: 443}, flowFrom(tt.client))
			if asked != tt.asked {
				t.Errorf("the proxy was asked for %q, want %q", asked, tt.asked)
			}
			if reason, _ := bridge.ReasonOf(err); tt.refused != "" && reason != tt.refused {
				t.Errorf("%v: %s, want %s", err, reason, tt.refused)
			}
		})
	}
}

// The operator's redirects are above what a client may reach. One of them is not spent on another server, which the
// client names later on.
func TestARedirectIsForWhereItLeads(t *testing.T) {
	redirect := policy.Redirect{Names: []string{"203.0.113.9"}, Target: bridge.Addr{Host: "192.0.2.5"}}
	rules, err := policy.LoadRules(t.Context(), policy.Sources{Redirects: []policy.Redirect{redirect}})
	if err != nil {
		t.Fatal(err)
	}
	for hop, denied := range map[string]bool{"192.0.2.5": false, "192.0.2.6": true} {
		s := &Server{
			config:   Config{Rules: rules, DenyTarget: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}},
			upstream: func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) { return nil, io.EOF },
		}
		f := flowFrom("198.51.100.7")
		f.Push(bridge.Frame{Proto: "proxy2", Dst: bridge.Addr{Host: "203.0.113.9", Port: 443}})
		_, err := s.dial(t.Context(), bridge.Addr{Host: hop, Port: 443}, f)
		if reason, _ := bridge.ReasonOf(err); (reason == bridge.Denied) != denied {
			t.Errorf("%s: %v, denied: want %t", hop, err, denied)
		}
	}
}

// serveSOCKS is a SOCKS server on loopback whose destinations say a word.
func serveSOCKS(t *testing.T, word string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &bridge.Proxy{
		Handler: bridge.Chain(socks.Terminate(socks.Config{})),
		Dial: func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) {
			server, ours := net.Pipe()
			go func() {
				io.WriteString(server, word)
				server.Close()
			}()
			return ours, nil
		},
	}
	served := make(chan error)
	go func() { served <- p.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		p.Shutdown(context.Background())
		<-served
	})
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// What may be reached is about what clients ask for, not about the proxy; that is only
// not to be ourselves.
func TestTheUpstreamProxyIsTheOperators(t *testing.T) {
	addr := serveSOCKS(t, "welcome")
	newServer := func(own ...*listener) *Server {
		s := &Server{listeners: own, config: Config{
			DenyTarget: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
			Log:        slog.New(slog.DiscardHandler),
		}}
		proxy := upstream.Proxy{Scheme: upstream.SOCKS5, Addr: bridge.AddrFrom(addr)}
		s.upstream = proxy.Dialer(s.dialProxy, nil, bridge.Limits{})
		return s
	}
	hop := bridge.Addr{Host: "server.example", Port: 7}
	t.Run("it is dialled where its address is denied to clients, and again at the same address", func(t *testing.T) {
		b := bridge.Bridge{Client: bridge.NewStream(connFrom{ip: "198.51.100.7"}), DialFunc: newServer().dial}
		b.SetHop(hop)
		if err := b.Dial(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(b.Server); string(got) != "welcome" {
			t.Errorf("heard %q, %v", got, err)
		}
		if err := b.Redial(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer b.Server.Close()
		if got, err := io.ReadAll(b.Server); string(got) != "welcome" {
			t.Errorf("heard %q, %v on the second connection", got, err)
		}
		frames := b.Flow().Originated()
		if len(frames) != 1 || frames[0].Proto != "socks5" || frames[0].Dst != hop || b.Flow().Server() != bridge.AddrFrom(addr) {
			t.Errorf("originated %+v by %s", frames, b.Flow().Server())
		}
	})
	t.Run("it is not dialled where it is one of our own listeners", func(t *testing.T) {
		own := &listener{Listener: listenerAt{addr: net.TCPAddrFromAddrPort(addr)}}
		_, err := newServer(own).dial(t.Context(), hop, flowFrom("198.51.100.7"))
		if reason, by := bridge.ReasonOf(err); reason != bridge.Loop || by != bridge.ByMITM {
			t.Errorf("%v: %s by %s, want loop by us", err, reason, by)
		}
	})
	t.Run("flows that are to be blocked do not reach it", func(t *testing.T) {
		s := newServer()
		s.config.NonTLS = NonTLSBlock
		f := flowFrom("127.0.0.1")
		f.Push(bridge.Frame{Proto: "http", Verb: bridge.VerbTerminate})
		ctx := context.WithValue(t.Context(), listenerKey{}, &listener{kind: connectOnly})
		if _, err := s.dial(ctx, hop, f); !errors.Is(err, errNotTLS) {
			t.Errorf("dial: %v, want %v", err, errNotTLS)
		}
	})
}

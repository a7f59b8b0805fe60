package bridge_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

func TestAFlowIsAStackOfFrames(t *testing.T) {
	p := newPair(10)
	f := p.Flow()
	var (
		source = bridge.Addr{Host: "203.0.113.7", Port: 4711}
		spoof  = bridge.Addr{Host: "203.0.113.8", Port: 4712}
		inner  = bridge.Addr{Host: "example.com", Port: 443}
	)
	steps := []struct {
		push           bridge.Frame
		path           string
		client, target bridge.Addr
	}{
		{bridge.Frame{}, "raw", bridge.Addr{Host: "192.0.2.1", Port: 50000}, hop},
		{bridge.Frame{Proto: "proxy2", Src: source, Dst: bridge.Addr{Host: "192.0.2.9", Port: 443}}, "proxy2", source, bridge.Addr{Host: "192.0.2.9", Port: 443}},
		{bridge.Frame{Proto: "socks5", Src: spoof, Dst: inner}, "proxy2>socks5", source, inner},
		{bridge.Frame{Proto: "tls", ALPN: "h2", SNI: "example.com", Decrypted: true}, "proxy2>socks5>tls(h2)", source, inner},
		{bridge.Frame{Proto: "ssh", Verb: bridge.VerbPass}, "proxy2>socks5>tls(h2)>ssh(pass)", source, inner},
		{bridge.Frame{Proto: "odd", Opaque: true}, "proxy2>socks5>tls(h2)>ssh(pass)>odd>raw", source, inner},
	}
	for i, step := range steps {
		if i > 0 {
			p.Push(step.push)
		}
		if f.Path() != step.path || f.Client() != step.client || f.Target() != step.target {
			t.Errorf("path %q, client %v, target %v; want %q, %v, %v", f.Path(), f.Client(), f.Target(), step.path, step.client, step.target)
		}
		if want := i >= 3; f.Decrypted() != want {
			t.Errorf("Decrypted() = %t with %d frames", f.Decrypted(), i)
		}
	}
	if f.Peer() != steps[0].client || f.Local() != (bridge.Addr{Host: "198.51.100.1", Port: 443}) {
		t.Errorf("sockets %v and %v", f.Peer(), f.Local())
	}
	frames := f.Frames()
	frames[0].Proto = "changed"
	if f.Frames()[0].Proto != "proxy2" {
		t.Error("Frames returns what it keeps")
	}
}

func TestAFlowIsJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where the time is known
		p := newPair(10)
		if err := p.Dial(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.Push(bridge.Frame{Proto: "socks5", Verb: bridge.VerbRelay, User: "a\x00\"b", Dst: bridge.Addr{Host: "2001:db8::1", Port: 22}, Detail: make(chan int)})
		got, err := json.Marshal(p.Flow())
		if err != nil {
			t.Fatal(err)
		}
		want := `{"id":"` + p.Flow().ID() + `","start":"2000-01-01T00:00:00Z","client":"192.0.2.1:50000","server":"198.51.100.1:443",` +
			`"target":"[2001:db8::1]:22","path":"socks5","frames":[{"proto":"socks5","verb":"relay","dst":"[2001:db8::1]:22","user":"a\u0000\"b"}]}`
		var flow struct{ Start time.Time }
		if err := json.Unmarshal(got, &flow); err != nil || !flow.Start.Equal(p.Flow().Start()) {
			t.Errorf("start %v, %v", flow.Start, err)
		}
		if s := string(got); s[:37] != want[:37] || s[strings.Index(s, `"client"`):] != want[strings.Index(want, `"client"`):] {
			t.Errorf("JSON\n%s, want\n%s", got, want)
		}
	})
}

func TestFlowIDsSortByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ids []string
		for range 100 {
			id := newPair(1).Flow().ID()
			if len(id) != 26 || strings.Trim(id, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") != "" {
				t.Fatalf("ID %q is no ULID", id)
			}
			if slices.Contains(ids, id) {
				t.Fatalf("ID %q twice", id)
			}
			ids = append(ids, id)
			time.Sleep(time.Millisecond)
		}
		if !slices.IsSorted(ids) {
			t.Errorf("IDs of one flow a millisecond do not sort: %v", ids)
		}
		if got, want := ids[0][:10], "00VHNCZB00"; got != want { // 946684800000 ms
			t.Errorf("the time of midnight on 1 January 2000 is %q, want %q", got, want)
		}
	})
}

func TestAFlowIsSafeForConcurrentUse(t *testing.T) {
	p := newPair(10)
	f := p.Flow()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 30 {
				f.Push(bridge.Frame{Proto: "x", Dst: hop})
				_, _, _, _ = f.Path(), f.Target(), f.Client(), f.Bytes(bridge.Client)
				if _, err := json.Marshal(f); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Go(func() { p.SetHop(hop) })
	all.Wait()
	if n := len(f.Frames()); n != 120 {
		t.Errorf("%d frames of 120", n)
	}
}

func TestRestartBeginsANewFlowOnTheSameClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var events []string
		p := newPair(100)
		p.Observer = &bridge.Observer{
			Open: func(f *bridge.Flow) { events = append(events, "open "+f.Path()) },
			Close: func(f *bridge.Flow, o bridge.Outcome) {
				events = append(events, "close "+f.Path()+" "+string(o.Reason))
			},
			Tap: func(f *bridge.Flow) func(bridge.Side, []byte) {
				events = append(events, "tap "+f.Path())
				return nil
			},
		}
		outer := bridge.Layer{Name: "outer", Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
			b.Push(bridge.Frame{Proto: "outer"})
			return next(ctx, b)
		}}
		request := bridge.Layer{Name: "request", Handle: func(ctx context.Context, b *bridge.Bridge, _ bridge.Handler) error {
			first := b.Flow()
			for _, dst := range []string{"one.example:80", "two.example:80"} {
				to, err := bridge.ParseAddr(dst)
				if err != nil {
					return err
				}
				if b.Flow() != first {
					b.Restart() // of a flow with nothing in it yet
				}
				b.SetHop(to)
				b.Push(bridge.Frame{Proto: "request", Dst: to})
				b.Tap()
				if _, err := bridge.Turn(ctx, b, bridge.Client, line); err != nil {
					return err
				}
				b.Restart()
				if b.Server != nil || !b.Hop().IsZero() || !b.Flow().Server().IsZero() {
					t.Errorf("after Restart server %v, hop %v", b.Server, b.Hop())
				}
			}
			return nil
		}}
		say(t, p.client, "GET one\nGET two\nrest")
		if err := bridge.Chain(outer, request)(t.Context(), p.Bridge); err != nil {
			t.Fatal(err)
		}
		want := "tap outer>request|close outer>request eof|open outer|close outer eof|open outer|tap outer>request|close outer>request eof|open outer"
		if got := strings.Join(events, "|"); got != want {
			t.Errorf("events\n%s, want\n%s", got, want)
		}
		if p.Flow().Target() != (bridge.Addr{}) || string(p.Client.Buffered()) != "rest" {
			t.Errorf("target %v, and %q buffered", p.Flow().Target(), p.Client.Buffered())
		}
		for i, want := range []string{"GET one\n", "GET two\n"} {
			hear(t, p.servers[i], want)
		}
		if got := p.dialled; len(got) != 2 || got[0].Host != "one.example" || got[1].Host != "two.example" {
			t.Errorf("dialled %v", got)
		}
	})
}

func TestObserversAreJoined(t *testing.T) {
	var calls []string
	observer := func(name string, tap bool) *bridge.Observer {
		return &bridge.Observer{
			Open:  func(*bridge.Flow) { calls = append(calls, name+" open") },
			Frame: func(_ *bridge.Flow, f bridge.Frame) { calls = append(calls, name+" frame "+f.Proto) },
			Close: func(*bridge.Flow, bridge.Outcome) { calls = append(calls, name+" close") },
			Message: func(_ *bridge.Flow, m bridge.Message) {
				calls = append(calls, fmt.Sprintf("%s message %s>%s", name, m.From, m.To))
			},
			Tap: func(*bridge.Flow) func(bridge.Side, []byte) {
				if !tap {
					return nil
				}
				return func(from bridge.Side, data []byte) { calls = append(calls, name+" "+string(data)) }
			},
		}
	}
	o := bridge.Observers(nil, observer("a", true), &bridge.Observer{}, observer("b", false), observer("c", true), nil)
	f := newPair(1).Flow()
	o.Open(f)
	o.Frame(f, bridge.Frame{Proto: "x"})
	o.Message(f, bridge.Message{From: bridge.ByClient, To: bridge.ByMITM})
	o.Tap(f)(bridge.Client, []byte("data"))
	o.Close(f, bridge.Outcome{})
	want := "a open,b open,c open,a frame x,b frame x,c frame x,a message client>mitm,b message client>mitm,c message client>mitm,a data,c data,a close,b close,c close"
	if got := strings.Join(calls, ","); got != want {
		t.Errorf("calls %s, want %s", got, want)
	}
	if got := bridge.Observers(observer("b", false), observer("b", false)).Tap(f); got != nil {
		t.Error("two observers without interest want to see the data")
	}
	if o := bridge.Observers(); o.Open != nil || o.Frame != nil || o.Message != nil || o.Tap != nil || o.Close != nil {
		t.Errorf("nobody is %v", o)
	}
}

func TestObserversSeeEachMessageOfAHandshakeOnce(t *testing.T) {
	p := newPair(100)
	var seen []string
	p.Observer = &bridge.Observer{Message: func(_ *bridge.Flow, m bridge.Message) {
		seen = append(seen, fmt.Sprintf("%s: %s>%s %q", m.Layer, m.From, m.To, m.Data))
	}}
	say(t, p.client, "for us\nfor the server\nsurplus and data")
	h := bridge.Chain(bridge.Layer{Name: "a", Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
		_, n, err := bridge.Expect(ctx, b, bridge.Client, line)
		if err != nil {
			return err
		}
		b.Take(bridge.Client, n)
		if err := b.Write(ctx, bridge.Client, []byte("from us\n")); err != nil {
			return err
		}
		return next(ctx, b)
	}}, bridge.Layer{Name: "b", Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
		if _, err := bridge.Turn(ctx, b, bridge.Client, line); err != nil {
			return err
		}
		if err := b.Pass(ctx, bridge.Client, len("surplus")); err != nil {
			return err
		}
		p.client.Close()
		p.server().Close()
		return next(ctx, b)
	}})
	h(t.Context(), p.Bridge)
	want := []string{
		`a: client>mitm "for us\n"`, `a: mitm>client "from us\n"`, `b: client>server "for the server\n"`, `b: client>server "surplus"`,
	}
	if !slices.Equal(seen, want) {
		t.Errorf("seen %q, want %q", seen, want)
	}
}

func TestAddrText(t *testing.T) {
	tests := []struct {
		text string
		addr bridge.Addr
		isIP bool
	}{
		{"", bridge.Addr{}, false},
		{"example.com:443", bridge.Addr{Host: "example.com", Port: 443}, false},
		{"192.0.2.1:0", bridge.Addr{Host: "192.0.2.1"}, true},
		{"[2001:db8::1]:65535", bridge.Addr{Host: "2001:db8::1", Port: 65535}, true},
		{"[fe80::1%eth0]:22", bridge.Addr{Host: "fe80::1%eth0", Port: 22}, true},
	}
	for _, tt := range tests {
		var got bridge.Addr
		if err := got.UnmarshalText([]byte(tt.text)); err != nil || got != tt.addr {
			t.Errorf("UnmarshalText(%q) = %+v, %v; want %+v", tt.text, got, err, tt.addr)
		}
		if text, err := tt.addr.MarshalText(); err != nil || string(text) != tt.text {
			t.Errorf("MarshalText(%+v) = %q, %v; want %q", tt.addr, text, err, tt.text)
		}
		if ip, ok := tt.addr.IP(); ok != tt.isIP || ok && ip.String() != tt.addr.Host {
			t.Errorf("IP(%+v) = %v, %t", tt.addr, ip, ok)
		}
	}
	for _, wrong := range []string{"example.com", ":80", "example.com:", "example.com:65536", "example.com:-1", "example.com:http", "a:b:80", "[::1:80"} {
		if got, err := bridge.ParseAddr(wrong); err == nil || got != (bridge.Addr{}) {
			t.Errorf("ParseAddr(%q) = %+v, %v", wrong, got, err)
		}
	}
}

func TestAddrOfASocket(t *testing.T) {
	tests := []struct {
		from net.Addr
		want bridge.Addr
	}{
		{&net.TCPAddr{IP: net.ParseIP("::ffff:192.0.2.1"), Port: 80}, bridge.Addr{Host: "192.0.2.1", Port: 80}},
		{&net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 80, Zone: "eth0"}, bridge.Addr{Host: "fe80::1%eth0", Port: 80}},
		{&net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 53}, bridge.Addr{Host: "192.0.2.1", Port: 53}},
		{&net.UnixAddr{Name: "/run/x", Net: "unix"}, bridge.Addr{}},
		{&net.TCPAddr{}, bridge.Addr{}},
		{nil, bridge.Addr{}},
	}
	for _, tt := range tests {
		if got := bridge.AddrOf(tt.from); got != tt.want {
			t.Errorf("AddrOf(%v) = %+v, want %+v", tt.from, got, tt.want)
		}
	}
	if got := bridge.AddrFrom(netip.AddrPort{}); !got.IsZero() {
		t.Errorf("AddrFrom of nothing = %+v", got)
	}
}

func TestLimitsHaveDefaults(t *testing.T) {
	l := bridge.Limits{}.WithDefaults()
	want := bridge.Limits{
		Dial: 30 * time.Second, Turn: 10 * time.Second, Proxy: 5 * time.Second, Detect: 10 * time.Second,
		First: 60 * time.Second, Idle: 600 * time.Second, Drain: 60 * time.Second, Shutdown: 10 * time.Second, MaxFlows: l.MaxFlows,
	}
	if l != want || l.MaxFlows < 16 {
		t.Errorf("defaults %+v, want %+v", l, want)
	}
	if again := l.WithDefaults(); again != l {
		t.Errorf("the defaults of the defaults are %+v", again)
	}
	own := bridge.Limits{Dial: time.Second, Idle: -1, MaxFlows: -1, Fail: bridge.FailClosed}.WithDefaults()
	if own.Dial != time.Second || own.Idle < 100*365*24*time.Hour || own.MaxFlows != -1 || own.Fail != bridge.FailClosed || own.Turn != l.Turn {
		t.Errorf("with own values %+v", own)
	}
}

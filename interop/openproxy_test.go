package interop

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

func TestARemoteClientReachesTheInternetAndNothingOfTheProxys(t *testing.T) {
	if inNamespaces(t) {
		return
	}
	l, inside, outside := openLab(t)
	p := l.mitm(t)
	before := p.descriptors(t)
	for _, w := range ways(t) {
		t.Run(w.name, func(t *testing.T) {
			for _, host := range forbidden() {
				if w.cantSay(host) {
					continue
				}
				if got, reason := p.try(t, privateSource, w, host); got != w.refused || reason != "denied" {
					t.Errorf("%s: answered %q, reason %s, want %q, denied", host, got, reason, w.refused)
				}
			}
			for _, host := range malformed() {
				if w.cantSay(host) {
					continue
				}
				if got, reason := p.try(t, privateSource, w, host); got == w.granted || reason != "dns" && reason != "desync" {
					t.Errorf("%s: answered %q, reason %s", host, got, reason)
				}
			}
			if got := append(inside.take(), outside.take()...); len(got) > 0 {
				t.Errorf("the proxy connected to %q", got)
			}
			for _, host := range internet() {
				if w.cantSay(host) {
					continue
				}
				if got, reason := p.try(t, privateSource, w, host); w.granted != "" && got != w.granted {
					t.Errorf("%s: answered %q, reason %s, want %q", host, got, reason, w.granted)
				}
				p.eventually(t, host+" is reached", func() bool { return len(outside.take()) > 0 }) // the client may know before
			}
			if got := inside.take(); len(got) > 0 {
				t.Errorf("the proxy connected to itself: %q", got)
			}
		})
	}
	p.settles(t, before)
}

// A client that may not use the proxy is closed before it has said anything, and reaches
// nothing whatever it says.
func TestWhoMayUseTheProxy(t *testing.T) {
	if inNamespaces(t) {
		return
	}
	l, inside, outside := openLab(t)
	for _, tt := range []struct {
		name   string
		args   []string
		let    []string
		closed []string
	}{
		{
			"private networks, unless told otherwise", nil,
			[]string{"127.0.0.1", "::1", privateSource, privateSource6},
			[]string{publicSource, publicSource6},
		},
		{
			"whom --allow names, and nobody else",
			[]string{"--allow", publicSource + ",2001:db8:1::/64"},
			[]string{publicSource, publicSource6},
			[]string{privateSource, privateSource6, "127.0.0.1", "::1"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := l.mitm(t, tt.args...)
			for _, from := range tt.let {
				for _, w := range ways(t)[:1] {
					if got, reason := p.try(t, from, w, "203.0.113.9"); got != w.granted {
						t.Errorf("%s by %s: answered %q, reason %s, want %q", from, w.name, got, reason, w.granted)
					}
					p.eventually(t, "the server is reached", func() bool { return len(outside.take()) > 0 })
				}
			}
			for _, from := range tt.closed {
				c := p.call(t, from)
				if got := c.end(); got != "" {
					t.Errorf("%s: heard %q, want the end", from, got)
				}
				c.Close()
				p.ended(t, c, "denied")
				for _, w := range ways(t) {
					c := p.call(t, from)
					c.trySay(w.ask("origin.test", 443))
					if got := c.end(); got != "" {
						t.Errorf("%s by %s: heard %q, want the end", from, w.name, got)
					}
					c.Close()
					p.ended(t, c, "denied")
				}
			}
			if got := append(inside.take(), outside.take()...); len(got) > 0 {
				t.Errorf("the proxy connected to %q for a client that may not use it", got)
			}
		})
	}
}

func TestTargetsAreOpenedAndClosedExactlyAsTheFlagsSay(t *testing.T) {
	if inNamespaces(t) {
		return
	}
	l, _, _ := openLab(t)
	p := l.mitm(t, "--allow-target", "127.0.0.1,169.254.169.254,::1,203.0.113.9", "--deny-target", "203.0.113.0/24,2001:db8:2::9")
	closed := map[string]bool{"203.0.113.10": true, "2001:db8:2::9": true, "origin6.test": true}
	open := []string{
		"127.0.0.1", "::ffff:127.0.0.1", "localhost", "loopback.test", "loopback6.test", "mapped.test", "::1",
		"169.254.169.254", "::ffff:169.254.169.254", "metadata.test", "203.0.113.9", "origin.test", "both.test",
	}
	for _, host := range append(forbidden(), open...) {
		closed[host] = !slices.Contains(open, host)
	}
	for _, w := range ways(t)[:6] {
		t.Run(w.name, func(t *testing.T) {
			for host, closed := range closed {
				if w.cantSay(host) {
					continue
				}
				want := w.granted
				if closed {
					want = w.refused
				}
				if got, reason := p.try(t, privateSource, w, host); got != want || closed != (reason == "denied") {
					t.Errorf("%s: answered %q, reason %s, want %q", host, got, reason, want)
				}
			}
		})
	}
	t.Run("a client on loopback is denied what --deny-target names, and nothing else", func(t *testing.T) {
		w := ways(t)[2]
		for host, want := range map[string]string{
			"203.0.113.10": w.refused, "2001:db8:2::9": w.refused, "203.0.113.9": w.granted,
			"127.8.8.8": w.granted, "10.9.8.1": w.granted, "own6.test": w.granted,
		} {
			if got, reason := p.try(t, "127.0.0.1", w, host); got != want {
				t.Errorf("%s: answered %q, reason %s, want %q", host, got, reason, want)
			}
		}
	})
}

// The client that counts is the one that a balancer which is believed names; a header
// from anybody else is the words of a stranger.
func TestAPROXYHeaderCountsOnlyWhereItIsBelieved(t *testing.T) {
	if inNamespaces(t) {
		return
	}
	l, inside, outside := openLab(t)
	p := l.mitm(t, "--accept-proxy", privateSource)
	socks := ways(t)[2]
	header := func(src string) string { return "PROXY TCP4 " + src + " 10.9.8.1 40000 8080\r\n" }
	for _, tt := range []struct {
		name, from, say, want, reason string
	}{
		{"a private client behind the balancer", privateSource, header("10.1.2.3") + socks.ask("203.0.113.9", 443), socks.granted, ""},
		{"a public client behind the balancer", privateSource, header("198.51.100.7") + socks.ask("203.0.113.9", 443), "", "denied"},
		{"a client of the balancer's loopback is not on ours", privateSource, header("127.0.0.1") + socks.ask("127.0.0.1", 443), socks.refused, "denied"},
		{"a private client behind the balancer that wants our loopback", privateSource, header("10.1.2.4") + socks.ask("127.0.0.1", 443), socks.refused, "denied"},
		{"the balancer without a header", privateSource, socks.ask("203.0.113.9", 443), "", "desync"},
		{"a stranger who says that he is private", publicSource, header("10.1.2.3") + socks.ask("203.0.113.9", 443), "", "denied"},
		{"a neighbour who says that he is on loopback", privateSource6, header("127.0.0.1") + socks.ask("127.0.0.1", 443), "", "desync"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := p.call(t, tt.from)
			c.trySay(tt.say)
			got := c.first(max(len(tt.want), 1))
			c.Close()
			client := c.LocalAddr().String()
			if strings.HasPrefix(tt.say, "PROXY") && tt.from == privateSource {
				client = strings.Fields(tt.say)[2] + ":40000"
			}
			var flows []peers.Flow
			p.eventually(t, "its line", func() bool { flows = p.linesOf(t, client); return len(flows) > 0 })
			if last := flows[len(flows)-1]; got != tt.want || tt.reason != "" && last.Reason != tt.reason {
				t.Errorf("answered %q, flow %+v, want %q, %s", got, last, tt.want, tt.reason)
			}
		})
	}
	if got := inside.take(); len(got) > 0 {
		t.Errorf("the proxy connected to itself: %q", got)
	}
	var got []string
	p.eventually(t, "the server is reached", func() bool { got = append(got, outside.take()...); return len(got) > 0 })
	if len(got) != 1 {
		t.Errorf("the server was reached %d times, want once", len(got))
	}
}

// What would bring a flow back to us is refused, from a client on loopback as well, and
// whatever may be reached.
func TestTheProxyDoesNotDialItself(t *testing.T) {
	if inNamespaces(t) {
		return
	}
	l := newLab(t)
	p := l.mitm(t, "--allow-target", "0.0.0.0/0,::/0", "--socks", "127.0.0.1,443")
	port := 0
	if _, err := fmt.Sscan(p.port, &port); err != nil {
		t.Fatal(err)
	}
	hosts := []string{
		"127.0.0.1", "127.8.8.8", "0.0.0.0", "::", "::1", "::ffff:127.0.0.1", "localhost", "loopback.test", "zero.test",
		"10.9.8.1", "198.51.100.1", "2001:db8:1::1", "own.test", "own6.test", "mapped.test",
	}
	for _, w := range ways(t)[:6] {
		t.Run(w.name, func(t *testing.T) {
			for _, from := range []string{"127.0.0.1", privateSource} {
				for _, host := range hosts {
					ask := w.ask(host, port)
					if ask == "" {
						continue
					}
					c := p.call(t, from)
					c.say(ask)
					if got := c.first(len(w.granted)); got != w.refused {
						t.Errorf("%s from %s: answered %q, want %q", host, from, got, w.refused)
					}
					c.Close()
					p.ended(t, c, "loop")
				}
			}
		})
	}
	t.Run("TLS with a server name that leads to a listener is for the proxy", func(t *testing.T) {
		c := p.call(t, "127.0.0.1")
		c.say(hello(t, "loopback.test"))
		if got := c.first(3); got != "\x16\x03\x03" {
			t.Errorf("heard %x, want a ServerHello", got)
		}
		c.Close()
		p.ended(t, c, "tls_client", "peer_closed", "reset")
	})
	for _, address := range []string{"127.0.0.1", "0.0.0.0", "10.9.8.1"} {
		line := fmt.Sprintf(`"addr":"%s:%s"`, address, p.port)
		if got := strings.Count(p.Stderr(), line); got != 1 {
			t.Errorf("%d warnings about %s, want one\n%s", got, address, p.Stderr())
		}
	}
}

// What can't be reached is told apart, to the client and in the flow log.
func TestWhyAServerWasNotReached(t *testing.T) {
	if inNamespaces(t) {
		return
	}
	l := newLab(t)
	p := l.mitm(t, "--timeout", "500ms")
	for _, tt := range []struct {
		name, host     string
		socks5, status string
		reason         string
	}{
		{"refused", "203.0.113.9", "\x05", "HTTP/1.1 502", "refused"},
		{"no route", "192.0.2.77", "\x03", "HTTP/1.1 502", "unreachable"},
		{"no name", "unknown.test", "\x04", "HTTP/1.1 502", "dns"},
		{"no answer", "203.0.113.250", "\x06", "HTTP/1.1 504", "timeout"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all := ways(t)
			for _, ask := range []struct {
				way
				want string
			}{
				{all[1], "\x00\x5b"}, {all[2], "\x05\x00\x05" + tt.socks5}, {all[4], tt.status}, {all[5], tt.status},
			} {
				if got, reason := p.try(t, privateSource, ask.way, tt.host); got != ask.want || reason != tt.reason {
					t.Errorf("%s: answered %q, reason %s, want %q, %s", ask.name, got, reason, ask.want, tt.reason)
				}
			}
		})
	}
}

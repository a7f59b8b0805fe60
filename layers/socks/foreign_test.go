package socks_test

import (
	"context"
	"io"
	"log"
	"net"
	"strings"
	"testing"

	gosocks5 "github.com/armon/go-socks5"
	"golang.org/x/net/proxy"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/layers/socks"
)

// serveTo takes one conn through the handler, with the other as what is dialled.
func serveTo(t testing.TB, h bridge.Handler, client, server net.Conn) (*bridge.Flow, bridge.Outcome) {
	var flow *bridge.Flow
	p := &bridge.Proxy{
		Handler:  h,
		Hop:      bridge.FixedHop(bridge.Addr{Host: "192.0.2.80", Port: 1080}),
		Dial:     func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) { return server, nil },
		Observer: &bridge.Observer{Open: func(f *bridge.Flow) { flow = f }},
	}
	out := p.ServeConn(t.Context(), client)
	return flow, out
}

// listen serves on loopback until the test ends.
func listen(t testing.TB, serve func(net.Listener)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		serve(l)
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String()
}

// echo answers each conn with what it says, in capitals.
func echo(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		said, _ := io.ReadAll(c)
		io.WriteString(c, strings.ToUpper(string(said)))
		c.Close()
	}
}

// through serves a Proxy and returns its address and the paths of its flows, one for each.
func through(t testing.TB, p *bridge.Proxy) (addr string, paths <-chan string) {
	ended := make(chan string, 16)
	p.Observer = &bridge.Observer{Close: func(f *bridge.Flow, o bridge.Outcome) {
		ended <- f.Path() + " " + f.Target().String() + " " + string(o.Reason)
	}}
	addr = listen(t, func(l net.Listener) { p.Serve(context.Background(), l) })
	t.Cleanup(func() { p.Shutdown(context.Background()) })
	return addr, ended
}

// saysHello dials the echo through a SOCKS5 server, with the client of x/net, and holds its answer.
func saysHello(t *testing.T, socksAddr string, auth *proxy.Auth, target string) error {
	t.Helper()
	d, err := proxy.SOCKS5("tcp", socksAddr, auth, proxy.Direct)
	if err != nil {
		t.Fatal(err)
	}
	c, err := d.Dial("tcp", target)
	if err != nil {
		return err
	}
	defer c.Close()
	io.WriteString(c, "hello")
	c.(interface{ CloseWrite() error }).CloseWrite()
	if got, err := io.ReadAll(c); string(got) != "HELLO" || err != nil {
		t.Errorf("the echo says %q, %v", got, err)
	}
	return nil
}

func TestAForeignClientAtOurServer(t *testing.T) {
	target := listen(t, echo)
	_, port, _ := net.SplitHostPort(target)
	addr, paths := through(t, &bridge.Proxy{Handler: bridge.Chain(socks.Terminate(socks.Config{Auth: onlyAlice}))})
	alice := &proxy.Auth{User: "alice", Password: "secret"}

	if err := saysHello(t, addr, alice, target); err != nil {
		t.Error(err)
	}
	if got, want := <-paths, "socks5 "+target+" eof"; got != want {
		t.Errorf("flow %q, want %q", got, want)
	}
	if err := saysHello(t, addr, alice, "localhost:"+port); err != nil {
		t.Error(err)
	}
	if got, want := <-paths, "socks5 localhost:"+port+" eof"; got != want {
		t.Errorf("flow %q, want %q", got, want)
	}
	for name, auth := range map[string]*proxy.Auth{"no password": nil, "a wrong one": {User: "alice", Password: "x"}} {
		if err := saysHello(t, addr, auth, target); err == nil {
			t.Errorf("with %s the client got through", name)
		}
		if got, want := <-paths, "socks5  auth"; got != want {
			t.Errorf("with %s: flow %q, want %q", name, got, want)
		}
	}
}

func TestOurRelayBetweenAForeignClientAndAForeignServer(t *testing.T) {
	target := listen(t, echo)
	foreign, err := gosocks5.New(&gosocks5.Config{
		Credentials: gosocks5.StaticCredentials{"alice": "secret"},
		Logger:      log.New(io.Discard, "", 0),
	})
	if err != nil {
		t.Fatal(err)
	}
	server := listen(t, func(l net.Listener) { foreign.Serve(l) })
	hop, err := bridge.ParseAddr(server)
	if err != nil {
		t.Fatal(err)
	}
	addr, paths := through(t, &bridge.Proxy{Handler: bridge.Chain(socks.Relay()), Hop: bridge.FixedHop(hop)})

	if err := saysHello(t, addr, &proxy.Auth{User: "alice", Password: "secret"}, target); err != nil {
		t.Error(err)
	}
	if got, want := <-paths, "socks5 "+target+" eof"; got != want {
		t.Errorf("flow %q, want %q", got, want)
	}
	if err := saysHello(t, addr, &proxy.Auth{User: "alice", Password: "x"}, target); err == nil {
		t.Error("with a wrong password the client got through")
	}
	if got := <-paths; !strings.HasPrefix(got, "socks5 ") {
		t.Errorf("flow %q", got)
	}
	err = saysHello(t, addr, &proxy.Auth{User: "alice", Password: "secret"}, closedPort(t))
	if err == nil || !strings.HasSuffix(err.Error(), "connection refused") {
		t.Errorf("to a closed port: %v, want the server's refusal", err)
	}
	<-paths
}

func TestOurDiallerAtAForeignServer(t *testing.T) {
	target := listen(t, echo)
	_, port, _ := net.SplitHostPort(target)
	foreign, err := gosocks5.New(&gosocks5.Config{
		Credentials: gosocks5.StaticCredentials{"alice": "secret"},
		Logger:      log.New(io.Discard, "", 0),
	})
	if err != nil {
		t.Fatal(err)
	}
	server, err := bridge.ParseAddr(listen(t, func(l net.Listener) { foreign.Serve(l) }))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, password, hop string
		reason              bridge.Reason
	}{
		{"an address", "secret", target, bridge.EOF},
		{"a name", "secret", "localhost:" + port, bridge.EOF},
		{"a wrong password", "wrong", target, bridge.Auth},
		{"a closed port", "secret", closedPort(t), bridge.Refused},
		{"a name that does not resolve", "secret", "nobody.invalid:1", bridge.Unreachable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hop, err := bridge.ParseAddr(tt.hop)
			if err != nil {
				t.Fatal(err)
			}
			p := &bridge.Proxy{Handler: bridge.Chain(), Hop: bridge.FixedHop(hop), Dial: socks.Dial(nil, socks.DialConfig{
				Proxy: server, User: "alice", Password: tt.password,
			})}
			addr, paths := through(t, p)
			// A flow that is refused may be reset before our connect has returned.
			if c, err := net.Dial("tcp", addr); err == nil {
				defer c.Close()
				io.WriteString(c, "hello")
				c.(*net.TCPConn).CloseWrite()
				if got, _ := io.ReadAll(c); tt.reason == bridge.EOF && string(got) != "HELLO" {
					t.Errorf("the echo says %q", got)
				}
			} else if tt.reason == bridge.EOF {
				t.Fatal(err)
			}
			if got, want := <-paths, "raw "+tt.hop+" "+string(tt.reason); got != want {
				t.Errorf("flow %q, want %q", got, want)
			}
		})
	}
}

// closedPort returns an address on which nobody listens.
func closedPort(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	return l.Addr().String()
}

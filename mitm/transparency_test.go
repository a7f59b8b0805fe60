package mitm

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/layers/proxyproto"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
)

// opening is what both peers say, and the path that a flow in which they say it takes.
type opening struct{ name, client, server, path string }

// openings has one of every layer, and of some stacks.
func openings(tb testing.TB) []opening {
	hello, err := os.ReadFile("../testdata/hellos/curl.bin")
	if err != nil {
		tb.Fatal(err)
	}
	const (
		socks5   = "\x05\x01\x00\x05\x01\x00\x03\x0bexample.com\x01\xbb"
		granted5 = "\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x04\x38"
		password = "\x05\x01\x02\x01\x05alice\x06secret\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50"
		proxy1   = "PROXY TCP4 198.51.100.7 198.51.100.80 50000 1080\r\n"
		proxy2   = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc6\x33\x64\x07\xc6\x33\x64\x50\xc3\x50\x04\x38"
		connect  = "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n"
	)
	tls := string(hello)
	return []opening{
		{"nothing", "", "", "raw"},
		{"bytes of no protocol", "\xff\xfe\xfd", "answer", "raw"},
		{"a server that answers a client without a word", "", "220 hello\r\n", "raw"},
		{"TLS", tls, "\x15\x03\x03\x00\x02\x02\x28", "tls(pass)"},
		{"HTTP", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "http"},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x00\x00\x00\x04\x00\x00\x00\x00\x00", "http2"},
		{"SSH", "SSH-2.0-client\r\n", "SSH-2.0-server\r\n", "ssh"},
		{"SOCKS5 and TLS", socks5 + tls, granted5 + "server hello", "socks5>tls(pass)"},
		{"SOCKS5 with a password", password + "data", "\x05\x02\x01\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x04\x38data", "socks5>raw"},
		{"SOCKS5 that is refused", socks5, "\x05\x00\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00", "socks5"},
		{"SOCKS4", "\x04\x01\x00\x50\xc0\x00\x02\x01user\x00GET / HTTP/1.1\r\n\r\n", "\x00\x5a\x00\x50\xc0\x00\x02\x01answer", "socks4>http"},
		{"CONNECT and TLS", connect + tls, "HTTP/1.1 200 OK\r\n\r\nserver hello", "connect>tls(pass)"},
		{
			"CONNECT that is asked for a password", connect + connect + tls,
			"HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nnoHTTP/1.1 200 OK\r\n\r\nserver hello", "connect>tls(pass)",
		},
		{"CONNECT, SOCKS5 and TLS", connect + socks5 + tls, "HTTP/1.1 200 OK\r\n\r\n" + granted5 + "server hello", "connect>socks5>tls(pass)"},
		{"PROXY v1 and SOCKS5", proxy1 + socks5 + "x", granted5, "proxy1>socks5>raw"},
		{"PROXY v2, SOCKS5 and TLS", proxy2 + socks5 + tls, granted5 + "server hello", "proxy2>socks5>tls(pass)"},
	}
}

// passThrough sends what both peers say through the relay chain, TLS passed on as it is,
// and returns what each of them got. The server speaks when it has heard something.
func passThrough(client, server []byte) (toClient, toServer []byte, path string, out bridge.Outcome) {
	s := &Server{}
	sourceMay := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
	pass := tlsbridge.Relay(tlsbridge.Config{
		Policy: func(*bridge.Flow, *detect.ClientHello) (tlsbridge.Action, string) { return tlsbridge.Pass, "" },
	})
	c, accepted := bridgetest.Pipe(1 << 20)
	dialled, u := bridgetest.Pipe(1 << 20)
	p := &bridge.Proxy{
		Handler:  bridge.ChainTo(s.last, proxyproto.Relay(proxyproto.Config{Auto: sourceMay}), s.detection(pass, nil)),
		Dial:     func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) { return dialled, nil },
		Hop:      bridge.FixedHop(bridge.Addr{Host: "192.0.2.1", Port: 1080}),
		Observer: &bridge.Observer{Close: func(f *bridge.Flow, _ bridge.Outcome) { path = f.Path() }},
	}
	got := make(chan []byte, 2)
	go func() {
		c.Write(client)
		c.CloseWrite()
		all, _ := io.ReadAll(c)
		got <- all
	}()
	heard := make(chan []byte, 1)
	go func() {
		first := make([]byte, 1)
		n, _ := u.Read(first)
		u.Write(server)
		u.CloseWrite()
		rest, _ := io.ReadAll(u)
		heard <- append(first[:n], rest...)
	}()
	out = p.ServeConn(context.Background(), accepted)
	dialled.Close() // also when nothing was dialled
	toClient, toServer = <-got, <-heard
	c.Close()
	u.Close()
	return toClient, toServer, path, out
}

func TestOpeningsTakeTheirPath(t *testing.T) {
	for _, o := range openings(t) {
		t.Run(o.name, func(t *testing.T) {
			if _, _, path, out := passThrough([]byte(o.client), []byte(o.server)); path != o.path {
				t.Errorf("path %s, want %s; outcome %+v", path, o.path, out)
			}
		})
	}
}

// FuzzTransparency holds the first promise: whatever two peers say to each other through
// the relay chain comes out as it went in, whichever layers take it for theirs. Only the
// PROXY protocol may end a flow, which never falls open.
func FuzzTransparency(f *testing.F) {
	for _, o := range openings(f) {
		f.Add([]byte(o.client), []byte(o.server))
	}
	f.Fuzz(func(t *testing.T, client, server []byte) {
		if len(client)+len(server) > 256<<10 {
			return
		}
		toClient, toServer, path, out := passThrough(client, server)
		if layer := (*bridge.Error)(nil); errors.As(out.Err, &layer) && layer.Layer == "proxy" {
			return
		}
		if !bytes.Equal(toServer, client) {
			t.Errorf("the server got %q of %q; path %s, %+v", toServer, client, path, out)
		}
		if !bytes.Equal(toClient, server) {
			t.Errorf("the client got %q of %q; path %s, %+v", toClient, server, path, out)
		}
	})
}

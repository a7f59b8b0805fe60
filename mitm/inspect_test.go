package mitm

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/mitm/ca"
)

// talker is a server that says its lines in answer to whatever it reads, one each.
func talker(t *testing.T, lines ...string) bridge.Addr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		buf := make([]byte, 4096)
		for _, line := range lines {
			if _, err := c.Read(buf); err != nil {
				return
			}
			io.WriteString(c, line)
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return bridge.AddrOf(l.Addr())
}

// serve runs a Server until the test ends and returns its first address and the outcomes
// of its flows.
func serve(t *testing.T, c Config) (addr string, outcomes <-chan bridge.Outcome) {
	t.Helper()
	authority, err := ca.Open(t.TempDir() + "/ca")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan bridge.Outcome, 16)
	if c.CA = authority; len(c.TLS)+len(c.HAProxy)+len(c.SOCKS)+len(c.HTTPConnect) == 0 {
		c.Listen = []string{"127.0.0.1:0"}
	}
	c.Observer = bridge.Observers(c.Observer, &bridge.Observer{Close: func(_ *bridge.Flow, out bridge.Outcome) { ended <- out }})
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		authority.Close()
	})
	return s.Listening()[0].Addr.String(), ended
}

// What no layer could take off is let through only where the configuration allows it,
// whichever way it came to that.
func TestWhatIsNotInspectedIsLetThroughOnlyWhereItIsAllowed(t *testing.T) {
	const (
		secret = "the server's secret"
		sslv2  = "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10"
	)
	hello2 := sslv2 + string(make([]byte, 0x2e+2-len(sslv2)))
	for _, tt := range []struct {
		name   string
		config Config
		says   []string // by the client, each after an answer
		server []string
		reason bridge.Reason // "" means that the secret comes
	}{
		{"unknown bytes", Config{}, []string{"hello\r\n"}, []string{secret}, ""},
		{"unknown bytes, TLS only", Config{NonTLS: NonTLSBlock}, []string{"hello\r\n"}, []string{secret}, bridge.Block},
		{"unknown bytes, fail closed", failClosed(), []string{"hello\r\n"}, []string{secret}, bridge.Block},
		{"HTTP", Config{}, []string{"GET / HTTP/1.1\r\n\r\n"}, []string{secret}, ""},
		{"HTTP, TLS only", Config{NonTLS: NonTLSBlock}, []string{"GET / HTTP/1.1\r\n\r\n"}, []string{secret}, bridge.Block},
		{"HTTP, fail closed: it can be read", failClosed(), []string{"GET / HTTP/1.1\r\n\r\n"}, []string{secret}, ""},
		{"SSH, fail closed", failClosed(), []string{"SSH-2.0-x\r\n"}, []string{secret}, bridge.Block},
		{
			"a SOCKS handshake that is left, TLS only",
			Config{NonTLS: NonTLSBlock},
			[]string{"\x05\x01\x00", "GET / secret"},
			[]string{"\x05\x00", secret},
			bridge.Block,
		},
		{
			"a SOCKS request that was refused, TLS only",
			Config{NonTLS: NonTLSBlock},
			[]string{"\x05\x01\x00", "\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x01", "hello"},
			[]string{"\x05\x00", "\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00", secret},
			bridge.Block,
		},
		{
			"another request after a refused CONNECT, TLS only",
			Config{NonTLS: NonTLSBlock},
			[]string{"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n"},
			[]string{"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n", secret},
			bridge.Block,
		},
		{"a hello in the format of SSL 2.0, fail closed", failClosed(), []string{hello2}, []string{secret}, bridge.Block},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := tt.config
			config.Connect = talker(t, tt.server...)
			addr, outcomes := serve(t, config)
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			var got string
			buf := make([]byte, 4096)
			for _, line := range tt.says {
				io.WriteString(c, line)
				n, err := c.Read(buf)
				got = string(buf[:n])
				if err != nil {
					break
				}
			}
			if (got == secret) != (tt.reason == "") {
				t.Errorf("the client got %q", got)
			}
			c.Close()
			if out := <-outcomes; tt.reason != "" && out.Reason != tt.reason {
				t.Errorf("outcome %+v, want %s", out, tt.reason)
			}
		})
	}
}

// What an unknown server says first may lead to TLS, or never.
func TestAnUnknownServerThatSpeaksFirst(t *testing.T) {
	const secret = "the server's secret\r\n"
	for name, tt := range map[string]struct {
		config Config
		want   string
	}{
		"fail open": {Config{}, secret}, "fail closed": {failClosed(), ""},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var serving sync.WaitGroup
			serving.Go(func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				io.WriteString(c, secret)
				io.Copy(io.Discard, c)
			})
			defer func() { l.Close(); serving.Wait() }()
			config := tt.config
			config.Connect = bridge.AddrOf(l.Addr())
			addr, outcomes := serve(t, config)
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			got := make([]byte, len(secret))
			n, _ := io.ReadFull(c, got)
			if string(got[:n]) != tt.want {
				t.Errorf("the client got %q, want %q", got[:n], tt.want)
			}
			c.Close()
			if out := <-outcomes; (out.Reason == bridge.Block) != (tt.want == "") {
				t.Errorf("outcome %+v", out)
			}
		})
	}
}

func failClosed() Config { return Config{Limits: bridge.Limits{Fail: bridge.FailClosed}} }

func TestIsInspected(t *testing.T) {
	bridged := bridge.Frame{Proto: "tls", Verb: bridge.VerbRelay, Decrypted: true}
	ours := bridge.Frame{Proto: "tls", Verb: bridge.VerbTerminate, Decrypted: true}
	raw, http := bridge.Frame{Proto: "raw"}, bridge.Frame{Proto: "http"}
	for _, tt := range []struct {
		name   string
		frames []bridge.Frame
		want   bool
	}{
		{"an unknown protocol", []bridge.Frame{raw}, false},
		{"an unknown protocol inside of bridged TLS", []bridge.Frame{bridged, raw}, true},
		{"an unknown protocol in a tunnel of an HTTPS proxy", []bridge.Frame{ours, {Proto: "connect", Verb: bridge.VerbTerminate}, raw}, false},
		{"an unknown protocol inside of TLS that ends here", []bridge.Frame{ours, raw}, true},
		{"an unknown protocol that TLS is put on", []bridge.Frame{{Proto: "tls", Verb: bridge.VerbOriginate, Decrypted: true}, raw}, true},
		{"HTTP", []bridge.Frame{{Proto: "socks5"}, http}, true},
		{"a hello that is not one", []bridge.Frame{{Proto: "tls", Verb: bridge.VerbRelay, Opaque: true}}, false},
		{"nothing", nil, false},
	} {
		if got := isInspected(tt.frames); got != tt.want {
			t.Errorf("%s: isInspected = %v, want %v", tt.name, got, tt.want)
		}
	}
}

package interop

import (
	"bytes"
	"crypto/tls"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

// A provocation makes a flow end for a reason, and returns its client.
type provocation func(t *testing.T, m *mitm) *caller

// tunnel asks for a listener of the test by SOCKS5 and returns both ends.
func (m *mitm) tunnel(t *testing.T) (client, server *caller) {
	t.Helper()
	l := listen(t)
	client = call(t, m.addrs[0])
	client.say(ask5Addr("127.0.0.1", l.Addr().(*net.TCPAddr).Port))
	server = accept(t, l)
	if got := client.first(12); got[:4] != "\x05\x00\x05\x00" {
		t.Errorf("answered %q", got)
	}
	return client, server
}

// asks says something and reads until the end.
func asks(text string) provocation {
	return func(t *testing.T, m *mitm) *caller {
		t.Helper()
		c := call(t, m.addrs[0])
		c.trySay(text)
		c.end()
		c.Close()
		return c
	}
}

// Every reason for which a flow can end is brought about from outside, but for two that
// only a fault of ours has: "panic" and "internal" are held by the tests of package bridge.
func TestEveryReasonHappens(t *testing.T) {
	m := startMitm(t, "--listen", "127.0.0.1:0", "--tlstimeout", "5s", "--idle", "500ms", "--drain", "200ms", "--deny-target", "127.0.0.9")
	auth := startMitm(t, "--listen", "127.0.0.1:0", "--auth", "alice:x")
	block := startMitm(t, "--listen", "127.0.0.1:0", "--nontls", "block")
	slow := startMitm(t, "--listen", "127.0.0.1:0", "--tlstimeout", "200ms")
	own := m.addrs[0]
	nobody := listen(t)
	nobody.Close()
	port := func(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

	seen := []bridge.Reason{bridge.Panic, bridge.Internal, bridge.Shutdown}
	for _, tt := range []struct {
		reason  bridge.Reason
		on      *mitm
		provoke provocation
	}{
		{bridge.EOF, m, func(t *testing.T, m *mitm) *caller {
			client, server := m.tunnel(t)
			server.say("\x00bye")
			server.Close()
			client.hear("\x00bye")
			client.Close()
			return client
		}},
		{bridge.Resets, m, func(t *testing.T, m *mitm) *caller {
			client, server := m.tunnel(t)
			client.reset()
			server.end()
			return client
		}},
		{bridge.Idle, m, func(t *testing.T, m *mitm) *caller {
			client, server := m.tunnel(t)
			client.say("\x00hello")
			server.hear("\x00hello")
			client.end()
			return client
		}},
		{bridge.Drain, m, func(t *testing.T, m *mitm) *caller {
			client, server := m.tunnel(t)
			client.say("\x00hello")
			client.hangUp()
			server.hear("\x00hello")
			client.end()
			return client
		}},
		{bridge.Timeout, slow, func(t *testing.T, m *mitm) *caller {
			c := call(t, m.addrs[0])
			c.say("CONNECT 127.0.0.1:9 HTTP/1.1\r\n")
			c.end()
			c.Close()
			return c
		}},
		{bridge.Limit, m, asks("CONNECT 127.0.0.1:9 HTTP/1.1\r\nX: " + string(bytes.Repeat([]byte("x"), 100<<10)))},
		{bridge.Refused, m, asks(askConnect("127.0.0.1", port(nobody)))},
		{bridge.Unreachable, m, asks(askConnect("255.255.255.255", 9))},
		{bridge.DNS, m, asks(ask5Name("no\x00name", 9))},
		{bridge.Denied, m, asks(askConnect("127.0.0.9", 9))},
		{bridge.Auth, auth, asks("\x05\x01\x00")},
		{bridge.Loop, m, asks("CONNECT " + own + " HTTP/1.1\r\nHost: x\r\n\r\n")},
		{bridge.Block, block, func(t *testing.T, m *mitm) *caller {
			client, server := m.tunnel(t)
			client.say("\x00no TLS")
			client.end()
			server.end()
			client.Close()
			return client
		}},
		{bridge.Desynced, m, asks("GET / HTTP/1.1\r\nHost: x\r\n\r\n")},
		{bridge.PeerClosed, m, func(t *testing.T, m *mitm) *caller {
			c := call(t, m.addrs[0])
			c.hangUp()
			c.end()
			return c
		}},
		{bridge.TLSServer, m, func(t *testing.T, m *mitm) *caller {
			client, server := m.tunnel(t)
			client.say(hello(t, "localhost"))
			server.first(5)
			server.say("\x15\x03\x01\x00\x02\x02\x70") // unrecognized_name
			client.end()
			return client
		}},
		{bridge.TLSClient, m, func(t *testing.T, m *mitm) *caller {
			c := call(t, m.addrs[0])
			if err := tls.Client(c, &tls.Config{ServerName: "localhost"}).Handshake(); err == nil {
				t.Error("a client that trusts nobody has accepted our certificate")
			}
			c.Close()
			return c
		}},
	} {
		t.Run(string(tt.reason), func(t *testing.T) {
			f := tt.on.ended(t, tt.provoke(t, tt.on), string(tt.reason))
			if (f.Error == "") != (tt.reason == bridge.EOF) {
				t.Errorf("the flow log says %q", f.Error)
			}
		})
		seen = append(seen, tt.reason)
	}
	for _, reason := range bridge.Reasons() {
		if !slices.Contains(seen, reason) {
			t.Errorf("nothing here ends a flow for the reason %q", reason)
		}
	}
}

// A flow that outlasts the shutdown is cut: both peers and the flow log are told.
func TestAFlowThatOutlastsTheShutdownIsCut(t *testing.T) {
	t.Parallel()
	m := startMitm(t, "--listen", "127.0.0.1:0")
	client, server := m.tunnel(t)
	client.say("\x00hello")
	server.hear("\x00hello")
	begun := time.Now()
	code, err := m.Terminate(t.Context())
	if code != 0 || err != nil {
		t.Errorf("exit code %d, %v, want 0", code, err)
	}
	if took := time.Since(begun); took > runTimeout/2 {
		t.Errorf("it took %v to end", took)
	}
	client.end()
	server.end()
	if got := m.ended(t, client, "shutdown"); got.EndedBy != "mitm" || got.Bytes.FromClient != 6 {
		t.Errorf("flow %+v", got)
	}
}

package interop

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// dribble sends a text one byte at a time, with pauses that are shorter than any limit,
// until the peer has enough of it.
func (c *caller) dribble(text string) (wait func()) {
	over := make(chan struct{})
	go func() {
		defer close(over)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := range len(text) {
			if _, err := c.Write([]byte{text[i]}); err != nil {
				return
			}
			<-tick.C
		}
	}()
	return func() { c.Close(); <-over }
}

// A limit of a turn is one of the whole message: whoever sends a byte now and then is
// cut off as well as whoever is silent.
func TestSlowClientsAreCutOff(t *testing.T) {
	t.Parallel()
	m := startFronts(t, "--tlstimeout", "1s")
	balanced := startMitm(t, "--listen", "127.0.0.1:0", "--accept-proxy", "127.0.0.0/8")
	m.serves(t)
	before := []int{m.descriptors(t), balanced.descriptors(t)}
	long := strings.Repeat("x", 600)
	clients := []struct {
		name     string
		to       *mitm
		front    front
		at, slow string // what comes at once, and what comes slowly
		want     string
	}{
		{"the methods of SOCKS5", m, socksFront, "\x05\xff", long, "\x05\xff"},
		{"the request of SOCKS5", m, socksFront, "\x05\x01\x00\x05\x01\x00\x03\xff", long, "\x05\x00\x05\x01"},
		{"the user of SOCKS4", m, socksFront, "\x04\x01\x00\x09\x7f\x00\x00\x01", long, "\x00\x5b"},
		{"the head of a request", m, connectFront, "GET http://127.0.0.1:9/ HTTP/1.1\r\nX: ", long, "HTTP/1.1 408 "},
		{"a CONNECT", m, autoFront, "CONNECT 127.0.0.1:9 HTTP/1.1\r\nX: ", long, "HTTP/1.1 408 "},
		{"a hello", m, autoFront, hello(t, "localhost")[:100], hello(t, "localhost")[100:700], ""},
		{"the handshake of TLS with the proxy", m, autoFront, hello(t, "localhost"), strings.Repeat(record("x"), 100), "\x16\x03\x03"},
		{"a PROXY header of version 1", balanced, autoFront, "PROXY TCP4 ", strings.Repeat("1", 60), ""},
		{"a PROXY header of version 2", balanced, autoFront, "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x0f\xff", long, ""},
		{"no PROXY header", balanced, autoFront, "", "", ""},
	}
	callers := make([]*caller, len(clients))
	stop := make([]func(), len(clients))
	for i, tt := range clients { // all at once
		callers[i] = call(t, tt.to.addrs[tt.front])
		callers[i].say(tt.at)
		stop[i] = callers[i].dribble(tt.slow)
	}
	for i, tt := range clients {
		t.Run(tt.name, func(t *testing.T) {
			got := callers[i].end()
			stop[i]()
			if tt.want == "" && got != "" || !strings.HasPrefix(got, tt.want) {
				t.Errorf("answered %q, want %q", got, tt.want)
			}
			tt.to.ended(t, callers[i], "timeout", "desync", "tls_client")
		})
	}
	m.stays(t, before[0])
	balanced.settles(t, before[1])
}

// A PROXY header that is wrong, or never ends, is never answered.
func TestBadPROXYHeadersAreCutOff(t *testing.T) {
	m := startMitm(t, "--listen", "127.0.0.1:0", "--accept-proxy", "127.0.0.0/8")
	before := m.descriptors(t)
	const signature = "\r\n\r\n\x00\r\nQUIT\n"
	for _, tt := range []struct{ name, say, reason string }{
		{"version 1 without its end", "PROXY TCP4 " + strings.Repeat("1", 2<<10), "desync limit"},
		{"version 1 with LF alone", "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\n", "desync"},
		{"version 1 with a name", "PROXY TCP4 localhost 10.0.0.2 1 2\r\n", "desync"},
		{"version 1 with a port that is too large", "PROXY TCP4 10.0.0.1 10.0.0.2 1 65536\r\n", "desync"},
		{"version 1 with leading zeros", "PROXY TCP4 010.0.0.1 10.0.0.2 1 2\r\n", "desync"},
		{"version 1 with the wrong family", "PROXY TCP6 10.0.0.1 10.0.0.2 1 2\r\n", "desync"},
		{"version 2 with the greatest length", signature + "\x21\x11\xff\xff" + strings.Repeat("\x00", 1<<16), "limit desync"},
		{"version 3", signature + "\x31\x11\x00\x0c" + strings.Repeat("\x00", 12), "desync"},
		{"version 2 with an unknown command", signature + "\x22\x11\x00\x0c" + strings.Repeat("\x00", 12), "desync"},
		{"version 2 with an unknown family", signature + "\x21\x41\x00\x0c" + strings.Repeat("\x00", 12), "desync"},
		{"version 2 that is shorter than its family", signature + "\x21\x21\x00\x0c" + strings.Repeat("\x00", 12), "desync"},
		{"no header", askConnect("127.0.0.1", 9), "desync"},
		{"a hello without a header", hello(t, "localhost"), "desync"},
		{"the half of a header", "PROXY TCP4 10.0.0.1", "peer_closed"},
		{"the half of a signature", signature[:7], "peer_closed"},
		{"nothing, which is a health check", "", "peer_closed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := call(t, m.addrs[0])
			c.trySay(tt.say)
			if tt.reason == "peer_closed" {
				c.hangUp()
			}
			if got := c.end(); got != "" {
				t.Errorf("answered %q", got)
			}
			c.Close()
			m.ended(t, c, strings.Fields(tt.reason)...)
		})
	}
	m.settles(t, before)
}

// A remark is what one peer says, and what arrives at the other.
type remark struct {
	by          speaker
	say, arrive string
}

type speaker int

const (
	byClient  speaker = iota
	byServer          // once the proxy is connected to it
	byProxy           // its own words to the client
	byDialled         // the same, when it has connected to the server; two bytes follow
)

// A talk is a client and a server with the proxy between them. The server is nil until
// the proxy connects to it.
type talk struct {
	client, server *caller
	l              net.Listener
}

// begin connects a client, and in relay mode waits for the proxy to connect.
func (s *stage) begin(t *testing.T) *talk {
	t.Helper()
	client := call(t, s.addrs[0])
	if !s.relay {
		return &talk{client: client, l: listen(t)}
	}
	return &talk{client: client, server: accept(t, s.l)}
}

// A stage is a mitm that terminates what it is asked for, or relays it to a listener.
type stage struct {
	*mitm
	relay bool
	l     net.Listener
}

func newStage(t *testing.T, relay bool) *stage {
	t.Helper()
	s := &stage{relay: relay}
	args := []string{"--listen", "127.0.0.1:0", "--tlstimeout", "1s", "--timeout", "1s", "--idle", "1s", "--drain", "1s"}
	if relay {
		s.l = listen(t)
		args = append(args, "--connect", s.l.Addr().String())
	}
	s.mitm = startMitm(t, args...)
	return s
}

// play plays the first n remarks.
func (k *talk) play(t *testing.T, script []remark, n int) {
	t.Helper()
	for _, r := range script[:n] {
		to := k.client
		switch r.by {
		case byClient:
			to = k.server
			k.client.say(strings.ReplaceAll(r.say, "PORT", k.port()))
		case byServer:
			k.server.say(r.say)
		case byDialled:
			k.server = accept(t, k.l)
		}
		if r.arrive == "" {
			continue
		}
		if got := to.first(len(r.arrive)); got != r.arrive {
			t.Errorf("after %q: heard %q, want %q", r.say, got, r.arrive)
		}
		if r.by == byDialled {
			to.first(2) // the port of BND
		}
	}
}

// port is the port of the server that the client asks for.
func (k *talk) port() string {
	if k.l == nil {
		return ""
	}
	return port16(k.l.Addr().(*net.TCPAddr).Port)
}

// Whatever one peer does at whatever point, the other is told, the flow ends once, and
// nothing is left.
func TestAPeerThatVanishesAtAnyPoint(t *testing.T) {
	const (
		request = "\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x09"
		reply   = "\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x09"
		connect = "CONNECT 127.0.0.1:9 HTTP/1.1\r\nHost: 127.0.0.1:9\r\n\r\n"
		granted = "HTTP/1.1 200 OK\r\n\r\n"
	)
	ping, pong := remark{byClient, "\x00ping", "\x00ping"}, remark{byServer, "\x00pong", "\x00pong"}
	socks := []remark{
		{byClient, "\x05\x01\x00", ""}, {byProxy, "", "\x05\x00"}, {byClient, request[:8] + "PORT", ""}, {byDialled, "", "\x05\x00\x00\x01\x7f\x00\x00\x01"},
	}
	relayed, terminated := newStage(t, true), newStage(t, false)
	for _, dialogue := range []struct {
		name   string
		on     *stage
		script []remark
	}{
		{"SOCKS5, relayed", relayed, []remark{
			{byClient, "\x05\x01\x00", "\x05\x01\x00"}, {byServer, "\x05\x00", "\x05\x00"}, {byClient, request, request}, {byServer, reply, reply}, ping, pong,
		}},
		{"CONNECT, relayed", relayed, []remark{{byClient, connect, connect}, {byServer, granted, granted}, ping, pong}},
		{"SOCKS5, terminated", terminated, append(slices.Clone(socks), ping, pong)},
		{"TLS in SOCKS5", terminated, append(slices.Clone(socks),
			remark{byClient, hello(t, "localhost"), "\x16\x03\x01"}, remark{byServer, record("\x02\x00"), ""})},
	} {
		before := dialogue.on.descriptors(t)
		var silent []*talk // begun together: each takes as long as the limits
		for at := range len(dialogue.script) + 1 {
			k := dialogue.on.begin(t)
			k.play(t, dialogue.script, at)
			silent = append(silent, k)
		}
		check := func(k *talk, at int, event string) {
			t.Run(fmt.Sprintf("%s, after %d remarks the %s", dialogue.name, at, event), func(t *testing.T) {
				k.happens(event)
				dialogue.on.ended(t, k.client, "eof", "reset", "peer_closed", "timeout", "idle", "drain", "tls_server", "desync", "refused")
			})
		}
		for at, k := range silent {
			check(k, at, "server is silent")
		}
		for at := range len(dialogue.script) + 1 {
			for _, event := range []string{"server closes", "server resets", "client closes", "client resets"} {
				k := dialogue.on.begin(t)
				k.play(t, dialogue.script, at)
				check(k, at, event)
			}
		}
		dialogue.on.settles(t, before)
	}
}

// happens lets one peer do what the event says, and both see the end of it.
func (k *talk) happens(event string) {
	who, other := k.server, k.client
	if strings.HasPrefix(event, "client") {
		who, other = k.client, k.server
	}
	switch {
	case who == nil: // not connected yet: the client gives up
		k.client.Close()
		return
	case strings.HasSuffix(event, "closes"):
		who.Close()
	case strings.HasSuffix(event, "resets"):
		who.reset()
	}
	if other != nil {
		other.end()
		other.Close()
	}
}

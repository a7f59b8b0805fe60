package httpconnect_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	. "github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/layers/httpconnect"
)

var proxyAddr = bridge.Addr{Host: "192.0.2.1", Port: 3128}

const asked = "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n"

func TestDial(t *testing.T) {
	alice := httpconnect.DialConfig{User: "alice", Password: "secret"}
	for _, tt := range []struct {
		name   string
		config httpconnect.DialConfig
		hop    string
		script Script
		reason bridge.Reason
		user   string
		status int
		note   string
	}{
		{
			"a name, which is handed on",
			httpconnect.DialConfig{},
			"a.example:443",
			Script{C(asked), S(grant)},
			bridge.EOF, "", 200, "",
		},
		{
			"an IPv6 address is in brackets",
			httpconnect.DialConfig{},
			"[2001:db8::1]:443",
			Script{C("CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n"), S(grant)},
			bridge.EOF, "", 200, "",
		},
		{
			"credentials at once", alice, "a.example:443",
			Script{C(askWith), S(grant)},
			bridge.EOF, "alice", 200, "",
		},
		{
			"more fields, in the order of their names",
			httpconnect.DialConfig{Header: http.Header{"User-Agent": {"x/1"}, "Accept": {"a", "b"}}},
			"a.example:443",
			Script{C(strings.Replace(asked, "\r\n\r\n", "\r\nAccept: a\r\nAccept: b\r\nUser-Agent: x/1\r\n\r\n", 1)), S(grant)},
			bridge.EOF, "", 200, "",
		},
		{
			"a grant that announces a body, which a tunnel has not",
			httpconnect.DialConfig{},
			"a.example:443",
			Script{C(asked), S("HTTP/1.0 204 x\r\nContent-Length: 100\r\nTransfer-Encoding: chunked\r\n\r\n")},
			bridge.EOF, "", 204, "",
		},
		{
			"a grant of one line, without a reason, that ends in LF",
			httpconnect.DialConfig{},
			"a.example:443",
			Script{C(asked), S("HTTP/1.1 200\n\n")},
			bridge.EOF, "", 200, "",
		},
		{
			"interim responses",
			httpconnect.DialConfig{},
			"a.example:443",
			Script{C(asked), S("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 x\r\nA: b\r\n\r\n"), S(grant)},
			bridge.EOF, "", 200, "",
		},
		{
			"wrong credentials", alice, "a.example:443",
			Script{C(askWith), S(strings.TrimSuffix(who, "who?"))},
			bridge.Auth, "alice", 407, "refused: 407",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dials(t, tt.config, tt.hop, tt.script, tt.reason, bridge.Frame{User: tt.user, Note: tt.note}, tt.status)
		})
	}
}

func TestDialIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name, answer string
		reason       bridge.Reason
		status       int
		note         string
	}{
		{"another protocol", "HTTP/1.1 101 Switching Protocols\r\n\r\n", bridge.Unreachable, 101, "refused: 101"},
		{"a redirect, which has no meaning here", "HTTP/1.1 302 Found\r\nLocation: http://x/\r\n\r\n", bridge.Unreachable, 302, "refused: 302"},
		{"a proxy that does not want to", "HTTP/1.1 403 Forbidden\r\n\r\n", bridge.Denied, 403, "refused: 403"},
		{"for legal reasons", "HTTP/1.1 451\r\n\r\n", bridge.Denied, 451, "refused: 451"},
		{"a proxy that can't", "HTTP/1.1 502 Bad Gateway\r\n\r\n", bridge.Unreachable, 502, "refused: 502"},
		{"a destination that does not answer", "HTTP/1.1 504 Gateway Timeout\r\n\r\n", bridge.Timeout, 504, "refused: 504"},
		{"a server that is none of HTTP", "SSH-2.0-", bridge.Desynced, 0, ""},
		{"HTTP/2", "HTTP/2 ", bridge.Desynced, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dials(t, httpconnect.DialConfig{}, "a.example:443", Script{C(asked), S(tt.answer)}, tt.reason,
				bridge.Frame{Note: tt.note}, tt.status)
		})
	}
}

// dials has the script played through Dial, and wants it to end for the reason, and one
// frame with the user and the note.
func dials(t *testing.T, config httpconnect.DialConfig, hop string, script Script, reason bridge.Reason, want bridge.Frame, status int) {
	t.Helper()
	config.Proxy = proxyAddr
	flow := Originate(t, func(next bridge.DialFunc) bridge.DialFunc { return httpconnect.Dial(next, config) }, hop, script, reason)
	frames := flow.Originated()
	if len(frames) != 1 {
		t.Fatalf("originated %+v", frames)
	}
	got, detail := frames[0], frames[0].Detail.(*httpconnect.Handshake)
	if detail.Status != status || detail.Target != hop || detail.Requests != 1 {
		t.Errorf("detail %+v, want status %d", detail, status)
	}
	got.Detail = nil
	want.Proto, want.Verb = "connect", bridge.VerbOriginate
	want.Dst, _ = bridge.ParseAddr(hop)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("frame %+v, want %+v", got, want)
	}
}

func TestDialBoundsTheResponse(t *testing.T) {
	for _, tt := range []struct {
		name, says string
		reason     bridge.Reason
	}{
		{"a head without an end", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", httpconnect.MaxHead), bridge.Desynced},
		{"interim responses without an end", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 100), bridge.Limit},
	} {
		t.Run(tt.name, func(t *testing.T) {
			theirs, ours := Pipe(1 << 20)
			io.WriteString(theirs, tt.says)
			b := &bridge.Bridge{Client: bridge.NewStream(theirs), DialFunc: httpconnect.Dial(to(ours), httpconnect.DialConfig{})}
			b.SetHop(bridge.Addr{Host: "a.example", Port: 443})
			err := b.Dial(t.Context())
			if reason, by := bridge.ReasonOf(err); reason != tt.reason || by != bridge.ByServer {
				t.Errorf("%v: %s by %s, want %s by the server", err, reason, by, tt.reason)
			}
		})
	}
}

// A proxy that asks is answered on another connection.
func TestDialShowsCredentialsOnDemand(t *testing.T) {
	digest := strings.Replace(who, "Basic realm=\"x\"", "Digest realm=\"x\", qop=\"auth\"", 1)
	both := strings.Replace(who, "Basic realm=\"x\"", "Digest realm=\"x\", nonce=\"a b\", BASIC realm=\"y\"", 1)
	for _, tt := range []struct {
		name    string
		answers []string // one for each connection
		heard   []string
		reason  bridge.Reason
		text    string
	}{
		{"a proxy that does not ask", []string{grant}, []string{asked}, bridge.EOF, ""},
		{"a proxy that asks", []string{who, grant}, []string{asked, askWith}, bridge.EOF, ""},
		{"one that takes others, too", []string{both, grant}, []string{asked, askWith}, bridge.EOF, ""},
		{
			"one that takes others only",
			[]string{digest},
			[]string{asked},
			bridge.Auth,
			`dial a.example:443: through 192.0.2.1:3128: refused: 407 "Proxy Authentication Required", it takes ["Digest"]`,
		},
		{
			"one that does not know us",
			[]string{who, who},
			[]string{asked, askWith},
			bridge.Auth,
			`dial a.example:443: through 192.0.2.1:3128: refused: 407 "Proxy Authentication Required", it takes ["Basic"]`,
		},
		{"one that refuses", []string{"HTTP/1.1 403\r\n\r\n"}, []string{asked}, bridge.Denied, "dial a.example:443: through 192.0.2.1:3128: refused: 403"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var servers []*Conn
			next := func(_ context.Context, to bridge.Addr, _ *bridge.Flow) (net.Conn, error) {
				theirs, ours := Pipe(1 << 10)
				io.WriteString(theirs, tt.answers[len(servers)])
				servers = append(servers, theirs)
				if to != proxyAddr {
					t.Errorf("dialled %v", to)
				}
				return ours, nil
			}
			client, _ := Pipe(0)
			b := &bridge.Bridge{Client: bridge.NewStream(client), DialFunc: httpconnect.Dial(next, httpconnect.DialConfig{
				Proxy: proxyAddr, User: "alice", Password: "secret", OnDemand: true,
			})}
			b.SetHop(bridge.Addr{Host: "a.example", Port: 443})
			err := b.Dial(t.Context())
			if reason, _ := bridge.ReasonOf(err); reason != tt.reason || err != nil && err.Error() != tt.text {
				t.Errorf("%v (%s), want %q (%s)", err, reason, tt.text, tt.reason)
			}
			if len(servers) != len(tt.heard) {
				t.Fatalf("%d connections, want %d", len(servers), len(tt.heard))
			}
			for i, want := range tt.heard {
				got := make([]byte, len(want))
				if n, err := io.ReadFull(servers[i], got); err != nil || string(got) != want {
					t.Errorf("connection %d: heard %q, %v; want %q", i, got[:n], err, want)
				}
			}
			if got := b.Flow().Originated(); len(got) != len(tt.heard) {
				t.Errorf("originated %+v", got)
			}
		})
	}
}

// What can't be said is not asked for.
func TestDialRefusesWhatItCannotAsk(t *testing.T) {
	field := func(name, value string) httpconnect.DialConfig {
		return httpconnect.DialConfig{Header: http.Header{name: {value}}}
	}
	for _, tt := range []struct {
		name   string
		config httpconnect.DialConfig
		host   string
		reason bridge.Reason
	}{
		{"a name with a space", httpconnect.DialConfig{}, "a b", bridge.DNS},
		{"a line end in a name", httpconnect.DialConfig{}, "a\r\nX: y", bridge.DNS},
		{"a name that is not ASCII", httpconnect.DialConfig{}, "bücher.example", bridge.DNS},
		{"no name", httpconnect.DialConfig{}, "", bridge.DNS},
		{"an address with a zone", httpconnect.DialConfig{}, "fe80::1%eth0", bridge.DNS},
		{"a colon in a user name", httpconnect.DialConfig{User: "a:b"}, "a.example", bridge.Auth},
		{"a line end in a password", httpconnect.DialConfig{Password: "a\n"}, "a.example", bridge.Auth},
		{"a field name with a space", field("A b", "c"), "a.example", bridge.Internal},
		{"a line end in a field", field("A", "b\r\nC: d"), "a.example", bridge.Internal},
		{"a second Host", field("host", "b"), "a.example", bridge.Internal},
		{"content", field("Content-Length", "5"), "a.example", bridge.Internal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			theirs, ours := Pipe(1 << 10)
			b := &bridge.Bridge{Client: bridge.NewStream(theirs), DialFunc: httpconnect.Dial(to(ours), tt.config)}
			b.SetHop(bridge.Addr{Host: tt.host, Port: 443})
			err := b.Dial(t.Context())
			if reason, by := bridge.ReasonOf(err); reason != tt.reason || by != bridge.ByMITM {
				t.Errorf("%v: %s by %s, want %s by us", err, reason, by, tt.reason)
			}
			if _, err := ours.Write(nil); !errors.Is(err, net.ErrClosed) {
				t.Error("the conn is left open")
			}
			if n, _ := theirs.Read(make([]byte, 1)); n != 0 {
				t.Error("something was asked")
			}
		})
	}
}

// Whatever the destination and the credentials are, a request that is sent is one CONNECT to it.
func FuzzDialRequest(f *testing.F) {
	f.Add("a.example", uint16(443), "alice", "secret", "A", "b")
	f.Add("2001:db8::1", uint16(1), "", "", "", "")
	f.Add("a\r\nb", uint16(0), "a:b", "\x00", "Host", "x")
	f.Fuzz(func(t *testing.T, host string, port uint16, user, password, name, value string) {
		theirs, ours := Pipe(1 << 20)
		io.WriteString(theirs, grant)
		b := &bridge.Bridge{Client: bridge.NewStream(theirs), DialFunc: httpconnect.Dial(to(ours), httpconnect.DialConfig{
			User: user, Password: password, Header: map[string][]string{name: {value}},
		})}
		b.SetHop(bridge.Addr{Host: host, Port: port})
		err := b.Dial(t.Context())
		ours.CloseWrite()
		said, _ := io.ReadAll(theirs)
		if err != nil {
			if len(said) > 0 {
				t.Fatalf("asked %q, and failed: %v", said, err)
			}
			return
		}
		h, n, err := detect.ParseRequestHead(said)
		if err != nil || n != len(said) || h.Method != "CONNECT" || h.Target != b.Hop().String() || len(h.Values("Host")) != 1 || bytes.Count(said, []byte("\r\n\r\n")) != 1 {
			t.Fatalf("asked %q: %+v, %v", said, h, err)
		}
	})
}

// to dials one conn.
func to(c net.Conn) bridge.DialFunc {
	return func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) { return c, nil }
}

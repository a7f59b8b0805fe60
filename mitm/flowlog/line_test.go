package flowlog

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/bridgeio/bridgeio/bridge"
)

func TestLine(t *testing.T) {
	h2 := bridge.Frame{Proto: "tls", Verb: bridge.VerbRelay, ALPN: "h2", Decrypted: true}
	to := func(host string) bridge.Frame {
		return bridge.Frame{Proto: "socks5", Verb: bridge.VerbRelay, Dst: bridge.Addr{Host: host, Port: 443}}
	}
	alpn := func(s string) bridge.Frame { return bridge.Frame{Proto: "tls", ALPN: s} }
	fails := func(reason bridge.Reason, by bridge.Party, text string) bridge.Outcome {
		return bridge.Outcome{Reason: reason, EndedBy: by, Err: errors.New(text), Duration: 1234567 * time.Nanosecond}
	}
	ended := bridge.Outcome{Reason: bridge.EOF, EndedBy: bridge.ByClient, Duration: 812345678}
	for _, tt := range []struct {
		name   string
		frames []bridge.Frame
		out    bridge.Outcome
		want   string // after the time
	}{
		{
			"a flow that ended in order",
			[]bridge.Frame{to("example.org"), h2},
			ended,
			`198.51.100.2:50122  socks5>tls(h2)  example.org:443  1234 B up  48211 B down  812ms  eof by client`,
		},
		{
			"a flow without layers", nil, ended,
			`198.51.100.2:50122  raw  example.com:443  1234 B up  48211 B down  812ms  eof by client`,
		},
		{
			"an IPv6 target",
			[]bridge.Frame{to("2001:db8::9")},
			ended,
			`198.51.100.2:50122  socks5  [2001:db8::9]:443  1234 B up  48211 B down  812ms  eof by client`,
		},
		{
			"a flow that failed", nil, fails(bridge.Refused, bridge.ByServer, "dial example.com:443: connection refused"),
			`198.51.100.2:50122  raw  example.com:443  1234 B up  48211 B down  1.23ms  refused by server: dial example.com:443: connection refused`,
		},
		{
			"an international name",
			[]bridge.Frame{to("bücher.example")},
			ended,
			`198.51.100.2:50122  socks5  bücher.example:443  1234 B up  48211 B down  812ms  eof by client`,
		},
		{
			"a name with a space",
			[]bridge.Frame{to("a  b")},
			ended,
			`198.51.100.2:50122  socks5  "a  b:443"  1234 B up  48211 B down  812ms  eof by client`,
		},
		{
			"a name that writes to the terminal",
			[]bridge.Frame{to("\x1b[2J\x9b\u202e")},
			ended,
			`198.51.100.2:50122  socks5  "\x1b[2J\x9b\u202e:443"  1234 B up  48211 B down  812ms  eof by client`,
		},
		{
			"a protocol with a line break",
			[]bridge.Frame{alpn("h2\n00:00:00")},
			ended,
			`198.51.100.2:50122  "tls(h2\n00:00:00)"  example.com:443  1234 B up  48211 B down  812ms  eof by client`,
		},
		{
			"a name that looks quoted",
			[]bridge.Frame{to(`"x"`)},
			ended,
			`198.51.100.2:50122  socks5  "\"x\":443"  1234 B up  48211 B down  812ms  eof by client`,
		},
		{
			"an error with a line break", nil, fails(bridge.Internal, bridge.ByMITM, "a\nb"),
			`198.51.100.2:50122  raw  example.com:443  1234 B up  48211 B down  1.23ms  internal by mitm: "a\nb"`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFlow(t, tt.frames...)
			if got, want := Line(f, tt.out), f.Start().Format("15:04:05.000")+"  "+tt.want; got != want {
				t.Errorf("Line() =\n%s, want\n%s", got, want)
			}
		})
	}
}

func TestLineOfAFlowThatWentNowhere(t *testing.T) {
	b := &bridge.Bridge{Client: bridge.NewStream(fakeConn{remote: "@socket"})}
	got := Line(b.Flow(), bridge.Outcome{Reason: bridge.PeerClosed, EndedBy: bridge.ByClient, Duration: 12345678})
	if want := "  -  raw  -  0 B up  0 B down  12ms  peer_closed by client"; !strings.HasSuffix(got, want) {
		t.Errorf("Line() = %q, want the end %q", got, want)
	}
}

// Whatever a peer says, a line is one printable line, and a JSON line follows the schema.
func FuzzLines(f *testing.F) {
	f.Add("example.com", "h2", "user", "note", "error")
	f.Add("\x1b]0;title\a", "\r\n", "\xff", "\u2028", "\x00")
	s := compile(f, true)
	f.Fuzz(func(t *testing.T, host, alpn, user, note, text string) {
		flow := newFlow(t, bridge.Frame{Proto: "tls", ALPN: alpn, User: user, Note: note, Dst: bridge.Addr{Host: host, Port: 1}})
		out := bridge.Outcome{Reason: bridge.Internal, EndedBy: bridge.ByMITM, Err: errors.New(text)}
		for _, r := range Line(flow, out) {
			if !unicode.IsPrint(r) {
				t.Fatalf("%q is in the line of %q %q %q", r, host, alpn, text)
			}
		}
		validate(t, s, newRecord(flow, out).line())
	})
}

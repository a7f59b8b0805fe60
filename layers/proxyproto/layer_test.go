package proxyproto_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	. "github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/layers/proxyproto"
)

// The headers of the dialogues.
const (
	signature = "\r\n\r\n\x00\r\nQUIT\n"

	tcp4    = "PROXY TCP4 192.0.2.7 198.51.100.7 50122 443\r\n"
	tcp6    = "PROXY TCP6 2001:db8::7 2001:db8::8 50122 443\r\n"
	unknown = "PROXY UNKNOWN ffff::1 what\r\n"
	binary4 = signature + "\x21\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x07\xc3\xca\x01\xbb"
	withTLV = signature + "\x21\x11\x00\x13\xc0\x00\x02\x07\xc6\x33\x64\x07\xc3\xca\x01\xbb\x02\x00\x04a.de"
	local   = signature + "\x20\x00\x00\x00"

	// A LOCAL header may hold addresses, which are nobody's.
	localWithAddresses = signature + "\x20\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x07\xc3\xca\x01\xbb"

	request, response = "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"
)

// balancers are the sources in memory and on loopback.
var balancers = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("127.0.0.0/8")}

var (
	trust = proxyproto.Config{Trust: balancers}
	auto  = proxyproto.Config{Auto: balancers}
)

// learnt expects the frames, but for their Detail.
func learnt(want ...bridge.Frame) Option {
	return Flow(func(t testing.TB, f *bridge.Flow) {
		t.Helper()
		frames := f.Frames()
		if len(frames) != len(want) {
			t.Fatalf("%d frames, want %d: %+v", len(frames), len(want), frames)
		}
		for i, got := range frames {
			got.Detail = nil
			if got != want[i] {
				t.Errorf("frame %+v, want %+v", got, want[i])
			}
		}
	})
}

func frame(version int, verb bridge.Verb, src, dst, note string) bridge.Frame {
	f := bridge.Frame{Proto: fmt.Sprintf("proxy%d", version), Verb: verb, Note: note}
	f.Src.UnmarshalText([]byte(src))
	f.Dst.UnmarshalText([]byte(dst))
	return f
}

var said = []struct {
	name     string
	header   string
	version  int
	src, dst string
	note     string
}{
	{"version 1, IPv4", tcp4, 1, "192.0.2.7:50122", "198.51.100.7:443", ""},
	{"version 1, IPv6", tcp6, 1, "[2001:db8::7]:50122", "[2001:db8::8]:443", ""},
	{"version 1, unknown", unknown, 1, "", "", ""},
	{"version 2, IPv4", binary4, 2, "192.0.2.7:50122", "198.51.100.7:443", ""},
	{"version 2 with a TLV", withTLV, 2, "192.0.2.7:50122", "198.51.100.7:443", ""},
	{"version 2 with a rest behind its TLV", strings.Replace(withTLV, "\x00\x04a.de", "\x00\x05a.de", 1), 2, "192.0.2.7:50122", "198.51.100.7:443", ""},
	{"version 2, a Unix socket", signature + "\x21\x31\x00\xd8" + strings.Repeat("/", 216), 2, "", "", ""},
	{"LOCAL", local, 2, "", "", "LOCAL"},
	{"LOCAL with addresses", localWithAddresses, 2, "", "", "LOCAL"},
}

func TestTerminateTakesTheHeaderOff(t *testing.T) {
	for _, tt := range said {
		t.Run(tt.name, func(t *testing.T) {
			Relay(t, bridge.Chain(proxyproto.Terminate(trust)),
				Script{Send(tt.header), C(request), S(response), C("more")},
				learnt(frame(tt.version, bridge.VerbTerminate, tt.src, tt.dst, tt.note)), clientIs(tt.src))
		})
	}
}

func TestRelayPassesTheHeaderOn(t *testing.T) {
	for _, tt := range said {
		t.Run(tt.name, func(t *testing.T) {
			Relay(t, bridge.Chain(proxyproto.Relay(trust)),
				Script{C(tt.header), S("220 the server is first\r\n"), C(request), S(response)}, MayWithhold(),
				learnt(frame(tt.version, bridge.VerbRelay, tt.src, tt.dst, tt.note)), clientIs(tt.src))
		})
	}
}

// clientIs expects the flow's client: the given address, or without one that of the socket.
func clientIs(want string) Option {
	return Flow(func(t testing.TB, f *bridge.Flow) {
		t.Helper()
		got, want := f.Client().String(), want
		if want == "" {
			want = f.Peer().String()
		}
		if got != want {
			t.Errorf("client %s, want %s", got, want)
		}
	})
}

func TestTheServerMayBeFirst(t *testing.T) {
	script := Script{Send(binary4), S("220 welcome\r\n"), C("QUIT\r\n"), S("221 bye\r\n")}
	Relay(t, bridge.Chain(proxyproto.Terminate(trust)), script, Path("proxy2"), MayWithhold())
	script[0] = Send(local)
	Relay(t, bridge.Chain(proxyproto.Terminate(trust)), script, Path("proxy2"), MayWithhold())
}

func TestAHeaderThatMayBeThere(t *testing.T) {
	tests := []struct {
		name   string
		script Script
	}{
		{"is not there", Script{C(request), S(response)}},
		{"is not there, in what begins like version 1", Script{C("PROXYED TCP4 1 2 3 4\r\n"), S(response)}},
		{"is not there, in what begins like version 2", Script{C("\r\n\r\n\x00\r\nQUIT\x00"), S(response)}},
		{"is not there, in another version", Script{C(signature + "\x31\x11\x00\x0c"), S(response)}},
		{"is not there, in a beginning that goes no further", Script{C("\r\n\r\n"), S(response)}},
		{"is not there, and the server is first", Script{S("220 welcome\r\n"), C("QUIT\r\n")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// Silence ends in this limit, which on loopback is real.
			soon := Limits(bridge.Limits{Proxy: 20 * time.Millisecond})
			Relay(t, bridge.Chain(proxyproto.Terminate(auto)), tt.script, Path("raw"), soon)
			Relay(t, bridge.Chain(proxyproto.Relay(auto)), tt.script, Path("raw"), soon)
		})
	}
}

func TestAHeaderThatMayBeThereAndIs(t *testing.T) {
	for path, header := range map[string]string{"proxy1": tcp4, "proxy2": binary4} {
		t.Run(path, func(t *testing.T) {
			Relay(t, bridge.Chain(proxyproto.Relay(auto)), Script{C(header), C(request), S(response)}, Path(path), MayWithhold())
			for _, maxRead := range []int{0, 1, 3} {
				r := send(t, proxyproto.Terminate(auto), Faults{MaxRead: maxRead}, header+request)
				if r.heard != request || r.flow.Path() != path || r.out.Reason != bridge.EOF {
					t.Errorf("read %d at a time: the server heard %q, %s", maxRead, r.heard, r)
				}
			}
		})
	}
}

func TestAHeaderThatMayBeThereAndEnds(t *testing.T) {
	// From these lengths on it is one, and must not be taken for payload any more.
	for header, certain := range map[string]int{tcp4: len("PROXY TCP4 "), binary4: len(signature) + 1} {
		for n := 1; n < len(header); n++ {
			r := send(t, proxyproto.Terminate(auto), Faults{}, header[:n])
			want, reason := "", bridge.PeerClosed
			if n < certain {
				want, reason = header[:n], bridge.EOF
			}
			if r.heard != want || r.out.Reason != reason {
				t.Errorf("cut after %d bytes: the server heard %q, %s; want %q and %s", n, r.heard, r, want, reason)
			}
		}
	}
}

func TestFromOthersAHeaderIsPayload(t *testing.T) {
	others := proxyproto.Config{Trust: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("::/0")}}
	for name, layer := range map[string]bridge.Layer{"terminate": proxyproto.Terminate(others), "relay": proxyproto.Relay(others)} {
		t.Run(name, func(t *testing.T) {
			Relay(t, bridge.Chain(layer), Script{C(tcp4 + request), S(response)}, Path("raw"), clientIs(""))
		})
	}
}

func TestOthersAreRejected(t *testing.T) {
	reject := proxyproto.Config{Untrusted: proxyproto.Reject}
	Terminate(t, bridge.Chain(proxyproto.Terminate(reject)), Script{Send(tcp4 + request)}, Reason(bridge.Denied), Path("raw"))
	Terminate(t, bridge.Chain(proxyproto.Relay(reject)), Script{Send(request)}, Reason(bridge.Denied), Hop("192.0.2.1:80"))
}

func TestABrokenHeaderEndsTheFlow(t *testing.T) {
	tests := []struct {
		name, header string
		reason       bridge.Reason
	}{
		{"no header", request, bridge.Desynced},
		{"a TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc", bridge.Desynced},
		{"version 1 without its carriage return", strings.Replace(tcp4, "\r", "", 1) + request, bridge.Desynced},
		{"version 1 with an address of the other family", "PROXY TCP6 192.0.2.7 198.51.100.7 50122 443\r\n", bridge.Desynced},
		{"version 1 with two spaces", "PROXY TCP4  192.0.2.7 198.51.100.7 50122 443\r\n", bridge.Desynced},
		{"version 1 that does not end", "PROXY UNKNOWN " + strings.Repeat("x", 100), bridge.Desynced},
		{"version 2 of another command", signature + "\x22\x11\x00\x0c", bridge.Desynced},
		{"version 2 of another family", signature + "\x21\x41\x00\x0c", bridge.Desynced},
		{"version 2 that is too short for its addresses", signature + "\x21\x11\x00\x0b", bridge.Desynced},
		{"version 2 that is too long", signature + "\x21\x11\x10\x01", bridge.Desynced},
		{"version 2 with a wrong checksum", signature + "\x21\x11\x00\x13" + binary4[16:] + "\x03\x00\x04\x00\x00\x00\x00", bridge.Desynced},
	}
	for _, tt := range tests {
		for name, handler := range map[string]bridge.Handler{
			"terminate": bridge.Chain(proxyproto.Terminate(trust)), "relay": bridge.Chain(proxyproto.Relay(trust)),
		} {
			t.Run(tt.name+", "+name, func(t *testing.T) {
				Terminate(t, handler, Script{Send(tt.header)}, Hop("192.0.2.1:80"), Reason(tt.reason), Path("raw"),
					NoPipelining(), whyIs(t, tt.header))
			})
		}
	}
	if r := send(t, proxyproto.Terminate(auto), Faults{}, signature+"\x22\x11\x00\x0c"+request); r.heard != "" || r.out.Reason != bridge.Desynced {
		t.Errorf("where it may be there, the server heard %q, %s", r.heard, r)
	}
}

// whyIs expects an error that tells the first bytes, in hexadecimal.
func whyIs(t *testing.T, header string) Option {
	return Observed(&bridge.Observer{Close: func(_ *bridge.Flow, o bridge.Outcome) {
		if o.Reason != bridge.Desynced {
			return // one of the plays in which the client goes away before
		}
		_, first, _ := strings.Cut(strings.TrimSuffix(o.Err.Error(), ")"), "first bytes ")
		raw, err := hex.DecodeString(first)
		if err != nil || len(raw) == 0 || len(raw) > 32 || !strings.HasPrefix(header, string(raw)) {
			t.Errorf("error %v does not tell the first bytes of %x", o.Err, header)
		}
	}})
}

func TestAHealthCheckIsNoError(t *testing.T) {
	isOne := Observed(&bridge.Observer{Close: func(_ *bridge.Flow, o bridge.Outcome) {
		if o.Reason == bridge.PeerClosed && (!errors.Is(o.Err, proxyproto.ErrHealthCheck) || o.EndedBy != bridge.ByClient) {
			t.Errorf("outcome %s by %s: %v", o.Reason, o.EndedBy, o.Err)
		}
	}})
	for name, c := range map[string]proxyproto.Config{"required": trust, "optional": auto} {
		t.Run(name, func(t *testing.T) {
			Terminate(t, bridge.Chain(proxyproto.Terminate(c)), nil, Hop("192.0.2.1:80"), Reason(bridge.PeerClosed), Path("raw"), isOne)
			Terminate(t, bridge.Chain(proxyproto.Relay(c)), nil, Hop("192.0.2.1:80"), Reason(bridge.PeerClosed), Path("raw"), isOne)
		})
	}
	t.Run("LOCAL", func(t *testing.T) {
		Terminate(t, bridge.Chain(proxyproto.Terminate(trust)), Script{Send(local)}, Reason(bridge.PeerClosed), Path("proxy2"))
	})
}

func TestTheDestinationBecomesTheHop(t *testing.T) {
	c := trust
	c.SetHop = true
	h := bridge.Chain(proxyproto.Terminate(c))
	Terminate(t, h, Script{Send(tcp4), Dials("198.51.100.7:443"), Tunnel()}, Path("proxy1"))
	Terminate(t, h, Script{Send(signature + "\x21\x21" + tcp6Block), Dials("[2001:db8::8]:443"), Tunnel()}, Path("proxy2"))

	// Nothing to dial: what comes next decides, and Relay can't go on without a hop.
	for name, header := range map[string]string{
		"unknown": unknown, "UDP": strings.Replace(binary4, "\x21\x11", "\x21\x12", 1), "LOCAL": localWithAddresses,
	} {
		t.Run(name, func(t *testing.T) {
			Terminate(t, h, Script{Send(header), Send(request)}, Reason(bridge.Unreachable))
		})
	}
	t.Run("not where there is one", func(t *testing.T) {
		Relay(t, h, Script{Send(tcp4), C(request), S(response)}, Path("proxy1"), Target("198.51.100.7:443"))
	})
	t.Run("not without being told", func(t *testing.T) {
		Terminate(t, bridge.Chain(proxyproto.Terminate(trust)), Script{Send(tcp4), Send(request)}, Reason(bridge.Unreachable))
	})
}

const tcp6Block = "\x00\x24" + "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07" +
	"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x08" + "\xc3\xca\x01\xbb"

func TestASecondHeaderIsPayload(t *testing.T) {
	for name, layers := range map[string][2]bridge.Layer{
		"inside of one taken off": {proxyproto.Terminate(trust), proxyproto.Terminate(trust)},
		"inside of one passed on": {proxyproto.Relay(trust), proxyproto.Relay(trust)},
	} {
		t.Run(name, func(t *testing.T) {
			first := Send(tcp4)
			if name == "inside of one passed on" {
				first = C(tcp4)
			}
			Relay(t, bridge.Chain(layers[0], layers[1]), Script{first, C(binary4), S(response)}, Path("proxy1"), MayWithhold())
		})
	}
}

func TestTheHeaderIsKeptWhole(t *testing.T) {
	Relay(t, bridge.Chain(proxyproto.Terminate(trust)), Script{Send(withTLV), C(request), S(response)},
		Flow(func(t testing.TB, f *bridge.Flow) {
			h, ok := f.Frames()[0].Detail.(*detect.ProxyHeader)
			if !ok || len(h.TLVs) != 1 || h.TLVs[0].Type != proxyproto.TypeAuthority || string(h.TLVs[0].Value) != "a.de" {
				t.Errorf("Detail %+v", h)
			}
		}))
}

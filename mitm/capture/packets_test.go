package capture

import (
	"bytes"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

func TestAddresses(t *testing.T) {
	proxied := bridge.Frame{Proto: "proxy2", Verb: bridge.VerbTerminate, Src: bridge.Addr{Host: "192.0.2.77", Port: 4711}}
	to := func(host string, port uint16) bridge.Frame {
		return bridge.Frame{Proto: "socks5", Verb: bridge.VerbRelay, Dst: bridge.Addr{Host: host, Port: port}}
	}
	for _, tt := range []struct {
		name           string
		flow           flow
		client, server string
	}{
		{"both sockets are IPv4", flow{"198.51.100.2:50122", "203.0.113.9:8000", nil}, "198.51.100.2:50122", "203.0.113.9:8000"},
		{"both are IPv6", flow{"[2001:db8::2]:50122", "[2001:db8::9]:8000", nil}, "[2001:db8::2]:50122", "[2001:db8::9]:8000"},
		{"only the client is IPv6", flow{"[2001:db8::2]:50122", "203.0.113.9:8000", nil}, "[2001:db8::2]:50122", "[::ffff:203.0.113.9]:8000"},
		{"only the server is IPv6", flow{"198.51.100.2:50122", "[2001:db8::9]:8000", nil}, "[::ffff:198.51.100.2]:50122", "[2001:db8::9]:8000"},
		{"an IPv4 client came to an IPv6 socket", flow{"[::ffff:198.51.100.2]:50122", "203.0.113.9:8000", nil}, "198.51.100.2:50122", "203.0.113.9:8000"},
		{"a zone is left out", flow{"[fe80::1%eth0]:50122", "[2001:db8::9]:8000", nil}, "[fe80::1]:50122", "[2001:db8::9]:8000"},
		{"a header names the client", flow{"198.51.100.2:50122", "203.0.113.9:8000", []bridge.Frame{proxied}}, "192.0.2.77:4711", "203.0.113.9:8000"},
		{"the target is an address", flow{"198.51.100.2:50122", "192.0.2.1:1080", []bridge.Frame{to("203.0.113.9", 443)}}, "198.51.100.2:50122", "203.0.113.9:80"},
		{"the target is a name behind another proxy", flow{"198.51.100.2:50122", "192.0.2.1:1080", []bridge.Frame{to("example.com", 443)}}, "198.51.100.2:50122", "192.0.2.1:80"},
		{"the target has no port", flow{"198.51.100.2:50122", "192.0.2.1:1080", []bridge.Frame{to("203.0.113.9", 0)}}, "198.51.100.2:50122", "203.0.113.9:1080"},
		{"the client's socket has no address", flow{"@client", "203.0.113.9:8000", nil}, "0.0.0.0:0", "203.0.113.9:8000"},
		{"nor has the server's", flow{"@client", "@server", nil}, "0.0.0.0:0", "0.0.0.0:0"},
		{"beside IPv6 that is the unspecified IPv6 address", flow{"[2001:db8::2]:50122", "@server", nil}, "[2001:db8::2]:50122", "[::]:0"},
		{"no server is connected", flow{"198.51.100.2:50122", "", nil}, "198.51.100.2:50122", "0.0.0.0:0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, Config{})
			d := tt.flow
			d.frames = append(d.frames, decrypted())
			f := d.make(t)
			show := s.Observer().Tap(f)
			show(client, bytes.Repeat([]byte("x"), 5000))
			show(server, []byte("y"))
			s.Observer().Close(f, outcome(bridge.EOF, bridge.ByClient))
			c := s.finish()[0]
			if c.client != netip.MustParseAddrPort(tt.client) || c.server != netip.MustParseAddrPort(tt.server) {
				t.Errorf("%v > %v, want %s > %s", c.client, c.server, tt.client, tt.server)
			}
			if len(c.streams[client]) != 5000 || string(c.streams[server]) != "y" {
				t.Errorf("streams of %d and %d bytes", len(c.streams[client]), len(c.streams[server]))
			}
		})
	}
}

// The server of a flow may be connected by the first request, after the tap.
func TestTheServerIsTheOneThatTheFirstByteWentTo(t *testing.T) {
	s := start(t, Config{})
	b := &bridge.Bridge{Client: bridge.NewStream(fakeConn{remote: "198.51.100.2:50122"}), Observer: s.Observer()}
	b.Push(decrypted())
	show := s.Observer().Tap(b.Flow())
	b.SetHop(bridge.Addr{Host: "203.0.113.9", Port: 443})
	show(client, []byte("x"))
	b.Push(bridge.Frame{Proto: "http", Dst: bridge.Addr{Host: "203.0.113.10", Port: 443}})
	show(client, []byte("y"))
	if c := s.finish()[0]; c.server.String() != "203.0.113.9:80" || string(c.streams[client]) != "xy" {
		t.Errorf("%v got %q", c.server, c.streams[client])
	}
}

func TestPortsOfDecryptedFlows(t *testing.T) {
	for port, want := range map[uint16]uint16{
		443: 80, 465: 25, 563: 119, 636: 389, 853: 53, 990: 21, 993: 143, 995: 110,
		5061: 5060, 5671: 5672, 6697: 6667, 8443: 8080, 8883: 1883,
	} {
		if got := decryptedPort(port, ""); got != want {
			t.Errorf("port %d becomes %d, want %d", port, got, want)
		}
	}
	mapped := 0
	for port := range math.MaxUint16 + 1 {
		if decryptedPort(uint16(port), "http/1.1") != uint16(port) {
			mapped++
		}
	}
	if mapped != 13 {
		t.Errorf("%d ports are changed, want 13", mapped)
	}
	if got := decryptedPort(18443, "h2"); got != 80 {
		t.Errorf("HTTP/2 on port 18443 is written on port %d, want 80", got)
	}
	if got := decryptedPort(8443, "h2"); got != 8080 {
		t.Errorf("HTTP/2 on port 8443 is written on port %d, want 8080", got)
	}
}

func TestSegments(t *testing.T) {
	for _, tt := range []struct {
		name   string
		server string
		size   int
		want   string // lengths
	}{
		{"one byte", "203.0.113.9:80", 1, "1P"},
		{"a whole segment", "203.0.113.9:80", 1460, "1460P"},
		{"one byte more", "203.0.113.9:80", 1461, "1460. 1P"},
		{"two whole segments", "203.0.113.9:80", 2920, "1460. 1460P"},
		{"a whole segment of IPv6", "[2001:db8::9]:80", 1440, "1440P"},
		{"one byte more in IPv6", "[2001:db8::9]:80", 1441, "1440. 1P"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, Config{})
			d := web()
			d.server = tt.server
			s.Observer().Tap(d.make(t))(client, make([]byte, tt.size))
			s.finish()
			var got []string
			for _, p := range read(t, s.buf.Bytes()) {
				if n := len(p.payload); n > 0 {
					got = append(got, strconv.Itoa(n)+p.flags[:1])
				}
			}
			if g := strings.Join(got, " "); g != tt.want {
				t.Errorf("segments %q, want %q", g, tt.want)
			}
		})
	}
}

func TestSequenceNumbersWrap(t *testing.T) {
	for _, tt := range []struct {
		name string
		isn  uint32 // of the client; the server's is 2^31 away
	}{
		{"at the SYN", math.MaxUint32},
		{"after the SYN", math.MaxUint32 - 1},
		{"within the client's second segment", math.MaxUint32 - 2000},
		{"at the client's FIN", math.MaxUint32 - 10_000},
		{"after the client's FIN", math.MaxUint32 - 10_001},
		{"within the server's first segment", math.MaxInt32 - 700},
		{"at the server's SYN", math.MaxInt32},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var buf bytes.Buffer
			w, err := newWriter(&buf, Config{}, queueLimit, func(time.Time) uint32 { return tt.isn })
			if err != nil {
				t.Fatal(err)
			}
			f := web().make(t)
			o := w.Observer()
			show := o.Tap(f)
			show(client, bytes.Repeat([]byte("c"), 10_000))
			show(server, bytes.Repeat([]byte("s"), 10_000))
			o.Close(f, outcome(bridge.EOF, bridge.ByClient))
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			segments := read(t, buf.Bytes())
			c := follow(t, segments)[0]
			if segments[0].seq != tt.isn || c.end != "fin by client" || c.missing != [2]uint32{} {
				t.Errorf("begins with %d, ends %q, misses %v", segments[0].seq, c.end, c.missing)
			}
			for side, letter := range []string{"c", "s"} {
				if string(c.streams[side]) != strings.Repeat(letter, 10_000) {
					t.Errorf("side %d: not the 10000 bytes that were sent", side)
				}
			}
		})
	}
}

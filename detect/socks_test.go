package detect_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bridgeio/bridgeio/detect"
)

func socksVerdicts(t testing.TB) []verdictTest {
	s5, s4 := detect.SOCKS5(), detect.SOCKS4()
	yes5 := detect.Yes(detect.Info{Protocol: "socks5", Version: "5"})
	yes4 := func(version, verb, host, user string) detect.Verdict {
		return detect.Yes(detect.Info{Protocol: "socks4", Version: version, Verb: verb, Host: host, Port: 80, User: user})
	}
	tests := []struct {
		d    detect.Detector
		name string
		hex  string
		want detect.Verdict
	}{
		{s5, "nothing", "", detect.More(3)},
		{s5, "a version", "05", detect.More(3)},
		{s5, "a count", "05 02", detect.More(4)},
		{s5, "one method of two", "05 02 00", detect.More(4)},
		{s5, "no authentication", "05 01 00", yes5},
		{s5, "three methods", "05 03 00 01 02", yes5},
		{s5, "a request behind it", "05 01 00 05 01 00 03 01 61 00 50", yes5},
		{s5, "private methods", "05 02 80 fe", yes5},
		{s5, "the last assigned method", "05 01 09", yes5},
		{s5, "version 4", "04", detect.No()},
		{s5, "DCE/RPC 5.0", "05 00 0b 03", detect.No()},
		{s5, "DCE/RPC 5.1", "05 01 0b 03", detect.No()},
		{s5, "CQL 5", "05 10 00 00", detect.No()},
		{s5, "a method twice", "05 03 02 00 02", detect.No()},
		{s5, "a method twice, early", "05 03 02 02", detect.No()},
		{s5, "an unassigned method", "05 02 0a", detect.No()},
		{s5, "an unassigned method below 80", "05 01 7f", detect.No()},
		{s5, "method FF", "05 01 ff", detect.No()},

		{s4, "nothing", "", detect.More(9)},
		{s4, "a version", "04", detect.More(9)},
		{s4, "an address", "04 01 00 50 7f 00 00 01", detect.More(9)},
		{s4, "an unfinished user", `04 01 00 50 7f 00 00 01 "me"`, detect.More(11)},
		{s4, "CONNECT without a user", "04 01 00 50 7f 00 00 01 00", yes4("4", "CONNECT", "127.0.0.1", "")},
		{s4, "BIND with a user", `04 02 00 50 c0 00 02 07 "me" 00`, yes4("4", "BIND", "192.0.2.7", "me")},
		{s4, "DSTIP 0.0.0.0 names no host", "04 01 00 50 00 00 00 00 00", yes4("4", "CONNECT", "0.0.0.0", "")},
		{s4, "a host", `04 01 00 50 00 00 00 01 "me" 00 "a.test" 00`, yes4("4a", "CONNECT", "a.test", "me")},
		{s4, "a host that is no name", `04 01 00 50 00 00 00 01 00 "a b" 00`, yes4("4a", "CONNECT", "", "")},
		{s4, "a host to come", "04 01 00 50 00 00 00 01 00", detect.More(11)},
		{s4, "half a host", `04 01 00 50 00 00 00 01 00 "a.te"`, detect.More(14)},
		{s4, "an empty host", "04 01 00 50 00 00 00 01 00 00", detect.No()},
		{s4, "CQL 4", "04 00", detect.No()},
		{s4, "an unknown command", "04 03", detect.No()},
		{s4, "a control character in the user", `04 01 00 50 7f 00 00 01 "a" 0a`, detect.No()},
		{s4, "a control character in the host", `04 01 00 50 00 00 00 01 00 "a" 7f`, detect.No()},
		{s4, "version 5", "05", detect.No()},
	}
	var all []verdictTest
	for _, tt := range tests {
		all = append(all, verdictTest{tt.name, tt.d, unhex(t, tt.hex), tt.want})
	}
	return all
}

func TestParseSOCKS5GreetingTakesAnyMethods(t *testing.T) {
	for _, methods := range []string{"\x00", "\x00\x00", "\x0b\xff", strings.Repeat("\x02", 255)} {
		b := append([]byte{5, byte(len(methods))}, methods+"more"...)
		g, n, err := detect.ParseSOCKS5Greeting(b)
		if err != nil || n != 2+len(methods) || string(g.Methods) != methods {
			t.Errorf("ParseSOCKS5Greeting(%x) = %x, %d, %v", b, g.Methods, n, err)
		}
	}
}

func TestParseSOCKS5GreetingRefuses(t *testing.T) {
	for s, field := range map[string]string{"\x04": "VER", "\x06\x01": "VER", "\x05\x00": "NMETHODS"} {
		_, _, err := detect.ParseSOCKS5Greeting([]byte(s))
		wantMalformed(t, err, field)
	}
}

func TestParseSOCKS4Request(t *testing.T) {
	long := strings.Repeat("u", 255)
	tests := []struct {
		name string
		in   string
		want detect.SOCKS4Request
	}{
		{
			"an address", "\x04\x01\x01\xbb\xc0\x00\x02\x07\x00",
			detect.SOCKS4Request{Cmd: 1, DstPort: 443, DstIP: netip.MustParseAddr("192.0.2.7")},
		},
		{
			"BIND to port 0 with the longest user", "\x04\x02\x00\x00\xc0\x00\x02\x07" + long + "\x00",
			detect.SOCKS4Request{Cmd: 2, DstIP: netip.MustParseAddr("192.0.2.7"), UserID: long},
		},
		{
			"the longest host, raw", "\x04\x01\x00\x50\x00\x00\x00\xff\xc3\xa9\x00" + long + "\x00",
			detect.SOCKS4Request{Cmd: 1, DstPort: 80, DstIP: netip.MustParseAddr("0.0.0.255"), UserID: "é", Host: long},
		},
		{
			"a host with control characters, which a relay forwards", "\x04\x01\x00\x50\x00\x00\x00\x01\x00a\nb\x00",
			detect.SOCKS4Request{Cmd: 1, DstPort: 80, DstIP: netip.MustParseAddr("0.0.0.1"), Host: "a\nb"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, n, err := detect.ParseSOCKS4Request([]byte(tt.in + "more"))
			if err != nil || n != len(tt.in) || got != tt.want {
				t.Errorf("ParseSOCKS4Request = %d, %v: %s", n, err, cmp.Diff(tt.want, got, cmp.Comparer(sameAddr)))
			}
		})
	}
}

func sameAddr(a, b netip.Addr) bool { return a == b }

func TestParseSOCKS4RequestRefuses(t *testing.T) {
	const fixed, fixed4a = "\x04\x01\x00\x50\xc0\x00\x02\x07", "\x04\x01\x00\x50\x00\x00\x00\x01"
	long := strings.Repeat("u", 256)
	for s, field := range map[string]string{
		"\x05":                         "VN",
		"\x04\x00":                     "CD",
		"\x04\x03":                     "CD",
		fixed + long:                   "USERID",
		fixed + long + "\x00":          "USERID",
		fixed4a + "\x00" + long:        "host",
		fixed4a + "\x00\x00":           "host",
		fixed4a + "me\x00\x00more\x00": "host",
	} {
		_, _, err := detect.ParseSOCKS4Request([]byte(s))
		wantMalformed(t, err, field)
	}
	if _, _, err := detect.ParseSOCKS4Request([]byte(fixed + long[:255])); err != detect.ErrShort {
		t.Errorf("a user of 255 bytes without its end: %v, want ErrShort", err)
	}
}

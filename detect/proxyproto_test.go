package detect_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/bridgeio/bridgeio/detect"
)

const proxyV2 = "\r\n\r\n\x00\r\nQUIT\n"

// v2 is a version 2 header.
func v2(commandByte, familyByte byte, rest ...[]byte) []byte {
	return slices.Concat([]byte(proxyV2), []byte{commandByte, familyByte}, vec16(rest...))
}

func tlv(kind byte, value string) []byte { return append([]byte{kind}, vec16([]byte(value))...) }

// inet4 is 192.0.2.1:1 to 192.0.2.2:443.
var inet4 = string([]byte{192, 0, 2, 1, 192, 0, 2, 2, 0, 1, 1, 187})

// checksum writes the CRC32C of the header over the four bytes at the offset, which must be zero.
func checksum(header []byte, at int) []byte {
	binary.BigEndian.PutUint32(header[at:], crc32.Checksum(header, crc32.MakeTable(crc32.Castagnoli)))
	return header
}

func proxyVerdicts(testing.TB) []verdictTest {
	v1, v2d := detect.ProxyV1(), detect.ProxyV2()
	yes := func(version string, addrs ...string) detect.Verdict {
		info := detect.Info{Protocol: "proxy" + version, Version: version}
		if len(addrs) > 0 {
			info.Src, info.Dst = netip.MustParseAddrPort(addrs[0]), netip.MustParseAddrPort(addrs[1])
		}
		return detect.Yes(info)
	}
	header := string(v2(0x21, 0x11, []byte(inet4)))
	tests := []struct {
		d        detect.Detector
		name, in string
		want     detect.Verdict
	}{
		{v1, "nothing", "", detect.More(11)},
		{v1, "a word", "PROXY ", detect.More(11)},
		{v1, "half a protocol", "PROXY TCP", detect.More(11)},
		{v1, "half of UNKNOWN", "PROXY UNKNO", detect.More(12)},
		{v1, "TCP4", "PROXY TCP4 ", yes("1")},
		{v1, "TCP4, whole", "PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\nGET", yes("1", "192.0.2.1:1", "192.0.2.2:443")},
		{v1, "TCP6, whole", "PROXY TCP6 ::1 2001:db8::1 1 443\r\n", yes("1", "[::1]:1", "[2001:db8::1]:443")},
		{v1, "UNKNOWN", "PROXY UNKNOWN\r\n", yes("1")},
		{v1, "UNKNOWN and words", "PROXY UNKNOWN HTTP/1.1\r\n", yes("1")},
		{v1, "a header that breaks later is PROXY still", "PROXY TCP4 x\r\n", yes("1")},
		{v1, "another protocol", "PROXY UDP4", detect.No()},
		{v1, "UNKNOWN and a letter", "PROXY UNKNOWNS", detect.No()},
		{v1, "two spaces", "PROXY  TCP4", detect.No()},
		{v1, "small letters", "proxy", detect.No()},
		{v1, "a line before it", "\r\nPROXY TCP4 ", detect.No()},

		{v2d, "nothing", "", detect.More(13)},
		{v2d, "empty lines", "\r\n\r\n", detect.More(13)},
		{v2d, "a signature", proxyV2, detect.More(13)},
		{v2d, "a version", header[:13], yes("2")},
		{v2d, "all but the last byte", header[:len(header)-1], yes("2")},
		{v2d, "a whole header", header, yes("2", "192.0.2.1:1", "192.0.2.2:443")},
		{v2d, "LOCAL", string(v2(0x20, 0)), yes("2")},
		{v2d, "an unknown command is PROXY still", proxyV2 + "\x2f", yes("2")},
		{v2d, "a header above the cap is PROXY still", proxyV2 + "\x21\x11\xff\xff", yes("2")},
		{v2d, "version 1", proxyV2 + "\x11", detect.No()},
		{v2d, "HTTP behind empty lines", "\r\n\r\nG", detect.No()},
	}
	var all []verdictTest
	for _, tt := range tests {
		all = append(all, verdictTest{tt.name, tt.d, []byte(tt.in), tt.want})
	}
	return all
}

func TestParseProxyHeaderVersion1(t *testing.T) {
	worst := strings.Repeat("ffff:", 7) + "ffff"
	inet6 := func(src, dst string) detect.ProxyHeader {
		return detect.ProxyHeader{
			Version: 1, Command: detect.ProxyProxied, Family: detect.ProxyInet6, Transport: detect.ProxyStream,
			Src: netip.MustParseAddrPort(src), Dst: netip.MustParseAddrPort(dst),
		}
	}
	for in, want := range map[string]detect.ProxyHeader{
		"PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n": {
			Version: 1, Command: detect.ProxyProxied, Family: detect.ProxyInet, Transport: detect.ProxyStream,
			Src: netip.MustParseAddrPort("255.255.255.255:65535"), Dst: netip.MustParseAddrPort("0.0.0.0:0"),
		},
		"PROXY TCP6 " + worst + " " + worst + " 65535 65535\r\n":    inet6("["+worst+"]:65535", "["+worst+"]:65535"),
		"PROXY TCP6 2001:DB8::A ::ffff:1.2.3.4 1 2\r\n":             inet6("[2001:db8::a]:1", "[::ffff:1.2.3.4]:2"),
		"PROXY TCP6 ::1.2.3.4 :: 1 2\r\n":                           inet6("[::102:304]:1", "[::]:2"),
		"PROXY UNKNOWN\r\n":                                         {Version: 1, Command: detect.ProxyProxied},
		"PROXY UNKNOWN " + worst + " " + worst + " 65535 65535\r\n": {Version: 1, Command: detect.ProxyProxied},
		"PROXY UNKNOWN  \x00 anything\r\n":                          {Version: 1, Command: detect.ProxyProxied},
	} {
		h, n, err := detect.ParseProxyHeader([]byte(in + "GET"))
		if err != nil || n != len(in) || !cmp.Equal(*h, want, cmpopts.EquateComparable(netip.AddrPort{})) {
			t.Errorf("ParseProxyHeader(%q) = %+v, %d, %v, want %+v", in, h, n, err, want)
		}
		anyParser("ParseProxyHeader", detect.ParseProxyHeader).check(t, []byte(in+"GET"))
	}
}

// refusedV1 is, for each rule of the grammar of version 1 (§2.1), what breaks it, and the field that does.
func refusedV1() map[string]string {
	return map[string]string{
		"QROXY":                               "signature",
		"PROXY\r\n":                           "signature",
		"PROXYTCP4":                           "signature",
		"PROXY \r\n":                          "protocol",
		"PROXY TCP5 \r\n":                     "protocol",
		"PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n":  "protocol",
		"PROXY UNKNOWNS\r\n":                  "protocol",
		"PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n": "protocol",
		"PROXY TCP4\r\n":                      "source address",
		"PROXY TCP4 \r\n":                     "source address",
		"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n": "source address",

		"PROXY TCP4 ::ffff:1.2.3.4 1.2.3.4 1 2\r\n":         "source address",
		"PROXY TCP4 ::1 1.2.3.4 1 2\r\n":                    "source address",
		"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n":                  "source address",
		"PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n":               "source address",
		"PROXY TCP4 1.2.3.4\t1.2.3.4 1 2\r\n":               "source address",
		"PROXY TCP6 1.2.3.4 ::1 1 2\r\n":                    "source address",
		"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n":               "source address",
		"PROXY TCP6 0::1 ::1 1 2\r\n":                       "source address",
		"PROXY TCP6 2001:0db8::1 ::1 1 2\r\n":               "source address",
		"PROXY TCP6 [::1] ::1 1 2\r\n":                      "source address",
		"PROXY TCP4 1.2.3.4 1.2.3.256 1 2\r\n":              "destination address",
		"PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n":               "destination address",
		"PROXY TCP4 1.2.3.4 ::1 1 2\r\n":                    "destination address",
		"PROXY TCP4 1.2.3.4 1.2.3.00 1 2\r\n":               "destination address",
		"PROXY TCP4 1.2.3.4 1.2.3.4\x00 1 2\r\n":            "destination address",
		"PROXY TCP6 ::1 1.2.3.4 1 2\r\n":                    "destination address",
		"PROXY TCP6 ::1 1::2::3 1 2\r\n":                    "destination address",
		"PROXY TCP6 ::1 1:2:3:4:5:6:7:8:9 1 2\r\n":          "destination address",
		"PROXY TCP6 ::1 12345:: 1 2\r\n":                    "destination address",
		"PROXY TCP6 ::1 ::g 1 2\r\n":                        "destination address",
		"PROXY TCP4 1.2.3.4 1.2.3.4  1 2\r\n":               "source port",
		"PROXY TCP4 1.2.3.4 1.2.3.4 0x1 2\r\n":              "source port",
		"PROXY TCP4 1.2.3.4 1.2.3.4 a 2\r\n":                "source port",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1  2\r\n":               "destination port",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n":            "destination port",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 99999999999999\r\n":   "destination port",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1\t2\r\n":               "source port",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r \n":               "line end",
		"PROXY TCP4 1.2.3.4\r\n":                            "destination address",
		"PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n":            "source port",
		"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n":               "source port",
		"PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n":               "source port",
		"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n":               "source port",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n":                  "destination port",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 \r\n":                 "destination port",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 00\r\n":               "destination port",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n":               "line end",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n":              "line end",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n":                  "line end",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r":                "line end",
		"PROXY UNKNOWN a\rb\r\n":                            "line end",
		"PROXY UNKNOWN\n":                                   "line end",
		"PROXY UNKNOWN " + strings.Repeat("x", 92) + "\r\n": "length",
		"PROXY UNKNOWN " + strings.Repeat("x", 93):          "length",
	}
}

func TestParseProxyHeaderVersion1Refuses(t *testing.T) {
	for in, field := range refusedV1() {
		h, n, err := detect.ParseProxyHeader([]byte(in))
		if h != nil || n != 0 {
			t.Errorf("ParseProxyHeader(%q) = %+v, %d", in, h, n)
		}
		wantMalformed(t, err, field)
	}
	if _, _, err := detect.ParseProxyHeader([]byte("PROXY UNKNOWN " + strings.Repeat("x", 91) + "\r\n")); err != nil {
		t.Errorf("a line of 107 bytes: %v", err)
	}
}

func TestParseProxyHeaderVersion2(t *testing.T) {
	inet6 := slices.Concat(netip.MustParseAddr("2001:db8::1").AsSlice(), netip.MustParseAddr("::1").AsSlice(), []byte{0, 1, 0, 2})
	unix := bytes.Repeat([]byte{'a'}, 216)
	copy(unix[108:], "/run/x\x00")
	proxied := func(f detect.ProxyFamily, tr detect.ProxyTransport) detect.ProxyHeader {
		return detect.ProxyHeader{Version: 2, Command: detect.ProxyProxied, Family: f, Transport: tr}
	}
	v4 := proxied(detect.ProxyInet, detect.ProxyStream)
	v4.Src, v4.Dst = netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:443")
	v6 := proxied(detect.ProxyInet6, detect.ProxyDatagram)
	v6.Src, v6.Dst = netip.MustParseAddrPort("[2001:db8::1]:1"), netip.MustParseAddrPort("[::1]:2")
	un := proxied(detect.ProxyUnix, detect.ProxyStream)
	un.SrcUnix, un.DstUnix = unix[:108], unix[108:]
	local := detect.ProxyHeader{Version: 2}
	with := func(h detect.ProxyHeader, tail string, tlvs ...detect.TLV) detect.ProxyHeader {
		h.TLVs = tlvs
		if tail != "" {
			h.Tail = []byte(tail)
		}
		return h
	}
	crc := checksum(v2(0x21, 0x11, []byte(inet4), tlv(4, "ab"), tlv(3, "\x00\x00\x00\x00"), tlv(1, "h2")), 16+12+5+3)
	localCRC := checksum(v2(0x20, 0x00, tlv(3, "\x00\x00\x00\x00")), 16+3)

	tests := []struct {
		name string
		in   []byte
		want detect.ProxyHeader
	}{
		{"IPv4", v2(0x21, 0x11, []byte(inet4)), v4},
		{"IPv6, datagram", v2(0x21, 0x22, inet6), v6},
		{"UNIX", v2(0x21, 0x31, unix), un},
		{"UNSPEC", v2(0x21, 0x00), proxied(0, 0)},
		{"UNSPEC with a TLV", v2(0x21, 0x00, tlv(1, "h2")), with(proxied(0, 0), "", detect.TLV{Type: 1, Value: []byte("h2")})},
		{
			"TLVs in their order", v2(0x21, 0x11, []byte(inet4), tlv(0xe0, "x"), tlv(1, ""), tlv(0xe0, "y")),
			with(v4, "", detect.TLV{Type: 0xe0, Value: []byte("x")}, detect.TLV{Type: 1, Value: []byte{}}, detect.TLV{Type: 0xe0, Value: []byte("y")}),
		},
		{"a tail of one byte", v2(0x21, 0x11, []byte(inet4), []byte{1}), with(v4, "\x01")},
		{
			"a TLV that is too long for the header", v2(0x21, 0x11, []byte(inet4), tlv(1, "h2"), []byte{2, 0, 9, 'x'}),
			with(v4, "\x02\x00\x09x", detect.TLV{Type: 1, Value: []byte("h2")}),
		},
		{"a checksum", crc, with(v4, "", detect.TLV{Type: 4, Value: []byte("ab")},
			detect.TLV{Type: 3, Value: crc[36:40]}, detect.TLV{Type: 1, Value: []byte("h2")})},
		{"LOCAL", v2(0x20, 0x00), local},
		{"LOCAL with addresses, which are skipped", v2(0x20, 0x11, []byte(inet4), tlv(4, "")), with(local, "", detect.TLV{Type: 4, Value: []byte{}})},
		{"LOCAL with addresses that are cut", v2(0x20, 0x11, []byte("ab")), local},
		{"LOCAL of an unknown family", v2(0x20, 0xff, []byte("abcdef")), local},
		{"LOCAL with a checksum", localCRC, with(local, "", detect.TLV{Type: 3, Value: localCRC[19:]})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			buf := append(bytes.Clone(tt.in), "GET"...)
			h, n, err := detect.ParseProxyHeader(buf)
			if err != nil || n != len(tt.in) {
				t.Fatalf("ParseProxyHeader(%q) = %d, %v", tt.in, n, err)
			}
			if d := cmp.Diff(tt.want, *h, cmpopts.EquateComparable(netip.AddrPort{})); d != "" {
				t.Errorf("header (-want +got):\n%s", d)
			}
			anyParser("ParseProxyHeader", detect.ParseProxyHeader).check(t, buf)
		})
	}
}

func TestParseProxyHeaderVersion2Refuses(t *testing.T) {
	wrong := checksum(v2(0x21, 0x11, []byte(inet4), tlv(3, "\x00\x00\x00\x00")), 16+12+3)
	wrong[16]++
	twice := checksum(v2(0x21, 0x11, []byte(inet4), tlv(3, "\x00\x00\x00\x00"), tlv(3, "\x00\x00\x00\x00")), 16+12+3)
	tests := []struct {
		name  string
		in    []byte
		field string
	}{
		{"a broken signature", []byte(proxyV2[:11] + "x"), "signature"},
		{"version 1", v2(0x11, 0x11, []byte(inet4)), "version"},
		{"version 3", []byte(proxyV2 + "\x31"), "version"},
		{"command 2", []byte(proxyV2 + "\x22"), "command"},
		{"family 4", v2(0x21, 0x41, make([]byte, 216)), "address family"},
		{"transport 3", v2(0x21, 0x13, []byte(inet4)), "address family"},
		{"IPv4 without a transport", v2(0x21, 0x10, []byte(inet4)), "address family"},
		{"UNSPEC with a transport", v2(0x21, 0x01), "address family"},
		{"IPv4 addresses that are cut", v2(0x21, 0x11, []byte(inet4)[1:]), "length"},
		{"IPv6 addresses that are cut", v2(0x21, 0x21, make([]byte, 35)), "length"},
		{"UNIX addresses that are cut", v2(0x21, 0x31, make([]byte, 215)), "length"},
		{"a length above the default cap", []byte(proxyV2 + "\x21\x11\x10\x01"), "length"},
		{"a wrong checksum", wrong, "PP2_TYPE_CRC32C"},
		{"a checksum of three bytes", v2(0x21, 0x11, []byte(inet4), tlv(3, "abc")), "PP2_TYPE_CRC32C"},
		{"two checksums", twice, "PP2_TYPE_CRC32C"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, n, err := detect.ParseProxyHeader(tt.in)
			if h != nil || n != 0 {
				t.Errorf("ParseProxyHeader = %+v, %d", h, n)
			}
			wantMalformed(t, err, tt.field)
		})
	}
}

func TestEveryByteOfTheSignatureCounts(t *testing.T) {
	header := v2(0x21, 0x11, []byte(inet4))
	for i := 1; i < len(proxyV2); i++ { // another first byte is another version's
		broken := bytes.Clone(header)
		broken[i] ^= 0x20
		_, _, err := detect.ParseProxyHeader(broken)
		wantMalformed(t, err, "signature")
	}
	for i := range len("PROXY ") {
		broken := []byte("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n")
		broken[i] ^= 0x20
		_, _, err := detect.ParseProxyHeader(broken)
		wantMalformed(t, err, "signature")
	}
}

func TestEveryValueOfTheCommandAndFamilyBytes(t *testing.T) {
	size := map[byte]int{0x00: 0, 0x11: 12, 0x12: 12, 0x21: 36, 0x22: 36, 0x31: 216, 0x32: 216}
	for command := range 256 {
		for family := range 256 {
			_, known := size[byte(family)]
			want := command == 0x20 || command == 0x21 && known
			_, _, err := detect.ParseProxyHeader(v2(byte(command), byte(family), make([]byte, 216)))
			if (err == nil) != want {
				t.Errorf("command %#x, family %#x: error %v, want accepted %v", command, family, err, want)
			}
		}
	}
}

func TestParseProxyHeaderMaxHoldsItsLimit(t *testing.T) {
	b := v2(0x21, 0x00, tlv(4, strings.Repeat("x", 5000)))
	if _, n, err := detect.ParseProxyHeaderMax(b, 5003); err != nil || n != len(b) {
		t.Errorf("a header of its limit: %d, %v", n, err)
	}
	_, _, err := detect.ParseProxyHeaderMax(b[:16], 5002)
	wantMalformed(t, err, "length")
	fits := v2(0x21, 0x00, make([]byte, detect.DefaultMaxProxyHeader))
	if _, _, err := detect.ParseProxyHeader(fits); err != nil {
		t.Errorf("a header of the default limit: %v", err)
	}
}

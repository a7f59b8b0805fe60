package proxyproto

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/pires/go-proxyproto/tlvparse"

	"github.com/bridgeio/bridgeio/detect"

	foreign "github.com/pires/go-proxyproto"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return b
}

const signatureHex = "0d0a0d0a000d0a515549540a "

var (
	src4, dst4 = netip.MustParseAddrPort("192.0.2.7:50122"), netip.MustParseAddrPort("198.51.100.7:443")
	src6, dst6 = netip.MustParseAddrPort("[2001:db8::7]:50122"), netip.MustParseAddrPort("[2001:db8::8]:443")
	unixPath   = append([]byte("/run/a"), make([]byte, unixLen-6)...)
)

var headers = []struct {
	name   string
	header *detect.ProxyHeader
	wire   string // text of version 1, hexadecimal of version 2
}{
	{
		"version 1, IPv4",
		&detect.ProxyHeader{Version: 1, Command: 1, Family: 1, Transport: 1, Src: src4, Dst: dst4},
		"PROXY TCP4 192.0.2.7 198.51.100.7 50122 443\r\n",
	},
	{
		"version 1, IPv6",
		&detect.ProxyHeader{Version: 1, Command: 1, Family: 2, Transport: 1, Src: src6, Dst: dst6},
		"PROXY TCP6 2001:db8::7 2001:db8::8 50122 443\r\n",
	},
	{
		"version 1, unknown",
		&detect.ProxyHeader{Version: 1, Command: 1},
		"PROXY UNKNOWN\r\n",
	},
	{
		"version 2, LOCAL",
		&detect.ProxyHeader{Version: 2},
		signatureHex + "20 00 0000",
	},
	{
		"version 2, no addresses",
		&detect.ProxyHeader{Version: 2, Command: 1},
		signatureHex + "21 00 0000",
	},
	{
		"version 2, TCP over IPv4",
		&detect.ProxyHeader{Version: 2, Command: 1, Family: 1, Transport: 1, Src: src4, Dst: dst4},
		signatureHex + "21 11 000c c0000207 c6336407 c3ca 01bb",
	},
	{
		"version 2, UDP over IPv6",
		&detect.ProxyHeader{Version: 2, Command: 1, Family: 2, Transport: 2, Src: src6, Dst: dst6},
		signatureHex + "21 22 0024 20010db8000000000000000000000007 20010db8000000000000000000000008 c3ca 01bb",
	},
	{
		"version 2, an IPv4-mapped address stays one",
		&detect.ProxyHeader{
			Version: 2, Command: 1, Family: 2, Transport: 1,
			Src: netip.MustParseAddrPort("[::ffff:192.0.2.7]:1"), Dst: dst6,
		},
		signatureHex + "21 21 0024 00000000000000000000ffffc0000207 20010db8000000000000000000000008 0001 01bb",
	},
	{
		"version 2, a Unix socket",
		&detect.ProxyHeader{Version: 2, Command: 1, Family: 3, Transport: 1, SrcUnix: unixPath, DstUnix: make([]byte, unixLen)},
		signatureHex + "21 31 00d8 2f72756e2f61" + strings.Repeat("00", 2*unixLen-6),
	},
	{
		"version 2, TLVs in their order, an unknown one, and a rest",
		&detect.ProxyHeader{
			Version: 2, Command: 1, Family: 1, Transport: 1, Src: src4, Dst: dst4,
			TLVs: []detect.TLV{
				{Type: TypeAuthority, Value: []byte("a.de")},
				{Type: TypeNoop, Value: []byte{}},
				{Type: 0xee, Value: []byte{0}},
				{Type: TypeAuthority, Value: []byte("b")},
			},
			Tail: []byte{0x01, 0x00},
		},
		signatureHex + "21 11 0020 c0000207 c6336407 c3ca 01bb" + "02 0004 612e6465" + "04 0000" + "ee 0001 00" + "02 0001 62" + "01 00",
	},
}

func wireOf(t testing.TB, wire string) []byte {
	t.Helper()
	if strings.HasPrefix(wire, "PROXY") {
		return []byte(wire)
	}
	return unhex(t, wire)
}

func TestHeadersAreWrittenAndParsedBack(t *testing.T) {
	for _, tt := range headers {
		t.Run(tt.name, func(t *testing.T) {
			want := wireOf(t, tt.wire)
			wire, err := AppendHeader([]byte("x"), tt.header)
			if err != nil || !bytes.Equal(wire, append([]byte("x"), want...)) {
				t.Fatalf("AppendHeader(%+v) = %x, %v; want %x behind an x", tt.header, wire, err, want)
			}
			h, n, err := detect.ParseProxyHeader(want)
			if err != nil || n != len(want) || !reflect.DeepEqual(h, tt.header) {
				t.Errorf("ParseProxyHeader(%x) = %+v, %d, %v; want %+v", want, h, n, err, tt.header)
			}
		})
	}
}

func TestTheChecksumIsComputed(t *testing.T) {
	h := &detect.ProxyHeader{
		Version: 2, Command: 1, Family: 1, Transport: 1, Src: src4, Dst: dst4,
		TLVs: []detect.TLV{
			{Type: TypeALPN, Value: []byte("h2")},
			{Type: TypeCRC32C, Value: []byte{1, 2, 3, 4}},
			{Type: TypeNoop, Value: []byte{9}},
		},
	}
	wire, err := AppendHeader([]byte("before it"), h)
	if err != nil {
		t.Fatal(err)
	}
	wire = wire[len("before it"):]
	parsed, n, err := detect.ParseProxyHeader(wire)
	if err != nil || n != len(wire) {
		t.Fatalf("ParseProxyHeader(%x) = %v, %d, %v", wire, parsed, n, err)
	}
	values := [][2]int{{16, 28}, {31, 33}, {36, 40}, {43, 44}} // addresses, then what the TLVs hold
	for _, value := range values {
		for i := value[0]; i < value[1]; i++ {
			broken := bytes.Clone(wire)
			broken[i] ^= 0x40
			if _, _, err := detect.ParseProxyHeader(broken); err == nil {
				t.Errorf("ParseProxyHeader(%x), with byte %d changed, finds no defect", broken, i)
			}
		}
	}
}

func TestHeadersThatCannotBeAreNotWritten(t *testing.T) {
	tlvs := func(all ...detect.TLV) *detect.ProxyHeader { return &detect.ProxyHeader{Version: 2, TLVs: all} }
	tests := []struct {
		name   string
		header *detect.ProxyHeader
	}{
		{"another version", &detect.ProxyHeader{Version: 3}},
		{"no version", &detect.ProxyHeader{}},
		{"another command", &detect.ProxyHeader{Version: 2, Command: 2}},
		{"a family without addresses", &detect.ProxyHeader{Version: 2, Command: 1, Family: 1, Transport: 1}},
		{"IPv6 addresses of family IPv4", &detect.ProxyHeader{Version: 2, Command: 1, Family: 1, Transport: 1, Src: src6, Dst: dst6}},
		{"addresses of two families", &detect.ProxyHeader{Version: 2, Command: 1, Family: 2, Transport: 1, Src: src6, Dst: dst4}},
		{"addresses of two families in version 1", &detect.ProxyHeader{Version: 1, Command: 1, Family: 1, Transport: 1, Src: src4, Dst: dst6}},
		{"an address with a zone", &detect.ProxyHeader{
			Version: 2, Command: 1, Family: 2, Transport: 1,
			Src: netip.MustParseAddrPort("[fe80::1%eth0]:1"), Dst: dst6,
		}},
		{"an unknown family", &detect.ProxyHeader{Version: 2, Command: 1, Family: 4, Transport: 1}},
		{"an unknown transport", &detect.ProxyHeader{Version: 2, Command: 1, Family: 1, Transport: 3, Src: src4, Dst: dst4}},
		{"a transport without a family", &detect.ProxyHeader{Version: 2, Command: 1, Transport: 1}},
		{"a Unix path of 6 bytes", &detect.ProxyHeader{Version: 2, Command: 1, Family: 3, Transport: 1, SrcUnix: unixPath[:6], DstUnix: unixPath}},
		{"a Unix socket in version 1", &detect.ProxyHeader{Version: 1, Command: 1, Family: 3, Transport: 1, SrcUnix: unixPath, DstUnix: unixPath}},
		{"UDP in version 1", &detect.ProxyHeader{Version: 1, Command: 1, Family: 1, Transport: 2, Src: src4, Dst: dst4}},
		{"a TLV that is too long", tlvs(detect.TLV{Value: make([]byte, 1<<16)})},
		{"TLVs that are too long", tlvs(detect.TLV{Value: make([]byte, 1<<15)}, detect.TLV{Value: make([]byte, 1<<15)})},
		{"a checksum of 3 bytes", tlvs(detect.TLV{Type: TypeCRC32C, Value: make([]byte, 3)})},
		{"two checksums", tlvs(detect.TLV{Type: TypeCRC32C, Value: make([]byte, 4)}, detect.TLV{Type: TypeCRC32C, Value: make([]byte, 4)})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if b, err := AppendHeader(nil, tt.header); err == nil || b != nil {
				t.Errorf("AppendHeader(%+v) = %x, %v; want nothing and an error", tt.header, b, err)
			}
		})
	}
}

func TestSSL(t *testing.T) {
	value := unhex(t, "07 00000000 21 0007 544c5376312e33 22 0004 61207a6f ff 0000")
	s, err := ParseSSL(value)
	want := SSL{Client: ClientSSL | ClientCertConn | ClientCertSess, TLVs: []detect.TLV{
		{Type: SubtypeSSLVersion, Value: []byte("TLSv1.3")},
		{Type: SubtypeSSLCN, Value: []byte("a zo")},
		{Type: 0xff, Value: []byte{}},
	}}
	if err != nil || !reflect.DeepEqual(s, want) {
		t.Fatalf("ParseSSL(%x) = %+v, %v; want %+v", value, s, err, want)
	}
	if written, err := AppendSSL([]byte("x"), s); err != nil || !bytes.Equal(written, append([]byte("x"), value...)) {
		t.Errorf("AppendSSL(%+v) = %x, %v; want %x behind an x", s, written, err, value)
	}
	if written, err := AppendSSL(nil, SSL{TLVs: []detect.TLV{{Value: make([]byte, 1<<16)}}}); err == nil || written != nil {
		t.Errorf("AppendSSL of a TLV that is too long = %d bytes, %v", len(written), err)
	}
	if cn, ok := s.Get(SubtypeSSLCN); string(cn) != "a zo" || !ok {
		t.Errorf("Get(CN) = %q, %v", cn, ok)
	}
	if cipher, ok := s.Get(SubtypeSSLCipher); cipher != nil || ok {
		t.Errorf("Get(cipher) = %q, %v", cipher, ok)
	}
	whole := map[int]bool{5: true, 15: true, 22: true, 25: true}
	for n := range len(value) + 1 {
		s, err := ParseSSL(value[:n])
		bad := (*detect.MalformedError)(nil)
		if whole[n] != (err == nil) || err != nil && (!errors.As(err, &bad) || !reflect.ValueOf(s).IsZero()) {
			t.Errorf("ParseSSL of the first %d bytes = %+v, %v", n, s, err)
		}
	}
}

func TestSSLAsTheForeignLibraryWritesIt(t *testing.T) {
	written, err := tlvparse.PP2SSL{
		Client: tlvparse.PP2_BITFIELD_CLIENT_SSL,
		Verify: 5,
		TLV:    []foreign.TLV{{Type: foreign.PP2_SUBTYPE_SSL_VERSION, Value: []byte("TLSv1.2")}},
	}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseSSL(written.Value)
	if version, _ := s.Get(SubtypeSSLVersion); err != nil || s.Client != ClientSSL || s.Verify != 5 || string(version) != "TLSv1.2" {
		t.Errorf("ParseSSL(%x) = %+v, %v", written.Value, s, err)
	}
}

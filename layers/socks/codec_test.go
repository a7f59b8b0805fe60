package socks

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// unhex reads the hexadecimal of the tables, in which spaces divide the fields.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return b
}

func ip4(port uint16, a, b, c, d byte) Addr {
	return Addr{IP: netip.AddrFrom4([4]byte{a, b, c, d}), Port: port}
}

// codec is a parser and its inverse without their type.
type codec struct {
	parse func(buf []byte) (any, int, error)
	write func(m any) ([]byte, error)
}

func codecOf[M any](parse func([]byte) (M, int, error), write func([]byte, M) ([]byte, error)) codec {
	return codec{
		parse: func(buf []byte) (any, int, error) { return parse(buf) },
		write: func(m any) ([]byte, error) { return write(nil, m.(M)) },
	}
}

// sure is an Append function that cannot fail, as one that can.
func sure[M any](f func([]byte, M) []byte) func([]byte, M) ([]byte, error) {
	return func(b []byte, m M) ([]byte, error) { return f(b, m), nil }
}

var (
	greetingCodec = codecOf(detect.ParseSOCKS5Greeting, func(b []byte, g detect.SOCKS5Greeting) ([]byte, error) {
		return AppendGreeting(b, g.Methods...)
	})
	methodCodec   = codecOf(ParseMethod, sure(AppendMethod))
	userPassCodec = codecOf(ParseUserPass, AppendUserPass)
	statusCodec   = codecOf(ParseStatus, sure(AppendStatus))
	gssapiCodec   = codecOf(ParseGSSAPI, AppendGSSAPI)
	requestCodec  = codecOf(ParseRequest, AppendRequest)
	replyCodec    = codecOf(ParseReply, AppendReply)
	request4Codec = codecOf(detect.ParseSOCKS4Request, AppendRequest4)
	reply4Codec   = codecOf(ParseReply4, sure(AppendReply4))
)

var messages = []struct {
	name  string
	codec codec
	wire  string
	want  any
}{
	{"a greeting with one method", greetingCodec, "05 01 00", detect.SOCKS5Greeting{Methods: []byte{0}}},
	{"curl's greeting", greetingCodec, "05 03 000102", detect.SOCKS5Greeting{Methods: []byte{0, 1, 2}}},
	{"a choice of no authentication", methodCodec, "05 00", MethodNoAuth},
	{"a choice of nothing", methodCodec, "05 ff", MethodNone},
	{"user and password", userPassCodec, "01 05 616c696365 03 773a78", UserPass{"alice", "w:x"}},
	{"an empty user", userPassCodec, "01 00 01 78", UserPass{"", "x"}},
	{"an empty password", userPassCodec, "01 01 61 00", UserPass{"a", ""}},
	{"a user that is not text", userPassCodec, "01 02 00ff 01 0a", UserPass{"\x00\xff", "\n"}},
	{"a success", statusCodec, "01 00", statusSuccess},
	{"a failure", statusCodec, "01 ff", byte(0xff)},
	{"a token of GSSAPI", gssapiCodec, "01 01 0003 616263", GSSAPIMessage{GSSAPIAuth, "abc"}},
	{"an empty token", gssapiCodec, "01 01 0000", GSSAPIMessage{GSSAPIAuth, ""}},
	{"a protection level", gssapiCodec, "01 02 0001 02", GSSAPIMessage{GSSAPIProtection, "\x02"}},
	{"encapsulated data", gssapiCodec, "01 03 0002 00ff", GSSAPIMessage{GSSAPIData, "\x00\xff"}},
	{"an abort", gssapiCodec, "01 ff", GSSAPIMessage{GSSAPIAbort, ""}},
	{"CONNECT to an IPv4 address", requestCodec, "05 01 00 01 c0000201 01bb", Request{CmdConnect, 0, ip4(443, 192, 0, 2, 1)}},
	{
		"CONNECT to an IPv6 address", requestCodec, "05 01 00 04 20010db8000000000000000000000001 0050",
		Request{CmdConnect, 0, Addr{IP: netip.MustParseAddr("2001:db8::1"), Port: 80}},
	},
	{
		"an IPv4-mapped address stays one", requestCodec, "05 01 00 04 00000000000000000000ffffc0000201 0050",
		Request{CmdConnect, 0, Addr{IP: netip.MustParseAddr("::ffff:192.0.2.1"), Port: 80}},
	},
	{"CONNECT to a name", requestCodec, "05 01 00 03 04 612e6465 01bb", Request{CmdConnect, 0, Addr{Name: "a.de", Port: 443}}},
	{"an address as a name", requestCodec, "05 01 00 03 03 3a3a31 01bb", Request{CmdConnect, 0, Addr{Name: "::1", Port: 443}}},
	{"a name with NUL", requestCodec, "05 01 00 03 03 610062 01bb", Request{CmdConnect, 0, Addr{Name: "a\x00b", Port: 443}}},
	{"an empty name", requestCodec, "05 01 00 03 00 0000", Request{CmdConnect, 0, Addr{}}},
	{"a reserved byte that is set", requestCodec, "05 03 7f 01 00000000 0000", Request{CmdUDPAssociate, 0x7f, ip4(0, 0, 0, 0, 0)}},
	{"RESOLVE", requestCodec, "05 f0 00 03 01 61 0000", Request{CmdResolve, 0, Addr{Name: "a"}}},
	{"a grant", replyCodec, "05 00 00 01 c0000202 8000", Reply{RepSucceeded, 0, ip4(0x8000, 192, 0, 2, 2)}},
	{"a refusal", replyCodec, "05 05 00 01 00000000 0000", Reply{RepConnectionRefused, 0, unspecified}},
	{"a reply with a name", replyCodec, "05 00 01 03 02 6465 0001", Reply{RepSucceeded, 1, Addr{Name: "de", Port: 1}}},
	{
		"SOCKS4 CONNECT", request4Codec, "04 01 0050 c0000201 6d6500",
		detect.SOCKS4Request{Cmd: 1, DstPort: 80, DstIP: netip.MustParseAddr("192.0.2.1"), UserID: "me"},
	},
	{
		"SOCKS4 BIND without a user", request4Codec, "04 02 0050 c0000201 00",
		detect.SOCKS4Request{Cmd: 2, DstPort: 80, DstIP: netip.MustParseAddr("192.0.2.1")},
	},
	{
		"SOCKS4A", request4Codec, "04 01 01bb 00000001 00 612e646500",
		detect.SOCKS4Request{Cmd: 1, DstPort: 443, DstIP: netip.MustParseAddr("0.0.0.1"), Host: "a.de"},
	},
	{"a SOCKS4 grant", reply4Codec, "00 5a 0050 c0000201", Reply4{Rep4Granted, 80, netip.MustParseAddr("192.0.2.1")}},
	{"a SOCKS4 refusal", reply4Codec, "00 5b 0000 00000000", Reply4{Rep4Rejected, 0, netip.IPv4Unspecified()}},
}

func TestMessagesParseAndAreWrittenBack(t *testing.T) {
	for _, tt := range messages {
		t.Run(tt.name, func(t *testing.T) {
			wire := unhex(t, tt.wire)
			m, n, err := tt.codec.parse(wire)
			if err != nil || n != len(wire) || !reflect.DeepEqual(m, tt.want) {
				t.Fatalf("Parse(%x) = %+v, %d, %v; want %+v, %d", wire, m, n, err, tt.want, len(wire))
			}
			written, err := tt.codec.write(m)
			if err != nil || !bytes.Equal(written, wire) {
				t.Errorf("Append(%+v) = %x, %v; want %x", m, written, err, wire)
			}
		})
	}
}

func TestMessagesAreShortAtEveryTruncation(t *testing.T) {
	for _, tt := range messages {
		wire := unhex(t, tt.wire)
		for i := range wire {
			m, n, err := tt.codec.parse(wire[:i:i])
			if !errors.Is(err, bridge.ErrShort) || n != 0 || !isZero(m) {
				t.Errorf("%s: Parse(%x) = %+v, %d, %v; want the zero value and %v", tt.name, wire[:i], m, n, err, bridge.ErrShort)
			}
		}
	}
}

func isZero(m any) bool { return reflect.ValueOf(m).IsZero() }

func TestTheNextMessageIsLeftAlone(t *testing.T) {
	for _, tt := range messages {
		wire := unhex(t, tt.wire)
		m, n, err := tt.codec.parse(append(bytes.Clone(wire), wire...))
		if err != nil || n != len(wire) || !reflect.DeepEqual(m, tt.want) {
			t.Errorf("%s: twice %x parses as %+v, %d, %v; want %+v, %d", tt.name, wire, m, n, err, tt.want, len(wire))
		}
	}
}

func TestEveryValueOfTheFirstByte(t *testing.T) {
	versions := map[*codec]byte{
		&methodCodec: 5, &userPassCodec: 1, &statusCodec: 1, &gssapiCodec: 1, &requestCodec: 5, &replyCodec: 5, &reply4Codec: 0,
	}
	for c, version := range versions {
		for v := range 256 {
			_, _, err := c.parse([]byte{byte(v)})
			bad := (*detect.MalformedError)(nil)
			if isBad := errors.As(err, &bad); isBad == (byte(v) == version) {
				t.Errorf("first byte %02x: %v; want malformed unless it is %02x", v, err, version)
			} else if isBad && bad.Offset != 0 {
				t.Errorf("first byte %02x: malformed at %d, want 0", v, bad.Offset)
			}
		}
	}
}

func TestEveryMethodStatusCommandAndCode(t *testing.T) {
	tail := unhex(t, "00 01 7f000001 0050")
	for v := range 256 {
		v := byte(v)
		if m, n, err := ParseMethod([]byte{5, v}); m != v || n != 2 || err != nil {
			t.Errorf("ParseMethod(05%02x) = %02x, %d, %v", v, m, n, err)
		}
		if m, n, err := ParseStatus([]byte{1, v}); m != v || n != 2 || err != nil {
			t.Errorf("ParseStatus(01%02x) = %02x, %d, %v", v, m, n, err)
		}
		message := append([]byte{5, v}, tail...)
		if q, n, err := ParseRequest(message); q.Cmd != v || q.Dst != ip4(80, 127, 0, 0, 1) || n != 10 || err != nil {
			t.Errorf("ParseRequest(%x) = %+v, %d, %v", message, q, n, err)
		}
		if p, n, err := ParseReply(message); p.Rep != Rep(v) || p.Bnd != ip4(80, 127, 0, 0, 1) || n != 10 || err != nil {
			t.Errorf("ParseReply(%x) = %+v, %d, %v", message, p, n, err)
		}
		reply4 := []byte{0, v, 0, 80, 127, 0, 0, 1}
		if p, n, err := ParseReply4(reply4); p.Rep != Rep4(v) || n != 8 || err != nil {
			t.Errorf("ParseReply4(%x) = %+v, %d, %v", reply4, p, n, err)
		}
	}
}

func TestEveryMessageTypeOfGSSAPI(t *testing.T) {
	for mtyp := range 256 {
		wire := []byte{1, byte(mtyp), 0, 1, 'x'}
		m, n, err := ParseGSSAPI(wire)
		bad := (*detect.MalformedError)(nil)
		switch {
		case mtyp >= 1 && mtyp <= 3:
			if m != (GSSAPIMessage{byte(mtyp), "x"}) || n != 5 || err != nil {
				t.Errorf("ParseGSSAPI(%x) = %v, %d, %v", wire, m, n, err)
			}
		case mtyp == 255:
			if m != (GSSAPIMessage{Mtyp: GSSAPIAbort}) || n != 2 || err != nil {
				t.Errorf("ParseGSSAPI(%x) = %v, %d, %v", wire, m, n, err)
			}
		case !errors.As(err, &bad) || bad.Field != "mtyp" || bad.Offset != 1:
			t.Errorf("ParseGSSAPI(%x): %v, want malformed mtyp at byte 1", wire, err)
		}
	}
}

func TestEveryLengthOfAToken(t *testing.T) {
	for _, n := range []int{0, 1, 255, 256, 257, 65534, 65535} {
		want := GSSAPIMessage{GSSAPIAuth, strings.Repeat("x", n)}
		wire, err := AppendGSSAPI(nil, want)
		if err != nil || len(wire) > maxGSSAPI {
			t.Fatalf("token of %d bytes: %d on the wire, %v", n, len(wire), err)
		}
		if got, length, err := ParseGSSAPI(wire); got != want || length != len(wire) || err != nil {
			t.Errorf("token of %d bytes: %v, %d, %v", n, got, length, err)
		}
	}
}

func TestTheMechanismOfAToken(t *testing.T) {
	tests := []struct{ name, token, want string }{
		{"Kerberos", "60 0d 06092a864886f712010202 0100", "1.2.840.113554.1.2.2"},
		{"SPNEGO", "60 0a 06062b0601050502 a000", "1.3.6.1.5.5.2"},
		{"a long token", "60 81 82 06062b0601050502" + strings.Repeat("00", 0x82-8), "1.3.6.1.5.5.2"},
		{"NTLM, which has no such head", "4e544c4d535350 00", ""},
		{"nothing", "", ""},
		{"a tag", "60", ""},
		{"a token that is cut off", "60 0d 06092a864886f712010202", ""},
		{"nothing within", "60 00", ""},
		{"another type within", "60 04 04022a03", ""},
		{"an identifier that is cut off", "60 04 06092a86", ""},
		{"an identifier of no bytes", "60 02 0600", ""},
		{"an identifier that is too long", "60 43 0641" + strings.Repeat("2a", 0x41), ""},
	}
	for _, tt := range tests {
		if got := mechOf(string(unhex(t, tt.token))); got != tt.want {
			t.Errorf("%s: mechOf(%s) = %q, want %q", tt.name, tt.token, got, tt.want)
		}
	}
}

func TestATokenIsNotPrinted(t *testing.T) {
	for m, want := range map[GSSAPIMessage]string{
		{GSSAPIAuth, "secret"}: "mtyp 01 of 6 bytes",
		{Mtyp: GSSAPIAbort}:    "abort",
	} {
		if got := m.String(); got != want {
			t.Errorf("String() = %s, want %s", got, want)
		}
	}
}

func TestEveryReservedByteIsKept(t *testing.T) {
	for v := range 256 {
		wire := []byte{5, 1, byte(v), 1, 127, 0, 0, 1, 0, 80}
		q, _, err := ParseRequest(wire)
		if back, _ := AppendRequest(nil, q); err != nil || !bytes.Equal(back, wire) {
			t.Errorf("request %x comes back as %x, %v", wire, back, err)
		}
		p, _, err := ParseReply(wire)
		if back, _ := AppendReply(nil, p); err != nil || !bytes.Equal(back, wire) {
			t.Errorf("reply %x comes back as %x, %v", wire, back, err)
		}
	}
}

func TestEveryAddressType(t *testing.T) {
	lengths := map[byte]int{1: 4, 3: 1, 4: 16} // the name has the length 0
	for v := range 256 {
		wire := append([]byte{5, 1, 0, byte(v)}, make([]byte, 18)...)
		_, n, err := ParseRequest(wire)
		length, known := lengths[byte(v)]
		if known && (n != 4+length+2 || err != nil) {
			t.Errorf("ATYP %02x: length %d, %v; want %d", v, n, err, 4+length+2)
		}
		if bad := (*detect.MalformedError)(nil); !known && (!errors.As(err, &bad) || bad.Field != "ATYP" || bad.Offset != 3) {
			t.Errorf("ATYP %02x: %v, want malformed ATYP at byte 3", v, err)
		}
	}
}

func TestEveryLengthOfANameUserAndPassword(t *testing.T) {
	for n := range 256 {
		text := strings.Repeat("x", n)
		request := Request{CmdConnect, 0, Addr{Name: text, Port: 1}}
		wire, err := AppendRequest(nil, request)
		if err != nil {
			t.Fatal(err)
		}
		if got, length, err := ParseRequest(wire); got != request || length != len(wire) || err != nil {
			t.Errorf("name of %d bytes: %+v, %d, %v", n, got, length, err)
		}
		user := UserPass{text, text}
		if wire, err = AppendUserPass(nil, user); err != nil {
			t.Fatal(err)
		}
		if got, length, err := ParseUserPass(wire); got != user || length != len(wire) || err != nil {
			t.Errorf("user of %d bytes: %+v, %d, %v", n, got, length, err)
		}
		if len(wire) > maxUserPass || n == 255 && len(wire) != maxUserPass {
			t.Errorf("user of %d bytes takes %d, the limit is %d", n, len(wire), maxUserPass)
		}
	}
}

func TestWhatDoesNotFitIsNotWritten(t *testing.T) {
	long := strings.Repeat("x", 256)
	v4 := netip.MustParseAddr("192.0.2.1")
	mark := netip.MustParseAddr("0.0.0.1")
	tests := []struct {
		name  string
		write func() ([]byte, error)
	}{
		{"a greeting without methods", func() ([]byte, error) { return AppendGreeting(nil) }},
		{"a greeting with 256 methods", func() ([]byte, error) { return AppendGreeting(nil, make([]byte, 256)...) }},
		{"a user of 256 bytes", func() ([]byte, error) { return AppendUserPass(nil, UserPass{UName: long}) }},
		{"a password of 256 bytes", func() ([]byte, error) { return AppendUserPass(nil, UserPass{Passwd: long}) }},
		{"a name of 256 bytes", func() ([]byte, error) { return AppendRequest(nil, Request{Dst: Addr{Name: long}}) }},
		{"a BND name of 256 bytes", func() ([]byte, error) { return AppendReply(nil, Reply{Bnd: Addr{Name: long}}) }},
		{"a token of 65,536 bytes", func() ([]byte, error) {
			return AppendGSSAPI(nil, GSSAPIMessage{GSSAPIAuth, strings.Repeat("x", 1<<16)})
		}},
		{"an unknown mtyp", func() ([]byte, error) { return AppendGSSAPI(nil, GSSAPIMessage{4, ""}) }},
		{"a mtyp of 0", func() ([]byte, error) { return AppendGSSAPI(nil, GSSAPIMessage{}) }},
		{"an abort with a token", func() ([]byte, error) { return AppendGSSAPI(nil, GSSAPIMessage{GSSAPIAbort, "x"}) }},
		{"SOCKS4 to nowhere", func() ([]byte, error) { return AppendRequest4(nil, detect.SOCKS4Request{Cmd: 1}) }},
		{"SOCKS4 to IPv6", func() ([]byte, error) {
			return AppendRequest4(nil, detect.SOCKS4Request{Cmd: 1, DstIP: netip.IPv6Loopback()})
		}},
		{"SOCKS4 with a host and an address", func() ([]byte, error) {
			return AppendRequest4(nil, detect.SOCKS4Request{Cmd: 1, DstIP: v4, Host: "a"})
		}},
		{"SOCKS4A without a host", func() ([]byte, error) {
			return AppendRequest4(nil, detect.SOCKS4Request{Cmd: 1, DstIP: mark})
		}},
		{"SOCKS4 with an unknown command", func() ([]byte, error) {
			return AppendRequest4(nil, detect.SOCKS4Request{Cmd: 3, DstIP: v4})
		}},
		{"a SOCKS4 user with NUL", func() ([]byte, error) {
			return AppendRequest4(nil, detect.SOCKS4Request{Cmd: 1, DstIP: v4, UserID: "a\x00b"})
		}},
		{"a SOCKS4A host with NUL", func() ([]byte, error) {
			return AppendRequest4(nil, detect.SOCKS4Request{Cmd: 1, DstIP: mark, Host: "a\x00b"})
		}},
		{"a SOCKS4 user of 256 bytes", func() ([]byte, error) {
			return AppendRequest4(nil, detect.SOCKS4Request{Cmd: 1, DstIP: v4, UserID: long})
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if b, err := tt.write(); err == nil || b != nil {
				t.Errorf("Append = %x, %v; want nothing and an error", b, err)
			}
		})
	}
}

func TestAppendKeepsWhatIsThere(t *testing.T) {
	for _, tt := range messages {
		m, _, _ := tt.codec.parse(unhex(t, tt.wire))
		alone, err := tt.codec.write(m)
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		switch m := m.(type) {
		case detect.SOCKS5Greeting:
			got, err = AppendGreeting([]byte("before"), m.Methods...)
		case UserPass:
			got, err = AppendUserPass([]byte("before"), m)
		case GSSAPIMessage:
			got, err = AppendGSSAPI([]byte("before"), m)
		case Request:
			got, err = AppendRequest([]byte("before"), m)
		case Reply:
			got, err = AppendReply([]byte("before"), m)
		case detect.SOCKS4Request:
			got, err = AppendRequest4([]byte("before"), m)
		case Reply4:
			got = AppendReply4([]byte("before"), m)
		case byte:
			continue // AppendMethod and AppendStatus have one line
		}
		if want := "before" + string(alone); string(got) != want || err != nil {
			t.Errorf("%s: appended %q, %v; want %q", tt.name, got, err, want)
		}
	}
}

func TestAReplyOfSOCKS4HasNoRoomForIPv6(t *testing.T) {
	got := AppendReply4(nil, Reply4{Rep4Granted, 80, netip.IPv6Loopback()})
	if want := unhex(t, "00 5a 0000 00000000"); !bytes.Equal(got, want) {
		t.Errorf("AppendReply4 = %x, want %x", got, want)
	}
	mapped := AppendReply4(nil, Reply4{Rep4Granted, 80, netip.MustParseAddr("::ffff:192.0.2.1")})
	if want := unhex(t, "00 5a 0050 c0000201"); !bytes.Equal(mapped, want) {
		t.Errorf("AppendReply4 = %x, want %x", mapped, want)
	}
}

func TestAddressesForFramesArePrintable(t *testing.T) {
	tests := []struct {
		name string
		addr Addr
		want bridge.Addr
	}{
		{"a name", Addr{Name: "example.com", Port: 443}, bridge.Addr{Host: "example.com", Port: 443}},
		{"an address in text", Addr{Name: "192.0.2.1", Port: 1}, bridge.Addr{Host: "192.0.2.1", Port: 1}},
		{"an IPv4-mapped address", Addr{IP: netip.MustParseAddr("::ffff:192.0.2.1"), Port: 1}, bridge.Addr{Host: "192.0.2.1", Port: 1}},
		{"a name with control characters", Addr{Name: "a\x00\r\nb"}, bridge.Addr{Host: "a\ufffd\ufffd\ufffdb"}},
		{"a name with an escape sequence", Addr{Name: "\x1b[2Ja"}, bridge.Addr{Host: "\ufffd[2Ja"}},
		{"a name that turns the text around", Addr{Name: "a\u202eb"}, bridge.Addr{Host: "a\ufffdb"}},
		{"a name that is not UTF-8", Addr{Name: "a\xffb"}, bridge.Addr{Host: "a\ufffdb"}},
		{"a name in another script", Addr{Name: "bücher.example"}, bridge.Addr{Host: "bücher.example"}},
		{"no name", Addr{Port: 80}, bridge.Addr{}},
	}
	for _, tt := range tests {
		if got := tt.addr.Addr(); got != tt.want {
			t.Errorf("%s: Addr() = %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestAddrOfASocket(t *testing.T) {
	tests := []struct {
		name string
		addr net.Addr
		want Addr
	}{
		{"IPv4", &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 80}, ip4(80, 192, 0, 2, 1)},
		{"IPv6 with a zone", &net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 80, Zone: "eth0"}, Addr{IP: netip.MustParseAddr("fe80::1"), Port: 80}},
		{"no IP", &net.TCPAddr{Port: 80}, unspecified},
		{"a Unix socket", &net.UnixAddr{Name: "/a", Net: "unix"}, unspecified},
		{"nothing", nil, unspecified},
	}
	for _, tt := range tests {
		if got := addrOf(tt.addr); got != tt.want {
			t.Errorf("%s: addrOf = %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestCodesHaveWords(t *testing.T) {
	tests := map[string]string{
		Rep(0).String():       "00 succeeded",
		Rep(8).String():       "08 address type not supported",
		Rep(9).String():       "09",
		Rep(0xff).String():    "ff",
		Rep4(0x59).String():   "59",
		Rep4Granted.String():  "5a request granted",
		Rep4(0x5d).String():   "5d request rejected: different user-ids",
		Rep4(0x5e).String():   "5e",
		Rep4Rejected.String(): "5b request rejected or failed",
	}
	for got, want := range tests {
		if got != want {
			t.Errorf("String() = %q, want %q", got, want)
		}
	}
}

func TestAPasswordIsNotPrinted(t *testing.T) {
	if s := (UserPass{"alice", "secret"}).String(); s != `user "alice"` {
		t.Errorf("String() = %s", s)
	}
}

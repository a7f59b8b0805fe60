package detect_test

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/detect/detecttest"
)

// binaryVerdicts are those of remote desktops, messages, names and tunnels.
func binaryVerdicts(t testing.TB) []verdictTest {
	more, no := detect.More, detect.No()
	yes := func(info detect.Info) detect.Verdict { return detect.Yes(info) }
	var all []verdictTest
	add := func(d detect.Detector, tests ...lineTest) {
		for _, tt := range tests {
			all = append(all, verdictTest{tt.name, d, unhex(t, tt.in), tt.want})
		}
	}
	add(detect.RDP(),
		lineTest{"nothing", ``, more(19)},
		lineTest{"a length", `03 00 002a`, more(42)},
		lineTest{"a cookie and a request", `03 00 002b 26 e0 0000 0000 00 "Cookie: mstshash=alice" 0d0a 01 00 0800 03000000`, yes(detect.Info{Protocol: "rdp", User: "alice"})},
		lineTest{"a request", `03 00 0013 0e e0 0000 0000 00 01 00 0800 0b000000`, yes(detect.Info{Protocol: "rdp"})},
		lineTest{"a routing token", `03 00 0029 24 e0 0000 0000 00 "Cookie: msts=1.2.3.4.5.6.7.8" 0d0a`, yes(detect.Info{Protocol: "rdp"})},
		lineTest{"half of it", `03 00 0013 0e e0 0000 0000 00 01`, more(19)},
		lineTest{"S7", `03 00 0016 11 e0 0000 0001 00 c0010a c1020100 c2020102`, no},
		lineTest{"a length that does not fit", `03 00 0013 0f`, no},
		lineTest{"data", `03 00 0013 0e f0`, no},
		lineTest{"a cookie without an end", `03 00 001d 18 e0 0000 0000 00 "Cookie: mstshash=a"`, no},
		lineTest{"a token of a load balancer, and a request", `03 00 0021 1c e0 0000 0000 00 "tsv://farm.1" 0d0a 01 00 0800 01000000`, yes(detect.Info{Protocol: "rdp"})},
		lineTest{"a request of protocols that are none", `03 00 0013 0e e0 0000 0000 00 01 00 0800 00000001`, no},
		lineTest{"a request with DST-REF", `03 00 0013 0e e0 0001`, no},
		lineTest{"a request of another class", `03 00 0013 0e e0 0000 0000 10`, no},
		lineTest{"nothing but a request of X.224", `03 00 000b 06 e0 0000 0000 00`, no},
		lineTest{"RTMP", `03 12`, no},
	)
	add(detect.MQTT(),
		lineTest{"nothing", ``, more(10)},
		lineTest{"3.1.1", `10 11 0004 "MQTT" 04 02 003c 0005 "hello"`, yes(detect.Info{Protocol: "mqtt", Version: "3.1.1", User: "hello"})},
		lineTest{"3.1", `10 13 0006 "MQIsdp" 03 02 003c 0005 "hello"`, yes(detect.Info{Protocol: "mqtt", Version: "3.1", User: "hello"})},
		lineTest{"5, with a user", `10 21 0004 "MQTT" 05 c2 003c 00 0005 "hello" 0005 "alice" 0006 "secret"`, yes(detect.Info{Protocol: "mqtt", Version: "5", User: "alice"})},
		lineTest{"half of it", `10 11 0004 "MQTT" 04 02 003c`, yes(detect.Info{Protocol: "mqtt", Version: "3.1.1"})},
		lineTest{"another name", `10 11 0004 "MQTX"`, no},
		lineTest{"version 6", `10 11 0004 "MQTT" 06`, no},
		lineTest{"a reserved flag", `10 11 0004 "MQTT" 04 03`, no},
		lineTest{"another packet", `20`, no},
		lineTest{"a bridge of Mosquitto", `10 11 0004 "MQTT" 84 02 003c 0005 "hello"`, yes(detect.Info{Protocol: "mqtt", Version: "3.1.1", User: "hello"})},
		lineTest{"5, with properties and a will", `10 26 0004 "MQTT" 05 86 003c 03 210014 0002 "id" 05 0200000001 0001 "w" 0002 "go" 0005 "alice"`, yes(detect.Info{Protocol: "mqtt", Version: "5", User: "alice"})},
		lineTest{"5, with a password and no user", `10 1a 0004 "MQTT" 05 42 003c 00 0005 "hello" 0006 "secret"`, yes(detect.Info{Protocol: "mqtt", Version: "5", User: "hello"})},
		lineTest{"3.1.1, with a password and no user", `10 19 0004 "MQTT" 04 42`, no},
		lineTest{"a will of QoS 3", `10 19 0004 "MQTT" 04 1e`, no},
		lineTest{"a will of megabytes", `10 ff ff ff 01 0004 "MQTT" 04 06`, yes(detect.Info{Protocol: "mqtt", Version: "3.1.1"})},
		lineTest{"a user with control characters", `10 11 0004 "MQTT" 04 02 003c 0005 "he" 0a "lo"`, yes(detect.Info{Protocol: "mqtt", Version: "3.1.1"})},
		lineTest{"a length of five bytes", `10 ff ff ff ff`, no},
		lineTest{"too short", `10 02`, no},
	)
	add(detect.AMQP(),
		lineTest{"nothing", ``, more(8)},
		lineTest{"0-9-1", `"AMQP" 00 00 09 01`, yes(detect.Info{Protocol: "amqp", Version: "0-9-1"})},
		lineTest{"1.0", `"AMQP" 00 01 00 00`, yes(detect.Info{Protocol: "amqp", Version: "1.0"})},
		lineTest{"1.0 with TLS", `"AMQP" 02 01 00 00`, yes(detect.Info{Protocol: "amqp", Version: "1.0", Verb: "TLS"})},
		lineTest{"1.0 with SASL", `"AMQP" 03 01 00 00`, yes(detect.Info{Protocol: "amqp", Version: "1.0", Verb: "SASL"})},
		lineTest{"0-10", `"AMQP" 01 01 00 0a`, yes(detect.Info{Protocol: "amqp", Version: "0-10"})},
		lineTest{"0-9", `"AMQP" 01 01 00 09`, yes(detect.Info{Protocol: "amqp", Version: "0-9"})},
		lineTest{"0-8", `"AMQP" 01 01 08 00`, yes(detect.Info{Protocol: "amqp", Version: "0-8"})},
		lineTest{"a version to come", `"AMQP" 00 02 00 00`, yes(detect.Info{Protocol: "amqp"})},
		lineTest{"half of it", `"AMQP" 00`, more(8)},
		lineTest{"another", `"AMQX"`, no},
		lineTest{"another protocol", `"AMQP" 09`, no},
	)
	query := `0001 0100 0001 0000 0000 0000 07 "example" 04 "test" 00 0001 0001`
	add(detect.DNS(),
		lineTest{"nothing", ``, more(19)},
		lineTest{"a query", `001e` + query, yes(detect.Info{Protocol: "dns", Verb: "A", Host: "example.test"})},
		lineTest{"half of it", `001e 0001 0100 0001 0000 0000 0000 07 "ex"`, more(32)},
		lineTest{"with EDNS, and another behind it", `0029 0001 0120 0001 0000 0000 0001 07 "example" 04 "test" 00 001c 0001 0000291000000000000000 001e`, yes(detect.Info{Protocol: "dns", Verb: "AAAA", Host: "example.test"})},
		lineTest{"more behind the question than it says", `001f` + query + `00`, no},
		lineTest{"a dot in a label", `001e 0001 0100 0001 0000 0000 0000 07 "exa.ple" 04 "test" 00 0001 0001`, no},
		lineTest{"a pointer", `0013 0001 0100 0001 0000 0000 0000 c00c`, no},
		lineTest{"a name of 255 bytes", `010f 0001 0100 0001 0000 0000 0000` + labels(63, 63, 63, 61) + `00 0001 0001`, yes(detect.Info{Protocol: "dns", Verb: "A", Host: dotted(63, 63, 63, 61)})},
		lineTest{"a name of 256 bytes", `0110 0001 0100 0001 0000 0000 0000` + labels(63, 63, 63, 62), no},
		lineTest{"a message that is too long", `0401`, no},
		lineTest{"an update", `001e 0001 2800`, no},
		lineTest{"the root", `0011 0001 0000 0001 0000 0000 0000 00 0002 0001`, yes(detect.Info{Protocol: "dns", Verb: "NS"})},
		lineTest{"an answer", `001e 0001 8100`, no},
		lineTest{"two questions", `001e 0001 0100 0002`, no},
		lineTest{"a label that is too long", `00ff 0001 0100 0001 0000 0000 0000 40`, no},
		lineTest{"a name beyond the message", `0013 0001 0100 0001 0000 0000 0000 07 "example" 04`, no},
		lineTest{"another class", `001e 0001 0100 0001 0000 0000 0000 07 "example" 04 "test" 00 0001 0009`, no},
	)
	add(detect.BitTorrent(),
		lineTest{"a handshake", `13 "BitTorrent protocol" 0000000000000000`, yes(detect.Info{Protocol: "bittorrent"})},
		lineTest{"half of it", `13 "BitTor"`, more(20)},
	)
	add(detect.OpenVPN(),
		lineTest{"nothing", ``, more(16)},
		lineTest{"plain", `000e 38 0102030405060708 00 00000000`, yes(detect.Info{Protocol: "openvpn", Version: "2"})},
		lineTest{"with tls-auth", `002a 38 0102030405060708 "HMAC-SHA1-is-20-long" 00000001 00000000 00 00000000`, yes(detect.Info{Protocol: "openvpn", Version: "2"})},
		lineTest{"half of tls-auth", `002a 38 0102030405060708 "HMAC"`, more(44)},
		lineTest{"with tls-crypt", `0036 38` + zeros(53), yes(detect.Info{Protocol: "openvpn", Version: "2"})},
		lineTest{"with tls-crypt-v2", `0158 50` + zeros(341) + `0122`, yes(detect.Info{Protocol: "openvpn", Version: "3"})},
		lineTest{"half of the wrapped key", `0158 50` + zeros(100), more(346)},
		lineTest{"a wrapped key of another length", `0158 50` + zeros(341) + `0123`, no},
		lineTest{"a wrapped key that is too long", `0437 50`, no},
		lineTest{"the old opcode with a wrapped key", `0158 38`, no},
		lineTest{"a packet that is none", `000e 38 0102030405060708 00 00000001`, no},
		lineTest{"another opcode", `000e 20`, no},
		lineTest{"a strange length", `0030 38 0102030405060708 00 00000000 0000`, no},
	)
	add(detect.DNSDatagram(),
		lineTest{"nothing", ``, no},
		lineTest{"a query", query, yes(detect.Info{Protocol: "dns", Verb: "A", Host: "example.test"})},
		lineTest{"a question of mDNS", `0000 0000 0001 0000 0000 0000 05 "_http" 04 "_tcp" 05 "local" 00 000c 8001`, yes(detect.Info{Protocol: "dns", Verb: "PTR", Host: "_http._tcp.local"})},
		lineTest{"more behind the question", query + `00`, no},
		lineTest{"half of it", `0001 0100 0001`, no},
	)
	add(detect.WireGuard(),
		lineTest{"an initiation", `01000000` + zeros(144), yes(detect.Info{Protocol: "wireguard", Verb: "initiation"})},
		lineTest{"too short", `01000000` + zeros(143), no},
		lineTest{"a response", `02000000` + zeros(144), no},
		lineTest{"a byte that is reserved", `01000001` + zeros(144), no},
	)
	add(detect.STUN(),
		lineTest{"Binding", `0001 0000 2112a442 000000000000000000000001`, yes(detect.Info{Protocol: "stun", Verb: "Binding"})},
		lineTest{"Allocate", `0003 0008 2112a442 000000000000000000000001 0019 0004 11000000`, yes(detect.Info{Protocol: "stun", Verb: "Allocate"})},
		lineTest{"a response", `0101 0000 2112a442 000000000000000000000001`, no},
		lineTest{"an error", `0111 0000 2112a442 000000000000000000000001`, no},
		lineTest{"an indication", `0016 0000 2112a442 000000000000000000000001`, yes(detect.Info{Protocol: "stun", Verb: "Send"})},
		lineTest{"with a user and a program", `0001 0014 2112a442 000000000000000000000001 0006 0003 "a:b" 00 8022 0005 "prog1" 000000`, yes(detect.Info{Protocol: "stun", Verb: "Binding", User: "a:b", Software: "prog1"})},
		lineTest{"an attribute that does not fit", `0001 0008 2112a442 000000000000000000000001 0006 0005 61616161`, no},
		lineTest{"half of an attribute", `0001 0006 2112a442 000000000000000000000001 0006 0000 8022`, no},
		lineTest{"another length", `0001 0004 2112a442 000000000000000000000001`, no},
		lineTest{"no cookie", `0001 0000 2112a443 000000000000000000000001`, no},
	)
	add(detect.DTLS(),
		lineTest{"1.2, nothing but its beginning", `16 fefd 0000 000000000000 000e 01 000030 0000 000000 000002 fefd`, yes(detect.Info{Protocol: "dtls", Version: "1.2"})},
		lineTest{"1.0", `16 feff 0000 000000000000 000e 01 000030 0000 000000 000002 feff`, yes(detect.Info{Protocol: "dtls", Version: "1.0"})},
		lineTest{"the hello with a cookie", `16 fefd 0000 000000000001 0039 01 00002d 0001 000000 00002d fefd` + zeros(32) + `00 03 c0c1c2 0002 c02f 0100`, yes(detect.Info{Protocol: "dtls", Version: "1.2"})},
		lineTest{"the second part of a hello", `16 fefd 0000 000000000000 000e 01 000030 0000 000001 000002 fefd`, no},
		lineTest{"a hello that is too short", `16 fefd 0000 000000000000 000e 01 000020 0000 000000 000002 fefd`, no},
		lineTest{"a message of another version", `16 fefd 0000 000000000000 000e 01 000030 0000 000000 000002 0303`, no},
		lineTest{"TLS", `16 0301 0000 000000000000 000e 01 000030 0000 000000 000002 feff`, no},
		lineTest{"a later epoch", `16 fefd 0001 000000000000 000e 01 000030 0000 000000 000002 fefd`, no},
		lineTest{"a length beyond the datagram", `16 fefd 0000 000000000000 000f 01 000030 0000 000000 000002 fefd`, no},
	)
	add(detect.QUIC(),
		lineTest{"too short", `c0 00000001 08 0102030405060708 00 00`, no},
		lineTest{"version negotiation", `80 00000000 00 08 0102030405060708 1a2a3a4a 00000001`, yes(detect.Info{Protocol: "quic"})},
		lineTest{"version negotiation about nothing", `80 00000000 00 08 0102030405060708`, no},
		lineTest{"version negotiation about version 0", `80 00000000 00 08 0102030405060708 00000001 00000000`, no},
		lineTest{"version negotiation about half a version", `80 00000000 00 08 0102030405060708 00000001 00`, no},
		lineTest{"version negotiation with an ID that no client makes up", `80 00000000 08 0102030405060708 07 01020304050607 00000001`, no},
		lineTest{"a version to be negotiated away", `c0 1a2a3a4a 08 0102030405060708 00` + zeros(1200), yes(detect.Info{Protocol: "quic"})},
		lineTest{"a version to be negotiated away, too short", `c0 1a2a3a4a 08 0102030405060708 00` + zeros(1184), no},
		lineTest{"version 1 with an ID of 7 bytes", `c0 00000001 07 01020304050607 00 00 44b0` + zeros(1200), no},
		lineTest{"version 1 with an ID of 21 bytes", `c0 00000001 15` + zeros(21) + `00 00 44b0` + zeros(1200), no},
		lineTest{"version 1 with a token beyond the datagram", `c0 00000001 08 0102030405060708 00 7fff` + zeros(1200), no},
		lineTest{"version 1 with a length beyond the datagram", `c0 00000001 08 0102030405060708 00 00 44b1` + zeros(1200), no},
		lineTest{"version 1 with a packet too short for a sample", `c0 00000001 08 0102030405060708 00 00 13` + zeros(1200), no},
		lineTest{"version 1, undecipherable", `c0 00000001 08 0102030405060708 00 00 44b0` + zeros(1200), yes(detect.Info{Protocol: "quic", Version: "1"})},
		lineTest{"version 2, undecipherable", `d0 6b3343cf 08 0102030405060708 00 00 44b0` + zeros(1200), yes(detect.Info{Protocol: "quic", Version: "2"})},
		lineTest{"a short header", `40` + zeros(1200), no},
		lineTest{"0-RTT", `d0 00000001 08 0102030405060708 00` + zeros(1200), no},
	)
	return all
}

// labels is hexadecimal for a name of labels of these lengths, without the root's; dotted is the same name as text.
func labels(lengths ...int) string {
	var all strings.Builder
	for _, n := range lengths {
		fmt.Fprintf(&all, "%02x%s", n, strings.Repeat("61", n))
	}
	return all.String()
}

func dotted(lengths ...int) string {
	var all []string
	for _, n := range lengths {
		all = append(all, strings.Repeat("a", n))
	}
	return strings.Join(all, ".")
}

// zeros is hexadecimal for n bytes.
func zeros(n int) string {
	return strings.Repeat("00", n)
}

func FuzzRDP(f *testing.F)         { detecttest.Fuzz(f, detect.RDP(), openings(f)...) }
func FuzzMQTT(f *testing.F)        { detecttest.Fuzz(f, detect.MQTT(), openings(f)...) }
func FuzzAMQP(f *testing.F)        { detecttest.Fuzz(f, detect.AMQP(), openings(f)...) }
func FuzzDNS(f *testing.F)         { detecttest.Fuzz(f, detect.DNS(), openings(f)...) }
func FuzzBitTorrent(f *testing.F)  { detecttest.Fuzz(f, detect.BitTorrent(), openings(f)...) }
func FuzzOpenVPN(f *testing.F)     { detecttest.Fuzz(f, detect.OpenVPN(), openings(f)...) }
func FuzzDNSDatagram(f *testing.F) { detecttest.Fuzz(f, detect.DNSDatagram(), openings(f)...) }
func FuzzWireGuard(f *testing.F)   { detecttest.Fuzz(f, detect.WireGuard(), openings(f)...) }
func FuzzSTUN(f *testing.F)        { detecttest.Fuzz(f, detect.STUN(), openings(f)...) }
func FuzzDTLS(f *testing.F)        { detecttest.Fuzz(f, detect.DTLS(), openings(f)...) }

// FuzzDNSQuery compares with dnsmessage: what is detected is a query there, too, for the same name.
func FuzzDNSQuery(f *testing.F) {
	for _, b := range openings(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v := detect.DNSDatagram().Detect(detect.Input{Client: b})
		if v.Kind != detect.Match {
			return
		}
		var p dnsmessage.Parser
		h, err := p.Start(b)
		if err != nil || h.Response || h.OpCode != 0 {
			t.Fatalf("%q is %+v to dnsmessage, %v", b, h, err)
		}
		q, err := p.Question()
		if err != nil {
			t.Fatalf("%q has no question for dnsmessage: %v", b, err)
		}
		if host := v.Info.Host; host != "" && host+"." != q.Name.String() {
			t.Errorf("the name in %q is %q, for dnsmessage %q", b, host, q.Name)
		}
	})
}

func FuzzParseRDPRequest(f *testing.F) {
	fuzzParser(f, detect.ParseRDPRequest, func(*testing.T, []byte, detect.RDPRequest, int, error) {})
}

func FuzzParseRDPConfirm(f *testing.F) {
	f.Add(unhex(f, `03 00 0013 0e d0 0000 1234 00 02 1f 0800 01000000`))
	f.Add(unhex(f, `03 00 0013 0e d0 0000 1234 00 03 00 0800 05000000`))
	fuzzParser(f, detect.ParseRDPConfirm, func(*testing.T, []byte, detect.RDPConfirm, int, error) {})
}

func TestParseRDPRequest(t *testing.T) {
	for in, want := range map[string]detect.RDPRequest{
		`03 00 000b 06 e0 0000 0000 00`: {},
		`03 00 002b 26 e0 0000 0000 00 "Cookie: mstshash=alice" 0d0a 01 00 0800 03000000`: {
			Cookie: "alice", Protocols: detect.RDPSSL | detect.RDPHybrid,
		},
		`03 00 0021 1c e0 0000 0000 00 "Cookie: msts=1.2.3.4" 0d0a`: {Token: "Cookie: msts=1.2.3.4"},
		`03 00 0021 1c e0 0000 1234 00 "tsv://farm.1" 0d0a 01 00 0800 11000000`: {
			Token: "tsv://farm.1", Protocols: detect.RDPSSL | detect.RDPAAD,
		},
		`03 00 0015 10 e0 0000 0000 00 01 00 0800 01000d0a 0d0a`: {Protocols: 0x0a0d0001},
	} {
		if got, n, err := detect.ParseRDPRequest(unhex(t, in)); err != nil || got != want || n != len(unhex(t, in)) {
			t.Errorf("%s: %+v, %d, %v, want %+v", in, got, n, err, want)
		}
	}
}

func TestParseRDPConfirm(t *testing.T) {
	for in, want := range map[string]detect.RDPConfirm{
		`03 00 0013 0e d0 0000 1234 00 02 1f 0800 01000000`: {Selected: detect.RDPSSL},
		`03 00 0013 0e d0 0000 1234 00 03 00 0800 05000000`: {Failure: 5},
		`03 00 000b 06 d0 0000 1234 00`:                     {},
	} {
		if got, n, err := detect.ParseRDPConfirm(unhex(t, in)); err != nil || got != want || n != len(unhex(t, in)) {
			t.Errorf("%s: %+v, %d, %v, want %+v", in, got, n, err, want)
		}
	}
}

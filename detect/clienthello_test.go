package detect_test

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bridgeio/bridgeio/detect"
)

func u16(n int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(n)) }

// vec16 puts a length of 16 bits before the joined parts.
func vec16(parts ...[]byte) []byte {
	b := bytes.Join(parts, nil)
	return append(u16(len(b)), b...)
}

func vec8(parts ...[]byte) []byte {
	b := bytes.Join(parts, nil)
	return append([]byte{byte(len(b))}, b...)
}

func ext(id int, data ...[]byte) []byte { return append(u16(id), vec16(data...)...) }

func sni(names ...string) []byte {
	var list [][]byte
	for _, n := range names {
		list = append(list, []byte{0}, vec16([]byte(n)))
	}
	return ext(0, vec16(list...))
}

// body is the fixed part of a hello, up to its extensions.
func body() []byte {
	return slices.Concat([]byte{3, 3}, make([]byte, 32), vec8(), vec16(u16(0x1301)), vec8([]byte{0}))
}

// message is a hello of a given body in one record.
func message(body []byte) []byte {
	msg := slices.Concat([]byte{1, 0}, vec16(body))
	return append([]byte{22, 3, 1}, vec16(msg)...)
}

// hello is a hello with these extensions in one record.
func hello(extensions ...[]byte) []byte {
	return message(append(body(), vec16(extensions...)...))
}

func tlsVerdicts(t testing.TB) []verdictTest {
	d, v2 := detect.TLS(), detect.SSLv2()
	var tests []verdictTest
	add := func(d detect.Detector, name string, b []byte, v detect.Verdict) {
		tests = append(tests, verdictTest{name, d, b, v})
	}
	for name, b := range hellos(t) {
		add(d, "hello of "+name, b, detect.Yes(helloInfo(name)))
	}
	curl := hellos(t)["curl"]
	info := helloInfo("curl")
	add(d, "nothing", nil, detect.More(50))
	add(d, "one byte", curl[:1], detect.More(50))
	add(d, "a record header", curl[:5], detect.More(50))
	add(d, "the message's length", curl[:9], detect.More(len(curl)))
	add(d, "a hello without its last byte", curl[:len(curl)-1], detect.More(len(curl)))
	add(d, "a hello and what follows it", append(bytes.Clone(curl), 20, 3, 3), detect.Yes(info))
	add(d, "a first record of one byte", inRecords(curl, 1), detect.Yes(info))
	add(d, "a hello cut inside its header", inRecords(curl, 2, 1, 5, 30), detect.Yes(info))
	add(d, "a hello cut inside its extensions", inRecords(curl, 300), detect.Yes(info))
	add(d, "a second record that is to come", inRecords(curl, 300)[:305], detect.More(len(curl)+5))
	add(d, "64 records", inRecords(curl, slices.Repeat([]int{4}, 63)...), detect.Yes(info))
	add(d, "a byte in each record", inRecords(curl, slices.Repeat([]int{1}, len(curl)-6)...), detect.Yes(info))
	add(d, "no extensions", message(body()), detect.Yes(detect.Info{Protocol: "tls", Version: "1.2"}))
	add(d, "a version nobody named", message(slices.Concat([]byte{3, 9}, body()[2:])), detect.Yes(detect.Info{Protocol: "tls"}))
	add(d, "SSL 3.0", message(slices.Concat([]byte{3, 0}, body()[2:])), detect.Yes(detect.Info{Protocol: "tls", Version: "ssl3"}))
	for name, s := range map[string]string{
		"an alert":                   "15 03 01 00 02 02 28",
		"a record of version 2":      "16 02",
		"a record of version 3.5":    "16 03 05",
		"a record that is too long":  "16 03 01 41",
		"a record of 2^14+1 bytes":   "16 03 01 40 01",
		"an empty record":            "16 03 01 00 00",
		"a ServerHello":              "16 03 01 00 50 02",
		"a hello that is too short":  "16 03 01 00 50 01 00 00 28",
		"a hello of 64 KiB":          "16 03 01 40 00 01 01 00 00",
		"a record that goes on":      "16 03 01 00 50 01 00 00 40",
		"a hello of version 4":       "16 03 01 00 50 01 00 00 4c 04",
		"a session id of 33 bytes":   "16 03 01 00 50 01 00 00 4c 03 03" + string(bytes.Repeat([]byte(" 00"), 32)) + " 21",
		"an alert between":           "16 03 01 00 04 01 00 00 4c 15",
		"a second record goes on":    "16 03 01 00 04 01 00 00 4c 16 03 01 00 4d",
		"a DTLS record":              "16 fe fd",
		"a DNS query of 5,635 bytes": "16 03 12 34 01 00 00 01",
	} {
		add(d, name, unhex(t, s), detect.No())
	}

	add(v2, "nothing", nil, detect.More(11))
	add(v2, "a hello with two cipher specs", unhex(t, "80 1f 01 03 01 00 06 00 00 00 10"),
		detect.Yes(detect.Info{Protocol: "sslv2", Version: "1.0"}))
	add(v2, "a header that is cut", unhex(t, "80 1f 01 03 01 00"), detect.More(11))
	for name, s := range map[string]string{
		"a first byte below 80":      "7f",
		"another message":            "80 1f 02",
		"version 2.0":                "80 1f 01 00 02",
		"version 3.5":                "80 1f 01 03 05",
		"no cipher specs":            "80 19 01 03 01 00 00 00 00 00 10",
		"half a cipher spec":         "80 1d 01 03 01 00 04 00 00 00 10",
		"lengths that do not add up": "80 20 01 03 01 00 06 00 00 00 10",
		"a TLS record":               "16 03 01 00 50",
		"a memcached response":       "81 00 00 00",
		"a WebSocket frame":          `81 05 "hello"`,
	} {
		add(v2, name, unhex(t, s), detect.No())
	}
	return tests
}

// helloInfo is what the detector says about a hello in testdata.
func helloInfo(name string) detect.Info {
	info := detect.Info{Protocol: "tls", Version: "1.3", Host: "up.test"}
	switch name {
	case "chromium.0", "curl", "firefox.0", "firefox.1", "go", "node20", "node24":
		info.ALPN = []string{"h2", "http/1.1"}
	case "curl_ip":
		info.Host, info.ALPN = "", []string{"h2", "http/1.1"}
	case "curl_http1":
		info.ALPN = []string{"http/1.1"}
	case "ossl_alpn":
		info.ALPN = []string{"foo", "h2"}
	case "ossl_10":
		info.Version = "1.0"
	case "ossl_11":
		info.Version = "1.1"
	case "ossl_12", "ossl_comp", "ossl_nextproto", "ossl_noticket", "ossl_tkt12":
		info.Version = "1.2"
	case "ossl_noservername":
		info.Host = ""
	case "wget":
		info.Host = "localhost"
	}
	return info
}

func TestParseClientHelloReadsEveryPart(t *testing.T) {
	extensions := [][]byte{
		ext(0x1a1a),
		ext(0, vec16([]byte{7}, vec16([]byte("other")), []byte{0}, vec16([]byte("Example.com")))),
		ext(10, vec16(u16(0x2a2a), u16(29))),
		ext(13, vec16(u16(0x0403))),
		ext(50, vec16(u16(0x0804), u16(0x0805))),
		ext(16, vec16(vec8([]byte("h2")), vec8([]byte("x\x00")))),
		ext(43, vec8(u16(0x3a3a), u16(0x7f1c), u16(0x0304), u16(0x0303))),
		ext(51, vec16(u16(0x4a4a), vec16([]byte{0}), u16(29), vec16(make([]byte, 32)))),
		ext(0xfe0d, []byte{0}),
		ext(42),
		ext(41, []byte("identities")),
	}
	fixed := slices.Concat([]byte{3, 3}, bytes.Repeat([]byte{9}, 32), vec8([]byte("session")),
		vec16(u16(0x1301), u16(0x00ff)), vec8([]byte{0, 1}))
	b := message(append(fixed, vec16(extensions...)...))
	for _, buf := range [][]byte{b, inRecords(b, 1), inRecords(b, 3, 40, 1, 1, 60)} {
		h, n, err := detect.ParseClientHello(buf)
		if err != nil || n != len(buf) {
			t.Fatalf("ParseClientHello = %d, %v, want %d", n, err, len(buf))
		}
		want := &detect.ClientHello{
			Raw: b[5:], Records: h.Records, RecordVersion: 0x0301, LegacyVersion: 0x0303,
			Random: bytes.Repeat([]byte{9}, 32), SessionID: []byte("session"),
			CipherSuites: []uint16{0x1301, 0x00ff}, CompressionMethods: []byte{0, 1},
			Extensions: h.Extensions,
			ServerName: "Example.com", HasServerName: true, ALPN: []string{"h2", "x\x00"},
			SupportedVersions: []uint16{0x3a3a, 0x7f1c, 0x0304, 0x0303},
			SupportedGroups:   []uint16{0x2a2a, 29}, KeyShareGroups: []uint16{0x4a4a, 29},
			SignatureAlgorithms: []uint16{0x0403}, SignatureAlgorithmsCert: []uint16{0x0804, 0x0805},
			HasEarlyData: true, HasPreSharedKey: true, HasECH: true,
		}
		if d := cmp.Diff(want, h); d != "" {
			t.Errorf("hello (-want +got):\n%s", d)
		}
		var again [][]byte
		for _, e := range h.Extensions {
			again = append(again, ext(int(e.ID), e.Data))
		}
		if d := cmp.Diff(extensions, again); d != "" {
			t.Errorf("extensions (-want +got):\n%s", d)
		}
		if data, ok := h.Extension(41); !ok || string(data) != "identities" {
			t.Errorf("Extension(41) = %q, %v", data, ok)
		}
		if data, ok := h.Extension(5); ok || data != nil {
			t.Errorf("Extension(5) = %q, %v, want none", data, ok)
		}
		if v := h.MaxVersion(); v != 0x0304 {
			t.Errorf("MaxVersion = %#x, want 0x0304", v)
		}
	}
}

func TestParseClientHelloCountsRecords(t *testing.T) {
	b := hello(sni("a.test"))
	for _, sizes := range [][]int{{}, {1}, {1, 2, 3, 4}} {
		want := len(sizes) + 1
		if h, _, err := detect.ParseClientHello(inRecords(b, sizes...)); err != nil || h.Records != want {
			t.Errorf("records of %v: %v, %v, want %d", sizes, h, err, want)
		}
	}
}

func TestParseClientHelloReassemblesEveryHelloCutAnywhere(t *testing.T) {
	for name, b := range hellos(t) {
		whole, _, err := detect.ParseClientHello(b)
		if err != nil {
			t.Fatal(name, err)
		}
		if !bytes.Equal(whole.Raw, b[5:]) {
			t.Errorf("%s: Raw is not the message", name)
		}
		for cut := 1; cut < len(b)-5; cut++ {
			h, n, err := detect.ParseClientHello(inRecords(b, cut))
			if err != nil || n != len(b)+5 {
				t.Fatalf("%s cut at %d: %d, %v", name, cut, n, err)
			}
			if h.Records = 1; !reflect.DeepEqual(whole, h) {
				t.Fatalf("%s cut at %d is another hello: %s", name, cut, cmp.Diff(whole, h))
			}
		}
	}
}

func TestParseClientHelloKeepsOnlyFitServerNames(t *testing.T) {
	for name, want := range map[string]string{
		"example.com":                          "example.com",
		"EXAMPLE.com.":                         "EXAMPLE.com.",
		"_srv.a-b.test":                        "_srv.a-b.test",
		"192.0.2.1":                            "192.0.2.1",
		"2001:db8::1":                          "2001:db8::1",
		"a b":                                  "",
		"a\x00b":                               "",
		"../etc":                               "",
		"bücher.test":                          "",
		string(make([]byte, 256)):              "",
		string(bytes.Repeat([]byte("a"), 255)): string(bytes.Repeat([]byte("a"), 255)),
		string(bytes.Repeat([]byte("a"), 256)): "",
	} {
		h, _, err := detect.ParseClientHello(hello(sni(name)))
		if err != nil || !h.HasServerName || h.ServerName != want {
			t.Errorf("server_name %q: %+v, %v, want %q", name, h, err, want)
			continue
		}
		if data, _ := h.Extension(0); !bytes.Contains(data, []byte(name)) {
			t.Errorf("server_name %q is not in the extension's data %q", name, data)
		}
	}
}

func TestMaxVersionWithoutAnyThatCounts(t *testing.T) {
	h, _, err := detect.ParseClientHello(hello(ext(43, vec8(u16(0x7f1c), u16(0xfafa)))))
	if err != nil || h.MaxVersion() != 0x0303 {
		t.Errorf("MaxVersion = %#x, %v, want legacy_version", h.MaxVersion(), err)
	}
}

func TestParseClientHelloRefusesWhatPeersReadDifferently(t *testing.T) {
	share := ext(51, vec16(u16(29), vec16([]byte{1})))
	tests := []struct {
		name  string
		hello []byte
		field string
	}{
		{"two server_name", hello(sni("a"), sni("b")), "server_name"},
		{"two supported_groups", hello(ext(10, vec16(u16(1))), ext(10, vec16(u16(2)))), "supported_groups"},
		{"two signature_algorithms", hello(ext(13, vec16(u16(1))), ext(13, vec16(u16(2)))), "signature_algorithms"},
		{"two signature_algorithms_cert", hello(ext(50, vec16(u16(1))), ext(50, vec16(u16(2)))), "signature_algorithms_cert"},
		{"two ALPN", hello(ext(16, vec16(vec8([]byte("a")))), ext(16)), "application_layer_protocol_negotiation"},
		{"two session_ticket", hello(ext(35), ext(35)), "session_ticket"},
		{"two supported_versions", hello(ext(43, vec8(u16(1))), ext(43, vec8(u16(1)))), "supported_versions"},
		{"two key_share", hello(share, share), "key_share"},
		{"two pre_shared_key", hello(ext(41), ext(41)), "pre_shared_key"},
		{"pre_shared_key before another", hello(ext(41), ext(5)), "pre_shared_key"},
		{"two host_name in one list", hello(sni("a", "b")), "server_name"},
		{"an empty host_name", hello(sni("")), "server_name"},
		{"an empty ServerNameList", hello(ext(0, vec16())), "server_name"},
		{"an empty server_name", hello(ext(0)), "server_name"},
		{"a ServerNameList that ends early", hello(ext(0, vec16([]byte{0}, vec16([]byte("a"))), []byte{0})), "server_name"},
		{"a host_name beyond its list", hello(ext(0, vec16([]byte{0, 0, 9}, []byte("a")))), "server_name"},
		{"an empty protocol name", hello(ext(16, vec16(vec8(), vec8([]byte("a"))))), "application_layer_protocol_negotiation"},
		{"an empty protocol_name_list", hello(ext(16, vec16())), "application_layer_protocol_negotiation"},
		{"half a version", hello(ext(43, vec8(u16(0x0304), []byte{3}))), "supported_versions"},
		{"no version", hello(ext(43, vec8())), "supported_versions"},
		{"half a group", hello(ext(10, vec16([]byte{0}))), "supported_groups"},
		{"no group", hello(ext(10, vec16())), "supported_groups"},
		{"no signature scheme", hello(ext(13, vec16())), "signature_algorithms"},
		{"bytes after the groups", hello(ext(10, vec16(u16(1)), []byte{0})), "supported_groups"},
		{"an empty key_exchange", hello(ext(51, vec16(u16(29), vec16()))), "key_share"},
		{"a key_exchange that is cut", hello(ext(51, vec16(u16(29), []byte{0, 5, 1}))), "key_share"},
		{"an extension beyond the block", message(append(body(), vec16(u16(5), u16(1))...)), "extension length"},
		{"an extension's header that is cut", message(append(body(), vec16(u16(5), []byte{0})...)), "extension length"},
		{"half an extension type", message(append(body(), vec16([]byte{0})...)), "extension type"},
		{"half a group in key_share", hello(ext(51, vec16([]byte{0}))), "key_share"},
		{"extensions that are shorter than the rest", message(slices.Concat(body(), vec16(ext(5)), []byte{0})), "extensions"},
		{"extensions that are longer than the rest", message(slices.Concat(body(), u16(9), ext(5))), "extensions"},
		{"half a length of extensions", message(append(body(), 0)), "extensions"},
		{"a session id beyond the hello", message(slices.Concat(body()[:34], []byte{20}, make([]byte, 6))), "legacy_session_id"},
		{"no cipher suite", message(slices.Concat(body()[:35], vec16(), vec8([]byte{0}), []byte{0, 0})), "cipher_suites"},
		{"half a cipher suite", message(slices.Concat(body()[:35], vec16([]byte{1, 2, 3}), vec8([]byte{0}))), "cipher_suites"},
		{"no compression method", message(slices.Concat(body()[:35], vec16(u16(1)), vec8(), []byte{0, 0})), "legacy_compression_methods"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, n, err := detect.ParseClientHello(tt.hello)
			if h != nil || n != 0 {
				t.Errorf("ParseClientHello = %v, %d beside the error", h, n)
			}
			wantMalformed(t, err, tt.field)
			anyParser("ParseClientHello", detect.ParseClientHello).check(t, tt.hello)
			if v := detect.TLS().Detect(detect.Input{Client: tt.hello}); v.Kind != detect.NoMatch {
				t.Errorf("the detector says %v", v.Kind)
			}
		})
	}
}

func TestParseClientHelloTakesWhatIsUnusualAndLegal(t *testing.T) {
	for name, b := range map[string][]byte{
		"extensions of length 0":             hello(),
		"a key_share without shares":         hello(ext(51, vec16())),
		"unknown extensions twice":           hello(ext(5), ext(5)),
		"a list with only another name_type": hello(ext(0, vec16([]byte{1}, vec16([]byte("x"))))),
		"pre_shared_key at the end":          hello(ext(5), ext(41)),
	} {
		if _, n, err := detect.ParseClientHello(b); err != nil || n != len(b) {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
}

func TestParseClientHelloIsBounded(t *testing.T) {
	// The largest that fits: 45 bytes and the extensions, in 4 records and 64 KiB.
	big := func(total int) []byte {
		pad := total - 4*5 - 45 - 2 - 4
		msg := slices.Concat(body(), vec16(ext(5, make([]byte, pad))))
		msg = slices.Concat([]byte{1, 0}, vec16(msg))
		one := append(make([]byte, 3, len(msg)+5), 0, 0)
		copy(one, []byte{22, 3, 1})
		return inRecords(append(one, msg...), 16384, 16384, 16384)
	}
	fits := big(detect.MaxClientHello)
	if h, n, err := detect.ParseClientHello(fits); err != nil || n != detect.MaxClientHello || h.Records != 4 {
		t.Errorf("a hello of 64 KiB: %d, %v", n, err)
	}
	if v := detect.TLS().Detect(detect.Input{Client: fits}); v.Kind != detect.Match {
		t.Errorf("the detector says %v to a hello of 64 KiB", v.Kind)
	}
	_, _, err := detect.ParseClientHello(big(detect.MaxClientHello + 1)[:20000])
	wantMalformed(t, err, "length")
}

func TestEveryValueOfEveryByteOfAHelloIsTaken(t *testing.T) {
	b := hellos(t)["ossl_13"]
	d := detect.TLS()
	for i := range b {
		scratch := bytes.Clone(b)
		for v := range 256 {
			scratch[i] = byte(v)
			h, n, err := detect.ParseClientHello(scratch)
			if kind := d.Detect(detect.Input{Client: scratch}).Kind; (err == nil) != (kind == detect.Match) {
				t.Fatalf("byte %d = %#x: error %v, detector %v", i, v, err, kind)
			}
			if err == nil && (n != len(b) || !bytes.Equal(h.Raw, scratch[5:])) {
				t.Fatalf("byte %d = %#x: takes %d bytes", i, v, n)
			}
		}
	}
}

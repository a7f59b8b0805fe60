package detect_test

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/detect"
)

var update = flag.Bool("update", false, "rewrite the goldens in testdata")

// helloOf parses the hello of a real client.
func helloOf(t testing.TB, name string) *detect.ClientHello {
	t.Helper()
	h, _, err := detect.ParseClientHello(hellos(t)[name])
	if err != nil {
		t.Fatalf("hello of %s: %v", name, err)
	}
	return h
}

func TestFingerprintsOfRealClients(t *testing.T) {
	const golden = "../testdata/hellos/fingerprints.txt"
	var got bytes.Buffer
	fmt.Fprintf(&got, "%-18s %-32s %s\n", "client", "JA3", "JA4")
	for _, name := range slices.Sorted(maps.Keys(hellos(t))) {
		h := helloOf(t, name)
		fmt.Fprintf(&got, "%-18s %s %s\n", name, h.JA3(), h.JA4())
	}
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("fingerprints\n%swant\n%s", got.Bytes(), want)
	}
}

// The golden is ours; these values are those that other calculators give for the same clients.
func TestFingerprintsAreThoseOfOthers(t *testing.T) {
	for name, want := range map[string]struct{ ja3, ja4 string }{
		"curl":       {"0149f47eabf9a20d0893e2a44e5a6323", "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6"},
		"chromium.0": {"", "t13d1517h2_8daaf6152771_cb7bf5808d99"},
		"firefox.0":  {"", "t13d1617h2_86a278354501_3cbfd9057e0d"},
	} {
		h := helloOf(t, name)
		if got := h.JA3(); want.ja3 != "" && got != want.ja3 {
			t.Errorf("JA3 of %s is %s, want %s", name, got, want.ja3)
		}
		if got := h.JA4(); got != want.ja4 {
			t.Errorf("JA4 of %s is %s, want %s", name, got, want.ja4)
		}
	}
}

// The example with which JA4 is described, but for what its hello does not say.
func published() *detect.ClientHello {
	h := &detect.ClientHello{
		LegacyVersion: 0x0303,
		CipherSuites: []uint16{
			0x2a2a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035,
		},
		HasServerName:       true,
		ALPN:                []string{"h2", "http/1.1"},
		SupportedVersions:   []uint16{0x3a3a, 0x0304, 0x0303},
		SupportedGroups:     []uint16{0x4a4a, 29, 23, 24},
		SignatureAlgorithms: []uint16{0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601},
	}
	for _, id := range []uint16{
		0xcaca, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b, 0xff01, 0x000b, 0x000a, 0x0015, 0xdada,
	} {
		h.Extensions = append(h.Extensions, detect.Extension{ID: id})
	}
	return h
}

func ExampleClientHello_JA4() {
	h := published()
	fmt.Println(h.JA4())
	fmt.Println(h.JA4Raw())
	// Output:
	// t13d1516h2_8daaf6152771_e5627efa2ab1
	// t13d1516h2_002f,0035,009c,009d,1301,1302,1303,c013,c014,c02b,c02c,c02f,c030,cca8,cca9_0005,000a,000b,000d,0012,0015,0017,001b,0023,002b,002d,0033,4469,ff01_0403,0804,0401,0503,0805,0501,0806,0601
}

func ExampleClientHello_JA3() {
	record, err := os.ReadFile("../testdata/hellos/curl.bin")
	if err != nil {
		fmt.Println(err)
		return
	}
	h, _, err := detect.ParseClientHello(record)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(h.JA3())
	// Output: 0149f47eabf9a20d0893e2a44e5a6323
}

func TestJA4(t *testing.T) {
	many := func(n int) (ids []uint16) {
		for i := range n {
			ids = append(ids, uint16(0x5000+i))
		}
		return ids
	}
	tests := []struct {
		name   string
		change func(*detect.ClientHello)
		part   int // of those that underscores part
		want   string
	}{
		{"a server name that is an extension without a name", func(h *detect.ClientHello) { h.ServerName = "" }, 0, "t13d1516h2"},
		{"no server name", func(h *detect.ClientHello) { h.HasServerName = false }, 0, "t13i1516h2"},
		{"the highest version is not the first", func(h *detect.ClientHello) { h.SupportedVersions = []uint16{0x0302, 0x0303, 0xfafa} }, 0, "t12d1516h2"},
		{"a draft of TLS 1.3 above all", func(h *detect.ClientHello) { h.SupportedVersions = []uint16{0x7f1c, 0x0303} }, 0, "t00d1516h2"},
		{"supported_versions of GREASE only", func(h *detect.ClientHello) { h.SupportedVersions = []uint16{0xfafa} }, 0, "t12d1516h2"},
		{"TLS 1.1", legacy(0x0302), 0, "t11d1516h2"},
		{"TLS 1.0", legacy(0x0301), 0, "t10d1516h2"},
		{"SSL 3", legacy(0x0300), 0, "ts3d1516h2"},
		{"SSL 2", legacy(0x0002), 0, "ts2d1516h2"},
		{"DTLS 1.0", legacy(0xfeff), 0, "td1d1516h2"},
		{"DTLS 1.2", legacy(0xfefd), 0, "td2d1516h2"},
		{"DTLS 1.3", legacy(0xfefc), 0, "td3d1516h2"},
		{"a version that is none", legacy(0x0305), 0, "t00d1516h2"},
		{"more suites than two digits hold", func(h *detect.ClientHello) { h.CipherSuites = many(300) }, 0, "t13d9916h2"},
		{"100 suites", func(h *detect.ClientHello) { h.CipherSuites = many(100) }, 0, "t13d9916h2"},
		{"one suite", func(h *detect.ClientHello) { h.CipherSuites = many(1) }, 0, "t13d0116h2"},
		{"a value of a known form that is not GREASE", func(h *detect.ClientHello) { h.CipherSuites = []uint16{0x0a1a, 0x1a0a} }, 0, "t13d0216h2"},
		{"no suites but GREASE", func(h *detect.ClientHello) { h.CipherSuites = []uint16{0x0a0a} }, 1, "000000000000"},
		{"no extensions", func(h *detect.ClientHello) { h.Extensions, h.SignatureAlgorithms = nil, nil }, 2, "000000000000"},
		{"server_name and ALPN only", func(h *detect.ClientHello) {
			h.Extensions, h.SignatureAlgorithms = []detect.Extension{{ID: 16}, {ID: 0}}, nil
		}, 2, "000000000000"},
		{"no signature algorithms", func(h *detect.ClientHello) { h.SignatureAlgorithms = nil }, 2, "6d807ffa2a79"},
		{"signature algorithms of GREASE only", func(h *detect.ClientHello) { h.SignatureAlgorithms = []uint16{0x1a1a} }, 2, "6d807ffa2a79"},
		{"no ALPN", alpn(), 0, "t13d151600"},
		{"an empty ALPN", alpn(""), 0, "t13d151600"},
		{"http/1.1", alpn("http/1.1"), 0, "t13d1516h1"},
		{"an ALPN of one character", alpn("x", "h2"), 0, "t13d1516xx"},
		{"an ALPN in capitals", alpn("HZ"), 0, "t13d1516HZ"},
		{"an ALPN of one byte that is no character", alpn("\xab"), 0, "t13d1516ab"},
		{"an ALPN of two bytes that are no characters", alpn("\xab\xcd"), 0, "t13d1516ad"},
		{"an ALPN whose last byte is no character", alpn("\x30\xab"), 0, "t13d15163b"},
		{"an ALPN whose first characters do not count", alpn("\x30\x31\xab\xcd"), 0, "t13d15163d"},
		{"an ALPN with other bytes within", alpn("\x30\xab\xcd\x31"), 0, "t13d151601"},
		{"an ALPN that ends in a space", alpn("a "), 0, "t13d151660"},
		{"an ALPN with the neighbours of digits and letters", alpn("/:"), 0, "t13d15162a"},
		{"GREASE before the first ALPN", alpn("\x2a\x2a", "h2"), 0, "t13d1516h2"},
		{"an ALPN of GREASE only", alpn("\x2a\x2a"), 0, "t13d151600"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := published()
			tt.change(h)
			if got := h.JA4(); strings.Split(got, "_")[tt.part] != tt.want {
				t.Errorf("JA4() = %s, want %s in part %d", got, tt.want, tt.part)
			}
			compare(t, h)
		})
	}
}

func legacy(version uint16) func(*detect.ClientHello) {
	return func(h *detect.ClientHello) { h.SupportedVersions, h.LegacyVersion = nil, version }
}

func alpn(protocols ...string) func(*detect.ClientHello) {
	return func(h *detect.ClientHello) { h.ALPN = protocols }
}

func TestJA3Text(t *testing.T) {
	formats := func(data ...byte) []detect.Extension { return []detect.Extension{{ID: 11, Data: data}} }
	tests := []struct {
		name string
		h    detect.ClientHello
		want string
	}{
		{"a hello without extensions", detect.ClientHello{LegacyVersion: 0x0301, CipherSuites: []uint16{4, 5}}, "769,4-5,,,"},
		{"lists in the order of the hello, without GREASE", detect.ClientHello{
			LegacyVersion: 0x0303, SupportedVersions: []uint16{0x0304}, CipherSuites: []uint16{0xfafa, 49195, 4865},
			Extensions:      []detect.Extension{{ID: 0x1a1a}, {ID: 11, Data: []byte{3, 0, 2, 1}}, {ID: 10}, {ID: 0x2a2a}, {ID: 65281}},
			SupportedGroups: []uint16{29, 0x3a3a, 23},
		}, "771,49195-4865,11-10-65281,29-23,0-2-1"},
		{"no point formats", detect.ClientHello{LegacyVersion: 0x0303, Extensions: formats(0)}, "771,,11,,"},
		{"an ec_point_formats without a list", detect.ClientHello{LegacyVersion: 0x0303, Extensions: formats()}, "771,,11,,"},
		{"fewer point formats than announced", detect.ClientHello{LegacyVersion: 0x0303, Extensions: formats(9, 1)}, "771,,11,,1"},
		{"more than the list of point formats", detect.ClientHello{LegacyVersion: 0x0303, Extensions: formats(1, 1, 2)}, "771,,11,,1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.h.JA3Text(); got != tt.want {
				t.Errorf("JA3Text() = %s, want %s", got, tt.want)
			}
			compare(t, &tt.h)
		})
	}
}

// The order that Chromium shuffles is in JA3 and not in JA4.
func TestOnlyJA3DependsOnTheOrder(t *testing.T) {
	h, shuffled := published(), published()
	slices.Reverse(shuffled.Extensions)
	slices.Reverse(shuffled.CipherSuites)
	if h.JA4() != shuffled.JA4() {
		t.Errorf("JA4 is %s, and in another order %s", h.JA4(), shuffled.JA4())
	}
	if h.JA3() == shuffled.JA3() {
		t.Errorf("JA3 is %s in either order", h.JA3())
	}
	slices.Reverse(shuffled.SignatureAlgorithms)
	if h.JA4() == shuffled.JA4() {
		t.Errorf("JA4 is %s, and so with other preferences in signature_algorithms", h.JA4())
	}
}

// plainJA3 and plainJA4 write the descriptions down without a thought for what it costs.

func plainJA3(h *detect.ClientHello) string {
	var ids, formats []uint16
	for _, e := range h.Extensions {
		ids = append(ids, e.ID)
	}
	if data, _ := h.Extension(11); len(data) > 0 {
		for _, f := range data[1:min(len(data), 1+int(data[0]))] {
			formats = append(formats, uint16(f))
		}
	}
	return fmt.Sprintf("%d,%s,%s,%s,%s", h.LegacyVersion,
		joined("%d", "-", h.CipherSuites), joined("%d", "-", ids), joined("%d", "-", h.SupportedGroups), joined("%d", "-", formats))
}

// plainJA4Lists returns the second and the third part of JA4Raw.
func plainJA4Lists(h *detect.ClientHello) (string, string) {
	var ids []uint16
	for _, e := range h.Extensions {
		if e.ID != 0 && e.ID != 16 {
			ids = append(ids, e.ID)
		}
	}
	lists := []string{joined("%04x", ",", slices.Sorted(slices.Values(ids)))}
	if algorithms := joined("%04x", ",", h.SignatureAlgorithms); algorithms != "" {
		lists = append(lists, algorithms)
	}
	return joined("%04x", ",", slices.Sorted(slices.Values(h.CipherSuites))), strings.Join(lists, "_")
}

func joined(format, separator string, list []uint16) string {
	var words []string
	for _, v := range list {
		if !slices.Contains(grease, v) {
			words = append(words, fmt.Sprintf(format, v))
		}
	}
	return strings.Join(words, separator)
}

func shortHash(list string) string {
	if list == "" {
		return "000000000000"
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte(list)))[:12]
}

// grease are the values of RFC 8701 §2.
var grease = []uint16{
	0x0a0a, 0x1a1a, 0x2a2a, 0x3a3a, 0x4a4a, 0x5a5a, 0x6a6a, 0x7a7a, 0x8a8a, 0x9a9a, 0xaaaa, 0xbaba, 0xcaca, 0xdada, 0xeaea, 0xfafa,
}

var (
	ja3Shape = regexp.MustCompile(`^[0-9]+(,([0-9]+(-[0-9]+)*)?){4}$`)
	ja4Shape = regexp.MustCompile(`^t(1[0-3]|s[23]|d[1-3]|00)[di][0-9]{4}[0-9A-Za-z]{2}(_[0-9a-f]{12}){2}$`)
)

// compare checks the fingerprints of a hello against those that are written down plainly.
func compare(t *testing.T, h *detect.ClientHello) {
	t.Helper()
	text := plainJA3(h)
	if got := h.JA3Text(); got != text || !ja3Shape.MatchString(got) {
		t.Fatalf("JA3Text() = %s, want %s", got, text)
	}
	if got, want := h.JA3(), fmt.Sprintf("%x", md5.Sum([]byte(text))); got != want {
		t.Fatalf("JA3() = %s, want %s", got, want)
	}
	suites, extensions := plainJA4Lists(h)
	raw, ja4 := h.JA4Raw(), h.JA4()
	if !ja4Shape.MatchString(ja4) {
		t.Fatalf("JA4() = %s, which does not look like one", ja4)
	}
	if want := ja4[:10] + "_" + suites + "_" + extensions; raw != want {
		t.Fatalf("JA4Raw() = %s, want %s", raw, want)
	}
	if want := raw[:10] + "_" + shortHash(suites) + "_" + shortHash(extensions); ja4 != want {
		t.Fatalf("JA4() = %s, want %s", ja4, want)
	}
}

// FuzzFingerprint says of every hello that can be parsed that its fingerprints are those that are written down plainly,
// and what may change in it without changing them.
func FuzzFingerprint(f *testing.F) {
	for _, b := range hellos(f) {
		f.Add(b, uint64(1))
	}
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		h, _, err := detect.ParseClientHello(b)
		if err != nil {
			return
		}
		compare(t, h)
		ja3, ja4 := h.JA3(), h.JA4()
		r := rand.New(rand.NewPCG(seed, 0))
		greased := *h
		greased.CipherSuites = withGREASE(r, h.CipherSuites)
		greased.SupportedGroups = withGREASE(r, h.SupportedGroups)
		greased.SupportedVersions = withGREASE(r, h.SupportedVersions)
		greased.SignatureAlgorithms = withGREASE(r, h.SignatureAlgorithms)
		greased.ALPN = withGREASEProtocol(r, h.ALPN)
		greased.Extensions = slices.Insert(slices.Clone(h.Extensions), r.IntN(len(h.Extensions)+1),
			detect.Extension{ID: grease[r.IntN(16)], Data: []byte{0}})
		if got := greased.JA3(); got != ja3 {
			t.Errorf("JA3 is %s, and with GREASE %s", ja3, got)
		}
		if got := greased.JA4(); got != ja4 {
			t.Errorf("JA4 is %s, and with GREASE %s", ja4, got)
		}
		r.Shuffle(len(greased.Extensions), func(i, j int) {
			greased.Extensions[i], greased.Extensions[j] = greased.Extensions[j], greased.Extensions[i]
		})
		if got := greased.JA4(); got != ja4 {
			t.Errorf("JA4 is %s, and with its extensions in another order %s", ja4, got)
		}
	})
}

// withGREASE returns list with a GREASE value somewhere.
func withGREASE(r *rand.Rand, list []uint16) []uint16 {
	return slices.Insert(slices.Clone(list), r.IntN(len(list)+1), grease[r.IntN(16)])
}

func withGREASEProtocol(r *rand.Rand, list []string) []string {
	g := string(binary.BigEndian.AppendUint16(nil, grease[r.IntN(16)]))
	return slices.Insert(slices.Clone(list), r.IntN(len(list)+1), g)
}

func BenchmarkFingerprint(b *testing.B) {
	for _, client := range []string{"chromium.0", "curl", "node20"} {
		h := helloOf(b, client)
		b.Run("ja3/client="+client, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				h.JA3()
			}
		})
		b.Run("ja4/client="+client, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				h.JA4()
			}
		})
	}
}

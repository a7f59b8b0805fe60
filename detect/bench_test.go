package detect_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/detect"
)

// benchInputs is a complete opening of each protocol, a beginning of the longest one, and what is none.
func benchInputs(b *testing.B) []struct {
	proto  string
	d      detect.Detector
	client []byte
	want   detect.Kind
} {
	random := make([]byte, 1460)
	for i, r := 0, rand.New(rand.NewPCG(3, 4)); i < len(random); i++ {
		random[i] = byte(r.Uint32())
	}
	chromium := hellos(b)["chromium.0"]
	get := []byte("GET /index.html HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\n\r\n")
	return []struct {
		proto  string
		d      detect.Detector
		client []byte
		want   detect.Kind
	}{
		{"tls", detect.TLS(), chromium, detect.Match},
		{"tls-half", detect.TLS(), chromium[:1460], detect.NeedMore},
		{"sslv2", detect.SSLv2(), unhex(b, "80 1f 01 03 01 00 06 00 00 00 10"), detect.Match},
		{"socks5", detect.SOCKS5(), []byte{5, 2, 0, 2}, detect.Match},
		{"socks4", detect.SOCKS4(), unhex(b, `04 01 00 50 00 00 00 01 00 "example.com" 00`), detect.Match},
		{"http2", detect.HTTP2(), []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), detect.Match},
		{"connect", detect.Connect(), []byte("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n"), detect.Match},
		{"http", detect.HTTP1(), get, detect.Match},
		{"proxy1", detect.ProxyV1(), []byte("PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n"), detect.Match},
		{"proxy2", detect.ProxyV2(), v2(0x21, 0x11, []byte(inet4)), detect.Match},
		{"ssh", detect.SSH(), []byte("SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"), detect.Match},
		{"random", detect.Any("all", detect.Clients()...), random, detect.NoMatch},
	}
}

func BenchmarkDetect(b *testing.B) {
	for _, in := range benchInputs(b) {
		b.Run("proto="+in.proto, func(b *testing.B) {
			input := detect.Input{Client: in.client}
			if v := in.d.Detect(input); v.Kind != in.want {
				b.Fatalf("%v, want %v", v.Kind, in.want)
			}
			b.SetBytes(int64(len(in.client)))
			b.ReportAllocs()
			for b.Loop() {
				in.d.Detect(input)
			}
		})
	}
}

// BenchmarkReject shows what each detector costs on bytes that are none of its own.
func BenchmarkReject(b *testing.B) {
	random := benchInputs(b)[11].client
	for _, d := range detect.Clients() {
		b.Run("proto="+d.Name, func(b *testing.B) {
			input := detect.Input{Client: random}
			b.ReportAllocs()
			for b.Loop() {
				if d.Detect(input).Kind != detect.NoMatch {
					b.Fatal("random bytes are not rejected")
				}
			}
		})
	}
}

// BenchmarkVerdicts shows what each detector costs on an opening of its own, and on the beginning of it that leaves it
// in most doubt.
func BenchmarkVerdicts(b *testing.B) {
	samples := openings(b)
	for _, family := range families() {
		for _, d := range family {
			found := map[detect.Kind]detect.Input{}
			for _, sample := range samples {
				if len(found) > 0 || d.Detect(first(d, sample)).Kind != detect.Match {
					continue
				}
				found[detect.Match] = first(d, sample)
				for n := range sample {
					if in := first(d, sample[:n]); d.Detect(in).Kind == detect.NeedMore {
						found[detect.NeedMore] = in
					}
				}
			}
			for kind, in := range found {
				b.Run("proto="+d.Name+"/"+strings.ReplaceAll(kind.String(), " ", "-"), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						d.Detect(in)
					}
				})
			}
		}
	}
}

func BenchmarkIdentify(b *testing.B) {
	all := detect.Any("all", detect.Clients()...)
	for _, in := range benchInputs(b) {
		b.Run("proto="+in.proto, func(b *testing.B) {
			input := detect.Input{Client: in.client}
			if v := all.Detect(input); v.Kind != in.want {
				b.Fatalf("%v, want %v", v.Kind, in.want)
			}
			b.ReportAllocs()
			for b.Loop() {
				all.Detect(input)
			}
		})
	}
}

package detect_test

import (
	"bufio"
	"bytes"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/detect/detecttest"
)

func FuzzTLS(f *testing.F)       { detecttest.Fuzz(f, detect.TLS(), openings(f)...) }
func FuzzSSLv2(f *testing.F)     { detecttest.Fuzz(f, detect.SSLv2(), openings(f)...) }
func FuzzSOCKS5(f *testing.F)    { detecttest.Fuzz(f, detect.SOCKS5(), openings(f)...) }
func FuzzSOCKS4(f *testing.F)    { detecttest.Fuzz(f, detect.SOCKS4(), openings(f)...) }
func FuzzHTTP2(f *testing.F)     { detecttest.Fuzz(f, detect.HTTP2(), openings(f)...) }
func FuzzConnect(f *testing.F)   { detecttest.Fuzz(f, detect.Connect(), openings(f)...) }
func FuzzHTTP1(f *testing.F)     { detecttest.Fuzz(f, detect.HTTP1(), openings(f)...) }
func FuzzProxyV1(f *testing.F)   { detecttest.Fuzz(f, detect.ProxyV1(), openings(f)...) }
func FuzzProxyV2(f *testing.F)   { detecttest.Fuzz(f, detect.ProxyV2(), openings(f)...) }
func FuzzSSH(f *testing.F)       { detecttest.Fuzz(f, detect.SSH(), openings(f)...) }
func FuzzSSHServer(f *testing.F) { detecttest.Fuzz(f, detect.SSHServer(), openings(f)...) }

// FuzzIdentify looks for bytes that two detectors claim, and holds Identify as a whole to the laws of a detector.
func FuzzIdentify(f *testing.F) {
	all, anyOf := families(), map[string]detect.Detector{}
	for name, family := range all {
		anyOf[name] = detect.Any(name, family...)
	}
	for _, b := range openings(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, family := range all {
			detecttest.Exclusive(t, family, detect.Collisions(), b)
			sameAsIdentify(t, anyOf[name], family, b)
			if name == "datagrams" {
				continue
			}
			if err := detecttest.CheckSome(anyOf[name], b); err != nil {
				t.Error(err)
			}
		}
	})
}

// fuzzParser holds a parser to what all parsers promise, and says more about what it accepts.
func fuzzParser[M any](f *testing.F, parse func([]byte) (M, int, error), also func(t *testing.T, b []byte, m M, n int, err error)) {
	p := anyParser(f.Name(), parse)
	for _, b := range openings(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p.check(t, b)
		m, n, err := parse(b)
		also(t, b, m, n, err)
	})
}

// agree checks that a detector says of the bytes what the parser says.
func agree(t *testing.T, d detect.Detector, b []byte, err error) {
	t.Helper()
	want := detect.NoMatch
	switch err {
	case nil:
		want = detect.Match
	case detect.ErrShort:
		want = detect.NeedMore
	}
	if v := d.Detect(detect.Input{Client: b}); v.Kind != want {
		t.Errorf("%s says %v to %q, and the parser %v", d.Name, v.Kind, b, err)
	}
}

func FuzzParseRequestLine(f *testing.F) {
	fuzzParser(f, detect.ParseRequestLine, func(t *testing.T, b []byte, l detect.RequestLine, n int, err error) {
		if err != nil {
			return
		}
		end := "\n"
		if b[n-2] == '\r' {
			end = "\r\n"
		}
		raw := strings.TrimLeft(string(b[:n]), "\r\n")
		if again := l.Method + " " + l.Target + " HTTP/1." + string(rune('0'+l.Minor)) + end; again != raw {
			t.Errorf("%q was read as %q", raw, again)
		}
	})
}

// FuzzParseRequestHead compares with net/http: what that accepts is accepted here, with the same method, target and
// host.
func FuzzParseRequestHead(f *testing.F) {
	fuzzParser(f, detect.ParseRequestHead, func(t *testing.T, b []byte, h *detect.RequestHead, n int, err error) {
		req, httpErr := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
		switch {
		case httpErr != nil || req.ProtoMajor != 1 || len(req.Method) > 64 || len(b) > detect.MaxRequestHead:
			return
		case err != nil:
			t.Fatalf("net/http reads %q, and here it is %v", b, err)
		case h.Method != req.Method || h.Target != req.RequestURI || h.Minor != req.ProtoMinor:
			t.Fatalf("net/http reads %q as %s %s 1.%d, and here it is %+v", b, req.Method, req.RequestURI, req.ProtoMinor, h)
		}
		if req.URL.Host == "" {
			if hosts := h.Values("Host"); len(hosts) > 0 && req.Host != hosts[0] || len(hosts) == 0 && req.Host != "" {
				t.Fatalf("net/http reads the host %q of %q, and here it is %q", req.Host, b, hosts)
			}
		}
		for name, values := range req.Header {
			// net/http adds this one to a request with Pragma: no-cache (RFC 9111 §5.4).
			if name == "Cache-Control" && len(h.Values(name)) == 0 && len(h.Values("Pragma")) > 0 {
				continue
			}
			if got := h.Values(name); !slices.Equal(got, values) {
				t.Fatalf("net/http reads %s of %q as %q, and here it is %q", name, b, values, got)
			}
		}
	})
}

func FuzzParseSOCKS5Greeting(f *testing.F) {
	fuzzParser(f, detect.ParseSOCKS5Greeting, func(t *testing.T, b []byte, g detect.SOCKS5Greeting, n int, err error) {
		if err == nil && !bytes.Equal(append([]byte{5, byte(len(g.Methods))}, g.Methods...), b[:n]) {
			t.Errorf("%q was read as %+v", b[:n], g)
		}
	})
}

func FuzzParseSOCKS4Request(f *testing.F) {
	fuzzParser(f, detect.ParseSOCKS4Request, func(t *testing.T, b []byte, q detect.SOCKS4Request, n int, err error) {
		if err != nil {
			return
		}
		again := slices.Concat([]byte{4, q.Cmd}, u16(int(q.DstPort)), q.DstIP.AsSlice(), []byte(q.UserID), []byte{0})
		if q.Host != "" {
			again = append(append(again, q.Host...), 0)
		}
		if !bytes.Equal(again, b[:n]) {
			t.Errorf("%q was read as %+v", b[:n], q)
		}
	})
}

func FuzzParseSSHIdentification(f *testing.F) {
	fuzzParser(f, detect.ParseSSHIdentification, func(t *testing.T, b []byte, id detect.SSHIdentification, n int, err error) {
		agree(t, detect.SSH(), b, err)
		if err != nil {
			return
		}
		again := "SSH-" + id.ProtoVersion + "-" + id.SoftwareVersion
		if raw := strings.TrimRight(string(b[:n]), "\r\n"); again != raw && again+" "+id.Comments != raw {
			t.Errorf("%q was read as %+v", raw, id)
		}
	})
}

func FuzzParseClientHello(f *testing.F) {
	fuzzParser(f, detect.ParseClientHello, func(t *testing.T, b []byte, h *detect.ClientHello, n int, err error) {
		agree(t, detect.TLS(), b, err)
		compareWithCryptoTLS(t, b, h, err)
		if err != nil {
			return
		}
		// Another cut into records is the same hello.
		if len(h.Raw) <= 16384 {
			again, _, err := detect.ParseClientHello(inRecords(slices.Concat(b[:3], u16(len(h.Raw)), h.Raw), 1, 10))
			if err != nil {
				t.Fatalf("%q in other records: %v", h.Raw, err)
			}
			if again.Records = h.Records; !reflect.DeepEqual(again, h) {
				t.Errorf("%q in other records is %+v, not %+v", h.Raw, again, h)
			}
		}
	})
}

func FuzzParseProxyHeader(f *testing.F) {
	fuzzParser(f, detect.ParseProxyHeader, func(t *testing.T, b []byte, h *detect.ProxyHeader, n int, err error) {
		compareWithPires(t, b, h, n, err)
	})
}

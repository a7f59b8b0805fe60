package flowlog

import (
	"crypto/tls"
	"reflect"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
)

const (
	ja3 = "0149f47eabf9a20d0893e2a44e5a6323"
	ja4 = "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6"
)

func TestTLSRecord(t *testing.T) {
	no, yes := false, true
	whole := leg{Version: "1.2", Cipher: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", Group: "secp256r1", ALPN: "http/1.1", Resumed: &no}
	agreed := tlsbridge.Leg{Version: tls.VersionTLS12, CipherSuite: tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, Group: tls.CurveP256, ALPN: "http/1.1"}
	resumed, wholeResumed := agreed, whole
	resumed.Resumed, wholeResumed.Resumed = true, &yes
	mirrored := whole
	mirrored.JA3, mirrored.JA4, mirrored.Rung = ja3, ja4, "faithful"
	for _, tt := range []struct {
		name   string
		detail any
		want   *tlsRecord
	}{
		{"no detail", nil, nil},
		{"another layer's", "text", nil},
		{"nothing came about", &tlsbridge.Info{}, nil},
		{"the policy's word only", &tlsbridge.Info{Rule: "ech"}, nil},
		{"the server's side only", &tlsbridge.Info{Server: agreed}, &tlsRecord{Server: &whole}},
		{"the client's side only", &tlsbridge.Info{Client: agreed}, &tlsRecord{Client: &whole}},
		{"resumed with the client", &tlsbridge.Info{Client: resumed, Server: agreed}, &tlsRecord{Client: &wholeResumed, Server: &whole}},
		{"resumed with the server", &tlsbridge.Info{Client: agreed, Server: resumed}, &tlsRecord{Client: &whole, Server: &wholeResumed}},
		{
			"a hello, and nothing more", &tlsbridge.Info{ClientJA3: ja3, ClientJA4: ja4, ECH: "offered"},
			&tlsRecord{Client: &leg{JA3: ja3, JA4: ja4, ECH: "offered"}},
		},
		{
			"a hello for the server", &tlsbridge.Info{Server: agreed, ServerJA3: ja3, ServerJA4: ja4, Rung: "faithful"},
			&tlsRecord{Server: &mirrored},
		},
		{
			"a certificate that was refused", &tlsbridge.Info{Server: agreed, Verdict: "ok", Refusal: tlsbridge.UnknownCA},
			&tlsRecord{Server: &whole, Certificate: &certificate{Verdict: "ok"}, Refused: "unknown_ca"},
		},
		{
			"a client that showed who it is", &tlsbridge.Info{Client: agreed, ClientSubject: "CN=alice,O=Example"},
			&tlsRecord{Client: &whole, Subject: "CN=alice,O=Example"},
		},
		{"a certificate that nobody was shown", &tlsbridge.Info{Verdict: "expired"}, &tlsRecord{Certificate: &certificate{Verdict: "expired"}}},
		{
			"a key exchange without a group", &tlsbridge.Info{Client: tlsbridge.Leg{Version: tls.VersionTLS10, CipherSuite: tls.TLS_RSA_WITH_AES_128_CBC_SHA}},
			&tlsRecord{Client: &leg{Version: "1.0", Cipher: "TLS_RSA_WITH_AES_128_CBC_SHA", Resumed: &no}},
		},
	} {
		if got := newTLSRecord(tt.detail); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestRule(t *testing.T) {
	for _, tt := range []struct {
		name   string
		frames []bridge.Frame
		want   string
	}{
		{"no layer", nil, "default"},
		{"no exception", []bridge.Frame{{Proto: "tls", Detail: &tlsbridge.Info{ClientJA4: ja4}}}, "default"},
		{"a layer that tells nothing", []bridge.Frame{{Proto: "tls"}}, "default"},
		{"an exception", []bridge.Frame{{Proto: "socks5"}, {Proto: "tls", Detail: &tlsbridge.Info{Rule: "bypassonfail"}}}, "bypassonfail"},
		{"the inner one of two", []bridge.Frame{
			{Proto: "tls", Detail: &tlsbridge.Info{Rule: "outer"}}, {Proto: "tls", Detail: &tlsbridge.Info{Rule: "inner"}},
		}, "inner"},
	} {
		if got := newRecord(newFlow(t, tt.frames...), bridge.Outcome{}).Rule; got != tt.want {
			t.Errorf("%s: rule %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestNames(t *testing.T) {
	for v, want := range map[uint16]string{0x0300: "3.0", tls.VersionTLS10: "1.0", tls.VersionTLS11: "1.1", tls.VersionTLS12: "1.2", tls.VersionTLS13: "1.3"} {
		if got := versionName(v); got != want {
			t.Errorf("versionName(%#04x) = %q, want %q", v, got, want)
		}
	}
	for g, want := range map[tls.CurveID]string{
		0: "", 23: "secp256r1", 24: "secp384r1", 25: "secp521r1", 29: "x25519", 30: "0x001e",
		4587: "SecP256r1MLKEM768", 4588: "X25519MLKEM768", 4589: "SecP384r1MLKEM1024",
	} {
		if got := groupName(g); got != want {
			t.Errorf("groupName(%d) = %q, want %q", g, got, want)
		}
	}
}

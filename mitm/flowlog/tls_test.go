package flowlog

import (
	"crypto/tls"
	"reflect"
	"testing"

	"github.com/bridgeio/bridgeio/layers/tlsbridge"
)

func TestTLSRecord(t *testing.T) {
	whole := &leg{Version: "1.2", Cipher: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", Group: "secp256r1", ALPN: "http/1.1"}
	agreed := tlsbridge.Leg{Version: tls.VersionTLS12, CipherSuite: tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, Group: tls.CurveP256, ALPN: "http/1.1"}
	for _, tt := range []struct {
		name   string
		detail any
		want   *tlsRecord
	}{
		{"no detail", nil, nil},
		{"another layer's", "text", nil},
		{"nothing came about", &tlsbridge.Info{}, nil},
		{"the server's side only", &tlsbridge.Info{Server: agreed}, &tlsRecord{Server: whole}},
		{"the client's side only", &tlsbridge.Info{Client: agreed}, &tlsRecord{Client: whole}},
		{"a certificate that nobody was shown", &tlsbridge.Info{Verdict: "expired"}, &tlsRecord{Certificate: &certificate{Verdict: "expired"}}},
		{
			"a key exchange without a group", &tlsbridge.Info{Client: tlsbridge.Leg{Version: tls.VersionTLS10, CipherSuite: tls.TLS_RSA_WITH_AES_128_CBC_SHA}},
			&tlsRecord{Client: &leg{Version: "1.0", Cipher: "TLS_RSA_WITH_AES_128_CBC_SHA"}},
		},
	} {
		if got := newTLSRecord(tt.detail); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
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

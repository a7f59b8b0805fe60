package mitm

import (
	"crypto/tls"
	"crypto/x509"
	"testing"

	"github.com/bridgeio/bridgeio/detect"
)

func TestWhetherAClientCanCheckTheAuthority(t *testing.T) {
	ecdsa, rsa := uint16(tls.ECDSAWithP256AndSHA256), uint16(tls.PKCS1WithSHA256)
	for _, tt := range []struct {
		name           string
		leaf           x509.SignatureAlgorithm
		schemes, certs []uint16
		want           bool
	}{
		{"a client that names nothing", x509.ECDSAWithSHA256, nil, nil, true},
		{"one that names ECDSA", x509.ECDSAWithSHA256, []uint16{rsa, ecdsa}, nil, true},
		{"one that names RSA only", x509.ECDSAWithSHA256, []uint16{rsa}, nil, false},
		{"one that names RSA only, for an RSA authority", x509.SHA256WithRSA, []uint16{rsa}, nil, true},
		{"one that names ECDSA for certificates", x509.ECDSAWithSHA256, []uint16{rsa}, []uint16{ecdsa}, true},
		{"one that names RSA for certificates", x509.ECDSAWithSHA256, []uint16{ecdsa}, []uint16{rsa}, false},
		{"an algorithm of which nobody knows", x509.DSAWithSHA256, []uint16{rsa}, nil, true},
	} {
		hello := &detect.ClientHello{SignatureAlgorithms: tt.schemes, SignatureAlgorithmsCert: tt.certs}
		if got := canCheck(hello, &x509.Certificate{SignatureAlgorithm: tt.leaf}); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

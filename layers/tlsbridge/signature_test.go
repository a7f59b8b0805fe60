package tlsbridge

import (
	"crypto/tls"
	"crypto/x509"
	"testing"

	"github.com/bridgeio/bridgeio/detect"
)

func TestWhatAClientCanCheck(t *testing.T) {
	const ecdhe = tls.X25519
	for name, c := range map[string]struct {
		schemes []uint16
		version uint16
		group   tls.CurveID
		kind    string
		want    bool
	}{
		"P-256 with its scheme":                     {[]uint16{0x0804, 0x0403}, tls.VersionTLS13, ecdhe, "ECDSA", true},
		"P-256 with the scheme of P-384":            {[]uint16{0x0503}, tls.VersionTLS13, ecdhe, "ECDSA", false},
		"P-256 with the scheme of P-384 in TLS 1.2": {[]uint16{0x0503}, tls.VersionTLS12, ecdhe, "ECDSA", true},
		"P-384 with its scheme":                     {[]uint16{0x0503}, tls.VersionTLS13, ecdhe, "P-384", true},
		"RSA with PSS":                              {[]uint16{0x0805}, tls.VersionTLS13, ecdhe, "RSA", true},
		"RSA with PKCS #1":                          {[]uint16{0x0401}, tls.VersionTLS13, ecdhe, "RSA", false},
		"RSA with PKCS #1 in TLS 1.2":               {[]uint16{0x0401}, tls.VersionTLS12, ecdhe, "RSA", true},
		"RSA with SHA-1 in TLS 1.2":                 {[]uint16{0x0201}, tls.VersionTLS12, ecdhe, "RSA", false},
		"RSA that signs nothing":                    {[]uint16{0x0201}, tls.VersionTLS12, 0, "RSA", true},
		"Ed25519 with its scheme":                   {[]uint16{0x0807}, tls.VersionTLS13, ecdhe, "Ed25519", true},
		"Ed25519 without":                           {[]uint16{0x0403, 0x0804}, tls.VersionTLS13, ecdhe, "Ed25519", false},
		"no schemes":                                {nil, tls.VersionTLS12, ecdhe, "RSA", true},
		"TLS 1.1, which has none":                   {[]uint16{0x0403}, tls.VersionTLS11, ecdhe, "RSA", true},
	} {
		t.Run(name, func(t *testing.T) {
			shown := &Snapshot{Leg: Leg{Version: c.version, Group: c.group}, Chain: []*x509.Certificate{certificate(c.kind).Leaf}}
			if got := canCheck(&detect.ClientHello{SignatureAlgorithms: c.schemes}, shown); got != c.want {
				t.Errorf("canCheck = %t, want %t", got, c.want)
			}
		})
	}
}

package tlsbridge

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"slices"

	"github.com/bridgeio/bridgeio/detect"
)

// canCheck reports whether the client can check a signature of a key like the one that
// the server showed. The server was asked with Go's signature_algorithms, not with the
// client's, and may have chosen a certificate that it would not have shown the client.
func canCheck(hello *detect.ClientHello, shown *Snapshot) bool {
	// Below TLS 1.2 there is no choice, and RSA key exchange signs nothing.
	if shown.Version < tls.VersionTLS12 || len(hello.SignatureAlgorithms) == 0 || shown.Group == 0 {
		return true
	}
	schemes := signatureSchemes(shown)
	return slices.ContainsFunc(hello.SignatureAlgorithms, func(id uint16) bool {
		return slices.Contains(schemes, tls.SignatureScheme(id))
	})
}

// signatureSchemes returns what crypto/tls signs with, with a key like the server's.
// It has given up SHA-1.
func signatureSchemes(shown *Snapshot) []tls.SignatureScheme {
	pss := []tls.SignatureScheme{tls.PSSWithSHA256, tls.PSSWithSHA384, tls.PSSWithSHA512}
	pkcs1 := []tls.SignatureScheme{tls.PKCS1WithSHA256, tls.PKCS1WithSHA384, tls.PKCS1WithSHA512}
	onCurves := []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.ECDSAWithP384AndSHA384, tls.ECDSAWithP521AndSHA512}
	switch key := shown.Chain[0].PublicKey.(type) {
	case *rsa.PublicKey:
		if shown.Version < tls.VersionTLS13 {
			return append(pss, pkcs1...)
		}
		return pss
	case *ecdsa.PublicKey:
		if shown.Version < tls.VersionTLS13 {
			return onCurves // RFC 8446 §4.2.3: in TLS 1.2 the curve is not part of the scheme
		}
		switch key.Curve.Params().BitSize {
		case 256:
			return onCurves[:1]
		case 384:
			return onCurves[1:2]
		}
		return onCurves[2:]
	case ed25519.PublicKey:
		return []tls.SignatureScheme{tls.Ed25519}
	}
	return nil
}

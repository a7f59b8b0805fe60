package mitm

import (
	"crypto/tls"
	"crypto/x509"
	"slices"

	"github.com/bridgeio/bridgeio/detect"
)

// canCheck reports whether a client says that it can check the signature on a certificate
// (RFC 8446 §4.2.3). One that says nothing is taken to.
func canCheck(hello *detect.ClientHello, leaf *x509.Certificate) bool {
	offered := hello.SignatureAlgorithmsCert
	if len(offered) == 0 {
		offered = hello.SignatureAlgorithms
	}
	scheme, known := schemeOf(leaf.SignatureAlgorithm)
	return len(offered) == 0 || !known || slices.Contains(offered, uint16(scheme))
}

// schemeOf returns the code point of an algorithm with which authorities of ours sign.
func schemeOf(a x509.SignatureAlgorithm) (scheme tls.SignatureScheme, known bool) {
	switch a {
	case x509.SHA256WithRSA:
		return tls.PKCS1WithSHA256, true
	case x509.ECDSAWithSHA256:
		return tls.ECDSAWithP256AndSHA256, true
	case x509.ECDSAWithSHA384:
		return tls.ECDSAWithP384AndSHA384, true
	case x509.ECDSAWithSHA512:
		return tls.ECDSAWithP521AndSHA512, true
	case x509.PureEd25519:
		return tls.Ed25519, true
	}
	return 0, false
}

package tlsbridge

import (
	"slices"

	utls "github.com/refraction-networking/utls"

	"github.com/bridgeio/bridgeio/detect"
)

// offer is what a client offers, as far as utls can do it.
type offer struct {
	min, max uint16   // versions
	suites   []uint16 // below TLS 1.3
	groups   []utls.CurveID
	less     bool // the client offers more than that
}

// offerOf finds the part of a client's offer that can be made in its name, and reports
// whether anything can come of it.
func offerOf(hello *detect.ClientHello) (offer, bool) {
	var o offer
	o.versions(hello)
	o.keyExchange(hello)
	if len(o.suites) == 0 && o.max == utls.VersionTLS13 {
		o.min = utls.VersionTLS13
	}
	if len(o.groups) == 0 && o.max == utls.VersionTLS13 {
		o.max, o.less = utls.VersionTLS12, true
	}
	possible := o.min <= o.max && o.max >= utls.VersionTLS10
	if o.max < utls.VersionTLS13 {
		possible = possible && len(o.suites) > 0
	}
	return o, possible
}

// versions takes the range of the versions that the client names. Without
// supported_versions it names the highest only (RFC 8446 §4.2.1).
func (o *offer) versions(hello *detect.ClientHello) {
	if len(hello.SupportedVersions) == 0 {
		o.min, o.max = utls.VersionTLS10, min(hello.LegacyVersion, utls.VersionTLS12)
		return
	}
	o.min = utls.VersionTLS13 + 1
	for _, v := range hello.SupportedVersions {
		switch {
		case v >= utls.VersionTLS10 && v <= utls.VersionTLS13:
			o.min, o.max = min(o.min, v), max(o.max, v)
		case !detect.IsGREASE(v):
			o.less = true
		}
	}
}

// keyExchange takes the suites and groups that are known here. A client that names no
// groups cannot do ECDHE with crypto/tls, so it must not be offered to the server.
func (o *offer) keyExchange(hello *detect.ClientHello) {
	for _, g := range hello.SupportedGroups {
		switch id := utls.CurveID(g); id {
		case utls.X25519MLKEM768, utls.X25519, utls.CurveP256, utls.CurveP384, utls.CurveP521:
			o.groups = append(o.groups, id)
		default:
			o.less = o.less || !detect.IsGREASE(g)
		}
	}
	classical := slices.ContainsFunc(o.groups, func(g utls.CurveID) bool { return g != utls.X25519MLKEM768 })
	ecdhe, rsa := suitesBelow13()
	for _, id := range hello.CipherSuites {
		switch {
		case slices.Contains(rsa, id), classical && slices.Contains(ecdhe, id):
			o.suites = append(o.suites, id)
		case !detect.IsGREASE(id) && !detect.IsSignalling(id) && id>>8 != 0x13:
			o.less = true
		}
	}
}

// suitesBelow13 returns the suites that utls has, by their key exchange.
func suitesBelow13() (ecdhe, rsa []uint16) {
	for _, s := range append(utls.CipherSuites(), utls.InsecureCipherSuites()...) {
		switch s.ID {
		case utls.TLS_RSA_WITH_RC4_128_SHA, utls.TLS_RSA_WITH_3DES_EDE_CBC_SHA,
			utls.TLS_RSA_WITH_AES_128_CBC_SHA, utls.TLS_RSA_WITH_AES_256_CBC_SHA, utls.TLS_RSA_WITH_AES_128_CBC_SHA256,
			utls.TLS_RSA_WITH_AES_128_GCM_SHA256, utls.TLS_RSA_WITH_AES_256_GCM_SHA384:
			rsa = append(rsa, s.ID)
		default:
			if s.SupportedVersions[0] != utls.VersionTLS13 {
				ecdhe = append(ecdhe, s.ID)
			}
		}
	}
	return ecdhe, rsa
}

package mirror

import (
	"crypto/tls"
	"errors"
	"slices"
	"testing"

	"github.com/bridgeio/bridgeio/detect"
)

// climb is the ladder in short: it makes the changes that are asked for.
func climb(t *testing.T, hello *detect.ClientHello, config *tls.Config) (outcome, Changes) {
	t.Helper()
	var c Config
	for {
		o := shake(t, hello, config, c)
		retry := (*Retry)(nil)
		if !errors.As(o.err, &retry) {
			return o, c.Changes
		}
		if retry.Changes&^c.Changes == 0 {
			t.Fatalf("the retry asks for %s again", retry.Changes)
		}
		c.Changes |= retry.Changes
	}
}

// possible reports whether a client can agree with a server on a version and a group at all.
func possible(h *detect.ClientHello, version uint16, group tls.CurveID) bool {
	offered := h.SupportedVersions
	if len(offered) == 0 {
		offered = []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12}
		offered = slices.DeleteFunc(offered, func(v uint16) bool { return v > h.LegacyVersion })
	}
	return slices.Contains(offered, version) && slices.Contains(h.SupportedGroups, uint16(group))
}

// Every share is used by a server that wants that one, also where it is not the first, and where there is none the
// server asks for it.
func TestEachVersionAndGroupThatAClientOffers(t *testing.T) {
	for name, wire := range realHellos(t) {
		t.Run(name, func(t *testing.T) {
			hello := parse(t, wire)
			for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13} {
				for _, group := range []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521, tls.X25519MLKEM768} {
					if group == tls.X25519MLKEM768 && version != tls.VersionTLS13 || !possible(hello, version, group) {
						continue
					}
					config := server()
					config.MinVersion, config.MaxVersion, config.CurvePreferences = version, version, []tls.CurveID{group}
					o, changes := climb(t, hello, config)
					if o.err != nil {
						t.Errorf("%s with %s: %v after %s; the server: %v", tls.VersionName(version), group, o.err, changes, o.refused)
						continue
					}
					check(t, o, hello)
				}
			}
		})
	}
}

// check compares the two sides.
func check(t *testing.T, o outcome, hello *detect.ClientHello) {
	t.Helper()
	r, s := o.result, o.server
	if r.Version != s.Version || r.CipherSuite != s.CipherSuite || r.ALPN != s.NegotiatedProtocol {
		t.Errorf("the result is %+v, the server has %+v", r, s)
	}
	if r.Group != uint16(s.CurveID) {
		t.Errorf("group %d, the server has %d", r.Group, s.CurveID)
	}
	if r.Retried != s.HelloRetryRequest {
		t.Errorf("retried %v, the server says %v", r.Retried, s.HelloRetryRequest)
	}
	if len(r.Chain) != 1 || hello.ServerName != s.ServerName {
		t.Errorf("%d certificates, the server was asked for %q", len(r.Chain), s.ServerName)
	}
	if o.session.HandshakeState.Hello != nil || o.session.Extensions != nil {
		t.Error("the hello stays")
	}
}

// Each client gets on with each certificate that it can verify, which is what the server asks crypto/tls.
func TestEachKindOfCertificate(t *testing.T) {
	used := make(map[string]int)
	for name, wire := range realHellos(t) {
		hello := parse(t, wire)
		for kind, certificate := range certificates() {
			var fits bool
			config := server()
			config.Certificates = nil
			config.GetCertificate = func(info *tls.ClientHelloInfo) (*tls.Certificate, error) {
				unnamed := *info
				unnamed.ServerName = "" // what the certificate is for is another matter
				fits = unnamed.SupportsCertificate(&certificate) == nil
				return &certificate, nil
			}
			o, changes := climb(t, hello, config)
			if !fits {
				continue
			}
			if o.err != nil {
				t.Errorf("%s with %s: %v after %s; the server: %v", name, kind, o.err, changes, o.refused)
				continue
			}
			check(t, o, hello)
			used[kind]++
		}
	}
	for kind := range certificates() {
		if used[kind] < 5 {
			t.Errorf("%d clients of all have got on with %s", used[kind], kind)
		}
	}
}

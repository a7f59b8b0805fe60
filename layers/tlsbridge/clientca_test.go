package tlsbridge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/detect"
)

// askingClients is a Terminate that wants clients with certificates of serverCA, and
// repeats the first thing that they say.
func askingClients(t *testing.T) *lab {
	t.Helper()
	layer := Terminate(TerminateConfig{
		Certificate: func(context.Context, *bridge.Flow, *detect.ClientHello) (*tls.Certificate, error) {
			return signed(leafTemplate(), "ECDSA", mitmCA()), nil
		},
		ClientCAs: serverCA().pool(),
	})
	return newLab(t, bridge.Chain(layer, bridge.Layer{Name: "echo", Handle: func(_ context.Context, b *bridge.Bridge, _ bridge.Handler) error {
		said := make([]byte, 64)
		n, _ := b.Client.Read(said) // an end that comes with it is none of our business
		_, err := b.Client.Write(said[:n])
		return errors.Join(err, b.Client.CloseWrite())
	}}), bridge.Addr{}, bridge.Limits{})
}

// person is a client's certificate, changed as the test likes.
func person(by *authority, change func(*x509.Certificate)) *tls.Certificate {
	template := leafTemplate()
	template.Subject = pkix.Name{CommonName: "alice", Organization: []string{"Example, Inc."}}
	template.DNSNames, template.ExtKeyUsage = nil, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	change(template)
	return signed(template, "ECDSA", by)
}

func unchanged(*x509.Certificate) {}

const personSubject = `CN=alice,O=Example\, Inc.`

func TestAClientThatShowsItsCertificateIsKnown(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			bridgetest.Baseline(t)
			l := askingClients(t)
			config := withVersion(version)
			config.Certificates = []tls.Certificate{*person(serverCA(), unchanged)}
			roundtrip(t, tls.Client(l.dial(t), config))
			flow, _ := l.ends(t)
			if info := infoOf(t, flow); info.ClientSubject != personSubject || info.Client.Version != version {
				t.Errorf("the flow tells %+v, want the subject %q", info, personSubject)
			}
		})
	}
}

// The alerts are those of RFC 8446 §4.4.2.4 and §6.2, and RFC 5246 §7.2.2; a client without
// any certificate gets handshake_failure in the latter's §7.4.6.
func TestAClientWithoutAGoodCertificateIsToldWhy(t *testing.T) {
	const (
		badCertificate      Alert = 42
		certificateExpired  Alert = 45
		unknownCA           Alert = 48
		certificateRequired Alert = 116
	)
	past := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	server := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
	for _, tt := range []struct {
		name        string
		certificate *tls.Certificate
		tls12       Alert
		tls13       Alert
	}{
		{"none", &tls.Certificate{}, handshakeFailure, certificateRequired},
		{"one of another authority", person(otherCA(), unchanged), unknownCA, unknownCA},
		{"one that has expired", person(serverCA(), past), certificateExpired, certificateExpired},
		{"a server's", person(serverCA(), server), badCertificate, badCertificate},
	} {
		for version, want := range map[uint16]Alert{tls.VersionTLS12: tt.tls12, tls.VersionTLS13: tt.tls13} {
			t.Run(fmt.Sprintf("%s, %s", tt.name, tls.VersionName(version)), func(t *testing.T) {
				bridgetest.Baseline(t)
				l := askingClients(t)
				config := withVersion(version)
				config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return tt.certificate, nil }
				c := l.dial(t)
				s := tls.Client(c, config)
				err := s.Handshake()
				if err == nil { // in TLS 1.3 the client is told afterwards
					_, err = s.Read(make([]byte, 1))
				}
				if got, ok := alertOf(err); !ok || got != want {
					t.Errorf("the client fails with %v, want alert %d (%s)", err, want, want)
				}
				c.Close()
				flow, out := l.ends(t)
				if info := infoOf(t, flow); flow.Path() != "tls" || flow.Decrypted() || info.ClientSubject != "" {
					t.Errorf("path %s, and the flow tells %+v; want tls and no subject", flow.Path(), info)
				}
				var failed *HandshakeError
				if out.Reason != bridge.TLSClient || out.EndedBy != bridge.ByMITM || !errors.As(out.Err, &failed) || failed.Side != bridge.Client {
					t.Errorf("outcome %+v, want tls_client by mitm", out)
				}
			})
		}
	}
}

// A client that talks at once is told all the same: what it has said must not turn our end
// into a reset, which would take the alert with it.
func TestAnOpenSSLClientShowsItsCertificate(t *testing.T) {
	root := writePEM(t, nil, mitmCA().cert.Raw)
	good, stranger := person(serverCA(), unchanged), person(otherCA(), unchanged)
	files := map[string]string{
		"good": writePEM(t, good.PrivateKey, good.Certificate[0]), "stranger": writePEM(t, stranger.PrivateKey, stranger.Certificate[0]),
	}
	for _, tt := range []struct {
		name, file, tls12, tls13 string // parts of what s_client prints
	}{
		{"a good certificate", "good", "hello\n", "hello\n"},
		{"another's", "stranger", "alert unknown ca", "alert unknown ca"},
		{"none", "", "alert handshake failure", "alert certificate required"},
	} {
		for option, want := range map[string]string{"-tls1_2": tt.tls12, "-tls1_3": tt.tls13} {
			t.Run(tt.name+option, func(t *testing.T) {
				bridgetest.Baseline(t)
				l := askingClients(t)
				args := []string{"s_client", option, "-ign_eof", "-servername", serverName, "-verify_return_error", "-CAfile", root, "-connect", l.addr}
				if tt.file != "" {
					args = append(args, "-cert", files[tt.file], "-key", files[tt.file])
				}
				out, err := openssl(t, "hello\n", args...)
				if !strings.Contains(out, want) || (err == nil) != (tt.file == "good") {
					t.Errorf("openssl: %v, want %q in\n%s", err, want, out)
				}
				l.ends(t)
			})
		}
	}
}

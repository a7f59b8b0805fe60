package mirror

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"
)

func TestAServerThatWantsACertificate(t *testing.T) {
	ours := certificates()["ECDSA"]
	errGone := errors.New("nobody answers")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, tt := range []struct {
			name   string
			answer func(*Request) (*tls.Certificate, error) // nil: there is none
			want   error
			shown  int // certificates that the server gets
		}{
			{"nobody is asked", nil, ErrClientCertificate, 0},
			{"the client has none", func(*Request) (*tls.Certificate, error) { return nil, nil }, nil, 0},
			{"the client has one", func(*Request) (*tls.Certificate, error) { return &ours, nil }, nil, 1},
			{"the client leaves", func(*Request) (*tls.Certificate, error) { return nil, errGone }, errGone, 0},
		} {
			t.Run(tls.VersionName(version)+", "+tt.name, func(t *testing.T) {
				config := server()
				config.MinVersion, config.MaxVersion, config.ClientAuth = version, version, tls.RequestClientCert
				config.ClientCAs = x509.NewCertPool()
				config.ClientCAs.AddCert(&x509.Certificate{Raw: []byte{1}, RawSubject: []byte("authority")})
				var asked *Request
				mirrored := Config{Certificate: tt.answer}
				if tt.answer != nil {
					mirrored.Certificate = func(r *Request) (*tls.Certificate, error) {
						asked = r
						return tt.answer(r)
					}
				}
				o := shake(t, parse(t, realHellos(t)["curl"]), config, mirrored)
				retry := (*Retry)(nil)
				if !errors.Is(o.err, tt.want) || errors.As(o.err, &retry) {
					t.Fatalf("%v, want %v", o.err, tt.want)
				}
				if o.err == nil && len(o.server.PeerCertificates) != tt.shown {
					t.Errorf("the server gets %d certificates, want %d", len(o.server.PeerCertificates), tt.shown)
				}
				if tt.answer == nil {
					return
				}
				if s := asked.State; s.Version != version || s.ALPN != "h2" || len(s.Chain) != 1 || s.CipherSuite == 0 || s.Group == 0 {
					t.Errorf("when asked, the state is %+v", s)
				}
				if len(asked.CAs) != 1 || string(asked.CAs[0]) != "authority" || len(asked.Schemes) == 0 {
					t.Errorf("asked for %q, %v", asked.CAs, asked.Schemes)
				}
			})
		}
	}
}

// A server that refuses the certificate has been shown all that there is: another hello would ask for it again.
func TestACertificateIsAskedForOnce(t *testing.T) {
	ours := certificates()["RSA"]
	config := server()
	config.MaxVersion, config.ClientAuth = tls.VersionTLS12, tls.RequireAndVerifyClientCert
	o := shake(t, resuming(t, "ossl"), config, Config{Sessions: &drawer{}, Certificate: func(*Request) (*tls.Certificate, error) { return &ours, nil }})
	retry, cannot := (*Retry)(nil), (*Unbridgeable)(nil)
	if !isAnyAlert(o.err) || errors.As(o.err, &retry) || errors.As(o.err, &cannot) {
		t.Errorf("%v (%T), want the server's alert", o.err, o.err)
	}
}

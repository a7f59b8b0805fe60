package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	utls "github.com/refraction-networking/utls"
)

// A hello is a kind of ClientHello that the load may send: what a bridge has to do that
// copies it depends on it. Those of real clients are files of testdata/hellos.
type hello string

const (
	helloGo       hello = "go" // crypto/tls writes it anew
	helloCurl     hello = "curl"
	helloChromium hello = "chromium.0"
)

// A shake begins a client's TLS over c, with a server of that name.
type shake func(ctx context.Context, c net.Conn, name string) (net.Conn, error)

// An agreed is what a client agreed on, and what it was shown.
type agreed struct {
	version uint16
	group   tls.CurveID
	leaf    *x509.Certificate
}

// check holds it against what the programs are compared by, so that all do the same
// work, but for one that is free to choose its own. The origin's own certificate is not
// to come through: nobody has bridged anything then.
func (c certificates) check(a agreed, group tls.CurveID, free bool) error {
	key, ok := a.leaf.PublicKey.(*ecdsa.PublicKey)
	switch {
	case a.leaf.Equal(c.origin.Leaf):
		return errors.New("the origin's own certificate came through")
	case a.version != tls.VersionTLS13:
		return fmt.Errorf("%s was chosen, want TLS 1.3", tls.VersionName(a.version))
	case free:
		return nil
	case a.group != group:
		return fmt.Errorf("the key exchange is %s, want %s", a.group, group)
	case !ok || key.Curve != elliptic.P256():
		return fmt.Errorf("the certificate's key is a %T, want one of P-256", a.leaf.PublicKey)
	}
	return nil
}

// readHello returns the bytes of a captured hello: none for Go's, which is not captured.
func (l *lab) readHello(kind hello) ([]byte, error) {
	if kind == helloGo {
		return nil, nil
	}
	return os.ReadFile(filepath.Join(l.module, "testdata", "hellos", string(kind)+".bin"))
}

// shake returns the client that sends a hello like that one; none is Go's. It resumes
// nothing, and verifies nothing but the above.
func (c certificates) shake(hello []byte, group tls.CurveID, free bool) shake {
	if len(hello) == 0 {
		return c.shakeAsGo(group, free)
	}
	return c.shakeLike(hello, group, free)
}

func (c certificates) shakeAsGo(group tls.CurveID, free bool) shake {
	groups := []tls.CurveID{group}
	if free {
		groups = append(groups, tls.CurveP256)
	}
	return func(ctx context.Context, under net.Conn, name string) (net.Conn, error) {
		s := tls.Client(under, &tls.Config{
			ServerName:         name,
			InsecureSkipVerify: true,
			CurvePreferences:   groups,
			VerifyConnection: func(s tls.ConnectionState) error {
				return c.check(agreed{s.Version, s.CurveID, s.PeerCertificates[0]}, group, free)
			},
		})
		return s, s.HandshakeContext(ctx)
	}
}

// shakeLike copies a captured hello: all but its random bytes, its keys and the name.
func (c certificates) shakeLike(record []byte, group tls.CurveID, free bool) shake {
	// AllowBluntMimicry copies extensions that utls does not know.
	copier := &utls.Fingerprinter{AllowBluntMimicry: true}
	return func(ctx context.Context, under net.Conn, name string) (net.Conn, error) {
		spec, err := copier.FingerprintClientHello(record) // utls writes to it
		if err != nil {
			return nil, err
		}
		s := utls.UClient(under, &utls.Config{ServerName: name, InsecureSkipVerify: true}, utls.HelloCustom)
		if err := s.ApplyPreset(spec); err != nil {
			return nil, err
		}
		if err := s.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		state, share := s.ConnectionState(), s.HandshakeState.ServerHello.ServerShare.Group
		return s, c.check(agreed{state.Version, tls.CurveID(share), state.PeerCertificates[0]}, group, free)
	}
}

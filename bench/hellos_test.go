package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/detect"
)

func TestALoadSendsTheHelloOfARealClient(t *testing.T) {
	certs, err := newCertificates()
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []hello{helloCurl, helloChromium} {
		t.Run(string(kind), func(t *testing.T) {
			record, err := os.ReadFile(filepath.Join("..", "testdata", "hellos", string(kind)+".bin"))
			if err != nil {
				t.Fatal(err)
			}
			want, _, err := detect.ParseClientHello(record)
			if err != nil {
				t.Fatal(err)
			}
			got := sentBy(t, certs.shakeLike(record, tls.X25519, false))
			if got.JA4() != want.JA4() || got.ServerName != "n1.test" {
				t.Errorf("sent %s for %s, want %s for n1.test", got.JA4(), got.ServerName, want.JA4())
			}
		})
	}
}

// sentBy returns the hello that a client sends.
func sentBy(t *testing.T, s shake) *detect.ClientHello {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := s(t.Context(), theirs, "n1.test"); err == nil {
			t.Error("a handshake came to its end without a server")
		}
	}()
	buf := make([]byte, detect.MaxClientHello)
	n, err := ours.Read(buf) // a pipe hands over what one Write wrote
	ours.Close()
	<-done
	if err != nil {
		t.Fatal(err)
	}
	sent, _, err := detect.ParseClientHello(buf[:n])
	if err != nil {
		t.Fatal(err)
	}
	return sent
}

func TestAClientInsistsOnWhatAllAreComparedBy(t *testing.T) {
	certs, err := newCertificates()
	if err != nil {
		t.Fatal(err)
	}
	ec := func(c elliptic.Curve) *x509.Certificate {
		key, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return &x509.Certificate{PublicKey: key.Public()}
	}
	rsaLeaf := &x509.Certificate{PublicKey: &rsa.PublicKey{}}
	tests := []struct {
		name string
		got  agreed
		want string // of the error; "": none
		free bool   // is fine for a program of its own choice
	}{
		{"what all have", agreed{tls.VersionTLS13, tls.X25519, ec(elliptic.P256())}, "", true},
		{"TLS 1.2", agreed{tls.VersionTLS12, tls.X25519, ec(elliptic.P256())}, "want TLS 1.3", false},
		{"another key exchange", agreed{tls.VersionTLS13, tls.CurveP256, ec(elliptic.P256())}, "want X25519", true},
		{"another curve", agreed{tls.VersionTLS13, tls.X25519, ec(elliptic.P384())}, "want one of P-256", true},
		{"an RSA key", agreed{tls.VersionTLS13, tls.X25519, rsaLeaf}, "want one of P-256", true},
		{"the origin's certificate", agreed{tls.VersionTLS13, tls.X25519, certs.origin.Leaf}, "the origin's own", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := certs.check(tt.got, tls.X25519, false)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("check() = %v, want %q", err, tt.want)
			}
			if err := certs.check(tt.got, tls.X25519, true); (err == nil) != tt.free {
				t.Errorf("check() of one that is free = %v", err)
			}
		})
	}
}

func TestNamesAsksForEachNameOnce(t *testing.T) {
	certs, err := newCertificates()
	if err != nil {
		t.Fatal(err)
	}
	config := certs.anyName(tls.X25519)
	asked := make(chan string, 1000)
	issue := config.GetCertificate
	config.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		asked <- hello.ServerName
		return issue(hello)
	}
	o, err := newOrigin(newPattern(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	direct := &target{proxy: o.addr(), front: direct, origin: o, shake: certs.shakeAsGo(tls.X25519, false), usage: account(ownGroup(t))}
	if got, err := names(t.Context(), direct, tiny); err != nil || len(got) != stages {
		t.Fatalf("names() = %v, %v", got, err)
	}
	close(asked)
	times := map[string]int{}
	for name := range asked {
		times[name]++
	}
	delete(times, serverName) // first of all, so that what is made once is there
	if len(times) != stages*tiny.Names {
		t.Errorf("%d names, want %d", len(times), stages*tiny.Names)
	}
	for name, n := range times {
		if n != 1 {
			t.Errorf("%s was asked for %d times", name, n)
		}
	}
}

package mirror

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bridgeio/bridgeio/detect"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// realHellos are hellos of real clients, by the names of their files.
func realHellos(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("../../../../testdata/hellos/*.bin")
	if err != nil || len(files) == 0 {
		t.Fatalf("hellos: %v, %d of them", err, len(files))
	}
	all := make(map[string][]byte)
	for _, file := range files {
		if all[strings.TrimSuffix(filepath.Base(file), ".bin")], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func parse(t testing.TB, wire []byte) *detect.ClientHello {
	t.Helper()
	hello, _, err := detect.ParseClientHello(wire)
	if err != nil {
		t.Fatal(err)
	}
	return hello
}

// certificates are made once: the RSA key is slow.
var certificates = sync.OnceValue(func() map[string]tls.Certificate {
	p256, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rsa2048, err2 := rsa.GenerateKey(rand.Reader, 2048)
	_, ed, err3 := ed25519.GenerateKey(rand.Reader)
	if err1 != nil || err2 != nil || err3 != nil {
		panic("no keys")
	}
	all := make(map[string]tls.Certificate)
	for kind, key := range map[string]crypto.Signer{"ECDSA": p256, "RSA": rsa2048, "Ed25519": ed} {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), DNSNames: []string{"server.test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			panic(err)
		}
		all[kind] = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	}
	return all
})

func allSuites() []uint16 {
	var ids []uint16
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		ids = append(ids, s.ID)
	}
	return ids
}

// server is a config that takes whatever crypto/tls can do.
func server() *tls.Config {
	all := certificates()
	return &tls.Config{
		Certificates: []tls.Certificate{all["ECDSA"], all["RSA"], all["Ed25519"]},
		MinVersion:   tls.VersionTLS10, CipherSuites: allSuites(), NextProtos: []string{"h2", "http/1.1"},
	}
}

// outcome is how one handshake went on both sides.
type outcome struct {
	session *Session
	result  *Result
	err     error
	server  tls.ConnectionState
	refused error // the server's
}

// shake has a server of crypto/tls answer a hello. After the handshake the two exchange a byte.
func shake(t testing.TB, hello *detect.ClientHello, config *tls.Config, mirrored Config) outcome {
	t.Helper()
	near, far := tcpPair(t)
	var o outcome
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer far.Close()
		s := tls.Server(far, config)
		if o.refused = s.Handshake(); o.refused == nil {
			o.server = s.ConnectionState()
			b := make([]byte, 1)
			s.Read(b)
			s.Write(b)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	o.session, o.result, o.err = Handshake(ctx, near, hello, mirrored)
	if o.err == nil {
		b := []byte{7}
		if _, err := o.session.Write(b); err != nil {
			t.Errorf("write: %v", err)
		}
		if _, err := o.session.Read(b); err != nil || b[0] != 7 {
			t.Errorf("read %v, %v", b, err)
		}
	}
	near.Close()
	<-done
	return o
}

// patience bounds what must never last; it is no measure of anything.
const patience = 30 * time.Second

func tcpPair(t testing.TB) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, _ := l.Accept()
		accepted <- c
	}()
	near, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if far = <-accepted; far == nil {
		t.Fatal("no conn")
	}
	near.SetDeadline(time.Now().Add(patience))
	far.SetDeadline(time.Now().Add(patience))
	return near, far
}

package interop

import (
	"bufio"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// The name that everybody may see, and the one that is encrypted.
const (
	publicName = "public.test"
	secretName = "secret.test"
)

// An echKey is a key of Encrypted Client Hello, and what clients are told of it.
type echKey struct {
	tls.EncryptedClientHelloKey
	list []byte // ECHConfigList
	pem  string // the key and the list (RFC 9934)
}

// newECHKey makes one for X25519, HKDF-SHA256 and AES-128-GCM (RFC 9849 §4).
func newECHKey(t *testing.T, id byte) echKey {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	contents := append([]byte{id, 0, 0x20}, vector(key.PublicKey().Bytes())...)
	contents = append(contents, vector([]byte{0, 1, 0, 1})...)
	contents = append(contents, 0, byte(len(publicName)))
	contents = append(append(contents, publicName...), 0, 0)
	config := append([]byte{0xfe, 0x0d}, vector(contents)...)
	list := vector(config)
	return echKey{
		tls.EncryptedClientHelloKey{Config: config, PrivateKey: key.Bytes(), SendAsRetry: true},
		list, pemOf("PRIVATE KEY", secret) + pemOf("ECHCONFIG", list),
	}
}

// vector is b with its length before it.
func vector(b []byte) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...) }

// An echSite is a server that knows of both names, and of Encrypted Client Hello.
type echSite struct {
	key    echKey
	root   string // file with the authority of its certificates
	port   int
	served chan served
}

// served is what the server knows of a connection.
type served struct {
	name     string
	accepted bool // it was the encrypted one
}

func startECHSite(t *testing.T) *echSite {
	t.Helper()
	authority, err := peers.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	s := &echSite{key: newECHKey(t, 1), root: writeFile(t, "root.pem", authority.PEM), served: make(chan served, 10)}
	public, err := authority.Leaf(publicName)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := authority.Leaf(secretName)
	if err != nil {
		t.Fatal(err)
	}
	s.port = serveWith(t, public, func(c *tls.Config) {
		pair, err := tls.X509KeyPair([]byte(secret.Cert), []byte(secret.Key))
		if err != nil {
			t.Fatal(err)
		}
		c.Certificates = append(c.Certificates, pair) // chosen by name
		c.EncryptedClientHelloKeys = []tls.EncryptedClientHelloKey{s.key.EncryptedClientHelloKey}
		c.VerifyConnection = func(state tls.ConnectionState) error {
			s.served <- served{state.ServerName, state.ECHAccepted}
			return nil
		}
	})
	return s
}

// saw is what the server knows of the next connection.
func (s *echSite) saw(t *testing.T) served {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
	defer cancel()
	select {
	case got := <-s.served:
		return got
	case <-ctx.Done():
		t.Fatalf("the server was not reached after %s", runTimeout)
	}
	panic("unreachable")
}

// visit asks the site for its page, by its secret name, through mitm. The configuration
// nil is for a client without Encrypted Client Hello.
func (s *echSite) visit(t *testing.T, m *mitm, root string, config []byte) (tls.ConnectionState, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
	defer cancel()
	plain, err := walk(ctx, m.addrs[0], []step{connect(onLoopback(s.port))})
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	c := tls.Client(plain, &tls.Config{
		ServerName: secretName, RootCAs: pool(t, root), EncryptedClientHelloConfigList: config, MinVersion: tls.VersionTLS13,
	})
	if err := c.HandshakeContext(ctx); err != nil {
		return tls.ConnectionState{}, err
	}
	getsPage(t, c)
	return c.ConnectionState(), nil
}

func getsPage(t *testing.T, c net.Conn) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "https://"+secretName+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := req.Write(c); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("status %d", res.StatusCode)
	}
}

// rejection is how a client was told that its Encrypted Client Hello was not taken.
func rejection(t *testing.T, err error) *tls.ECHRejectionError {
	t.Helper()
	var rejected *tls.ECHRejectionError
	if !errors.As(err, &rejected) {
		t.Fatalf("the client ends with %v, want a rejection of ECH", err)
	}
	return rejected
}

// A client whose hello nobody here can decrypt is told, by a certificate for the public
// name, that there is no Encrypted Client Hello, and comes again without. It has not
// refused anything.
func TestTLSAnEncryptedHelloIsRejectedAndComesInTheClear(t *testing.T) {
	t.Parallel()
	s := startECHSite(t)
	m := startTLSMitm(t, s.root)
	for range 3 { // a refusal would count
		_, err := s.visit(t, m, m.root, s.key.list)
		if list := rejection(t, err).RetryConfigList; len(list) > 0 {
			t.Errorf("the client is told of the keys %x, want none", list)
		}
		f := m.flow(t)
		if got := s.saw(t); got != (served{publicName, false}) || f.Action != "inspect" || f.TLS.Client.ECH != "offered" || f.TLS.Refused != "ech_required" {
			t.Errorf("the server saw %+v, flow %+v, %+v, want the public name, and a client that wants ECH", got, f, f.TLS)
		}
		state, err := s.visit(t, m, m.root, nil)
		if err != nil || state.ECHAccepted {
			t.Fatalf("without ECH: %+v, %v", state, err)
		}
		f = m.flow(t)
		if got := s.saw(t); got != (served{secretName, false}) || f.Action != "inspect" || f.TLS.Client.ECH != "" || f.TLS.Certificate.Verdict != "ok" {
			t.Errorf("the server saw %+v, flow %+v, %+v, want the secret name", got, f, f.TLS)
		}
	}
}

// With the operator's leave it is the server that decrypts it.
func TestTLSAnEncryptedHelloIsPassedOn(t *testing.T) {
	t.Parallel()
	s := startECHSite(t)
	m := startTLSMitm(t, s.root, "--ech", "pass")
	state, err := s.visit(t, m, s.root, s.key.list)
	if err != nil || !state.ECHAccepted {
		t.Fatalf("the client has %+v, %v, want ECH accepted by the server itself", state, err)
	}
	f := m.flow(t)
	if got := s.saw(t); got != (served{secretName, true}) || f.Action != "bypass" || f.Rule != "ech" || f.Frames[1]["sni"] != publicName {
		t.Errorf("the server saw %+v, flow %+v, want a bypass by the rule ech", got, f)
	}
	if _, err := s.visit(t, m, m.root, nil); err != nil {
		t.Fatal(err)
	}
	if f := m.flow(t); f.Action != "inspect" || f.Rule != "default" {
		t.Errorf("flow %+v, want one without ECH to be inspected", f)
	}
}

// With the operator's keys, which clients are told of by DNS or by the rejection of
// another one, it is decrypted, and the server sees what was in it.
func TestTLSAnEncryptedHelloIsDecryptedWithTheOperatorsKeys(t *testing.T) {
	t.Parallel()
	s := startECHSite(t)
	ours := newECHKey(t, 2)
	m := startTLSMitm(t, s.root, "--ech", "terminate:"+writeFile(t, "ech.pem", ours.pem))
	visits := func(config []byte) {
		t.Helper()
		state, err := s.visit(t, m, m.root, config)
		if err != nil || !state.ECHAccepted {
			t.Fatalf("the client has %+v, %v, want ECH accepted", state, err)
		}
		f := m.flow(t)
		if got := s.saw(t); got != (served{secretName, false}) || f.Action != "inspect" || f.TLS.Client.ECH != "accepted" || f.TLS.Certificate.Verdict != "ok" || f.Frames[1]["sni"] != secretName {
			t.Errorf("the server saw %+v, flow %+v, %+v, want the secret name inspected", got, f, f.TLS)
		}
	}
	visits(ours.list)

	_, err := s.visit(t, m, m.root, s.key.list)
	retry := rejection(t, err).RetryConfigList
	if len(retry) == 0 {
		t.Fatal("the client of another key is not told of ours")
	}
	s.saw(t)
	m.flow(t)
	visits(retry)
}

package tlsbridge

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/detect"
)

// echPair is a key and the list of configurations that clients get.
type echPair struct {
	private *ecdh.PrivateKey
	list    []byte
}

func newECHPair(t testing.TB, id byte, publicName string) echPair {
	t.Helper()
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	config := echConfig(id, private.PublicKey().Bytes(), publicName)
	return echPair{private, append(binary.BigEndian.AppendUint16(nil, uint16(len(config))), config...)}
}

// pem is the pair as RFC 9934 has it.
func (p echPair) pem(t testing.TB) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(p.private)
	if err != nil {
		t.Fatal(err)
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "ECHCONFIG", Bytes: p.list})...)
}

func (p echPair) keys(t testing.TB) []tls.EncryptedClientHelloKey {
	t.Helper()
	keys, err := ParseECHKeys(p.pem(t))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func echClient(list []byte) *tls.Config {
	config := clientConfig()
	config.MinVersion, config.EncryptedClientHelloConfigList = tls.VersionTLS13, list
	return config
}

// publicName is what a client of ECH shows to everybody.
const publicName = "public.test"

// With the operator's keys, the server sees the inner hello alone, and the client that its
// ECH was accepted.
func TestECHIsTakenOffWithTheOperatorsKeys(t *testing.T) {
	for name, groups := range map[string][]tls.CurveID{"at once": nil, "after a retry": {tls.CurveP384}} {
		t.Run(name, func(t *testing.T) {
			bridgetest.Baseline(t)
			pair := newECHPair(t, 1, publicName)
			seen := make(chan *tls.ClientHelloInfo, 4)
			addr, saw := echoTLS(t, &tls.Config{
				Certificates: []tls.Certificate{*certificate("ECDSA")}, CurvePreferences: groups, NextProtos: []string{"h2"},
				GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) { seen <- h; return nil, nil },
			})
			l := newLab(t, bridge.Chain(Relay(Config{Minter: copying{}, ECHKeys: pair.keys(t)})), addr, bridge.Limits{})
			config := echClient(pair.list)
			config.NextProtos = []string{"h2"}
			if groups != nil {
				config.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP384}
			}
			client, flow := talk(t, l, "127.0.0.1", config)
			server := (<-saw).state
			if !client.ECHAccepted || server.ServerName != serverName || server.HelloRetryRequest != (groups != nil) {
				t.Errorf("accepted %v, the server was asked for %q, retried %v", client.ECHAccepted, server.ServerName, server.HelloRetryRequest)
			}
			if hello := <-seen; hasExtension(hello.Extensions, extECH) {
				t.Error("the server sees an encrypted_client_hello")
			}
			if info := infoOf(t, flow); info.ECH != "accepted" || flow.Frames()[0].SNI != serverName || flow.Path() != "tls(h2)" {
				t.Errorf("frames %+v, info %+v", flow.Frames(), info)
			}
		})
	}
}

func hasExtension(list []uint16, id uint16) bool { return contains(list, id) }

// A client with an older configuration gets ours, and succeeds with it.
func TestAClientWithOtherECHKeysIsToldOurs(t *testing.T) {
	bridgetest.Baseline(t)
	ours, other := newECHPair(t, 1, publicName), newECHPair(t, 2, serverName)
	addr, _ := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{*certificate("ECDSA")}})
	l := newLab(t, bridge.Chain(Relay(Config{Minter: copying{}, ECHKeys: ours.keys(t)})), addr, bridge.Limits{})
	config := echClient(other.list)
	config.ServerName = "secret.test"
	raw := l.dial(t)
	err := tls.Client(raw, config).Handshake()
	raw.Close()
	l.ends(t)
	rejected := (*tls.ECHRejectionError)(nil)
	if !errors.As(err, &rejected) || !bytes.Equal(rejected.RetryConfigList, ours.list) {
		t.Fatalf("the client: %v, want it rejected with our configurations", err)
	}
	config = echClient(rejected.RetryConfigList)
	if client, _ := talk(t, l, "127.0.0.1", config); !client.ECHAccepted {
		t.Error("the second attempt was not accepted")
	}
}

func TestParseECHKeys(t *testing.T) {
	one, two := newECHPair(t, 1, publicName), newECHPair(t, 2, publicName)
	text := one.pem(t)
	key, config, _ := bytes.Cut(text, []byte("-----BEGIN ECHCONFIG"))
	config = append([]byte("-----BEGIN ECHCONFIG"), config...)
	unknown := echPair{one.private, nil}
	unknown.list = append([]byte{0, 4 + byte(0)}, 0xfe, 0xaa, 0, 0) // of a version that nobody knows
	unknown.list = append(unknown.list, one.list[2:]...)
	binary.BigEndian.PutUint16(unknown.list, uint16(len(unknown.list)-2))
	for _, tt := range []struct {
		name string
		text []byte
		keys int
		fail string
	}{
		{"a pair", text, 1, ""},
		{"two pairs", append(bytes.Clone(text), two.pem(t)...), 2, ""},
		{"a configuration of another version in front", unknown.pem(t), 1, ""},
		{"nothing", nil, 0, "no ECH keys in it"},
		{"a key alone", key, 0, "no ECH keys in it"},
		{"a configuration alone", config, 0, "without a PRIVATE KEY"},
		{"another's configuration", append(bytes.Clone(key), two.pem(t)[bytes.Index(two.pem(t), []byte("-----BEGIN ECHCONFIG")):]...), 0, "no configuration for the PRIVATE KEY"},
		{"a list that ends early", echPair{one.private, one.list[:len(one.list)-1]}.pem(t), 0, "not a list"},
		{"a configuration that ends early", echPair{one.private, []byte{0, 6, 0xfe, 0x0d, 0, 2, 1, 0}}.pem(t), 0, "malformed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			keys, err := ParseECHKeys(tt.text)
			switch {
			case tt.fail == "" && (err != nil || len(keys) != tt.keys):
				t.Errorf("ParseECHKeys() = %d keys, %v; want %d", len(keys), err, tt.keys)
			case tt.fail != "" && (err == nil || !strings.Contains(err.Error(), tt.fail)):
				t.Errorf("ParseECHKeys() fails with %v, want %q", err, tt.fail)
			}
		})
	}
}

// Whatever an inner hello says, it is decoded to a hello that parses, or refused; and it
// can't grow beyond what its two parts have.
func FuzzDecodeInnerHello(f *testing.F) {
	outer := parseHello(f, helloOf(f, echClient(newECHPair(f, 1, publicName).list)))
	inner := append([]byte{3, 3}, make([]byte, 32)...)
	inner = append(inner, 0, 0, 2, 0x13, 1, 1, 0)
	f.Add(append(bytes.Clone(inner), 0, 0, 0, 0))
	f.Add(append(bytes.Clone(inner), 0, 5+4, 0xfe, 0x0d, 0, 1, 1, 0xfd, 0, 0, 0))
	f.Add(append(bytes.Clone(inner), 0, 9, 0xfd, 0, 0, 5, 4, 0, 10, 0, 51))
	f.Fuzz(func(t *testing.T, encoded []byte) {
		hello, err := decodeInnerHello(outer, encoded)
		if err != nil {
			return
		}
		if hello.HasECH || len(hello.Raw) > len(outer.Raw)+len(encoded) {
			t.Errorf("%x decodes to %x", encoded, hello.Raw)
		}
	})
}

func parseHello(t testing.TB, wire []byte) *detect.ClientHello {
	t.Helper()
	hello, _, err := detect.ParseClientHello(wire)
	if err != nil {
		t.Fatal(err)
	}
	return hello
}

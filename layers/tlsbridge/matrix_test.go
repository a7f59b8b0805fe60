package tlsbridge

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

// allSuites is every suite below TLS 1.3 that crypto/tls knows.
func allSuites() []uint16 {
	var ids []uint16
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		ids = append(ids, s.ID)
	}
	return ids
}

// anything is a client that takes whatever crypto/tls knows.
func anything(alpn ...string) *tls.Config {
	config := clientConfig()
	config.MinVersion, config.CipherSuites, config.NextProtos = tls.VersionTLS10, allSuites(), alpn
	return config
}

// sameOnBothSides bridges one connection to a server with the given config, and
// compares what the two peers say about it.
func sameOnBothSides(t *testing.T, server, client *tls.Config) (c, s tls.ConnectionState) {
	t.Helper()
	addr, saw := echoTLS(t, server)
	l := newLab(t, relayed(), addr, bridge.Limits{})
	session := tls.Client(l.dial(t), client)
	roundtrip(t, session)
	c, s = session.ConnectionState(), (<-saw).state
	if c.Version != s.Version || c.NegotiatedProtocol != s.NegotiatedProtocol || c.CurveID != s.CurveID {
		t.Errorf("the client has %s %q %s, the server %s %q %s", tls.VersionName(c.Version), c.NegotiatedProtocol, c.CurveID,
			tls.VersionName(s.Version), s.NegotiatedProtocol, s.CurveID)
	}
	if c.Version < tls.VersionTLS13 && c.CipherSuite != s.CipherSuite {
		t.Errorf("the client has %s, the server %s", tls.CipherSuiteName(c.CipherSuite), tls.CipherSuiteName(s.CipherSuite))
	}
	flow, out := l.ends(t)
	if out.Reason != bridge.EOF {
		t.Errorf("outcome %+v, want eof", out)
	}
	checkInfo(t, flow, c, s)
	return c, s
}

// checkInfo compares what the flow's frame says with what the peers do.
func checkInfo(t *testing.T, flow *bridge.Flow, c, s tls.ConnectionState) {
	t.Helper()
	frames := flow.Frames()
	info, ok := frames[len(frames)-1].Detail.(*Info)
	if !ok {
		t.Fatalf("the frame is %+v, want one with an *Info", frames)
	}
	if want := (Leg{c.Version, c.CipherSuite, c.CurveID, c.NegotiatedProtocol, c.DidResume}); info.Client != want {
		t.Errorf("the client's leg is %+v, want %+v", info.Client, want)
	}
	if want := (Leg{s.Version, s.CipherSuite, s.CurveID, s.NegotiatedProtocol, s.DidResume}); info.Server != want {
		t.Errorf("the server's leg is %+v, want %+v", info.Server, want)
	}
}

func TestBothSidesHaveTheSame(t *testing.T) {
	versions := []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13}
	groups := []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.X25519MLKEM768}
	for _, version := range versions {
		for _, kind := range []string{"ECDSA", "RSA", "Ed25519"} {
			for _, group := range groups {
				// RFC 8422 §5.10 has Ed25519 for TLS 1.2 and up, and hybrid groups are for TLS 1.3.
				if kind == "Ed25519" && version < tls.VersionTLS12 || group == tls.X25519MLKEM768 && version < tls.VersionTLS13 {
					continue
				}
				for _, alpn := range []string{"h2", "http/1.1", ""} {
					name := fmt.Sprintf("%s, %s, %s, ALPN %q", tls.VersionName(version), kind, group, alpn)
					t.Run(name, func(t *testing.T) { testCombination(t, version, kind, group, alpn) })
				}
			}
		}
	}
}

func testCombination(t *testing.T, version uint16, kind string, group tls.CurveID, alpn string) {
	leaf := certificate(kind)
	server := &tls.Config{
		Certificates: []tls.Certificate{*leaf}, MinVersion: version, MaxVersion: version,
		CurvePreferences: []tls.CurveID{group}, CipherSuites: allSuites(),
	}
	client := anything("h2", "http/1.1")
	if server.NextProtos = []string{alpn}; alpn == "" {
		server.NextProtos, client.NextProtos = nil, nil
	}
	c, _ := sameOnBothSides(t, server, client)
	if c.Version != version || c.NegotiatedProtocol != alpn || c.CurveID != group {
		t.Errorf("negotiated %s %q %s", tls.VersionName(c.Version), c.NegotiatedProtocol, c.CurveID)
	}
	shown := c.PeerCertificates[0]
	if shown.PublicKeyAlgorithm != leaf.Leaf.PublicKeyAlgorithm || shown.Subject.String() != leaf.Leaf.Subject.String() ||
		!slices.Equal(shown.DNSNames, leaf.Leaf.DNSNames) || !shown.NotAfter.Equal(leaf.Leaf.NotAfter) {
		t.Errorf("shown %v %s %v %v", shown.PublicKeyAlgorithm, shown.Subject, shown.DNSNames, shown.NotAfter)
	}
}

func TestEachCipherSuiteOfTLS12IsTheServers(t *testing.T) {
	for _, id := range allSuites() {
		name := tls.CipherSuiteName(id)
		suite := slices.IndexFunc(append(tls.CipherSuites(), tls.InsecureCipherSuites()...), func(s *tls.CipherSuite) bool {
			return s.ID == id && slices.Contains(s.SupportedVersions, tls.VersionTLS12)
		})
		if suite < 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			kind := "RSA"
			if id == tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 || name[:len("TLS_ECDHE_E")] == "TLS_ECDHE_E" {
				kind = "ECDSA"
			}
			server := &tls.Config{
				Certificates: []tls.Certificate{*certificate(kind)}, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{id},
			}
			if c, _ := sameOnBothSides(t, server, anything()); c.CipherSuite != id {
				t.Errorf("negotiated %s", tls.CipherSuiteName(c.CipherSuite))
			}
		})
	}
}

func TestTheClientIsAskedToRetryAsTheServerHasAsked(t *testing.T) {
	server := &tls.Config{Certificates: []tls.Certificate{*certificate("P-384")}, CurvePreferences: []tls.CurveID{tls.CurveP384}}
	client := anything()
	client.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP384}
	c, s := sameOnBothSides(t, server, client)
	if !c.HelloRetryRequest || !s.HelloRetryRequest {
		t.Errorf("a HelloRetryRequest: to the client %t, by the server %t; want both", c.HelloRetryRequest, s.HelloRetryRequest)
	}
}

func TestTheServerIsOfferedNothingThatTheClientDoesNot(t *testing.T) {
	hellos := make(chan *tls.ClientHelloInfo, 1)
	server := &tls.Config{
		Certificates: []tls.Certificate{*certificate("RSA")},
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			hellos <- h
			return nil, nil
		},
	}
	client := clientConfig()
	client.MaxVersion = tls.VersionTLS12
	client.CipherSuites = []uint16{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384}
	client.CurvePreferences = []tls.CurveID{tls.CurveP384}
	client.ServerName, client.InsecureSkipVerify = "127.0.0.1", true // sends no server_name
	sameOnBothSides(t, server, client)
	h := <-hellos
	if h.ServerName != "" || h.SupportedProtos != nil || !slices.Equal(h.SupportedCurves, client.CurvePreferences) ||
		!slices.Equal(h.CipherSuites, client.CipherSuites) || slices.Max(h.SupportedVersions) != tls.VersionTLS12 {
		t.Errorf("the server was offered %+v", h)
	}
}

func TestABrokenCertificateIsBrokenInTheSameWay(t *testing.T) {
	expired, wrongHost := leafTemplate(), leafTemplate()
	expired.NotBefore, expired.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	wrongHost.DNSNames = []string{"another.test"}
	for name, c := range map[string]struct {
		leaf *tls.Certificate
		want func(error) bool
	}{
		"expired":        {signed(expired, "ECDSA", serverCA()), invalidFor(x509.Expired)},
		"wrong host":     {signed(wrongHost, "RSA", serverCA()), isA[x509.HostnameError]},
		"unknown issuer": {signed(leafTemplate(), "Ed25519", otherCA()), isA[x509.UnknownAuthorityError]},
		"self-signed":    {selfSigned(leafTemplate(), "ECDSA"), isA[x509.UnknownAuthorityError]},
	} {
		t.Run(name, func(t *testing.T) {
			addr, _ := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{*c.leaf}})
			direct, err := tls.Dial("tcp", addr.String(), &tls.Config{ServerName: serverName, RootCAs: serverCA().pool()})
			if err == nil {
				direct.Close()
			}
			if !c.want(err) {
				t.Fatalf("without us: %v", err)
			}
			l := newLab(t, relayed(), addr, bridge.Limits{})
			raw := l.dial(t)
			err = tls.Client(raw, clientConfig()).Handshake()
			raw.Close()
			if !c.want(err) {
				t.Errorf("the client fails with %v", err)
			}
			if _, out := l.ends(t); out.Reason != bridge.TLSClient || out.EndedBy != bridge.ByClient {
				t.Errorf("outcome %+v, want tls_client by client", out)
			}
		})
	}
}

func isA[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

func invalidFor(reason x509.InvalidReason) func(error) bool {
	return func(err error) bool {
		var invalid x509.CertificateInvalidError
		return errors.As(err, &invalid) && invalid.Reason == reason
	}
}

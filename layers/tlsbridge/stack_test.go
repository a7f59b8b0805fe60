package tlsbridge

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/detect"
)

// pieces is a conn that writes its first record cut into records and writes of a byte.
type pieces struct {
	net.Conn
	records int // the size of a record's payload; 0: one record
	begun   bool
}

func (p *pieces) Write(b []byte) (int, error) {
	if p.begun {
		return p.Conn.Write(b)
	}
	p.begun = true
	out := b
	if p.records > 0 {
		out = nil
		for body := b[5:]; len(body) > 0; {
			n := min(p.records, len(body))
			out = append(append(out, b[0], b[1], b[2], 0, byte(n)), body[:n]...)
			body = body[n:]
		}
	}
	for i := range out {
		if _, err := p.Conn.Write(out[i : i+1]); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

func TestAHelloMayComeInAnyPieces(t *testing.T) {
	bridgetest.Baseline(t)
	addr, _ := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{*certificate("ECDSA")}})
	l := newLab(t, relayed(), addr, bridge.Limits{})
	for _, records := range []int{0, 100, 33} {
		c := l.dial(t)
		c.SetNoDelay(true)
		// A hello without a hybrid share: there may be 64 records.
		roundtrip(t, tls.Client(&pieces{Conn: c, records: records}, known()))
		if flow, out := l.ends(t); out.Reason != bridge.EOF || flow.Path() != "tls" {
			t.Errorf("records of %d bytes: path %s, outcome %+v", records, flow.Path(), out)
		}
	}
}

func TestWhatFollowsTheHelloIsNotLost(t *testing.T) {
	// A TLS 1.3 client may send ChangeCipherSpec right after its hello (RFC 8446 §D.4), in one segment with it.
	bridgetest.Baseline(t)
	addr, _ := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{*certificate("ECDSA")}})
	l := newLab(t, relayed(), addr, bridge.Limits{})
	c := l.dial(t)
	roundtrip(t, tls.Client(&withCCS{Conn: c}, clientConfig()))
	if flow, out := l.ends(t); out.Reason != bridge.EOF || !flow.Decrypted() {
		t.Errorf("path %s, outcome %+v", flow.Path(), out)
	}
}

// withCCS is a conn that appends a ChangeCipherSpec record to the first write.
type withCCS struct {
	net.Conn
	begun bool
}

func (w *withCCS) Write(b []byte) (int, error) {
	if w.begun {
		return w.Conn.Write(b)
	}
	w.begun = true
	if _, err := w.Conn.Write(append(bytes.Clone(b), 20, 3, 3, 0, 1, 1)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// own is a Terminate for the name of an HTTPS proxy.
func own() bridge.Layer {
	return Terminate(TerminateConfig{
		Certificate: func(_ context.Context, f *bridge.Flow, h *detect.ClientHello) (*tls.Certificate, error) {
			if h.ServerName == "nobody.test" {
				return nil, errors.New("nobody asks for that")
			}
			template := leafTemplate()
			template.DNSNames = []string{h.ServerName, f.Local().Host}
			return signed(template, "ECDSA", mitmCA()), nil
		},
		ALPN: []string{"http/1.1"},
	})
}

// sealed wraps a client's conn in a TLS of its own.
func sealed(t *testing.T, c net.Conn, config *tls.Config) *tls.Conn {
	t.Helper()
	s := tls.Client(c, config)
	if err := s.Handshake(); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTLSInsideOfTLS(t *testing.T) {
	inner, _ := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{*certificate("ECDSA")}, NextProtos: []string{"h2"}})
	outer := serveTCP(t, func(c *net.TCPConn) {
		s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*certificate("RSA")}, NextProtos: []string{"http/1.1"}})
		if s.Handshake() != nil {
			return
		}
		i := tls.Server(s, &tls.Config{Certificates: []tls.Certificate{*certificate("ECDSA")}, NextProtos: []string{"h2"}})
		if i.Handshake() == nil {
			io.Copy(i, i)
			i.CloseWrite()
			s.CloseWrite()
		}
	})
	relay := Relay(Config{Minter: copying{}})
	for name, c := range map[string]struct {
		handler bridge.Handler
		hop     bridge.Addr
		path    string
	}{
		"both are bridged":                             {bridge.Chain(relay, relay), outer, "tls(http/1.1)>tls(h2)"},
		"the outer is for us, and the inner bridged":   {bridge.Chain(own(), relay), inner, "tls(http/1.1)>tls(h2)"},
		"the outer is bridged, and the inner let pass": {bridge.Chain(relay, passing()), outer, "tls(http/1.1)>tls(pass)"},
	} {
		t.Run(name, func(t *testing.T) {
			bridgetest.Baseline(t)
			l := newLab(t, c.handler, c.hop, bridge.Limits{})
			config := clientConfig()
			config.NextProtos = []string{"http/1.1"}
			out := sealed(t, l.dial(t), config)
			config = clientConfig()
			config.NextProtos = []string{"h2"}
			if strings.HasSuffix(c.path, "pass)") {
				config.RootCAs = serverCA().pool()
			}
			roundtrip(t, tls.Client(out, config))
			out.CloseWrite()
			if _, err := io.ReadAll(out); err != nil {
				t.Errorf("the outer end: %v", err)
			}
			if flow, o := l.ends(t); flow.Path() != c.path || o.Reason != bridge.EOF {
				t.Errorf("path %s, outcome %+v; want %s, eof", flow.Path(), o, c.path)
			}
		})
	}
}

func passing() bridge.Layer {
	return Relay(Config{Minter: copying{}, Policy: func(*bridge.Flow, *detect.ClientHello) (Action, string) { return Pass, "" }})
}

func TestTheHelloNamesTheHopWhereNobodyElseDoes(t *testing.T) {
	addr, saw := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{*certificate("ECDSA")}})
	var hops []bridge.Addr
	p := &bridge.Proxy{
		Handler: bridge.Chain(Relay(Config{Minter: copying{}, Port: 8443})),
		Dial: func(ctx context.Context, hop bridge.Addr, _ *bridge.Flow) (net.Conn, error) {
			hops = append(hops, hop)
			return (&net.Dialer{}).DialContext(ctx, "tcp", addr.String())
		},
	}
	client, server := bridgetest.TCPPair(t)
	outcome := make(chan bridge.Outcome, 1)
	go func() { outcome <- p.ServeConn(context.Background(), server) }()
	roundtrip(t, tls.Client(client, clientConfig()))
	<-saw
	if out := <-outcome; out.Reason != bridge.EOF {
		t.Errorf("outcome %+v", out)
	}
	if want := (bridge.Addr{Host: serverName, Port: 8443}); len(hops) != 1 || hops[0] != want {
		t.Errorf("dialled %v, want %s", hops, want)
	}
}

func TestAHelloIsRefused(t *testing.T) {
	nameless := clientConfig()
	nameless.ServerName, nameless.InsecureSkipVerify = "", true
	block := func(*bridge.Flow, *detect.ClientHello) (Action, string) { return Block, "a rule" }
	for name, c := range map[string]struct {
		layer  bridge.Layer
		config *tls.Config
		alert  Alert
		reason bridge.Reason
	}{
		"without a name and a hop":         {Relay(Config{Minter: copying{}}), nameless, unrecognizedName, bridge.Unreachable},
		"by the policy":                    {Relay(Config{Minter: copying{}, Policy: block}), clientConfig(), accessDenied, bridge.Block},
		"for want of a certificate":        {own(), &tls.Config{ServerName: "nobody.test"}, internalError, bridge.Internal},
		"for a protocol that is not ours":  {own(), withALPN("h2"), 120, bridge.TLSClient},
		"for a version that is not served": {own(), withVersion(tls.VersionTLS11), protocolVersion, bridge.TLSClient},
	} {
		t.Run(name, func(t *testing.T) {
			bridgetest.Baseline(t)
			l := newLab(t, bridge.Chain(c.layer), bridge.Addr{}, bridge.Limits{})
			raw := l.dial(t)
			err := tls.Client(raw, c.config).Handshake()
			if a, ok := alertOf(err); !ok || a != c.alert {
				t.Errorf("the client fails with %v, want alert %d", err, c.alert)
			}
			raw.Close()
			f, out := l.ends(t)
			if out.Reason != c.reason || out.EndedBy != bridge.ByMITM {
				t.Errorf("outcome %+v, want %s by mitm", out, c.reason)
			}
			if frames := f.Frames(); c.reason == bridge.Block && (len(frames) != 1 || frames[0].Note != "a rule" || frames[0].SNI != serverName) {
				t.Errorf("frames %+v, want one with the rule and the name", frames)
			}
		})
	}
}

func withALPN(protos ...string) *tls.Config {
	config := clientConfig()
	config.NextProtos = protos
	return config
}

func withVersion(v uint16) *tls.Config {
	config := clientConfig()
	config.MinVersion, config.MaxVersion = tls.VersionTLS10, v
	return config
}

func TestTerminateAnswersWhatIsNoHello(t *testing.T) {
	l := newLab(t, bridge.Chain(own()), bridge.Addr{Host: "192.0.2.1", Port: 1}, bridge.Limits{})
	c := l.dial(t)
	io.WriteString(c, "GET / HTTP/1.1\r\n")
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, []byte{21, 3, 3, 0, 2, 2, byte(decodeError)}) {
		t.Errorf("the client got %x, %v; want decode_error", got, err)
	}
	c.Close()
	if _, out := l.ends(t); out.Reason != bridge.Desynced {
		t.Errorf("outcome %+v, want desync: it must not go on raw", out)
	}
}

func TestRedialShakesHandsAgainAndWantsTheSameLeaf(t *testing.T) {
	again := certificate("ECDSA")
	for name, c := range map[string]struct {
		leaves []*tls.Certificate
		want   string
	}{
		"the same leaf":     {[]*tls.Certificate{again, again}, ""},
		"another leaf":      {[]*tls.Certificate{again, certificate("RSA")}, "another certificate"},
		"no handshake more": {[]*tls.Certificate{again, nil}, "handshake with the server"},
	} {
		t.Run(name, func(t *testing.T) {
			bridgetest.Baseline(t)
			leaves := make(chan *tls.Certificate, 2)
			for _, leaf := range c.leaves {
				leaves <- leaf
			}
			addr, _ := echoTLS(t, &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				if leaf := <-leaves; leaf != nil {
					return leaf, nil
				}
				return nil, errors.New("none left")
			}})
			var redialled error
			redial := bridge.Layer{Name: "redial", Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
				if redialled = b.Redial(ctx); redialled != nil {
					return redialled
				}
				return next(ctx, b)
			}}
			l := newLab(t, bridge.Chain(Relay(Config{Minter: copying{}}), redial), addr, bridge.Limits{})
			client := sealed(t, l.dial(t), clientConfig())
			if c.want == "" {
				roundtrip(t, client)
			} else if n, err := client.Read(make([]byte, 1)); err == nil {
				t.Errorf("%d bytes came", n)
			}
			client.Close()
			l.ends(t)
			if got := errorText(redialled); (c.want == "") != (redialled == nil) || !strings.Contains(got, c.want) {
				t.Errorf("Redial: %v, want %q", redialled, c.want)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestDialPutsTLSOnTheServerSide(t *testing.T) {
	addr, saw := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{*certificate("ECDSA")}})
	for name, c := range map[string]struct {
		config *tls.Config
		ok     bool
	}{
		"a server that verifies":      {direct(), true},
		"a name that it does not own": {&tls.Config{RootCAs: serverCA().pool()}, false},
		"an issuer that nobody knows": {&tls.Config{ServerName: serverName}, false},
	} {
		t.Run(name, func(t *testing.T) {
			bridgetest.Baseline(t)
			l := newLabDialing(t, Dial(nil, DialConfig{TLS: c.config}), addr)
			raw := l.dial(t)
			const message = "in plain"
			io.WriteString(raw, message)
			raw.CloseWrite()
			got, err := io.ReadAll(raw)
			if c.ok != (string(got) == message) || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
			raw.Close()
			<-saw
			_, out := l.ends(t)
			if want := map[bool]bridge.Reason{true: bridge.EOF, false: bridge.TLSServer}[c.ok]; out.Reason != want {
				t.Errorf("outcome %+v, want %s", out, want)
			}
		})
	}
}

func TestOriginatePutsTLSOnABridge(t *testing.T) {
	addr, saw := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{*certificate("ECDSA")}})
	dialled := bridge.Layer{Name: "dial", Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
		if err := b.Dial(ctx); err != nil {
			return err
		}
		return next(ctx, b)
	}}
	redialled := bridge.Layer{Name: "redial", Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
		if err := b.Redial(ctx); err != nil {
			return err
		}
		return next(ctx, b)
	}}
	for name, c := range map[string]struct {
		config        *tls.Config
		before, after []bridge.Layer
		handshakes    int
		ok            bool
	}{
		"a server that is not dialled yet": {config: direct(), handshakes: 1, ok: true},
		"a server that is dialled":         {config: direct(), before: []bridge.Layer{dialled}, handshakes: 1, ok: true},
		"again on a redial":                {config: direct(), after: []bridge.Layer{redialled}, handshakes: 2, ok: true},
		"an issuer that nobody knows":      {config: &tls.Config{ServerName: serverName}, handshakes: 1},
	} {
		t.Run(name, func(t *testing.T) {
			bridgetest.Baseline(t)
			chain := append(append(c.before, Originate(DialConfig{TLS: c.config})), c.after...)
			l := newLab(t, bridge.Chain(chain...), addr, bridge.Limits{})
			raw := l.dial(t)
			const message = "in plain"
			io.WriteString(raw, message)
			raw.CloseWrite()
			got, err := io.ReadAll(raw)
			if c.ok != (string(got) == message) || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
			raw.Close()
			f, out := l.ends(t)
			if want := map[bool]bridge.Reason{true: bridge.EOF, false: bridge.TLSServer}[c.ok]; out.Reason != want {
				t.Errorf("outcome %+v, want %s", out, want)
			}
			frames := f.Frames()
			if len(frames) != 1 || frames[0].Verb != bridge.VerbOriginate || frames[0].SNI != serverName || !frames[0].Decrypted {
				t.Errorf("frames %+v", frames)
			}
			for range c.handshakes {
				<-saw
			}
		})
	}
}

func TestALeafOfAnotherKindHasACipherSuiteOfItsKind(t *testing.T) {
	for _, tt := range []struct {
		suite uint16
		kind  string
		want  uint16
	}{
		{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "ECDSA", tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
		{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "RSA", tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
		{tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "ECDSA", tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256},
		{tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, "RSA", tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA},
		{tls.TLS_RSA_WITH_AES_128_GCM_SHA256, "ECDSA", tls.TLS_RSA_WITH_AES_128_GCM_SHA256},
	} {
		if got := suiteFor(tt.suite, certificate(tt.kind)); got != tt.want {
			t.Errorf("%s with a leaf of %s: %s, want %s", tls.CipherSuiteName(tt.suite), tt.kind, tls.CipherSuiteName(got), tls.CipherSuiteName(tt.want))
		}
	}
}

func TestDialGivesUpOnAServerThatIsSilent(t *testing.T) {
	bridgetest.Baseline(t)
	addr := serveTCP(t, func(c *net.TCPConn) { io.Copy(io.Discard, c) })
	_, err := Dial(nil, DialConfig{TLS: direct(), Timeout: 50 * time.Millisecond})(context.Background(), addr, &bridge.Flow{})
	if reason, by := bridge.ReasonOf(err); reason != bridge.Timeout || by != bridge.ByServer {
		t.Errorf("Dial: %v (%s by %s), want a timeout by the server", err, reason, by)
	}
}

package mitm

import (
	"bufio"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/layers/proxyproto"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
	"github.com/bridgeio/bridgeio/mitm/policy"
)

// siteName is the name of the servers in these tests.
const siteName = "www.example.test"

// certified is a certificate for siteName, by the world's root.
func (w *world) certified(t *testing.T, key crypto.Signer) tls.Certificate {
	t.Helper()
	leaf := issued(t, func(c *x509.Certificate) { c.DNSNames = []string{siteName} }, w.root, key.Public(), w.key)
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

// site greets each client, which it echoes then, until the test ends. It speaks TLS if it
// has a Config for that.
func site(t *testing.T, greeting string, config *tls.Config) bridge.Addr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := bridge.AddrOf(l.Addr())
	if config != nil {
		l = tls.NewListener(l, config)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, greeting)
			io.Copy(c, c)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return addr
}

// visitor is a client.
type visitor struct {
	tls    *tls.Config // nil: it does not speak TLS
	before string      // what it says first, outside of TLS
	says   string
}

// visit returns the line that the client gets, and the certificate that it was shown.
func (v visitor) visit(t *testing.T, addr string) (line string, shown *x509.Certificate, err error) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, v.before)
	if v.tls != nil {
		session := tls.Client(c, v.tls)
		if err := session.Handshake(); err != nil {
			return "", nil, err
		}
		shown = session.ConnectionState().PeerCertificates[0]
		c = session
	}
	io.WriteString(c, v.says)
	line, err = bufio.NewReader(c).ReadString('\n')
	return line, shown, err
}

// gateway is a server's configuration with one listener for TLS.
func gateway(server bridge.Addr, change func(*Config)) Config {
	c := Config{
		TLS:     []TLSListener{{Addr: "127.0.0.1:0", Decrypted: 80, Port: server.Port}},
		Connect: bridge.Addr{Host: server.Host},
	}
	change(&c)
	return c
}

func asks(change func(*tls.Config)) visitor {
	c := &tls.Config{ServerName: siteName, InsecureSkipVerify: true}
	change(c)
	return visitor{tls: c, says: "hello\n"}
}

func asIs(*tls.Config) {}

func TestAGateway(t *testing.T) {
	w := newWorld(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecdsa, rsa := w.certified(t, newKey(t)), w.certified(t, rsaKey)
	own := filepath.Join(t.TempDir(), "own.pem")
	ownCert, text := pairPEM(t)
	put(t, own, text)
	operators, err := ParseServerCertificate(siteName + ":" + own)
	if err != nil {
		t.Fatal(err)
	}
	withTLS := site(t, "", &tls.Config{Certificates: []tls.Certificate{ecdsa}})
	withRSA := site(t, "", &tls.Config{Certificates: []tls.Certificate{rsa}, MaxVersion: tls.VersionTLS12})
	greeting := site(t, "220 hi\r\n", &tls.Config{Certificates: []tls.Certificate{ecdsa}})
	plain, plainGreeting := site(t, "", nil), site(t, "220 hi\r\n", nil)
	nameless := func(c *tls.Config) { c.ServerName = "192.0.2.1" }
	notTLS := visitor{says: "hello\n"}

	for _, tt := range []struct {
		name   string
		server bridge.Addr
		change func(*Config)
		client visitor
		line   string                       // "": the flow ends
		leaf   func(*x509.Certificate) bool // nil: it does not matter
		reason bridge.Reason
	}{
		{"TLS is bridged to the port that is dialled", withTLS, func(*Config) {}, asks(asIs), "hello\n", mintedFor(siteName), bridge.EOF},
		{"TLS without a name, for the name of NoSNI", withTLS, func(c *Config) { c.NoSNI = siteName }, asks(nameless), "hello\n", mintedFor(siteName), bridge.EOF},
		{"the operator's own certificate", withTLS, func(c *Config) { c.ServerCertificates = []*ServerCertificate{operators} }, asks(asIs), "hello\n", ownCert.Equal, bridge.EOF},
		{
			"the operator's own certificate, of another kind than the server's", withRSA,
			func(c *Config) { c.ServerCertificates = []*ServerCertificate{operators} }, asks(asIs), "hello\n", ownCert.Equal, bridge.EOF,
		},
		{
			"the operator's own certificate without a name", withTLS,
			func(c *Config) { c.ServerCertificates, c.NoSNI = []*ServerCertificate{operators}, siteName }, asks(nameless), "hello\n", ownCert.Equal, bridge.EOF,
		},
		{
			"the operator's own certificate, for a server that does not verify", withTLS,
			func(c *Config) {
				c.ServerCertificates, c.Verify, c.Roots = []*ServerCertificate{operators}, VerifyRefuse, x509.NewCertPool()
			},
			asks(asIs), "", nil, bridge.Block,
		},
		{"TLS ends here", plain, func(c *Config) { c.Terminate = true }, asks(asIs), "hello\n", mintedFor(siteName), bridge.EOF},
		{"TLS ends here, and the server speaks first", plainGreeting, func(c *Config) { c.Terminate = true }, asks(asIs), "220 hi\r\n", nil, bridge.EOF},
		{
			"TLS ends here, with the operator's own certificate", plain,
			func(c *Config) { c.Terminate, c.ServerCertificates = true, []*ServerCertificate{operators} }, asks(asIs), "hello\n", ownCert.Equal, bridge.EOF,
		},
		{"no TLS", withTLS, func(*Config) {}, notTLS, "", nil, bridge.Block},
		{"no TLS, which is let through", plain, func(c *Config) { c.NonTLS = NonTLSAllow }, notTLS, "hello\n", nil, bridge.EOF},
		{"no TLS, and the server speaks first", plainGreeting, func(c *Config) { c.NonTLS = NonTLSAllow }, visitor{}, "220 hi\r\n", nil, bridge.EOF},
		{"no TLS, which is encrypted", withTLS, func(c *Config) { c.NonTLS, c.NoSNI = NonTLSEncrypt, siteName }, notTLS, "hello\n", nil, bridge.EOF},
		{"no TLS, which is encrypted, and the server speaks first", greeting, func(c *Config) { c.NonTLS, c.NoSNI = NonTLSEncrypt, siteName }, visitor{}, "220 hi\r\n", nil, bridge.EOF},
		{"no TLS, which is encrypted for another name", withTLS, func(c *Config) { c.NonTLS = NonTLSEncrypt }, notTLS, "", nil, bridge.TLSServer},
		{"no TLS, which goes elsewhere", withTLS, func(c *Config) { c.NonTLS, c.NonTLSTarget = NonTLSRedirect, plain }, notTLS, "hello\n", nil, bridge.EOF},
		{"TLS, where what is none goes elsewhere", withTLS, func(c *Config) { c.NonTLS, c.NonTLSTarget = NonTLSRedirect, plain }, asks(asIs), "hello\n", mintedFor(siteName), bridge.EOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := gateway(tt.server, tt.change)
			if config.Roots == nil {
				config.Roots = w.roots()
			}
			addr, outcomes := serve(t, config)
			line, shown, err := tt.client.visit(t, addr)
			if line != tt.line || (err == nil) != (tt.line != "") {
				t.Errorf("the client got %q, %v, want %q", line, err, tt.line)
			}
			if tt.leaf != nil && shown != nil && !tt.leaf(shown) {
				t.Errorf("the client was shown the certificate of %s by %s", shown.Subject, shown.Issuer)
			}
			if out := <-outcomes; out.Reason != tt.reason {
				t.Errorf("outcome %+v, want %s", out, tt.reason)
			}
		})
	}
}

// loadRules loads a ruleset of one rule, and redirects.
func loadRules(t *testing.T, match, action string, redirects ...string) *policy.Rules {
	t.Helper()
	sources := policy.Sources{Ruleset: filepath.Join(t.TempDir(), "rules.json")}
	text := fmt.Sprintf(`{"name":"t","version":"1","rules":[{"active":true,"description":"the rule","match":%s,"action":%s}],"default":{"action":{"type":"inspect"}}}`, match, action)
	if err := os.WriteFile(sources.Ruleset, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, v := range redirects {
		r, err := policy.ParseRedirect(v)
		if err != nil {
			t.Fatal(err)
		}
		sources.Redirects = append(sources.Redirects, r)
	}
	rules, err := policy.LoadRules(context.Background(), sources)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// Rules for destinations go by what is dialled, whatever a balancer or a client says that it is.
func TestRulesGoByWhatIsDialled(t *testing.T) {
	w := newWorld(t)
	certified := &tls.Config{Certificates: []tls.Certificate{w.certified(t, newKey(t))}}
	plain, withTLS := site(t, "", nil), site(t, "", certified)
	toldTLS, _ := told(t, certified)
	header := visitor{before: headerOf(t, 1), says: "hello\n"} // to 198.51.100.7
	sealed := visitor{tls: asks(asIs).tls, before: headerOf(t, 2), says: "hello\n"}
	asked := visitor{before: "\x05\x01\x00\x05\x01\x00\x01\xc6\x33\x64\x07\x01\xbb", says: "hello\n"}
	forwarded := visitor{says: "GET http://198.51.100.7/ HTTP/1.1\r\nHost: 198.51.100.7\r\n\r\n"}
	believed := Config{Connect: plain, AcceptProxy: loopback()}
	for _, tt := range []struct {
		name   string
		config Config
		client visitor
	}{
		{"a header", believed, header},
		{"a header, and TLS", Config{Connect: withTLS, AcceptProxy: loopback(), Roots: w.roots()}, sealed},
		{"a header that is passed on", Config{Connect: toldTLS, AcceptProxy: loopback(), ProxyHeader: ProxyRelay, Roots: w.roots()}, sealed},
		{"a SOCKS request", Config{SOCKS: []string{"127.0.0.1:0"}, Connect: plain}, asked},
		{"a request to be forwarded", Config{HTTPConnect: []string{"127.0.0.1:0"}, Connect: plain}, forwarded},
	} {
		for prefix, blocked := range map[string]bool{"127.0.0.0/8": true, "198.51.100.0/24": false} {
			t.Run(tt.name+", and a rule for "+prefix, func(t *testing.T) {
				config := tt.config
				config.Rules = loadRules(t, `{"type":"destination","expression":"`+prefix+`"}`, `{"type":"block"}`)
				addr, outcomes := serve(t, config)
				line, _, _ := tt.client.visit(t, addr)
				out := <-outcomes
				if got := out.Reason == bridge.Block || strings.Contains(line, "403"); got != blocked {
					t.Errorf("the client got %q, outcome %+v, want a block: %v", line, out, blocked)
				}
			})
		}
	}
}

// What a proxy behind us is asked for is where a flow goes, whatever it was that we have dialled.
func TestRulesGoByWhatAProxyIsAskedFor(t *testing.T) {
	hop, inner := bridge.Addr{Host: "203.0.113.2", Port: 1080}, bridge.Addr{Host: "198.51.100.7", Port: 443}
	header := bridge.Frame{Proto: "proxy2", Verb: bridge.VerbTerminate, Dst: bridge.Addr{Host: "192.0.2.9", Port: 443}}
	relayed := bridge.Frame{Proto: "socks5", Verb: bridge.VerbRelay, Dst: inner}
	for _, tt := range []struct {
		name   string
		frames []bridge.Frame
		want   bridge.Addr
	}{
		{"nothing was said", nil, hop},
		{"a balancer's word", []bridge.Frame{header}, hop},
		{"a request that was passed on", []bridge.Frame{relayed}, inner},
		{"both", []bridge.Frame{header, relayed}, inner},
		{"a protocol without a destination inside", []bridge.Frame{relayed, {Proto: "smtp", Verb: bridge.VerbRelay}}, inner},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := flowFrom("192.0.2.7")
			for _, frame := range tt.frames {
				f.Push(frame)
			}
			if got := factsOf(f, hop, nil).Destination; got != tt.want {
				t.Errorf("the destination is %v, want %v", got, tt.want)
			}
		})
	}
}

// What is not TLS, or looks like none, is decided on whichever way it takes.
func TestNothingSlipsPastADecision(t *testing.T) {
	const block, nonTLS = `{"type":"block"}`, `{"type":"nontls"}`
	w := newWorld(t)
	cert := w.certified(t, newKey(t))
	plain, withTLS := site(t, "", nil), site(t, "", &tls.Config{Certificates: []tls.Certificate{cert}})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "the page") }))
	defer server.Close()
	secure := httptest.NewUnstartedServer(server.Config.Handler)
	secure.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	secure.StartTLS()
	defer secure.Close()
	addrOf := func(s *httptest.Server) bridge.Addr { return bridge.AddrOf(s.Listener.Addr()) }
	get := func(to bridge.Addr) string {
		return fmt.Sprintf("GET http://%s/ HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", to, to)
	}
	sslv2 := "\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10" + strings.Repeat("\x01", 0x2e+2-11)
	for _, tt := range []struct {
		name   string
		config Config
		says   string
		want   string // in what the client gets
	}{
		{"an SSLv2 hello on a gateway", gateway(plain, func(*Config) {}), sslv2 + "in plaintext\n", ""},
		{"an SSLv2 hello where TLS ends", gateway(plain, func(c *Config) { c.Terminate = true }), sslv2 + "in plaintext\n", ""},
		{"an SSLv2 hello where only TLS is let through", Config{Connect: plain, NonTLS: NonTLSBlock}, sslv2 + "in plaintext\n", ""},
		{"an SSLv2 hello and a rule", Config{Connect: plain, Rules: loadRules(t, nonTLS, block)}, sslv2 + "in plaintext\n", ""},
		{"a forwarded request", Config{}, get(addrOf(server)), "the page"},
		{"a forwarded request and a rule", Config{Rules: loadRules(t, nonTLS, block)}, get(addrOf(server)), "403"},
		{"a forwarded request that is encrypted", Config{NonTLS: NonTLSEncrypt, NoSNI: siteName, Roots: w.roots()}, get(addrOf(secure)), "the page"},
		{"a forwarded request that goes elsewhere", Config{NonTLS: NonTLSRedirect, NonTLSTarget: addrOf(server)}, get(bridge.Addr{Host: "192.0.2.1", Port: 80}), "the page"},
		{"a forwarded request to a name that is redirected", Config{
			Rules: loadRules(t, `{"type":"alpn","expression":"x"}`, block, "nowhere.test:"+addrOf(server).String()),
		}, get(bridge.Addr{Host: "nowhere.test", Port: 80}), "the page"},
		{"a name without TLS that is redirected", Config{
			Rules: loadRules(t, `{"type":"alpn","expression":"x"}`, block, "nowhere.test:"+plain.String()),
		}, "\x05\x01\x00\x05\x01\x00\x03\x0cnowhere.test\x00\x50hello\n", "hello\n"},
		{"no TLS where clients must show a certificate", Config{Connect: plain, Terminate: true, ClientCAs: x509.NewCertPool()}, "hello\n", ""},
		{"no TLS where TLS ends", Config{Connect: plain, Terminate: true}, "hello\n", ""},
		{"a name that is known, encrypted", Config{Connect: bridge.Addr{Host: "localhost", Port: withTLS.Port}, NonTLS: NonTLSEncrypt, NoSNI: siteName, Roots: w.roots()}, "hello\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addr, outcomes := serve(t, tt.config)
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(c, tt.says)
			c.(*net.TCPConn).CloseWrite()
			got, _ := io.ReadAll(c) // it may be reset
			c.Close()
			if !strings.Contains(string(got), tt.want) || tt.want == "" && len(got) > 0 {
				t.Errorf("the client got %q, want %q", got, tt.want)
			}
			if out := <-outcomes; tt.want == "" && out.Reason == bridge.EOF {
				t.Errorf("outcome %+v", out)
			}
		})
	}
}

// A flow that was sent elsewhere is decided on once, also when a protocol that may change to
// TLS has begun in it.
func TestAFlowIsDecidedOnOnce(t *testing.T) {
	mail := talker(t, "250-here\r\n250 HELP\r\n", "221 bye\r\n")
	addr, outcomes := serve(t, Config{Connect: site(t, "", nil), NonTLS: NonTLSRedirect, NonTLSTarget: mail})
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	io.WriteString(c, "EHLO client.test\r\n")
	for range 2 {
		if _, err := r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	io.WriteString(c, "QUIT\r\n")
	if line, err := r.ReadString('\n'); line != "221 bye\r\n" {
		t.Errorf("got %q, %v", line, err)
	}
	c.Close()
	if out := <-outcomes; out.Reason != bridge.EOF {
		t.Errorf("outcome %+v", out)
	}
}

func TestWhoIsShownTheOperatorsOwnCertificate(t *testing.T) {
	server := bridge.Addr{Host: "192.0.2.1", Port: 443}
	for _, tt := range []struct {
		name            string
		connect, target bridge.Addr
		verify          Verify
		verdict         string
		want            bool
	}{
		{"a server that verifies", bridge.Addr{}, bridge.Addr{}, VerifyMirror, "ok", true},
		{"one of the client's choice that does not", bridge.Addr{}, bridge.Addr{}, VerifyMirror, "expired", false},
		{"one that does not, which is ignored", bridge.Addr{}, bridge.Addr{}, VerifyIgnore, "expired", true},
		{"the operator's server", server, bridge.Addr{}, VerifyMirror, "self-signed", true},
		{"a server that a rule names", bridge.Addr{}, server, VerifyMirror, "self-signed", true},
		{"the operator's server, which is refused", server, bridge.Addr{}, VerifyRefuse, "self-signed", false},
	} {
		m := &decidedMinter{&Server{config: Config{Connect: tt.connect, Verify: tt.verify}}, policy.Decision{Target: tt.target}}
		if got := m.mayShow(tt.verdict); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// A server that was asked to change to TLS is not left with plaintext.
func TestTLSThatAProtocolChangesToDoesNotEndHere(t *testing.T) {
	for name, c := range map[string]Config{
		"by the option": {Terminate: true},
		"by a rule":     {Rules: loadRules(t, `{"type":"domain_regex","expression":"."}`, `{"type":"terminate","target":"192.0.2.9:25","throttle":"1k"}`)},
	} {
		s := &Server{config: c}
		hello := &detect.ClientHello{ServerName: siteName}
		if d := s.decide(flowFrom("192.0.2.7"), bridge.Addr{}, hello); d.Action != policy.Terminate {
			t.Errorf("%s: %s, want it to end here", name, d.Action)
		}
		f := flowFrom("192.0.2.7")
		f.Push(bridge.Frame{Proto: "smtp", Continues: true})
		if d := s.decide(f, bridge.Addr{}, hello); d.Action != policy.Inspect || !d.Target.IsZero() {
			t.Errorf("%s: %s to %s after STARTTLS, want inspect", name, d.Action, d.Target)
		}
	}
	s := &Server{config: Config{Terminate: true, Rules: loadRules(t, `{"type":"domain_regex","expression":"."}`, `{"type":"block"}`)}}
	f := flowFrom("192.0.2.7")
	f.Push(bridge.Frame{Proto: "smtp", Continues: true})
	if d := s.decide(f, bridge.Addr{}, &detect.ClientHello{ServerName: siteName}); d.Action != policy.Block {
		t.Errorf("%s after STARTTLS, want block", d.Action)
	}
}

func TestFailClosedBypassesNobodyByEvidence(t *testing.T) {
	hello := &detect.ClientHello{ServerName: siteName}
	for fail, want := range map[bridge.Fail]policy.Action{bridge.FailOpen: policy.PassOn, bridge.FailClosed: policy.Inspect} {
		s := &Server{config: Config{Bypass: policy.NewBypass(1, time.Hour, 8), Limits: bridge.Limits{Fail: fail}}}
		f := flowFrom("192.0.2.7")
		s.config.Bypass.Refused(policy.KeyOf(f, hello), tlsbridge.UnknownCA, "ok")
		if d := s.decide(f, bridge.Addr{}, hello); d.Action != want {
			t.Errorf("fail %v: %s, want %s", fail, d.Action, want)
		}
	}
}

// mintedFor reports whether we made a certificate, for a name.
func mintedFor(name string) func(*x509.Certificate) bool {
	return func(c *x509.Certificate) bool {
		return c.VerifyHostname(name) == nil && strings.HasPrefix(c.Issuer.CommonName, "bridgeio CA")
	}
}

func TestAGatewayBehindHAProxy(t *testing.T) {
	server := site(t, "", nil)
	header := func(dst netip.AddrPort) string {
		b, err := proxyproto.AppendHeader(nil, &detect.ProxyHeader{
			Version: 2, Command: detect.ProxyProxied, Family: detect.ProxyInet, Transport: detect.ProxyStream, Src: netip.MustParseAddrPort("203.0.113.7:1000"), Dst: dst,
		})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	here := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), server.Port)
	for _, tt := range []struct {
		name   string
		config Config
		before string
		reason bridge.Reason
	}{
		{"where the header says", Config{AllowTarget: loopback()}, header(here), bridge.EOF},
		{"to another host", Config{Connect: bridge.Addr{Host: "127.0.0.1"}}, header(netip.AddrPortFrom(netip.MustParseAddr("198.51.100.1"), server.Port)), bridge.EOF},
		{"to another server", Config{Connect: server}, header(netip.MustParseAddrPort("198.51.100.1:1")), bridge.EOF},
		{"what the client may not reach", Config{}, header(here), bridge.Denied},
		{"no header", Config{AllowTarget: loopback()}, "", bridge.Desynced},
		{"from where none may come", Config{AcceptProxy: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, header(here), bridge.Denied},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := tt.config
			config.HAProxy = []string{"127.0.0.1:0"}
			addr, outcomes := serve(t, config)
			line, _, err := visitor{before: tt.before, says: "hello\n"}.visit(t, addr)
			if tt.reason == bridge.EOF && (line != "hello\n" || err != nil) {
				t.Errorf("the client got %q, %v", line, err)
			}
			if out := <-outcomes; out.Reason != tt.reason {
				t.Errorf("outcome %+v, want %s", out, tt.reason)
			}
		})
	}
}

func loopback() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }

func TestRulesDecide(t *testing.T) {
	w := newWorld(t)
	valid, other := w.certified(t, newKey(t)), tls.Certificate{}
	key, self := pair(t)
	other = tls.Certificate{Certificate: [][]byte{self.Raw}, PrivateKey: key, Leaf: self}
	withTLS, invalid := site(t, "", &tls.Config{Certificates: []tls.Certificate{valid}}), site(t, "", &tls.Config{Certificates: []tls.Certificate{other}})
	plain := site(t, "", nil)
	rule := func(match, action string) string {
		return fmt.Sprintf(`{"name":"t","version":"1","rules":[{"active":true,"description":"the rule","match":%s,"action":%s}],"default":{"action":{"type":"inspect"}}}`, match, action)
	}
	domain := `{"type":"domain","expression":"example.test"}`
	toPlain := fmt.Sprintf(`{"type":"terminate","target":"%s"}`, plain)
	for _, tt := range []struct {
		name   string
		server bridge.Addr
		rules  string
		client visitor
		line   string
		leaf   func(*x509.Certificate) bool
	}{
		{"no rule matches", withTLS, rule(`{"type":"domain","expression":"example.org"}`, `{"type":"block"}`), asks(asIs), "hello\n", mintedFor(siteName)},
		{"a blocked name", withTLS, rule(domain, `{"type":"block"}`), asks(asIs), "", nil},
		{"a name that is passed on", withTLS, rule(domain, `{"type":"bypass"}`), asks(asIs), "hello\n", valid.Leaf.Equal},
		{"TLS that ends here, and goes elsewhere", withTLS, rule(domain, toPlain), asks(asIs), "hello\n", mintedFor(siteName)},
		{"a server whose certificate is not valid", invalid, rule(`{"type":"server_cert","expression":"selfsigned"}`, `{"type":"bypass"}`), asks(asIs), "hello\n", self.Equal},
		{"a server whose certificate is valid", withTLS, rule(`{"type":"server_cert","expression":"selfsigned"}`, `{"type":"block"}`), asks(asIs), "hello\n", mintedFor(siteName)},
		{"a server that is blocked for its certificate", invalid, rule(`{"type":"server_cert","expression":"selfsigned"}`, `{"type":"block"}`), asks(asIs), "", nil},
		{
			"a server whose certificate is not valid, where all must be inspected but what a rule says", invalid,
			rule(`{"type":"server_cert","expression":"selfsigned"}`, `{"type":"bypass"}`), asks(asIs), "hello\n", self.Equal,
		},
		{"no TLS, which is blocked", plain, rule(`{"type":"nontls"}`, `{"type":"block"}`), visitor{says: "hello\n"}, "", nil},
		{"no TLS, which is passed on", plain, rule(`{"type":"nontls"}`, `{"type":"bypass"}`), visitor{says: "hello\n"}, "hello\n", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "rules.json")
			if err := os.WriteFile(file, []byte(tt.rules), 0o600); err != nil {
				t.Fatal(err)
			}
			rules, err := policy.LoadRules(context.Background(), policy.Sources{Ruleset: file})
			if err != nil {
				t.Fatal(err)
			}
			addr, outcomes := serve(t, gateway(tt.server, func(c *Config) {
				c.Rules, c.Roots = rules, w.roots()
				if strings.Contains(tt.name, "all must be inspected") {
					c.Limits.Fail = bridge.FailClosed
				}
			}))
			line, shown, err := tt.client.visit(t, addr)
			if line != tt.line {
				t.Errorf("the client got %q, %v, want %q", line, err, tt.line)
			}
			if tt.leaf != nil && shown != nil && !tt.leaf(shown) {
				t.Errorf("the client was shown the certificate of %s by %s", shown.Subject, shown.Issuer)
			}
			if out := <-outcomes; (out.Reason == bridge.Block) != (tt.line == "") {
				t.Errorf("outcome %+v", out)
			}
		})
	}
}

func TestAThrottledFlowTakesItsTime(t *testing.T) {
	const rate, amount = 20_000, 10_000
	file := filepath.Join(t.TempDir(), "rules.json")
	rules := fmt.Sprintf(`{"name":"t","version":"1","rules":[],"default":{"action":{"type":"inspect","throttle":"%dk"}}}`, rate/1000)
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	loaded, err := policy.LoadRules(context.Background(), policy.Sources{Ruleset: file})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	server := site(t, "", &tls.Config{Certificates: []tls.Certificate{w.certified(t, newKey(t))}})
	addr, outcomes := serve(t, gateway(server, func(c *Config) { c.Rules, c.Roots = loaded, w.roots() }))
	client := asks(asIs)
	client.says = strings.Repeat("x", amount-1) + "\n"
	began := time.Now()
	if line, _, err := client.visit(t, addr); line != client.says {
		t.Errorf("the client got %d bytes, %v", len(line), err)
	}
	// A tenth of a second's worth may go at once.
	if least := time.Second * (amount - rate/10) / rate; time.Since(began) < least {
		t.Errorf("%d bytes took %v, want at least %v", amount, time.Since(began), least)
	}
	if out := <-outcomes; out.Reason != bridge.EOF {
		t.Errorf("outcome %+v", out)
	}
}

// What the kernel brings a listener for TLS goes to the server that was meant, and to the port
// that the operator has named.
func TestWhereATransparentFlowGoes(t *testing.T) {
	meant := bridge.Addr{Host: "203.0.113.2", Port: 443}
	for _, tt := range []struct {
		name     string
		listener TLSListener
		config   Config
		want     string
	}{
		{"nothing is named", TLSListener{Decrypted: 80}, Config{}, "203.0.113.2:443"},
		{"a port", TLSListener{Decrypted: 80, Port: 8443}, Config{}, "203.0.113.2:8443"},
		{"a host", TLSListener{Decrypted: 80}, Config{Connect: bridge.Addr{Host: "192.0.2.1"}}, "192.0.2.1:443"},
		{"a host, and a port", TLSListener{Decrypted: 80, Port: 8443}, Config{Connect: bridge.Addr{Host: "192.0.2.1"}}, "192.0.2.1:8443"},
		{"a host with a port", TLSListener{Decrypted: 80}, Config{Connect: bridge.Addr{Host: "192.0.2.1", Port: 9443}}, "192.0.2.1:9443"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			tt.config.CA, tt.listener.Addr = w.ours, "127.0.0.1:0"
			tt.config.TLS = []TLSListener{tt.listener}
			s, err := New(tt.config)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if got := s.meantHop(s.listeners[0], meant); got.String() != tt.want {
				t.Errorf("it goes to %v, want %s", got, tt.want)
			}
		})
	}
}

// A flow that is decided on before it is dialled has the path of any other.
func TestAPathHasEachProtocolOnce(t *testing.T) {
	plain := site(t, "", nil)
	greeting := site(t, "220 mail.test ESMTP\r\n", nil)
	unknown := site(t, "hi\n", nil)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "the page") }))
	t.Cleanup(page.Close)
	request := "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	bySOCKS := func(to bridge.Addr) string {
		return "\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01" + string([]byte{byte(to.Port >> 8), byte(to.Port)})
	}
	for _, tt := range []struct {
		name   string
		server bridge.Addr
		client visitor
		socks  bool
		want   string
	}{
		{"nothing that is known", plain, visitor{says: "hello\n"}, false, "raw"},
		{"a server that speaks first", unknown, visitor{}, false, "raw"},
		{"mail", greeting, visitor{}, false, "smtp"},
		{"HTTP", bridge.AddrOf(page.Listener.Addr()), visitor{says: request}, false, "http"},
		{"a proxy's request, and nothing that is known", plain, visitor{says: "hello\n"}, true, "socks5>raw"},
		{"a proxy's request, and HTTP", bridge.AddrOf(page.Listener.Addr()), visitor{says: request}, true, "socks5>http"},
	} {
		for name, config := range map[string]Config{
			"":                     {},
			", sent elsewhere":     {NonTLS: NonTLSRedirect, NonTLSTarget: tt.server},
			", with rules":         {Rules: loadRules(t, `{"type":"alpn","expression":"x"}`, `{"type":"block"}`)},
			", passed on by rules": {Rules: loadRules(t, `{"type":"nontls"}`, `{"type":"bypass"}`)},
			", for TLS":            {NonTLS: NonTLSAllow, TLS: []TLSListener{{Addr: "127.0.0.1:0", Decrypted: 80}}},
		} {
			if tt.socks && len(config.TLS) > 0 {
				continue // there the client asks us for nothing
			}
			t.Run(tt.name+name, func(t *testing.T) {
				t.Parallel() // some wait for a client that says nothing
				paths := make(chan string, 16)
				config.Observer = &bridge.Observer{Close: func(f *bridge.Flow, _ bridge.Outcome) { paths <- f.Path() }}
				client := tt.client
				if tt.socks {
					client.before = bySOCKS(tt.server)
				} else {
					config.Connect = tt.server
				}
				addr, outcomes := serve(t, config)
				if line, _, err := client.visit(t, addr); err != nil {
					t.Errorf("the client got %q, %v", line, err)
				}
				<-outcomes
				if got := <-paths; got != tt.want {
					t.Errorf("path %s, want %s", got, tt.want)
				}
			})
		}
	}
}

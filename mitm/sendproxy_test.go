package mitm

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/layers/proxyproto"
	"github.com/bridgeio/bridgeio/layers/socks"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
	"github.com/bridgeio/bridgeio/mitm/upstream"

	foreign "github.com/pires/go-proxyproto"
)

// told is a server that echoes lines, in TLS if it has a Config for that, and wants a PROXY header of each connection,
// which a parser reads that is not ours. One that is wrong is told as nil.
func told(t *testing.T, config *tls.Config) (bridge.Addr, <-chan *foreign.Header) {
	t.Helper()
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &foreign.Listener{Listener: plain, ConnPolicy: func(foreign.ConnPolicyOptions) (foreign.Policy, error) { return foreign.REQUIRE, nil }}
	headers := make(chan *foreign.Header, 16)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			headers <- c.(*foreign.Conn).ProxyHeader()
			if config != nil {
				c = tls.Server(c, config)
			}
			serving.Go(func() {
				io.Copy(c, c)
				c.Close()
			})
		}
	})
	t.Cleanup(func() { l.Close(); serving.Wait() })
	return bridge.AddrOf(plain.Addr()), headers
}

// headerOf is a header from 192.0.2.7 with a checksum and a TLV of nobody's.
func headerOf(t *testing.T, version int) string {
	t.Helper()
	b, err := proxyproto.AppendHeader(nil, &detect.ProxyHeader{
		Version: version, Command: detect.ProxyProxied, Family: detect.ProxyInet, Transport: detect.ProxyStream,
		Src: netip.MustParseAddrPort("192.0.2.7:1000"), Dst: netip.MustParseAddrPort("198.51.100.7:443"),
		TLVs: []detect.TLV{{Type: 0xe5, Value: []byte("kept")}, {Type: proxyproto.TypeCRC32C, Value: make([]byte, 4)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// valueOf is the value of a TLV, or "" when there is none.
func valueOf(t *testing.T, h *foreign.Header, kind byte) string {
	t.Helper()
	tlvs, err := h.TLVs()
	if err != nil {
		t.Error(err)
	}
	for _, v := range tlvs {
		if byte(v.Type) == kind {
			return string(v.Value)
		}
	}
	return ""
}

func everyTLV() ProxyTLVs {
	return ProxyTLVs{Authority: true, ALPN: true, SSL: true, UniqueID: true, CRC32C: true}
}

func TestServersAreToldWhoTheClientIs(t *testing.T) {
	w := newWorld(t)
	withTLS := &tls.Config{Certificates: []tls.Certificate{w.certified(t, newKey(t))}}
	key := newKey(t)
	shown := issued(t, func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "alice, née B", Organization: []string{`x\,CN=eve`}}
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}, w.root, key.Public(), w.key)
	alice := func(c *tls.Config) {
		c.NextProtos = []string{"h2", "http/1.1"}
		c.Certificates = []tls.Certificate{{Certificate: [][]byte{shown.Raw}, PrivateKey: key}}
	}
	toLocalhost := func(port uint16) string {
		return "\x05\x01\x00\x05\x01\x00\x03\x09localhost" + string([]byte{byte(port >> 8), byte(port)})
	}
	loopbacks := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	for _, tt := range []struct {
		name    string
		server  *tls.Config
		config  Config
		client  visitor
		socks   bool // the client asks for the server by SOCKS
		src     string
		version byte
		tlvs    map[byte]string // "*" is something, "" nothing
	}{
		{name: "version 1", config: Config{SendProxy: 1}, client: visitor{says: "hello\n"}, version: 1},
		{name: "version 2", config: Config{SendProxy: 2}, client: visitor{says: "hello\n"}, version: 2, tlvs: map[byte]string{3: "", 5: ""}},
		{
			name: "in front of TLS, with all that is known before it is finished", server: withTLS, config: Config{SendProxy: 2, ProxyTLVs: everyTLV()},
			client: asks(asIs), version: 2, tlvs: map[byte]string{1: "", 2: siteName, 3: "*", 5: "*", 0x20: ""},
		},
		{
			name: "about TLS that ended here", config: Config{SendProxy: 2, ProxyTLVs: everyTLV(), Terminate: true, ClientCAs: w.roots()},
			client: asks(alice), version: 2, tlvs: map[byte]string{1: "h2", 2: siteName, 3: "*", 5: "*", 0x20: "*"},
		},
		{
			name: "in front of TLS that begins here", server: withTLS, config: Config{SendProxy: 1, NonTLS: NonTLSEncrypt, NoSNI: siteName},
			client: visitor{says: "hello\n"}, version: 1,
		},
		{
			name: "with the name that was asked for", config: Config{SendProxy: 2, ProxyTLVs: ProxyTLVs{Authority: true}},
			client: visitor{says: "hello\n"}, socks: true, version: 2, tlvs: map[byte]string{2: "localhost"},
		},
		{
			name: "a balancer's client", config: Config{SendProxy: 1, AcceptProxy: loopbacks},
			client: visitor{before: headerOf(t, 2), says: "hello\n"}, src: "192.0.2.7:1000", version: 1,
		},
		{
			name: "a header is passed on", server: withTLS, config: Config{SendProxy: 1, AcceptProxy: loopbacks, ProxyHeader: ProxyRelay},
			client: visitor{tls: asks(asIs).tls, before: headerOf(t, 2), says: "hello\n"}, src: "192.0.2.7:1000", version: 2, tlvs: map[byte]string{0xe5: "kept", 3: "*"},
		},
		{
			name: "a header is rewritten", config: Config{AcceptProxy: loopbacks, ProxyHeader: ProxyRewrite, ProxyTLVs: ProxyTLVs{UniqueID: true, CRC32C: true}},
			client: visitor{before: headerOf(t, 1), says: "hello\n"}, src: "192.0.2.7:1000", version: 2, tlvs: map[byte]string{3: "*", 5: "*"},
		},
		{
			name: "what was not believed is payload", config: Config{SendProxy: 2, AcceptProxy: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, ProxyHeader: ProxyRelay},
			client: visitor{says: headerOf(t, 1)}, version: 2,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server, headers := told(t, tt.server)
			config, client := tt.config, tt.client
			config.Roots, config.Connect = w.roots(), server
			answer := client.says
			if tt.socks {
				config.Connect, client.before = bridge.Addr{}, toLocalhost(server.Port)
				answer = "\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01" // with the port of ours that it got
			}
			addr, outcomes := serve(t, config)
			line, _, err := client.visit(t, addr)
			if err != nil || !strings.HasPrefix(line, answer) {
				t.Errorf("the client got %q, %v; want %q", line, err, answer)
			}
			<-outcomes
			h := <-headers
			if h == nil {
				t.Fatal("the server got no header")
			}
			if src := h.SourceAddr.String(); h.Version != tt.version || tt.src != "" && src != tt.src || tt.src == "" && !strings.HasPrefix(src, "127.0.0.1:") {
				t.Errorf("version %d, source %s; want %d, %q", h.Version, src, tt.version, tt.src)
			}
			dst := addr // what the client has connected to
			if tt.src != "" {
				dst = "198.51.100.7:443"
			} else if tt.socks {
				dst = server.String()
			}
			if got := h.DestinationAddr.String(); got != dst {
				t.Errorf("destination %s, want %s", got, dst)
			}
			for kind, want := range tt.tlvs {
				if got := valueOf(t, h, kind); got != want && (want != "*" || got == "") {
					t.Errorf("TLV %02x is %q, want %q", kind, got, want)
				}
			}
			if value := valueOf(t, h, proxyproto.TypeSSL); value != "" {
				ssl, err := proxyproto.ParseSSL([]byte(value))
				version, _ := ssl.Get(proxyproto.SubtypeSSLVersion)
				cn, _ := ssl.Get(proxyproto.SubtypeSSLCN)
				cipher, _ := ssl.Get(proxyproto.SubtypeSSLCipher)
				if err != nil || ssl.Client != 7 || ssl.Verify != 0 || string(version) != "TLSv1.3" || string(cn) != "alice, née B" || !bytes.HasPrefix(cipher, []byte("TLS_")) {
					t.Errorf("SSL is %+v, %v", ssl, err)
				}
			}
			if len(headers) > 0 {
				t.Errorf("more than one connection")
			}
		})
	}
}

// A server that asks for a client's certificate gets the client's own TLS, on another connection.
func TestARescuedFlowIsIntroducedAgain(t *testing.T) {
	w := newWorld(t)
	key, own := pair(t)
	server, headers := told(t, &tls.Config{Certificates: []tls.Certificate{w.certified(t, newKey(t))}, ClientAuth: tls.RequireAnyClientCert})
	for name, config := range map[string]Config{
		"relayed": {AcceptProxy: loopback(), ProxyHeader: ProxyRelay},
		"emitted": {AcceptProxy: loopback(), SendProxy: 2, ProxyTLVs: ProxyTLVs{Authority: true}},
	} {
		t.Run(name, func(t *testing.T) {
			config.Roots, config.Connect = w.roots(), server
			client := asks(func(c *tls.Config) {
				c.Certificates = []tls.Certificate{{Certificate: [][]byte{own.Raw}, PrivateKey: key}}
			})
			client.before = headerOf(t, 2)
			addr, outcomes := serve(t, config)
			if line, _, err := client.visit(t, addr); line != "hello\n" {
				t.Errorf("the client got %q, %v", line, err)
			}
			<-outcomes
			first, second := <-headers, <-headers
			if first == nil || second == nil || !first.EqualsTo(second) || first.SourceAddr.String() != "192.0.2.7:1000" {
				t.Errorf("the server got %+v and then %+v", first, second)
			}
		})
	}
}

// The server is told before it or the client has said anything.
func TestAServerThatSpeaksFirstIsIntroduced(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr, _ := serve(t, Config{SendProxy: 1, Connect: bridge.AddrOf(l.Addr())})
	client, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want := fmt.Sprintf("PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n", client.LocalAddr().(*net.TCPAddr).Port, client.RemoteAddr().(*net.TCPAddr).Port)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Errorf("the server got %q, %v; want %q", got, err, want)
	}
}

// Through an upstream proxy the header is for the server, and inside of the tunnel.
func TestTheHeaderIsInsideOfATunnel(t *testing.T) {
	server, headers := told(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &bridge.Proxy{Handler: bridge.Chain(socks.Terminate(socks.Config{}))}
	served := make(chan error)
	go func() { served <- p.Serve(context.Background(), l) }()
	defer func() {
		p.Shutdown(context.Background())
		<-served
	}()
	addr, outcomes := serve(t, Config{
		SendProxy: 2, ProxyTLVs: everyTLV(), Connect: server, Log: slog.New(slog.DiscardHandler),
		Upstream: &upstream.Proxy{Scheme: upstream.SOCKS5, Addr: bridge.AddrOf(l.Addr())},
	})
	if line, _, err := (visitor{says: "hello\n"}).visit(t, addr); line != "hello\n" {
		t.Errorf("the client got %q, %v", line, err)
	}
	<-outcomes
	if h := <-headers; h == nil || h.DestinationAddr.String() != addr {
		t.Errorf("the server got %+v", h)
	}
}

func TestProxyOptionsThatDoNotGoTogether(t *testing.T) {
	believes := []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}
	id := ProxyTLVs{UniqueID: true}
	for _, tt := range []struct {
		config Config
		want   string // "" is no error
	}{
		{Config{}, ""},
		{Config{SendProxy: 1}, ""},
		{Config{SendProxy: 2, ProxyTLVs: everyTLV()}, ""},
		{Config{SendProxy: 1, AcceptProxy: believes, ProxyHeader: ProxyRelay}, ""},
		{Config{AutoProxy: believes, ProxyHeader: ProxyRewrite, ProxyTLVs: id}, ""},
		{Config{HAProxy: []string{"127.0.0.1:0"}, ProxyHeader: ProxyRelay}, ""},
		{Config{SendProxy: 3}, "no version 3"},
		{Config{SendProxy: -1}, "no version -1"},
		{Config{AcceptProxy: believes, ProxyHeader: 3}, "want strip, relay or rewrite"},
		{Config{ProxyHeader: ProxyRelay}, "no PROXY header is believed"},
		{Config{SendProxy: 2, ProxyHeader: ProxyRewrite}, "no PROXY header is believed"},
		{Config{SendProxy: 1, AcceptProxy: believes, ProxyHeader: ProxyRewrite}, "want send-proxy v2"},
		{Config{SendProxy: 1, ProxyTLVs: id}, "version 1 has no TLVs"},
		{Config{ProxyTLVs: id}, "no PROXY header is written"},
		{Config{AcceptProxy: believes, ProxyHeader: ProxyRelay, ProxyTLVs: id}, "no PROXY header is written"},
	} {
		_, err := tt.config.withDefaults()
		if got := fmt.Sprint(err); (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(got, tt.want) || strings.Contains(got, "\n")) {
			t.Errorf("%+v, %d, %v: %v, want %q", tt.config.ProxyTLVs, tt.config.SendProxy, tt.config.ProxyHeader, err, tt.want)
		}
	}
}

func TestWhatIsLeftOutOfHeadersIsSaid(t *testing.T) {
	for _, tt := range []struct {
		config Config
		lines  int
	}{
		{Config{ProxyTLVs: everyTLV()}, 2},
		{Config{ProxyTLVs: ProxyTLVs{SSL: true}}, 1},
		{Config{ProxyTLVs: ProxyTLVs{Authority: true, UniqueID: true, CRC32C: true}}, 0},
		{Config{ProxyTLVs: everyTLV(), Terminate: true}, 0},
	} {
		var said bytes.Buffer
		tt.config.Log = slog.New(slog.NewTextHandler(&said, nil))
		tt.config.warnOfProxyTLVs()
		if got := strings.Count(said.String(), "level=WARN"); got != tt.lines {
			t.Errorf("%+v: %s; want %d warnings", tt.config.ProxyTLVs, &said, tt.lines)
		}
	}
}

func TestNamesThatOpenSSLHas(t *testing.T) {
	for suite, want := range map[uint16]string{
		tls.TLS_AES_128_GCM_SHA256:                        "TLS_AES_128_GCM_SHA256",
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:         "ECDHE-RSA-AES128-GCM-SHA256",
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:       "ECDHE-ECDSA-AES256-GCM-SHA384",
		tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256:   "ECDHE-RSA-CHACHA20-POLY1305",
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-ECDSA-CHACHA20-POLY1305",
		tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256:         "ECDHE-RSA-AES128-SHA256",
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA:          "ECDHE-ECDSA-AES256-SHA",
		tls.TLS_RSA_WITH_AES_128_GCM_SHA256:               "AES128-GCM-SHA256",
		tls.TLS_RSA_WITH_AES_256_CBC_SHA:                  "AES256-SHA",
		tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA:                 "DES-CBC3-SHA",
		tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA:           "ECDHE-RSA-DES-CBC3-SHA",
		tls.TLS_RSA_WITH_RC4_128_SHA:                      "RC4-SHA",
		tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA:              "ECDHE-ECDSA-RC4-SHA",
	} {
		if got := cipherName(suite); got != want {
			t.Errorf("suite %04x is %q, want %q", suite, got, want)
		}
	}
	for version, want := range map[uint16]string{tls.VersionTLS10: "TLSv1", tls.VersionTLS11: "TLSv1.1", tls.VersionTLS12: "TLSv1.2", tls.VersionTLS13: "TLSv1.3", 0: ""} {
		if got := versionName(version); got != want {
			t.Errorf("version %04x is %q, want %q", version, got, want)
		}
	}
	for _, name := range []string{"alice", "", "a,b+c=d", `\,CN=eve`, " a ", "#a", `a"<>;`, "ü"} {
		subject := pkix.Name{CommonName: name, Organization: []string{"x,CN=eve", "CN=eve"}, Country: []string{"+CN=eve"}}.String()
		if got := commonName(subject); got != name {
			t.Errorf("the name of %s is %q, want %q", subject, got, name)
		}
	}
}

// Nobody was verified who has shown nothing.
func TestAClientWithoutACertificate(t *testing.T) {
	ssl := sslOf(&tlsbridge.Info{Client: tlsbridge.Leg{Version: tls.VersionTLS12, CipherSuite: tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}})
	if _, named := ssl.Get(proxyproto.SubtypeSSLCN); ssl.Client != proxyproto.ClientSSL || ssl.Verify == 0 || named {
		t.Errorf("%+v", ssl)
	}
}

// Each server that an HTTP proxy's client asks for on one connection is told of it.
func TestEachServerOfAConnectionIsTold(t *testing.T) {
	for name, config := range map[string]Config{
		"the balancer's header": {ProxyHeader: ProxyRelay}, "one of ours": {SendProxy: 1},
	} {
		t.Run(name, func(t *testing.T) {
			config.AcceptProxy, config.AllowTarget = loopback(), loopback()
			config.Allow = []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32")}
			addr, outcomes := serve(t, config)
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			io.WriteString(c, headerOf(t, 2))
			r := bufio.NewReader(c)
			for range 2 {
				server := serveSource(t)
				fmt.Fprintf(c, "GET http://%s/ HTTP/1.1\r\nHost: %[1]s\r\n\r\n", server)
				answer, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(answer.Body)
				if string(body) != "192.0.2.7:1000" || err != nil {
					t.Errorf("the server was told of %q, %v", body, err)
				}
			}
			c.Close()
			<-outcomes
		})
	}
}

// serveSource answers requests with the source of the connection's PROXY header.
func serveSource(t *testing.T) net.Addr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) })}
	var serving sync.WaitGroup
	serving.Go(func() {
		server.Serve(&foreign.Listener{Listener: l, ConnPolicy: func(foreign.ConnPolicyOptions) (foreign.Policy, error) { return foreign.REQUIRE, nil }})
	})
	t.Cleanup(func() { server.Close(); serving.Wait() })
	return l.Addr()
}

// A balancer that speaks for itself may look whether the server greets.
func TestABalancerThatSpeaksForItselfHearsTheGreeting(t *testing.T) {
	local, err := proxyproto.AppendHeader(nil, &detect.ProxyHeader{Version: 2})
	if err != nil {
		t.Fatal(err)
	}
	addr, outcomes := serve(t, Config{Connect: site(t, "220 hi\r\n", nil), AcceptProxy: loopback()})
	if line, _, err := (visitor{before: string(local)}).visit(t, addr); line != "220 hi\r\n" {
		t.Errorf("it got %q, %v", line, err)
	}
	<-outcomes
}

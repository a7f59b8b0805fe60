package interop

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/internal/peers"
	ours "github.com/bridgeio/bridgeio/layers/proxyproto"
)

// clientAddr is where curl comes from in these tests, and nobody else.
const clientAddr = "127.0.0.9"

// fromClient are curl's arguments to come from there, and to say which port it had.
func fromClient(args ...string) []string {
	return append([]string{"--interface", clientAddr, "-w", "local=%{local_port}"}, args...)
}

// A toldServer wants a PROXY header of each connection, and answers with what it says:
// "client" and "server".
type toldServer struct {
	name string
	url  string
	log  string // file with a line per request that begins with the client's address; "": none
}

// startTold starts HAProxy, nginx and a server of the standard library behind go-proxyproto,
// each without and with TLS.
func startTold(t *testing.T, leaf peers.Leaf) []toldServer {
	t.Helper()
	plain, secure := reserve(t), reserve(t)
	start(t, peers.HAProxyPage(plain, nil))
	start(t, peers.HAProxyPage(secure, &leaf))
	c := peers.NginxConfig{Plain: reserve(t), TLS: reserve(t), Leaf: leaf, Proxied: true}
	log := filepath.Join(start(t, peers.Nginx(c)).Dir, "access.log")
	pair := keyPair(t, leaf)
	return []toldServer{
		{"HAProxy", fmt.Sprintf("http://localhost:%d/", plain), ""},
		{"HAProxy with TLS", fmt.Sprintf("https://localhost:%d/", secure), ""},
		{"nginx", fmt.Sprintf("http://localhost:%d/status", c.Plain), log},
		{"nginx with TLS", fmt.Sprintf("https://localhost:%d/status", c.TLS), log},
		{"Go", fmt.Sprintf("http://localhost:%d/", serveTold(t, nil)), ""},
		{"Go with TLS", fmt.Sprintf("https://localhost:%d/", serveTold(t, &pair)), ""},
	}
}

// serveTold serves a page that also has "wire", the header in hexadecimal. Connections without
// a header, or of LOCAL, are counted for nothing here.
func serveTold(t *testing.T, pair *tls.Certificate) int {
	t.Helper()
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveToldOn(t, plain, pair)
	return plain.Addr().(*net.TCPAddr).Port
}

func serveToldOn(t *testing.T, plain net.Listener, pair *tls.Certificate) {
	t.Helper()
	l := &proxyproto.Listener{Listener: plain, ConnPolicy: requireHeader}
	server := &http.Server{
		Handler: http.HandlerFunc(tellHeader),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if session, ok := c.(*tls.Conn); ok {
				c = session.NetConn()
			}
			return context.WithValue(ctx, toldConn{}, c)
		},
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if pair != nil {
			server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*pair}}
			server.ServeTLS(l, "", "")
			return
		}
		server.Serve(l)
	})
	t.Cleanup(func() { server.Close(); serving.Wait() })
}

func requireHeader(proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
	return proxyproto.REQUIRE, nil
}

type toldConn struct{}

func tellHeader(w http.ResponseWriter, r *http.Request) {
	h := r.Context().Value(toldConn{}).(*proxyproto.Conn).ProxyHeader()
	wire, err := h.Format()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, "client=%s server=%s wire=%x\n", h.SourceAddr, h.DestinationAddr, wire)
}

// headerOn is the header that a page of serveTold has. Our parser has verified its checksum.
func headerOn(t *testing.T, page map[string]string) *detect.ProxyHeader {
	t.Helper()
	wire, err := hex.DecodeString(page["wire"])
	if err != nil {
		t.Fatal(err)
	}
	h, n, err := detect.ParseProxyHeader(wire)
	if err != nil || n != len(wire) {
		t.Fatalf("the server got %x: %v", wire, err)
	}
	return h
}

// tlvOf is the value of the first TLV of a type, or "".
func tlvOf(h *detect.ProxyHeader, kind byte) string {
	for _, v := range h.TLVs {
		if v.Type == kind {
			return string(v.Value)
		}
	}
	return ""
}

// checkClient holds that the server saw curl's own address and port.
func (s toldServer) checkClient(t *testing.T, got map[string]string) {
	t.Helper()
	if want := net.JoinHostPort(clientAddr, got["local"]); got["client"] != want {
		t.Errorf("%s saw the client %s, want %s", s.name, got["client"], want)
	}
	if s.log != "" {
		awaitLine(t, s.log, clientAddr+" ")
	}
}

// awaitLine waits until a file, which is written behind the answer, begins with the text.
func awaitLine(t *testing.T, file, begin string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) >= len(begin) {
			if !strings.HasPrefix(string(text), begin) {
				t.Errorf("%s begins with %q, want %q", file, text, begin)
			}
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s has %q, want %q", file, text, begin)
		}
	}
}

func TestServersAreToldOfTheClient(t *testing.T) {
	t.Parallel()
	leaf, root := issue(t, "localhost")
	servers := startTold(t, leaf)
	for _, version := range []int{1, 2} {
		args := []string{"--listen", "127.0.0.1:0", "--trust", root, "--no-system-roots", "--send-proxy", fmt.Sprintf("v%d", version)}
		if version == 2 {
			args = append(args, "--proxy-tlv", "authority,unique-id,crc32c")
		}
		m := startMitm(t, args...)
		for _, s := range servers {
			got := fields(t, curl(t, fromClient("-x", "socks5h://"+m.addrs[0], "--cacert", m.root, s.url)...))
			s.checkClient(t, got)
			f := m.flow(t)
			if got["server"] != f.Server || f.Reason != "eof" || len(f.Originated) != 1 || f.Originated[0]["proto"] != fmt.Sprintf("proxy%d", version) {
				t.Errorf("%s saw the server %s; the flow is %+v", s.name, got["server"], f)
			}
			if id := got["id"]; version == 2 && id != "" && id != strings.ToUpper(hex.EncodeToString([]byte(f.ID))) || got["authority"] != "" && version == 2 && got["authority"] != "localhost" {
				t.Errorf("%s saw %v, want the flow's ID %s and localhost", s.name, got, f.ID)
			}
			if got["wire"] == "" {
				continue
			}
			h := headerOn(t, got)
			if h.Version != version || version == 2 && (tlvOf(h, ours.TypeUniqueID) != f.ID || tlvOf(h, ours.TypeAuthority) != "localhost" || len(tlvOf(h, ours.TypeCRC32C)) != 4) {
				t.Errorf("%s got %+v", s.name, h)
			}
		}
	}
}

// Where the client names the server in its hello only, the dial waits for that.
func TestTheServerIsToldTheNameInTheHello(t *testing.T) {
	t.Parallel()
	leaf, root := issue(t, "app.test")
	pair := keyPair(t, leaf)
	port := serveTold(t, &pair)
	m := startMitm(t, "--listen", "127.0.0.1:0", "--trust", root, "--no-system-roots", "--connect", fmt.Sprintf("127.0.0.1:%d", port),
		"--send-proxy", "v2", "--proxy-tlv", "authority,alpn")
	got := fields(t, curl(t, fromClient("--connect-to", "app.test:443:"+m.addrs[0], "--cacert", m.root, "https://app.test/")...))
	h := headerOn(t, got)
	if tlvOf(h, ours.TypeAuthority) != "app.test" || tlvOf(h, ours.TypeALPN) != "" || got["server"] != m.addrs[0] {
		t.Errorf("the server got %+v", h)
	}
	inspected("tls(h2)", fmt.Sprintf("127.0.0.1:%d", port), "h2").check(t, m.flow(t))
	if !strings.Contains(m.Stderr(), `"proxy_tlv":"alpn"`) {
		t.Errorf("nothing was said of what is left out:\n%s", m.Stderr())
	}
}

// Where TLS ends with us the server is told of it in the words that HAProxy has.
func TestTheServerIsToldOfTLSThatEndedHere(t *testing.T) {
	t.Parallel()
	u := newMutual(t)
	clients := writeFile(t, "clients.pem", u.clients.pem)
	port := serveTold(t, nil)
	at := fmt.Sprintf("127.0.0.1:%d", port)
	m := startMitm(t, "--listen", "127.0.0.1:0", "--connect", at, "--terminate", "--clientca", clients, "--send-proxy", "v2", "--proxy-tlv", "authority,alpn,unique-id,ssl,crc32c")
	balancer := reserve(t)
	start(t, peers.HAProxy(peers.HAProxyConfig{
		Listen: balancer, Server: at, Leaf: &u.leaf, Client: u.clients.pem,
		Send: "send-proxy-v2-ssl-cn proxy-v2-options authority,ssl-cipher,crc32c",
	}))
	for _, limit := range []string{"1.2", "1.3"} {
		seen := func(entry, root string) *detect.ProxyHeader {
			return headerOn(t, fields(t, curl(t, fromClient(append(u.show(),
				"--http1.1", "--tls-max", limit, "--ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256", "--tls13-ciphers", "TLS_AES_128_GCM_SHA256",
				"--connect-to", "localhost:443:"+entry, "--cacert", root, "https://localhost/")...)...)))
		}
		us, them := seen(m.addrs[0], m.root), seen(fmt.Sprintf("127.0.0.1:%d", balancer), u.root)
		for _, kind := range []byte{ours.TypeALPN, ours.TypeAuthority, ours.TypeSSL} {
			if got, want := tlvOf(us, kind), tlvOf(them, kind); kind != ours.TypeSSL && got != want || got == "" {
				t.Errorf("TLS %s: TLV %02x is %q, HAProxy's %q", limit, kind, got, want)
			}
		}
		checkSSL(t, us, them)
	}
}

// checkSSL holds that both headers say the same about the client's TLS.
func checkSSL(t *testing.T, us, them *detect.ProxyHeader) {
	t.Helper()
	parse := func(h *detect.ProxyHeader) ours.SSL {
		ssl, err := ours.ParseSSL([]byte(tlvOf(h, ours.TypeSSL)))
		if err != nil {
			t.Errorf("%+v: %v", h, err)
		}
		return ssl
	}
	got, want := parse(us), parse(them)
	if got.Client != want.Client || got.Verify != want.Verify {
		t.Errorf("SSL %+v, HAProxy's %+v", got, want)
	}
	for _, kind := range []byte{ours.SubtypeSSLVersion, ours.SubtypeSSLCN, ours.SubtypeSSLCipher} {
		ours, _ := got.Get(kind)
		if theirs, _ := want.Get(kind); string(ours) != string(theirs) || len(ours) == 0 {
			t.Errorf("SSL's %02x is %q, HAProxy's %q", kind, ours, theirs)
		}
	}
}

// A balancer's header goes on to the server, which sees what the balancer has seen.
func TestABalancersHeaderGoesOn(t *testing.T) {
	t.Parallel()
	u := newMutual(t)
	servers := startTold(t, u.leaf)
	for _, mode := range []string{"relay", "rewrite"} {
		m := startMitm(t, "--listen", "127.0.0.1:0", "--trust", u.root, "--no-system-roots", "--accept-proxy", "127.0.0.1", "--proxy-header", mode)
		for _, b := range []struct {
			send    string
			version int
			leaf    *peers.Leaf
			tlvs    []byte
		}{
			{"send-proxy", 1, nil, nil},
			{"send-proxy-v2", 2, nil, nil},
			{"send-proxy-v2 proxy-v2-options crc32c,unique-id", 2, nil, []byte{ours.TypeCRC32C, ours.TypeUniqueID}},
			{
				"send-proxy-v2-ssl-cn proxy-v2-options authority,ssl-cipher,crc32c", 2, &u.leaf,
				[]byte{ours.TypeAuthority, ours.TypeCRC32C, ours.TypeSSL},
			},
		} {
			balancer := reserve(t)
			config := peers.HAProxyConfig{Listen: balancer, Server: m.addrs[0], Send: b.send}
			proxy := []string{"-x", fmt.Sprintf("socks5h://127.0.0.1:%d", balancer)}
			if b.leaf != nil {
				config.Leaf, config.Client = b.leaf, u.clients.pem
				proxy = []string{"-x", fmt.Sprintf("https://localhost:%d", balancer), "--proxytunnel", "--proxy-cacert", u.root, "--proxy-cert", u.cert, "--proxy-key", u.key}
			}
			start(t, peers.HAProxy(config))
			for _, s := range servers {
				if b.leaf != nil && s.name == "nginx with TLS" {
					continue // nginx 1.22 takes about 107 bytes of a header there, of version 2 too, whoever has sent it
				}
				s.name = fmt.Sprintf("%s of %q: %s", mode, b.send, s.name)
				got := fields(t, curl(t, fromClient(append(proxy, "--cacert", m.root, s.url)...)...))
				s.checkClient(t, got)
				if want := fmt.Sprintf("127.0.0.1:%d", balancer); got["server"] != want {
					t.Errorf("%s saw the server %s, want %s", s.name, got["server"], want)
				}
				m.flow(t)
				if got["wire"] == "" {
					continue
				}
				h, tlvs := headerOn(t, got), b.tlvs
				if b.leaf != nil && strings.HasPrefix(s.url, "https:") {
					tlvs = append(slices.Clip(tlvs), ours.TypeALPN) // curl has offered HTTP/1.1 to its proxy
				}
				if h.Version != b.version && mode == "relay" || h.Version != 2 && mode == "rewrite" || len(h.TLVs) != len(tlvs) {
					t.Errorf("%s got %+v", s.name, h)
				}
				for _, kind := range tlvs {
					if tlvOf(h, kind) == "" {
						t.Errorf("%s got no TLV %02x: %+v", s.name, kind, h)
					}
				}
				if ssl := tlvOf(h, ours.TypeSSL); ssl != "" {
					ssl, err := ours.ParseSSL([]byte(ssl))
					if cn, _ := ssl.Get(ours.SubtypeSSLCN); string(cn) != "alice" || err != nil {
						t.Errorf("%s got %+v, %v", s.name, ssl, err)
					}
				}
			}
		}
	}
}

// A header of nobody's to believe reaches the server as payload, behind ours, which says who
// has sent it; or ends the flow.
func TestAnUntrustedHeaderIsNotBelieved(t *testing.T) {
	t.Parallel()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for _, policy := range []string{"ignore", "reject", "reject, as there would be no header of ours"} {
		args := []string{"--listen", "127.0.0.1:0", "--connect", server.Addr().String(), "--accept-proxy", "127.0.0.77", "--proxy-header", "relay"}
		if word, _, alone := strings.Cut(policy, ","); !alone {
			args = append(args, "--untrusted-proxy", word, "--send-proxy", "v1")
		}
		m := startMitm(t, args...)
		balancer := reserve(t)
		start(t, peers.HAProxy(peers.HAProxyConfig{Listen: balancer, Server: m.addrs[0], Send: "send-proxy"}))
		client, err := (&net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(clientAddr + ":0"))}).Dial("tcp", fmt.Sprintf("127.0.0.1:%d", balancer))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(client, "hello\n")
		if policy != "ignore" {
			if n, err := client.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Errorf("the client got an answer")
			}
			client.Close()
			if f := m.flow(t); f.Reason != "denied" || f.Server != "" {
				t.Errorf("the flow is %+v, want denied", f)
			}
			continue
		}
		c, err := server.Accept()
		if err != nil {
			t.Fatal(err)
		}
		claimed := fmt.Sprintf("PROXY TCP4 %s 127.0.0.1 %d %d\r\n", clientAddr, client.LocalAddr().(*net.TCPAddr).Port, balancer)
		buf := make([]byte, 0, 1024)
		for !strings.HasSuffix(string(buf), "hello\n") {
			n, err := c.Read(buf[len(buf):cap(buf)])
			if err != nil {
				t.Fatalf("the server got %q, %v", buf, err)
			}
			buf = buf[:len(buf)+n]
		}
		c.Close()
		client.Close()
		f := m.flow(t)
		_, port, _ := net.SplitHostPort(f.Client)
		want := fmt.Sprintf("PROXY TCP4 127.0.0.1 127.0.0.1 %s %s\r\n%shello\n", port, portOf(t, m.addrs[0]), claimed)
		if string(buf) != want || f.Path != "raw" {
			t.Errorf("the server got %q, want %q; path %s", buf, want, f.Path)
		}
	}
}

// The header is for the server, not for the proxy in between.
func TestTheServerBehindAProxyIsToldOfTheClient(t *testing.T) {
	t.Parallel()
	leaf, root := issue(t, "localhost")
	pair := keyPair(t, leaf)
	page := fmt.Sprintf("https://localhost:%d/", serveTold(t, &pair))
	socks, web := reserve(t), reserve(t)
	start(t, peers.Microsocks(socks, "", ""))
	start(t, peers.Tinyproxy(web))
	for _, proxy := range []string{fmt.Sprintf("socks5://127.0.0.1:%d", socks), fmt.Sprintf("http://127.0.0.1:%d", web)} {
		m := startMitm(t, "--listen", "127.0.0.1:0", "--trust", root, "--no-system-roots", "--connect", proxy, "--send-proxy", "v2")
		got := fields(t, curl(t, fromClient("-x", "http://"+m.addrs[0], "--cacert", m.root, page)...))
		toldServer{name: proxy}.checkClient(t, got)
		f := m.flow(t)
		if f.Path != "connect>tls(h2)" || len(f.Originated) != 2 || f.Originated[1]["proto"] != "proxy2" {
			t.Errorf("through %s: %+v", proxy, f)
		}
		// Nobody but the proxy knows which address the name has: it is our own that stands for it.
		if got["server"] != m.addrs[0] {
			t.Errorf("through %s the server is %s, want %s", proxy, got["server"], m.addrs[0])
		}
	}
}

// A balancer looks by LOCAL whether the server lives, and then sends clients there.
func TestABalancersHealthChecksReachTheServer(t *testing.T) {
	t.Parallel()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for _, mode := range []string{"relay", "rewrite"} {
		m := startMitm(t, "--listen", "127.0.0.1:0", "--connect", server.Addr().String(), "--accept-proxy", "127.0.0.1", "--proxy-header", mode)
		balancer := start(t, peers.HAProxy(peers.HAProxyConfig{
			Listen: reserve(t), Server: m.addrs[0], Send: "send-proxy-v2 check check-send-proxy inter 200ms",
		}))
		c, err := server.Accept()
		if err != nil {
			t.Fatal(err)
		}
		local := make([]byte, 16)
		n, err := c.Read(local)
		c.Close()
		if h, _, perr := detect.ParseProxyHeader(local[:n]); err != nil || perr != nil || h.Command != detect.ProxyLocal {
			t.Errorf("%s: the server got %x, %v; want LOCAL", mode, local[:n], err)
		}
		balancer.Stop()
	}
}

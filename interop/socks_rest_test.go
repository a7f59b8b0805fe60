package interop

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// The rest of SOCKS, relayed between programs that speak it: Dante's client library, under a program of Python or
// openssl, with Dante's server; tor-resolve with tor. GSSAPI would need a realm of Kerberos, and is played by a script
// in the package of the layer.

// startDante starts a mitm in front of a Dante, and returns it.
func startDante(t *testing.T, more ...string) *mitm {
	t.Helper()
	port := reserve(t)
	p, err := peers.Dante(port, "", "")
	if err != nil {
		t.Fatal(err)
	}
	start(t, p)
	return startMitm(t, append([]string{"--listen", "127.0.0.1:0", "--connect", fmt.Sprintf("127.0.0.1:%d", port)}, more...)...)
}

// socksify is a program under Dante's client library, which takes all that it does on sockets to m. It is ready once
// the library says so.
func socksify(m *mitm, version, ready string, args ...string) peers.Program {
	_, port, _ := net.SplitHostPort(m.addrs[0])
	udp := " udp"
	if version == "socks_v4" {
		udp = ""
	}
	return peers.Program{
		Name: "socksify",
		Args: args,
		Env:  []string{"SOCKS_CONF=" + peers.Here + "/socks.conf"},
		Files: map[string]string{
			"socks.conf": fmt.Sprintf(`logoutput: stderr
resolveprotocol: fake
route {
	from: 0.0.0.0/0 to: 0.0.0.0/0 via: 127.0.0.1 port = %s
	proxyprotocol: %s
	protocol: tcp%s
	method: none
}
`, port, version, udp),
			"bind.py": bindScript,
			"udp.py":  udpScript,
		},
		Ready: func(stderr string) bool { return strings.Contains(stderr, ready) },
	}
}

// bindScript binds, takes a connection and says what has come; or, with a file of roots, begins TLS on it. Python's own
// accept is accept4, which Dante's library does not know.
const bindScript = `
import ctypes, os, socket, ssl, sys
libc = ctypes.CDLL(None, use_errno=True)
s = socket.socket()
s.bind(("0.0.0.0", 0))
s.listen(1)
fd = libc.accept(s.fileno(), ctypes.create_string_buffer(16), ctypes.byref(ctypes.c_uint(16)))
if fd < 0:
    sys.exit(os.strerror(ctypes.get_errno()))
c = socket.socket(fileno=fd)
if len(sys.argv) > 1:
    c = ssl.create_default_context(cafile=sys.argv[1]).wrap_socket(c, server_hostname="localhost")
    c.sendall(b"from inside\n")
    print("issuer", dict(x[0] for x in c.getpeercert()["issuer"]))
print("heard", c.makefile().readline().strip())
c.sendall(b"thanks\n")
c.close()
`

// udpScript sends a datagram to a name, since Dante's library takes those to an address of this machine there itself.
const udpScript = `
import socket, sys
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.sendto(b"ping", ("localhost", int(sys.argv[1])))
print("heard", u.recv(100).decode())
`

// bound is what Dante's library says when the first reply to a BIND has come.
const bound = "successfully bound address"

// reach connects to what a program has bound.
func reach(t *testing.T, p *peers.Process) net.Conn {
	t.Helper()
	said := regexp.MustCompile(bound + ` 127\.0\.0\.1\.(\d+)`).FindStringSubmatch(p.Stderr())
	if said == nil {
		t.Fatalf("no address:\n%s", p.Stderr())
	}
	c, err := net.Dial("tcp", "127.0.0.1:"+said[1])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// say says a line and wants one back.
func say(t *testing.T, c net.Conn, line, want string) {
	t.Helper()
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		t.Fatal(err)
	}
	if got, err := bufio.NewReader(c).ReadString('\n'); got != want+"\n" {
		t.Errorf("the program says %q, %v; want %q", got, err, want)
	}
}

// finished waits for a program, which must exit with 0, and returns what it said.
func finished(t *testing.T, p *peers.Process) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
	defer cancel()
	if code, err := p.Wait(ctx); code != 0 || err != nil {
		t.Fatalf("exit code %d, %v\n%s", code, err, p.Logs())
	}
	return p.Stdout()
}

// note returns what a flow's outermost frame says.
func note(f peers.Flow) string {
	s, _ := f.Frames[0]["note"].(string)
	return s
}

func TestBINDThroughDante(t *testing.T) {
	t.Parallel()
	for version, path := range map[string]string{"socks_v5": "socks5>raw", "socks_v4": "socks4>raw"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			m := startDante(t)
			program := start(t, socksify(m, version, bound, "/usr/bin/python3", peers.Here+"/bind.py"))
			c := reach(t, program)
			say(t, c, "hello", "thanks")
			if out := finished(t, program); out != "heard hello\n" {
				t.Errorf("the program says %q", out)
			}
			c.Close()
			f := m.flow(t)
			line{path: path, action: "allow", target: c.LocalAddr().String()}.check(t, f)
			if want := fmt.Sprintf("BIND at %s, reached from %s", c.RemoteAddr(), c.LocalAddr()); note(f) != want {
				t.Errorf("note %q, want %q", note(f), want)
			}
		})
	}
}

// TestTLSBehindBIND is what a data connection of FTP is: the one who has bound is the TLS client.
func TestTLSBehindBIND(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	m := startDante(t, "--trust", s.root, "--no-system-roots")
	program := start(t, socksify(m, "socks_v5", bound, "/usr/bin/python3", peers.Here+"/bind.py", m.root))
	leaf := keyPair(t, s.leaf)
	inner := reach(t, program)
	c := tls.Server(inner, &tls.Config{Certificates: []tls.Certificate{leaf}})
	r := bufio.NewReader(c)
	if got, err := r.ReadString('\n'); got != "from inside\n" {
		t.Fatalf("the program says %q, %v", got, err)
	}
	io.WriteString(c, "hello\n")
	if got, err := r.ReadString('\n'); got != "thanks\n" {
		t.Errorf("the program says %q, %v", got, err)
	}
	if out := finished(t, program); !strings.HasSuffix(out, "heard hello\n") || strings.Contains(out, "Origin Test") {
		t.Errorf("the program says %q, want the issuer to be ours", out)
	}
	c.Close()
	f := m.flow(t)
	if want := inner.LocalAddr().String(); f.Path != "socks5>tls>raw" || f.Action != "inspect" || f.Target != want || f.TLS.Certificate.Verdict != "ok" {
		t.Errorf("flow %+v, want one that was decrypted, to %s", f, want)
	}
}

// TestTLSClientBehindBIND is the other way around: the one who connects is the TLS client, and there is nothing that we
// could bridge.
func TestTLSClientBehindBIND(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	m := startDante(t)
	cert, key := writeFile(t, "cert.pem", s.leaf.Cert), writeFile(t, "key.pem", s.leaf.Key)
	program := start(t, socksify(m, "socks_v5", bound, "openssl", "s_server", "-4", "-accept", "0", "-naccept", "1",
		"-cert", cert, "-key", key, "-rev", "-quiet"))
	inner := reach(t, program)
	roots := tls.Client(inner, &tls.Config{ServerName: "localhost", InsecureSkipVerify: true})
	say(t, roots, "hello", "olleh")
	if got, want := fmt.Sprintf("%x", roots.ConnectionState().PeerCertificates[0].Raw), leafDER(t, s.leaf); got != want {
		t.Errorf("the certificate is not the server's own")
	}
	roots.Close()
	finished(t, program)
	f := m.flow(t)
	if f.Path != "socks5>tls(pass)" || f.Action != "bypass" || f.Frames[1]["sni"] != "localhost" || f.Frames[1]["note"] != "the TLS client is at the server's side" {
		t.Errorf("flow %+v, want one that was passed on because of who is the TLS client", f)
	}
}

func leafDER(t *testing.T, leaf peers.Leaf) string {
	t.Helper()
	pair := keyPair(t, leaf)
	return fmt.Sprintf("%x", pair.Certificate[0])
}

func TestUDPASSOCIATEThroughDante(t *testing.T) {
	t.Parallel()
	m := startDante(t)
	u, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan net.Addr, 1)
	go func() {
		defer close(answered)
		buf := make([]byte, 100)
		n, from, err := u.ReadFrom(buf)
		if err != nil {
			return // it has been closed
		}
		u.WriteTo(append([]byte("pong to "), buf[:n]...), from)
		answered <- from
	}()
	port := u.LocalAddr().(*net.UDPAddr).Port
	program := start(t, socksify(m, "socks_v5", "Dante/client", "/usr/bin/python3", peers.Here+"/udp.py", fmt.Sprint(port)))
	out := finished(t, program)
	u.Close()
	if from := <-answered; from == nil || out != "heard pong to ping\n" {
		t.Errorf("the datagram came from %v, and the program says %q", from, out)
	}
	f := m.flow(t)
	line{path: "socks5", action: "allow", target: m.connect(t)}.check(t, f)
	if !regexp.MustCompile(`^UDP ASSOCIATE at 127\.0\.0\.1:\d+: the datagrams go past us$`).MatchString(note(f)) {
		t.Errorf("note %q", note(f))
	}
}

// connect returns where a mitm that was started with --connect is connected to.
func (m *mitm) connect(t *testing.T) string {
	t.Helper()
	f := m.flows(t, m.read)[m.read-1]
	return f.Server
}

// TestResolveThroughTor holds tor's own answers. It knows no network, so it answers what it can by itself: an address,
// a name that it was told, a name that it makes up an address for. The rest it refuses, and so RESOLVE_PTR altogether.
func TestResolveThroughTor(t *testing.T) {
	t.Parallel()
	port := reserve(t)
	start(t, peers.Program{
		Name: "tor",
		Args: []string{"-f", peers.Here + "/torrc"},
		Files: map[string]string{"torrc": fmt.Sprintf(`SocksPort 127.0.0.1:%d NoPreferIPv6Automap
DataDirectory %s/data
DirAuthority none orport=1 127.0.0.1:1 0000000000000000000000000000000000000001
UseDefaultFallbackDirs 0
DormantOnFirstStartup 1
ClientOnly 1
MapAddress mapped.test 192.0.2.7
AutomapHostsOnResolve 1
AutomapHostsSuffixes .made-up
Log notice stderr
`, port, peers.Here)},
		Ports: []int{port},
	})
	m := startMitm(t, "--listen", "127.0.0.1:0", "--connect", fmt.Sprintf("127.0.0.1:%d", port))
	resolve := func(want string, args ...string) string {
		t.Helper()
		res := run(t, "", "tor-resolve", append(args, m.addrs[0])...)
		if f := m.flow(t); f.Path != "socks5" || f.Reason != "eof" || note(f) != strings.ReplaceAll(want, "*", strings.TrimSpace(res.Stdout)) {
			t.Errorf("tor-resolve %q says %q: flow %+v, note %q; want %q", args, res.Stdout, f, note(f), want)
		}
		return strings.TrimSpace(res.Stdout)
	}
	if got := resolve("RESOLVE to *", "mapped.test"); got != "192.0.2.7" {
		t.Errorf("mapped.test is %q", got)
	}
	if got := resolve("RESOLVE to *", "192.0.2.9"); got != "192.0.2.9" {
		t.Errorf("192.0.2.9 is %q", got)
	}
	if got := resolve("RESOLVE to *", "some.made-up"); !strings.HasPrefix(got, "127.") {
		t.Errorf("some.made-up is %q", got)
	}
	if got := resolve("04 host unreachable", "unknown.test"); got != "" {
		t.Errorf("unknown.test is %q", got)
	}
	if got := resolve("04 host unreachable", "-x", "192.0.2.9"); got != "" {
		t.Errorf("192.0.2.9 is %q", got)
	}
}

package starttls_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	. "github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/internal/peers"
	"github.com/bridgeio/bridgeio/layers/starttls"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
	"github.com/bridgeio/bridgeio/mitm/capture"
)

// authority signs for a name.
type authority struct {
	leaf  *tls.Certificate
	roots *x509.CertPool
	pem   string // of the root
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	root, err := peers.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := root.Leaf("server.test")
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := tls.X509KeyPair([]byte(pair.Cert), []byte(pair.Key))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(root.PEM))
	return authority{&leaf, roots, root.PEM}
}

// Mint makes the authority a tlsbridge.Minter.
func (a authority) Mint(context.Context, *tlsbridge.Snapshot, *detect.ClientHello) (*tls.Certificate, string, error) {
	return a.leaf, "", nil
}

// bridged is a conversation up to TLS.
type bridged struct {
	name     string
	layer    bridge.Layer
	script   []write
	path     string
	wrap     func(net.Conn) packets // how TLS goes over the conn
	observer *bridge.Observer       // another one
}

// packets is a conn that is told when the handshake is over.
type packets interface {
	net.Conn
	over()
}

func upgrades() []bridged {
	return []bridged{
		{
			name: "SMTP", layer: starttls.SMTP(), path: "smtp>tls",
			script: []write{s("220 a\r\n"), c("EHLO b\r\n"), s("250 STARTTLS\r\n"), c("STARTTLS\r\n"), s("220 go\r\n")},
		},
		{name: "LMTP", layer: starttls.SMTP(), path: "lmtp>tls", script: []write{
			s("220 a\r\n"), c("LHLO b\r\n"), s("250 STARTTLS\r\n"), c("STARTTLS\r\n"), s("220 go\r\n"),
		}},
		{name: "FTP", layer: starttls.FTP(), path: "ftp>tls", script: []write{s("220 a\r\n"), c("AUTH TLS\r\n"), s("234 go\r\n")}},
		{name: "220", layer: starttls.Reply220(), path: "ftp>tls", script: []write{s("220 a\r\n"), c("AUTH TLS\r\n"), s("234 go\r\n")}},
		{name: "IMAP", layer: starttls.IMAP(), path: "imap>tls", script: []write{s("* OK\r\n"), c("a STARTTLS\r\n"), s("a OK\r\n")}},
		{name: "POP3", layer: starttls.POP3(), path: "pop3>tls", script: []write{s("+OK\r\n"), c("STLS\r\n"), s("+OK\r\n")}},
		{name: "NNTP", layer: starttls.NNTP(), path: "nntp>tls", script: []write{s("200\r\n"), c("STARTTLS\r\n"), s("382\r\n")}},
		{name: "ManageSieve", layer: starttls.ManageSieve(), path: "sieve>tls", script: []write{s("OK\r\n"), c("STARTTLS\r\n"), s("OK\r\n")}},
		{name: "XMPP", layer: starttls.XMPP(), path: "xmpp>tls", script: []write{
			c(clientStream), s(serverStream + features), c(askTLS), s(proceedTLS),
		}},
		{name: "LDAP", layer: starttls.LDAP(), path: "ldap>tls", script: []write{c(startTLS), s(startedTLS)}},
		{name: "PostgreSQL", layer: starttls.PostgreSQL(), path: "postgres>tls", script: []write{c(sslRequest), s("S")}},
		{name: "MySQL", layer: starttls.MySQL(), path: "mysql>tls", script: []write{s(mysqlGreeting("\xff\xff")), c(mysqlSSL)}},
		{name: "IRC", layer: starttls.IRC(), path: "irc>tls", script: []write{c("STARTTLS\r\n"), s(":a 670 * :go\r\n")}},
		{name: "RDP", layer: starttls.RDP(), path: "rdp>tls", script: []write{
			c(x224(0xe0, "\x01\x00\x08\x00\x01\x00\x00\x00")), s(x224(0xd0, "\x02\x00\x08\x00\x01\x00\x00\x00")),
		}},
		{name: "TDS", layer: starttls.TDS(), path: "tds>tls", wrap: inPackets, script: []write{
			c(prelogin(clientPrelogin, encryptOn)), s(prelogin(serverPrelogin, encryptOn)),
		}},
		{name: "Generic", layer: starttls.Generic(), path: "starttls>tls", script: []write{s("welcome\r\n"), c("TLS\r\n"), s("ok\r\n")}},
	}
}

// TestTLSIsBridgedWhereItBegins also looks at what an observer is shown: one stream of what was said before TLS, and in it.
func TestTLSIsBridgedWhereItBegins(t *testing.T) {
	server, ours := newAuthority(t), newAuthority(t)
	for _, u := range upgrades() {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(u.name+" and "+tls.VersionName(version), func(t *testing.T) {
				Baseline(t)
				u.run(t, server, ours, version)
			})
		}
	}
}

func (u bridged) run(t *testing.T, server, ours authority, version uint16) {
	client, clientSide := TCPPair(t)
	serverSide, dialled := TCPPair(t)
	var shown recording
	proxy := &bridge.Proxy{
		Handler: bridge.Chain(u.layer, tlsbridge.Relay(tlsbridge.Config{Minter: ours})),
		Hop:     bridge.FixedHop(bridge.Addr{Host: "192.0.2.1", Port: 25}),
		Dial:    func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) { return dialled, nil },
		Observer: bridge.Observers(u.observer, &bridge.Observer{
			Open: func(f *bridge.Flow) { shown.flow = f },
			Tap:  func(*bridge.Flow) func(bridge.Side, []byte) { return shown.show },
		}),
	}
	done := make(chan bridge.Outcome, 1)
	go func() { done <- proxy.ServeConn(t.Context(), clientSide) }()
	served := make(chan error, 1)
	go func() { served <- u.serve(serverSide, server, version) }()

	client.SetDeadline(time.Now().Add(20 * time.Second))
	if err := u.speak(client, ours); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Errorf("the server: %v", err)
	}
	if out := <-done; out.Reason != bridge.EOF || shown.flow.Path() != u.path || !shown.flow.Decrypted() {
		t.Errorf("path %s, outcome %+v; want %s, eof", shown.flow.Path(), out, u.path)
	}
	said := [2]string{}
	for _, w := range u.script {
		said[w.from] += w.words
	}
	for side := range said {
		if want, got := said[side]+words[side], shown.said[side].String(); got != want {
			t.Errorf("of the %s was shown %q, want %q", bridge.Side(side), got, want)
		}
	}
}

// words are what the peers say in TLS.
var words = [2]string{bridge.Client: "ping", bridge.Server: "pong"}

// play says what one side says, when it has heard what comes before it.
func (u bridged) play(conn net.Conn, side bridge.Side) error {
	for _, w := range u.script {
		if w.from == side {
			if _, err := io.WriteString(conn, w.words); err != nil {
				return err
			}
			continue
		}
		got := make([]byte, len(w.words))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != w.words {
			return fmt.Errorf("read %q, %v, want %q", got, err, w.words)
		}
	}
	return nil
}

// over returns the conn that TLS goes over.
func (u bridged) over(conn net.Conn) (net.Conn, func()) {
	if u.wrap == nil {
		return conn, func() {}
	}
	p := u.wrap(conn)
	return p, p.over
}

// speak is the client.
func (u bridged) speak(conn net.Conn, trusts authority) error {
	if err := u.play(conn, bridge.Client); err != nil {
		return err
	}
	below, over := u.over(conn)
	c := tls.Client(below, &tls.Config{ServerName: "server.test", RootCAs: trusts.roots})
	if err := c.Handshake(); err != nil {
		return err
	}
	over()
	if _, err := io.WriteString(c, words[bridge.Client]); err != nil {
		return err
	}
	c.CloseWrite()
	got, err := io.ReadAll(c)
	if err != nil || string(got) != words[bridge.Server] {
		return fmt.Errorf("read %q, %v", got, err)
	}
	return c.Close()
}

// serve is the server.
func (u bridged) serve(conn net.Conn, a authority, version uint16) error {
	defer conn.Close()
	if err := u.play(conn, bridge.Server); err != nil {
		return err
	}
	below, over := u.over(conn)
	c := tls.Server(below, &tls.Config{
		Certificates: []tls.Certificate{*a.leaf}, MinVersion: version, MaxVersion: version, SessionTicketsDisabled: true,
	})
	if err := c.Handshake(); err != nil {
		return err
	}
	over()
	got, err := io.ReadAll(c)
	if err != nil || string(got) != words[bridge.Client] {
		return fmt.Errorf("read %q, %v", got, err)
	}
	if _, err = io.WriteString(c, words[bridge.Server]); err != nil {
		return err
	}
	return c.CloseWrite()
}

// recording is what an observer was shown.
type recording struct {
	flow *bridge.Flow
	mu   sync.Mutex
	said [2]bytes.Buffer
}

func (r *recording) show(from bridge.Side, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said[from].Write(data)
}

// packetConn is a peer's end of TDS, which is not made of what is tested: until it is told that the handshake is over, it
// writes packets and expects packets.
type packetConn struct {
	net.Conn
	left int
	raw  bool
}

func inPackets(c net.Conn) packets { return &packetConn{Conn: c} }

func (c *packetConn) over() { c.raw = true }

func (c *packetConn) Write(p []byte) (int, error) {
	if c.raw {
		return c.Conn.Write(p)
	}
	for rest := p; len(rest) > 0; {
		n := min(len(rest), 1000)
		if _, err := io.WriteString(c.Conn, packet(0x12, string(rest[:n]))); err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return len(p), nil
}

func (c *packetConn) Read(p []byte) (int, error) {
	if c.raw {
		return c.Conn.Read(p)
	}
	for c.left == 0 {
		var header [8]byte
		if _, err := io.ReadFull(c.Conn, header[:]); err != nil {
			return 0, err
		}
		if header[0] != 0x12 {
			return 0, fmt.Errorf("a packet of type %x", header[0])
		}
		c.left = int(binary.BigEndian.Uint16(header[2:])) - len(header)
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// TestACaptureHoldsOneStream captures what was said before TLS, and in it, as one connection. A capture of what was
// decrypted only has both, too.
func TestACaptureHoldsOneStream(t *testing.T) {
	w, err := capture.NewWriter(io.Discard, capture.Config{})
	if err != nil {
		t.Fatal(err)
	}
	u := upgrades()[0]
	u.observer = w.Observer()
	u.run(t, newAuthority(t), newAuthority(t), tls.VersionTLS13)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	size := len(words[bridge.Client]) + len(words[bridge.Server])
	for _, said := range u.script {
		size += len(said.words)
	}
	if got := w.Stats(); got.Flows != 1 || got.Payload != int64(size) {
		t.Errorf("captured %+v, want 1 flow and %d bytes", got, size)
	}
}

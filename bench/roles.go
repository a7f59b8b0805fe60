package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/layers/httpconnect"
	"github.com/bridgeio/bridgeio/layers/socks"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
)

// What a process of ours that plays a proxy is told.
const (
	roleVariable   = "BENCH_ROLE"
	serverVariable = "BENCH_SERVER" // host:port
	groupVariable  = "BENCH_GROUP"  // of a key exchange; its number
)

// Roles.
const (
	roleCopy        = "copy"        // the shortest Go program that relays
	roleCopySOCKS   = "copysocks"   // that is asked with SOCKS5
	roleCopyConnect = "copyconnect" // that is asked with CONNECT
	roleCopyTLS     = "copytls"     // that bridges TLS
	roleBridge      = "bridge"      // package bridge without layers
	roleSOCKS       = "socks"       // with the SOCKS server
	roleConnect     = "connect"     // with the HTTP proxy
	roleRelay       = "relay"       // with the TLS bridge
	roleInside      = "inside"      // that, with its client and its server in the process
	roleInsideCopy  = "insidecopy"  // roleCopyTLS likewise
)

// groupAsked is what groupVariable says, or X25519.
func groupAsked() (tls.CurveID, error) {
	text := os.Getenv(groupVariable)
	if text == "" {
		return tls.X25519, nil
	}
	group, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", groupVariable, err)
	}
	return tls.CurveID(group), nil
}

// play is a proxy until it is killed.
func play(part string) error {
	server := os.Getenv(serverVariable)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	slog.New(slog.NewJSONHandler(os.Stderr, nil)).Info("listening", "addr", l.Addr().String())
	switch part {
	case roleCopy:
		return serveCopies(l, func(net.Conn) (net.Conn, error) { return net.Dial("tcp", server) })
	case roleCopySOCKS:
		return serveCopies(l, dialForSOCKS)
	case roleCopyConnect:
		return serveCopies(l, dialForConnect)
	case roleCopyTLS:
		return serveTLS(l, server)
	case roleBridge:
		hop, err := bridge.ParseAddr(server)
		if err != nil {
			return err
		}
		return serveChain(l, bridge.FixedHop(hop))
	case roleSOCKS:
		return serveChain(l, nil, socks.Terminate(socks.Config{}))
	case roleConnect:
		return serveChain(l, nil, httpconnect.Terminate(httpconnect.Config{}))
	case roleRelay:
		return serveRelay(l, server)
	case roleInside:
		return serveInside(l, serveRelay)
	case roleInsideCopy:
		return serveInside(l, serveTLS)
	}
	return fmt.Errorf("unknown role %q", part)
}

func serveChain(l net.Listener, hop func(net.Conn) (bridge.Addr, bool), layers ...bridge.Layer) error {
	p := &bridge.Proxy{Handler: bridge.Chain(layers...), Hop: hop, Limits: bridge.Limits{MaxFlows: mostFlows + 100}}
	return p.Serve(context.Background(), l)
}

// serveRelay is the bridge with a certificate that is always there, for a server that it
// does not verify.
func serveRelay(l net.Listener, server string) error {
	leaf, err := tls.LoadX509KeyPair("cert.pem", "key.pem")
	if err != nil {
		return err
	}
	hop, err := bridge.ParseAddr(server)
	if err != nil {
		return err
	}
	return serveChain(l, bridge.FixedHop(hop), tlsbridge.Relay(tlsbridge.Config{Minter: minted{&leaf}}))
}

// minted is a Minter whose cache has the leaf.
type minted struct{ leaf *tls.Certificate }

func (m minted) Mint(context.Context, *tlsbridge.Snapshot, *detect.ClientHello) (*tls.Certificate, string, error) {
	return m.leaf, "ok", nil
}

func serveTLS(l net.Listener, server string) error {
	pair, err := tls.LoadX509KeyPair("cert.pem", "key.pem")
	if err != nil {
		return err
	}
	group, err := groupAsked()
	if err != nil {
		return err
	}
	groups := []tls.CurveID{group}
	l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}, CurvePreferences: groups})
	config := &tls.Config{ServerName: serverName, InsecureSkipVerify: true, CurvePreferences: groups}
	return serveCopies(l, func(net.Conn) (net.Conn, error) { return tls.Dial("tcp", server, config) })
}

func serveCopies(l net.Listener, dial func(client net.Conn) (net.Conn, error)) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go serveCopy(c, dial)
	}
}

func serveCopy(c net.Conn, dial func(client net.Conn) (net.Conn, error)) {
	defer c.Close()
	s, err := dial(c)
	if err != nil {
		return
	}
	defer s.Close()
	done := make(chan struct{})
	go copyHalf(c, s, done)
	copyHalf(s, c, nil)
	<-done
}

// copyHalf copies one direction and passes its end on.
func copyHalf(to, from net.Conn, done chan<- struct{}) {
	if done != nil {
		defer close(done)
	}
	io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
}

// dialForSOCKS serves the one request that the load makes, and checks nothing else.
func dialForSOCKS(c net.Conn) (net.Conn, error) {
	var b [10]byte
	if _, err := io.ReadFull(c, b[:3]); err != nil {
		return nil, err
	}
	if _, err := c.Write([]byte{5, 0}); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(c, b[:]); err != nil {
		return nil, err
	}
	to := net.TCPAddr{IP: net.IP(b[4:8]), Port: int(b[8])<<8 | int(b[9])}
	s, err := net.Dial("tcp", to.String())
	if err != nil {
		return nil, err
	}
	if _, err := c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0}); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// dialForConnect is the same for CONNECT.
func dialForConnect(c net.Conn) (net.Conn, error) {
	var b [512]byte
	n, err := c.Read(b[:]) // the load sends its request in one piece
	if err != nil {
		return nil, err
	}
	words := strings.Fields(string(b[:n]))
	if len(words) < 2 {
		return nil, fmt.Errorf("not a request: %q", b[:n])
	}
	s, err := net.Dial("tcp", words[1])
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/layers/httpconnect"
	"github.com/bridgeio/bridgeio/layers/socks"
)

// What a process of ours that plays a proxy is told.
const (
	roleVariable   = "BENCH_ROLE"
	serverVariable = "BENCH_SERVER" // host:port
)

// Roles.
const (
	roleCopy    = "copy"    // the shortest Go program that relays
	roleCopyTLS = "copytls" // and that bridges TLS
	roleBridge  = "bridge"  // package bridge without layers
	roleSOCKS   = "socks"   // with the SOCKS server
	roleConnect = "connect" // with the HTTP proxy
)

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
		return serveCopies(l, func() (net.Conn, error) { return net.Dial("tcp", server) })
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
	}
	return fmt.Errorf("unknown role %q", part)
}

func serveChain(l net.Listener, hop func(net.Conn) (bridge.Addr, bool), layers ...bridge.Layer) error {
	p := &bridge.Proxy{Handler: bridge.Chain(layers...), Hop: hop, Limits: bridge.Limits{MaxFlows: mostFlows + 100}}
	return p.Serve(context.Background(), l)
}

func serveTLS(l net.Listener, server string) error {
	pair, err := tls.LoadX509KeyPair("cert.pem", "key.pem")
	if err != nil {
		return err
	}
	l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}, CurvePreferences: onlyX25519})
	config := &tls.Config{ServerName: serverName, InsecureSkipVerify: true, CurvePreferences: onlyX25519}
	return serveCopies(l, func() (net.Conn, error) { return tls.Dial("tcp", server, config) })
}

func serveCopies(l net.Listener, dial func() (net.Conn, error)) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go serveCopy(c, dial)
	}
}

func serveCopy(c net.Conn, dial func() (net.Conn, error)) {
	defer c.Close()
	s, err := dial()
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

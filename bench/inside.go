package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// What does a bridged handshake cost, beside the one handshake as client and the one as
// server that it consists of? To compare it with just these, crypto/tls on both ends of
// a connection, all of it happens inside one process: clients, bridge and server. A
// proxy whose peers are other programs also pays for being woken up by them, which its
// handshakes have no part in.
//
// What the bridge costs is what the process uses with it, less what it uses when the same
// clients connect to the same server without it.

// Names of contenders whose peers are in their own process.
const (
	nameInside      = "bridge library, inside"
	nameInsidePlain = "plain Go, inside"
	namePair        = "crypto/tls, bare pair"
)

// inside is a bridge with its peers: roleInside or roleInsideCopy.
func inside(name, part string, kind hello, group tls.CurveID) contender {
	return contender{name: name, load: extra, start: insider(part, kind, group)}
}

// pair is no bridge, but Go's client and Go's server.
func pair(group tls.CurveID) contender {
	return contender{name: namePair, load: pairs, start: insider(roleInside, helloGo, group)}
}

func insider(part string, kind hello, group tls.CurveID) func(context.Context, *lab, string) (*running, error) {
	return func(ctx context.Context, l *lab, origin string) (*running, error) {
		record, err := l.readHello(kind)
		if err != nil {
			return nil, err
		}
		return announced(func(l *lab, origin string) peers.Program {
			p := l.role(part, origin)
			p.Env = append(p.Env, fmt.Sprintf("%s=%d", groupVariable, group))
			p.Files["server.pem"], p.Files["server.key"] = l.certs.other.Cert, l.certs.other.Key
			p.Files["hello.bin"] = string(record)
			return p
		})(ctx, l, origin)
	}
}

// Ways from the client to the server.
const (
	wayDirect  = "direct"
	wayBridged = "bridged"
)

// extra is the load of a bridge inside. Its value is what one handshake costs more for
// going through it, in CPU milliseconds.
func extra(ctx context.Context, t *target, s scale) ([]float64, error) {
	bridged, err := t.order(ctx, wayBridged, s.Handshakes)
	if err != nil {
		return nil, err
	}
	direct, err := t.order(ctx, wayDirect, s.Handshakes)
	return []float64{milliseconds(bridged-direct) / float64(s.Handshakes)}, err
}

// pairs is the load of no bridge. Its value is what a handshake costs both ends.
func pairs(ctx context.Context, t *target, s scale) ([]float64, error) {
	direct, err := t.order(ctx, wayDirect, s.Handshakes)
	return []float64{milliseconds(direct) / float64(s.Handshakes)}, err
}

// order has the process make n handshakes, and returns the CPU time of that.
func (t *target) order(ctx context.Context, way string, n int) (time.Duration, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", t.proxy)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })()
	return t.cpuOf(ctx, func() error {
		if _, err := fmt.Fprintln(c, way, n); err != nil {
			return err
		}
		answer, err := io.ReadAll(c)
		if err == nil && string(answer) != done {
			err = fmt.Errorf("%s %d: %s", way, n, answer)
		}
		return err
	})
}

const done = "done"

// serveInside plays the process: it starts the server, and in front of it the bridge, and
// takes orders.
func serveInside(l net.Listener, bridge func(net.Listener, string) error) error {
	group, err := groupAsked()
	if err != nil {
		return err
	}
	record, err := os.ReadFile("hello.bin")
	if err != nil {
		return err
	}
	leaf, err := tls.LoadX509KeyPair("server.pem", "server.key")
	if err != nil {
		return err
	}
	server := certificates{origin: leaf}
	o, err := newOrigin(newPattern(), server.originConfig(group))
	if err != nil {
		return err
	}
	defer o.close()
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer front.Close()
	go serveBridge(front, o.addr(), bridge)
	ways := map[string]*target{
		wayDirect:  {proxy: o.addr(), front: direct, origin: o, shake: certificates{}.shake(record, group, false)},
		wayBridged: {proxy: front.Addr().String(), front: direct, origin: o, shake: server.shake(record, group, false)},
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go serveOrder(c, ways)
	}
}

func serveBridge(l net.Listener, server string, bridge func(net.Listener, string) error) {
	if err := bridge(l, server); !errors.Is(err, net.ErrClosed) {
		slog.Error("the bridge has ended", "err", err)
	}
}

// serveOrder takes the order of one connection.
func serveOrder(c net.Conn, ways map[string]*target) {
	defer c.Close()
	var way string
	var n int
	if _, err := fmt.Fscanln(bufio.NewReader(c), &way, &n); err != nil || ways[way] == nil {
		fmt.Fprintf(c, "no order: %q %d: %v", way, n, err)
		return
	}
	if err := ways[way].visit(context.Background(), tlsAtOnce, n); err != nil {
		fmt.Fprint(c, err)
		return
	}
	fmt.Fprint(c, done)
}

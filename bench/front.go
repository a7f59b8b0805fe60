package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

// A front is how a client asks the proxy for the origin. Its function is called on a
// connection to the proxy and returns when the tunnel stands.
type front func(c net.Conn, origin netip.AddrPort) error

// direct asks for nothing: the proxy knows its only server.
func direct(net.Conn, netip.AddrPort) error { return nil }

// socks5 is the client of RFC 1928, without a password. It waits for each answer, as
// clients do.
func socks5(c net.Conn, origin netip.AddrPort) error {
	var answer [10]byte
	if _, err := c.Write([]byte{5, 1, 0}); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, answer[:2]); err != nil {
		return fmt.Errorf("socks5: read method: %w", err)
	}
	if answer[0] != 5 || answer[1] != 0 {
		return fmt.Errorf("socks5: method %x, want 0500", answer[:2])
	}
	ip, port := origin.Addr().As4(), origin.Port()
	request := append([]byte{5, 1, 0, 1}, ip[:]...)
	if _, err := c.Write(append(request, byte(port>>8), byte(port))); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, answer[:]); err != nil {
		return fmt.Errorf("socks5: read reply: %w", err)
	}
	if answer[1] != 0 || answer[3] != 1 {
		return fmt.Errorf("socks5: reply %x, want success with an IPv4 address", answer)
	}
	return nil
}

// httpConnect asks with CONNECT (RFC 9110 §9.3.6).
func httpConnect(c net.Conn, origin netip.AddrPort) error {
	if _, err := fmt.Fprintf(c, "CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", origin); err != nil {
		return err
	}
	head := make([]byte, 0, 1024)
	for !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
		if len(head) == cap(head) {
			return errors.New("connect: the answer's head is over a kibibyte")
		}
		// The origin says nothing first, so nothing follows the head.
		n, err := c.Read(head[len(head):cap(head)])
		if head = head[:len(head)+n]; err != nil {
			return fmt.Errorf("connect: read answer: %w", err)
		}
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.")) || !bytes.HasPrefix(head[8:], []byte(" 200")) {
		return fmt.Errorf("connect: answer %q", head)
	}
	return nil
}

// A target is a proxy that runs, and the origin behind it.
type target struct {
	proxy  string // where it listens
	front  front
	shake  shake // the client's; nil: plain
	origin *origin
	usage  account
}

// A client is a tunnel through the proxy to the origin.
type client struct {
	net.Conn
	pattern pattern
	buf     []byte
	stop    func() bool
}

// loadTimeout bounds a load. None takes a quarter of it; one that hangs is a failure.
const loadTimeout = 3 * time.Minute

// dial opens a tunnel. When ctx ends, what waits on it fails.
func (t *target) dial(ctx context.Context, buffer int) (*client, error) {
	return t.dialName(ctx, serverName, buffer)
}

// dialName is the same for an origin of that name, which TLS asks for.
func (t *target) dialName(ctx context.Context, name string, buffer int) (*client, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", t.proxy)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	cl := &client{c, t.origin.pattern, make([]byte, buffer), stop}
	if err := t.open(ctx, cl, name); err != nil {
		cl.Close()
		return nil, err
	}
	return cl, nil
}

func (t *target) open(ctx context.Context, cl *client, name string) error {
	origin, err := netip.ParseAddrPort(t.origin.addr())
	if err != nil {
		return err
	}
	if err := t.front(cl.Conn, origin); err != nil {
		return err
	}
	if t.shake == nil {
		return nil
	}
	secured, err := t.shake(ctx, cl.Conn, name)
	if err == nil {
		cl.Conn = secured
	}
	return err
}

// ask sends a request and checks the answer.
func (c *client) ask(n int64) error {
	var request [requestSize]byte
	if _, err := c.Write(appendRequest(request[:0], n)); err != nil {
		return fmt.Errorf("send request: %w", err)
	}
	if err := c.pattern.read(c, c.buf, n); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	return nil
}

func (c *client) Close() error {
	c.stop()
	return c.Conn.Close()
}

// Package demo proves the proxy end to end in one process on loopback.
//
// It starts an HTTPS origin, a SOCKS5 server and an HTTP proxy that are not ours, the
// proxy in front of them, and clients that reach the origin through stacks of PROXY,
// SOCKS5, CONNECT and TLS. For each it prints who said what at which layer, and checks
// what the client got, which path was recorded, and what was captured.
//
// The transparent demo (Linux) is the same in networks of its own: the proxy is on a router
// between clients and servers, which know nothing of it.
package demo

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/mitm"
	"github.com/bridgeio/bridgeio/mitm/ca"
	"github.com/bridgeio/bridgeio/mitm/capture"
)

// Config says how the demo runs. Out is required.
type Config struct {
	Out io.Writer

	// Capture is the file that what was decrypted is written to; "" means one in the
	// temporary directory, which is removed at the end.
	Capture string

	// Distrust makes the clients not trust the authority, so that every flow, and the
	// demo, must fail.
	Distrust bool

	// Transparent makes this process's network a router between clients and servers that
	// know nothing of a proxy. It must have no other use: see RunTransparent.
	Transparent bool
}

// limit bounds the whole demo. It takes seconds.
const limit = 2 * time.Minute

// Run runs every stack and returns an error unless each was bridged and verified.
func Run(ctx context.Context, c Config) (err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	dir, err := os.MkdirTemp("", "mitm-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	authority, err := ca.Open(filepath.Join(dir, "ca"))
	if err != nil {
		return err
	}
	defer authority.Close()
	if c.Capture == "" {
		c.Capture = filepath.Join(dir, "demo.pcap")
	}
	d := &demo{Config: c, authority: authority, seen: newRecorder()}
	host := "127.0.0.1"
	var servers *place
	if c.Transparent {
		if d.clients, servers, err = stage(ctx); err != nil {
			return err
		}
		defer d.clients.close()
		defer servers.close()
		if err := ownState(dir); err != nil {
			return err
		}
		host = serverAddr
	}
	if d.peers, err = startPeers(servers, host); err != nil {
		return err
	}
	defer d.peers.close()
	if err := d.record(ctx); err != nil {
		return err
	}
	if err := d.checkCapture(); err != nil {
		return fmt.Errorf("capture %s: %w", c.Capture, err)
	}
	fmt.Fprintf(c.Out, "all %d flows were bridged, verified and captured\n", len(d.tried))
	return nil
}

type demo struct {
	Config
	peers     *peers
	authority *ca.Authority
	seen      *recorder
	clients   *place
	tried     []stack
}

// record runs the stacks with the capture open.
func (d *demo) record(ctx context.Context) (err error) {
	file, err := capture.Create(d.Capture, capture.Config{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	observer := bridge.Observers(file.Observer(), d.seen.observer())
	if d.Transparent {
		return d.recordTransparent(ctx, observer)
	}
	return d.tryAll(ctx, stacks(), observer)
}

// tryAll takes a client through each of the stacks.
func (d *demo) tryAll(ctx context.Context, all []stack, observer *bridge.Observer) error {
	for _, s := range all {
		if err := d.try(ctx, s, observer); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		d.tried = append(d.tried, s)
	}
	return nil
}

// try takes one client through one stack.
func (d *demo) try(ctx context.Context, s stack, observer *bridge.Observer) (err error) {
	config := mitm.Config{
		Listen:   []string{"127.0.0.1:0"},
		CA:       d.authority,
		Roots:    d.peers.roots,
		Observer: observer,
	}
	s.configure(&config, d.peers)
	server, err := mitm.New(config)
	if err != nil {
		return err
	}
	defer server.Close()
	ctx, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx) }()
	defer func() {
		stop()
		err = errors.Join(err, <-served)
	}()

	entry := server.Listening()[0].Addr.String()
	if s.to != nil {
		entry = s.to(d.peers).String()
	}
	err = d.fetch(ctx, s, entry)
	flow, waitErr := d.seen.next(ctx)
	if waitErr != nil {
		return errors.Join(err, waitErr)
	}
	flow.print(d.Out, s.name)
	if err != nil {
		return err
	}
	if visitor, _, _ := net.SplitHostPort(d.peers.visitor.Load().(string)); s.seen != "" && visitor != s.seen {
		return fmt.Errorf("the origin has seen %s, want %s", visitor, s.seen)
	}
	if path := flow.Path(); path != s.path {
		return fmt.Errorf("the flow took the path %s, want %s", path, s.path)
	}
	return nil
}

// clientRoots is what the clients trust: our authority, and nothing else.
func (d *demo) clientRoots() *x509.CertPool {
	pool := x509.NewCertPool()
	if !d.Distrust {
		pool.AddCert(d.authority.Certificate())
	}
	return pool
}

//go:build !linux

package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
)

var errUnsupported = fmt.Errorf("networks of the demo's own on %s: %w", runtime.GOOS, errors.ErrUnsupported)

// A place is a network in which sockets are opened. Nil is that of this process, and there is
// no other here.
type place struct{}

func newPlace() (*place, error) { return nil, errUnsupported }

func (p *place) close() {}

func (p *place) listen(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }

func (p *place) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, addr)
}

func (p *place) run(context.Context, ...string) error { return errUnsupported }

func (p *place) path() string { return "" }

func inOwnNetwork(context.Context, ...string) error { return errUnsupported }

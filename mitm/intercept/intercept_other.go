//go:build !linux

package intercept

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"syscall"
)

var errUnsupported = fmt.Errorf("transparent proxying on %s: %w", runtime.GOOS, errors.ErrUnsupported)

// Control prepares a listener, as the Control of a net.ListenConfig.
func (m Mode) Control(_, _ string, _ syscall.RawConn) error {
	if m == None {
		return nil
	}
	return errUnsupported
}

// Destination returns where the client of an accepted connection meant to go.
func (m Mode) Destination(*net.TCPConn) (netip.AddrPort, error) {
	return netip.AddrPort{}, errUnsupported
}

// LocalAddr returns the address that a socket has by now.
func LocalAddr(syscall.RawConn) (netip.AddrPort, error) { return netip.AddrPort{}, errUnsupported }

// Check tries what Control does on a socket that is not connected.
func (e Egress) Check() error { return e.Control("", "", nil) }

// Control prepares a socket that is about to be connected, as the Control of a net.Dialer.
func (e Egress) Control(_, _ string, _ syscall.RawConn) error {
	if e == (Egress{}) {
		return nil
	}
	return errUnsupported
}

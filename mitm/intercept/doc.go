// Package intercept takes part in what the kernel does for a transparent proxy: it tells where
// a connection was meant to go that firewall rules have brought here, and connects to servers
// from addresses that are not the host's own.
//
//	lc := net.ListenConfig{Control: intercept.TPROXY.Control}
//	...
//	to, err := intercept.TPROXY.Destination(conn)        // the server that the client meant
//	d := net.Dialer{Control: intercept.Egress{Mark: 7, Source: client}.Control}
//
// Rules of the kind REDIRECT change the destination of a connection and remember what it was;
// a listener needs nothing for them. Rules of the kind TPROXY leave it as it is and hand the
// connection to a socket that takes those for others' addresses (IP_TRANSPARENT), which takes
// CAP_NET_RAW or CAP_NET_ADMIN. Both are for IPv4 and IPv6, on one listener.
//
// It works on Linux. Elsewhere it compiles, and each use of it is errors.ErrUnsupported.
package intercept

import (
	"errors"
	"fmt"
	"net/netip"
)

// Mode is how connections come here. The zero Mode is none.
type Mode uint8

// The modes.
const (
	None     Mode = iota // connections are made to us
	Redirect             // NAT: the kernel remembers the destination (SO_ORIGINAL_DST)
	TPROXY               // the socket's own address is the destination (IP_TRANSPARENT)
)

// String returns the word for a command line.
func (m Mode) String() string { return [...]string{"none", "redirect", "tproxy"}[m] }

// ErrDirect is a connection that was made to us, and to nobody else.
var ErrDirect = errors.New("the connection was not redirected")

// Egress says how connections to servers are made. Its zero value asks for nothing.
type Egress struct {
	Mark uint32 // SO_MARK, by which rules know our own connections; 0 is none

	// Source is the address that a connection comes from. It need not be the host's. Port
	// 0 leaves the port to the kernel; another one may be in use for other servers. The
	// zero Source leaves the address, too.
	Source netip.AddrPort
}

// A FamilyError is a server that can't be reached from a source, since one of them has an
// address of IPv4 and the other one of IPv6.
type FamilyError struct {
	Source netip.Addr
	Server string // host:port
}

func (e *FamilyError) Error() string {
	return fmt.Sprintf("%s can't be reached from %s: one is IPv4, the other IPv6", e.Server, e.Source)
}

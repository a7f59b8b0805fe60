package bridge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// Reason says why a flow ended. The set is closed.
type Reason string

const (
	EOF         Reason = "eof"         // both directions ended in order
	Resets      Reason = "reset"       // a peer reset its connection
	Idle        Reason = "idle"        // nothing moved for Limits.Idle
	Drain       Reason = "drain"       // one side had ended, and nothing moved for Limits.Drain
	Timeout     Reason = "timeout"     // a dial or a handshake took too long
	Limit       Reason = "limit"       // a message was longer than its limit
	Refused     Reason = "refused"     // the hop refused the connection
	Unreachable Reason = "unreachable" // the hop can't be reached
	DNS         Reason = "dns"         // the hop's name doesn't resolve
	Denied      Reason = "denied"      // an access rule forbids it
	Auth        Reason = "auth"        // credentials were missing or wrong
	Loop        Reason = "loop"        // the hop leads back to us
	Block       Reason = "block"       // a policy rule blocks it
	Desynced    Reason = "desync"      // a peer broke the protocol, and the flow could not go on raw
	TLSServer   Reason = "tls_server"  // the TLS handshake with the server failed
	TLSClient   Reason = "tls_client"  // the TLS handshake with the client failed
	PeerClosed  Reason = "peer_closed" // a peer closed within a handshake, or before one
	Shutdown    Reason = "shutdown"    // the proxy was shut down
	Panic       Reason = "panic"       // a layer panicked
	Internal    Reason = "internal"    // a fault of ours
)

// Reasons lists every Reason.
func Reasons() []Reason {
	return []Reason{
		EOF, Resets, Idle, Drain, Timeout, Limit, Refused, Unreachable, DNS, Denied, Auth, Loop, Block,
		Desynced, TLSServer, TLSClient, PeerClosed, Shutdown, Panic, Internal,
	}
}

// Party is who ended a flow: a peer, or us.
type Party string

const (
	ByClient Party = "client"
	ByServer Party = "server"
	ByMITM   Party = "mitm"
)

// By returns the Party that s is.
func By(s Side) Party { return Party(s.String()) }

// Outcome says how a flow ended.
type Outcome struct {
	Reason   Reason
	EndedBy  Party
	Err      error // nil when Reason is EOF
	Duration time.Duration
}

// Failure is an error that knows the Outcome that it leads to. Layers, diallers and
// handlers return one where the reason can't be seen from the error itself.
type Failure struct {
	Reason Reason
	By     Party // "" means ByMITM
	Err    error
}

func (f *Failure) Error() string {
	if f.Err == nil {
		return string(f.Reason)
	}
	return f.Err.Error()
}

func (f *Failure) Unwrap() error { return f.Err }

// Fails returns a Failure, to be read aloud: bridge.Fails(bridge.Denied, bridge.ByMITM, err).
func Fails(reason Reason, by Party, err error) error { return &Failure{reason, by, err} }

// Error is an error that left a layer: the layer, and what it was doing.
type Error struct {
	Layer string
	Err   error
}

func (e *Error) Error() string { return e.Layer + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// PanicError is a panic of a layer, caught.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// DialError is a dial that failed.
type DialError struct {
	Hop Addr
	Err error
}

func (e *DialError) Error() string {
	err := e.Err
	if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" {
		err = op.Err // which says "dial" and the address once more
	}
	return fmt.Sprintf("dial %s: %v", e.Hop, err)
}
func (e *DialError) Unwrap() error { return e.Err }

// ReasonOf returns the Reason that err leads to and who caused it; nil is EOF. A
// terminating layer maps it to its protocol's refusal.
func ReasonOf(err error) (Reason, Party) {
	var (
		failure *Failure
		desync  *Desync
		dial    *DialError
		caught  *PanicError
		dns     *net.DNSError
	)
	switch {
	case err == nil:
		return EOF, ByMITM
	case errors.As(err, &failure):
		return failure.Reason, either(failure.By == "", ByMITM, failure.By)
	case errors.As(err, &caught):
		return Panic, ByMITM
	case errors.As(err, &desync):
		return desync.reason(), By(desync.Side)
	case errors.As(err, &dns):
		return either(dns.IsTimeout, Timeout, DNS), ByMITM
	case errors.As(err, &dial):
		return dialReason(err), ByServer
	case isReset(err):
		return Resets, ByMITM
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return Timeout, ByMITM
	}
	return Internal, ByMITM
}

// dialReason goes by errno, never by the text of an error.
func dialReason(err error) Reason {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return Refused
	case errors.Is(err, syscall.ETIMEDOUT), errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return Timeout
	}
	for _, errno := range []syscall.Errno{
		syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EHOSTDOWN, // no way there
		syscall.EACCES, syscall.EPERM, // a route or a filter of ours forbids it
		syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT, syscall.EINVAL, // not an address that one can dial
	} {
		if errors.Is(err, errno) {
			return Unreachable
		}
	}
	return Internal
}

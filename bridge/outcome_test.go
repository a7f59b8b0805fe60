package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
)

// fails is a chain whose layer returns err.
func fails(err error) bridge.Handler {
	return bridge.Chain(bridge.Layer{Name: "layer", Handle: returns(err)})
}

// TestEachReason produces each reason that a flow can end for, by what the peers do where this package finds it out,
// else by what a layer says.
func TestEachReason(t *testing.T) {
	errno := func(e syscall.Errno) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", e)}
	}
	closed := bridge.Layer{Name: "closed", Closed: true, Handle: asks(true).Handle}
	tests := []struct {
		reason  bridge.Reason
		by      bridge.Party
		name    string
		handler bridge.Handler
		dial    error
		peers   func(c conns, stop context.CancelFunc)
	}{
		{bridge.EOF, bridge.ByClient, "both ended, the client first", bridge.Chain(), nil, func(c conns, _ context.CancelFunc) {
			c.client.Close()
			io.Copy(io.Discard, c.server)
			c.server.Close()
		}},
		{bridge.EOF, bridge.ByServer, "both ended, the server first", bridge.Chain(), nil, func(c conns, _ context.CancelFunc) {
			c.server.Close()
			io.Copy(io.Discard, c.client)
			c.client.Close()
		}},
		{bridge.EOF, bridge.ByMITM, "a layer ended it", fails(nil), nil, func(c conns, _ context.CancelFunc) {}},
		{bridge.Resets, bridge.ByClient, "the client reset", bridge.Chain(), nil, func(c conns, _ context.CancelFunc) {
			c.client.(*bridgetest.Conn).Reset()
		}},
		{bridge.Resets, bridge.ByServer, "the server reset", bridge.Chain(), nil, func(c conns, _ context.CancelFunc) {
			c.server.(*bridgetest.Conn).Reset()
		}},
		{bridge.Resets, bridge.ByServer, "the server closed on what the client sends", bridge.Chain(), nil, func(c conns, _ context.CancelFunc) {
			c.server.Close()
			io.Copy(io.Discard, c.client)
			c.client.Write([]byte("one"))
			synctest.Wait()
			c.client.Write([]byte("two"))
		}},
		{bridge.Idle, bridge.ByMITM, "nothing moved", bridge.Chain(), nil, func(conns, context.CancelFunc) {}},
		{bridge.Drain, bridge.ByMITM, "nothing moved after one end", bridge.Chain(), nil, func(c conns, _ context.CancelFunc) {
			c.server.(*bridgetest.Conn).CloseWrite()
		}},
		{bridge.Timeout, bridge.ByClient, "no message in time", bridge.Chain(closed), nil, func(conns, context.CancelFunc) {}},
		{bridge.Timeout, bridge.ByServer, "no connection in time", bridge.Chain(), context.DeadlineExceeded, nil},
		{bridge.Timeout, bridge.ByServer, "no connection in the kernel's time", bridge.Chain(), errno(syscall.ETIMEDOUT), nil},
		{bridge.Timeout, bridge.ByMITM, "no address in time", bridge.Chain(), &net.DNSError{Err: "timeout", IsTimeout: true}, nil},
		{bridge.Limit, bridge.ByClient, "a message too long", bridge.Chain(closed), nil, func(c conns, _ context.CancelFunc) {
			c.client.Write(make([]byte, 64<<10))
		}},
		{bridge.Refused, bridge.ByServer, "the hop refused", bridge.Chain(), errno(syscall.ECONNREFUSED), nil},
		{bridge.Refused, bridge.ByServer, "the hop reset at once", bridge.Chain(), errno(syscall.ECONNRESET), nil},
		{bridge.Unreachable, bridge.ByServer, "no route to the network", bridge.Chain(), errno(syscall.ENETUNREACH), nil},
		{bridge.Unreachable, bridge.ByServer, "no route to the host", bridge.Chain(), errno(syscall.EHOSTUNREACH), nil},
		{bridge.Unreachable, bridge.ByServer, "no address of ours for it", bridge.Chain(), errno(syscall.EADDRNOTAVAIL), nil},
		{bridge.Unreachable, bridge.ByServer, "a filter of ours", bridge.Chain(), errno(syscall.EPERM), nil},
		{bridge.DNS, bridge.ByMITM, "no such name", bridge.Chain(), &net.DNSError{Err: "no such host", IsNotFound: true}, nil},
		{bridge.Desynced, bridge.ByClient, "nonsense where it may not pass", bridge.Chain(closed), nil, func(c conns, _ context.CancelFunc) {
			c.client.Write([]byte("nonsense!"))
		}},
		{bridge.PeerClosed, bridge.ByClient, "an end in a message", bridge.Chain(closed), nil, func(c conns, _ context.CancelFunc) {
			c.client.Write([]byte("HEL"))
			c.client.Close()
		}},
		{bridge.Shutdown, bridge.ByMITM, "the context ended", bridge.Chain(), nil, func(_ conns, stop context.CancelFunc) { stop() }},
		{bridge.Panic, bridge.ByMITM, "a layer panicked", bridge.Chain(bridge.Layer{Name: "layer", Handle: func(context.Context, *bridge.Bridge, bridge.Handler) error {
			panic("out of cheese")
		}}), nil, nil},
		{bridge.Panic, bridge.ByMITM, "a handler panicked", func(context.Context, *bridge.Bridge) error { panic("out of cheese") }, nil, nil},
		{bridge.Internal, bridge.ByMITM, "a fault of ours", fails(errors.New("bug")), nil, nil},
		{bridge.Internal, bridge.ByServer, "a dial failed for no known reason", bridge.Chain(), errno(syscall.EMFILE), nil},
		{bridge.Denied, bridge.ByMITM, "a layer says so", fails(bridge.Fails(bridge.Denied, "", nil)), nil, nil},
		{bridge.Denied, bridge.ByMITM, "the dialler says so", bridge.Chain(), bridge.Fails(bridge.Denied, bridge.ByMITM, errors.New("not there")), nil},
		{bridge.Auth, bridge.ByClient, "a layer says so", fails(bridge.Final(bridge.Fails(bridge.Auth, bridge.ByClient, nil))), nil, nil},
		{bridge.Loop, bridge.ByMITM, "a layer says so", fails(bridge.Fails(bridge.Loop, bridge.ByMITM, nil)), nil, nil},
		{bridge.Block, bridge.ByMITM, "a layer says so", fails(bridge.Fails(bridge.Block, bridge.ByMITM, nil)), nil, nil},
		{bridge.TLSServer, bridge.ByServer, "a layer says so", fails(bridge.Fails(bridge.TLSServer, bridge.ByServer, nil)), nil, nil},
		{bridge.TLSClient, bridge.ByClient, "a layer says so", fails(fmt.Errorf("handshake: %w", bridge.Fails(bridge.TLSClient, bridge.ByClient, nil))), nil, nil},
	}
	var seen []bridge.Reason
	for _, tt := range tests {
		seen = append(seen, tt.reason)
		t.Run(string(tt.reason)+", "+tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := inMemory(t)
				var told []bridge.Outcome
				p := &bridge.Proxy{
					Handler: tt.handler,
					Hop:     bridge.FixedHop(hop),
					Dial: func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) {
						return c.dialled, tt.dial
					},
					Observer: &bridge.Observer{Close: func(_ *bridge.Flow, o bridge.Outcome) { told = append(told, o) }},
				}
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				if tt.peers != nil {
					go tt.peers(c, stop)
				}
				begun := time.Now()
				out := p.ServeConn(ctx, c.accepted)
				if out.Reason != tt.reason || out.EndedBy != tt.by {
					t.Errorf("outcome %s by %s: %v; want %s by %s", out.Reason, out.EndedBy, out.Err, tt.reason, tt.by)
				}
				if (out.Err == nil) != (tt.reason == bridge.EOF) || out.Duration != time.Since(begun) {
					t.Errorf("error %v after %v", out.Err, out.Duration)
				}
				if len(told) != 1 || told[0].Reason != out.Reason {
					t.Errorf("the observer was told %v", told)
				}
				c.client.Close() // ends a peer that still writes
				c.server.Close()
			})
		})
	}
	for _, reason := range bridge.Reasons() {
		if !slices.Contains(seen, reason) {
			t.Errorf("nothing produces %q", reason)
		}
	}
}

func TestErrorsSayWhoAndWhat(t *testing.T) {
	tests := []struct {
		err  error
		want string
	}{
		{&bridge.Desync{Side: bridge.Server, Why: bridge.Malformed, Err: errors.New("bad version")}, "server: malformed: bad version"},
		{&bridge.Desync{Side: bridge.Client, Why: bridge.TimedOut}, "client: timed out"},
		{&bridge.Desync{Side: bridge.Client, Why: bridge.OutOfTurn}, "client: out of turn"},
		{&bridge.Desync{Side: bridge.Client, Why: bridge.TooLong}, "client: too long"},
		{&bridge.Desync{Side: bridge.Client, Why: bridge.Ended}, "client: ended"},
		{&bridge.Error{Layer: "socks5", Err: errors.New("no")}, "socks5: no"},
		{&bridge.DialError{Hop: hop, Err: errors.New("no")}, "dial 192.0.2.80:1080: no"},
		{bridge.Fails(bridge.Auth, bridge.ByClient, nil), "auth"},
		{bridge.Fails(bridge.Auth, bridge.ByClient, errors.New("no such user")), "no such user"},
		{bridge.Final(errors.New("no")), "no"},
	}
	for _, tt := range tests {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("%T says %q, want %q", tt.err, got, tt.want)
		}
	}
}

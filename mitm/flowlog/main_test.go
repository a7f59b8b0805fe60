package flowlog

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeConn has addresses, and takes what is written.
type fakeConn struct {
	net.Conn
	remote string
}

func (c fakeConn) LocalAddr() net.Addr              { return tcp("192.0.2.1:8080") }
func (c fakeConn) RemoteAddr() net.Addr             { return tcp(c.remote) }
func (c fakeConn) Write(p []byte) (int, error)      { return len(p), nil }
func (c fakeConn) SetWriteDeadline(time.Time) error { return nil }

func tcp(s string) net.Addr {
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return &net.UnixAddr{Net: "unix", Name: s}
	}
	return net.TCPAddrFromAddrPort(ap)
}

// newFlow returns a flow between documentation addresses, in which each side sent some
// bytes.
func newFlow(tb testing.TB, frames ...bridge.Frame) *bridge.Flow {
	tb.Helper()
	b := &bridge.Bridge{
		Client: bridge.NewStream(fakeConn{remote: "198.51.100.2:50122"}),
		DialFunc: func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) {
			return fakeConn{remote: "203.0.113.9:443"}, nil
		},
	}
	b.SetHop(bridge.Addr{Host: "example.com", Port: 443})
	b.Tap()
	for _, frame := range frames {
		b.Push(frame)
	}
	for to, n := range map[bridge.Side]int{bridge.Server: 1234, bridge.Client: 48211} {
		if err := b.Write(tb.Context(), to, make([]byte, n)); err != nil {
			tb.Fatal(err)
		}
	}
	return b.Flow()
}

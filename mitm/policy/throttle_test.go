package policy_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/mitm/policy"
)

func TestAThrottledConnIsANetConn(t *testing.T) {
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		a, b := bridgetest.TCPPair(t)
		c, s := policy.Throttle(a, 1<<30), policy.Throttle(b, 1<<30)
		return c, s, func() {
			c.Close()
			s.Close()
		}, nil
	})
}

func TestHowLongThrottledBytesTake(t *testing.T) {
	for _, tt := range []struct {
		name        string
		rate        int64
		bytes       int
		least, most time.Duration
	}{
		{"ten kilobytes a second", 10_000, 100_000, 9900 * time.Millisecond, 10 * time.Second},
		{"a byte in three", 3, 31, 10*time.Second - time.Microsecond, 10*time.Second + time.Millisecond},
		{"a byte a second", 1, 11, 10 * time.Second, 10*time.Second + time.Millisecond},
		{"a rate that divides nothing", 7777, 77_770, 9900 * time.Millisecond, 10 * time.Second},
		{"less than is saved up", 10_000, 1000, 0, 0},
		{"a gigabyte a second", 1_000_000_000, 10_000_000, 0, 0},
		{"as much as there is", 1_000_000_000_000, 1_000_000, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := net.Pipe()
				go b.Write(make([]byte, tt.bytes))
				begun := time.Now()
				n, err := io.ReadFull(policy.Throttle(a, tt.rate), make([]byte, tt.bytes))
				if took := time.Since(begun); n != tt.bytes || err != nil || took < tt.least || took > tt.most {
					t.Errorf("%d bytes in %v, error %v; want %d in %v to %v", n, took, err, tt.bytes, tt.least, tt.most)
				}
			})
		})
	}
}

// A pause is no credit for more than a moment.
func TestWhatAThrottledConnSavesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		go b.Write(make([]byte, 5000))
		c := policy.Throttle(a, 10_000)
		time.Sleep(time.Hour)
		begun := time.Now()
		if _, err := io.ReadFull(c, make([]byte, 5000)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took < 400*time.Millisecond || took > 500*time.Millisecond {
			t.Errorf("5000 bytes took %v after a pause, want what 4000 take", took)
		}
	})
}

// exhausted returns a throttled conn that may not read for a long time, and its peer.
func exhausted(t *testing.T) (throttled, peer net.Conn) {
	t.Helper()
	a, b := net.Pipe()
	c := policy.Throttle(a, 1)
	go b.Write([]byte("xy"))
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return c, b
}

func TestADeadlineEndsTheWaitOfAThrottledRead(t *testing.T) {
	for name, set := range map[string]func(net.Conn, time.Time) error{
		"a read deadline": net.Conn.SetReadDeadline,
		"a deadline":      net.Conn.SetDeadline,
	} {
		for when, before := range map[string]time.Duration{"before": 0, "while it waits": 50 * time.Millisecond} {
			t.Run(name+" that was set "+when, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c, peer := exhausted(t)
					defer peer.Close()
					time.AfterFunc(before, func() { set(c, time.Now().Add(100*time.Millisecond)) })
					synctest.Wait()
					begun := time.Now()
					_, err := c.Read(make([]byte, 1))
					if took := time.Since(begun); !errors.Is(err, os.ErrDeadlineExceeded) || took != before+100*time.Millisecond {
						t.Errorf("error %v after %v", err, took)
					}
					c.SetReadDeadline(time.Time{})
					if n, err := c.Read(make([]byte, 2)); n != 1 || err != nil {
						t.Errorf("after the deadline: %d, %v", n, err)
					}
				})
			})
		}
	}
}

func TestCloseEndsTheWaitOfAThrottledRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := exhausted(t)
		time.AfterFunc(10*time.Millisecond, func() { c.Close() })
		begun := time.Now()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) || time.Since(begun) != 10*time.Millisecond {
			t.Errorf("error %v after %v", err, time.Since(begun))
		}
		if n, err := peer.Write([]byte("z")); err == nil {
			t.Errorf("the conn below is open: %d", n)
		}
	})
}

func TestAThrottledConnEndsAsTheOneBelow(t *testing.T) {
	for _, end := range []bridge.End{bridge.Clean, bridge.Reset} {
		t.Run(end.String(), func(t *testing.T) {
			a, b := bridgetest.TCPPair(t)
			c := policy.Throttle(a, 1<<20)
			if err := c.(interface{ EndWrite(bridge.End) error }).EndWrite(end); err != nil {
				t.Fatal(err)
			}
			if end == bridge.Reset {
				c.Close()
			}
			s := bridge.NewStream(policy.Throttle(b, 1<<20))
			if n, err := s.Read(make([]byte, 1)); n != 0 || err == nil || s.End() != end {
				t.Errorf("the peer read %d, %v, and is told of %v, want %v", n, err, s.End(), end)
			}
			if end == bridge.Clean {
				b.Write([]byte("x"))
				if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
					t.Errorf("after its half-close the conn read %d, %v", n, err)
				}
			}
		})
	}
}

// A relay takes as long as both directions need side by side, and passes the ends on.
func TestThrottlingAFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, ourClient := net.Pipe()
		server, ourServer := net.Pipe()
		b := &bridge.Bridge{
			Client: bridge.NewStream(policy.Throttle(ourClient, 1000)),
			DialFunc: func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) {
				return policy.Throttle(ourServer, 1000), nil
			},
		}
		b.SetHop(bridge.Addr{Host: "192.0.2.1", Port: 80})
		go func() {
			io.ReadFull(server, make([]byte, 5100))
			server.Write(make([]byte, 5100))
			server.Close()
		}()
		go func() {
			client.Write(make([]byte, 5100))
			io.Copy(io.Discard, client)
			client.Close()
		}()
		begun := time.Now()
		if err := bridge.Relay(t.Context(), b); err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took < 9800*time.Millisecond || took > 10*time.Second+200*time.Millisecond {
			t.Errorf("5000 bytes there and back took %v at 1000 a second", took)
		}
		for _, side := range []bridge.Side{bridge.Client, bridge.Server} {
			if n := b.Flow().Bytes(side); n != 5100 {
				t.Errorf("%d bytes of the %v", n, side)
			}
		}
	})
}

package intercept_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/bridgeio/bridgeio/mitm/intercept"
)

// accepted is a connection that was made to a listener.
func accepted(t *testing.T, m intercept.Mode, addr string) (client, conn *net.TCPConn) {
	t.Helper()
	lc := net.ListenConfig{Control: m.Control}
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	host, _, _ := net.SplitHostPort(addr)
	if host == "" {
		host = "127.0.0.1"
	}
	c, err := net.Dial("tcp", net.JoinHostPort(host, port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

func TestAConnectionThatIsMadeToUs(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0", ":0"} {
		_, conn := accepted(t, intercept.Redirect, addr)
		if to, err := intercept.Redirect.Destination(conn); !errors.Is(err, intercept.ErrDirect) {
			t.Errorf("%s: %v, %v, want ErrDirect", addr, to, err)
		}
	}
}

// To listen for others' addresses takes a capability; whoever has it finds the destination in
// the socket's own address.
func TestTheDestinationIsTheSocketsAddress(t *testing.T) {
	if os.Geteuid() != 0 {
		lc := net.ListenConfig{Control: intercept.TPROXY.Control}
		if l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0"); err == nil || !strings.Contains(err.Error(), "it takes CAP_NET_RAW") {
			t.Fatalf("listener %v, %v", l, err)
		}
		return
	}
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0", ":0"} {
		client, conn := accepted(t, intercept.TPROXY, addr)
		want := client.RemoteAddr().(*net.TCPAddr).AddrPort()
		if to, err := intercept.TPROXY.Destination(conn); err != nil || to != want {
			t.Errorf("%s: %v, %v, want %v", addr, to, err, want)
		}
	}
}

func TestAServerIsOfTheSourcesFamily(t *testing.T) {
	for _, tt := range []struct {
		source, network, address string
		mixed                    bool
	}{
		{"192.0.2.1", "tcp6", "[2001:db8::1]:80", true},
		{"2001:db8::1", "tcp4", "192.0.2.1:80", true},
	} {
		e := intercept.Egress{Source: netip.AddrPortFrom(netip.MustParseAddr(tt.source), 0)}
		var family *intercept.FamilyError
		if err := e.Control(tt.network, tt.address, nil); !errors.As(err, &family) || !strings.Contains(err.Error(), tt.source) {
			t.Errorf("%s from %s: %v", tt.address, tt.source, err)
		}
	}
}

func TestNothingIsAskedOfASocketByDefault(t *testing.T) {
	if err := (intercept.Egress{}).Control("tcp4", "192.0.2.1:80", nil); err != nil {
		t.Error(err)
	}
	if err := intercept.None.Control("tcp4", "192.0.2.1:80", nil); err != nil {
		t.Error(err)
	}
}

// A server of the host itself sees the address and the port that were asked for, if we may.
func TestServersSeeTheSource(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken, err := net.Listen("tcp", "127.9.8.7:0")
	if err != nil {
		t.Fatal(err)
	}
	port := taken.Addr().(*net.TCPAddr).AddrPort().Port()
	taken.Close()
	for _, want := range []netip.AddrPort{netip.MustParseAddrPort("127.9.8.7:0"), netip.AddrPortFrom(netip.MustParseAddr("127.9.8.7"), port)} {
		d := net.Dialer{Control: intercept.Egress{Source: want}.Control}
		c, err := d.Dial("tcp", l.Addr().String())
		if os.Geteuid() != 0 {
			if err == nil || !strings.Contains(err.Error(), "it takes CAP_NET_RAW") {
				t.Fatalf("conn %v, %v", c, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		s, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		got := s.RemoteAddr().(*net.TCPAddr).AddrPort()
		if got.Addr() != want.Addr() || want.Port() != 0 && got.Port() != want.Port() {
			t.Errorf("the server sees %v, want %v", got, want)
		}
		c.Close()
		s.Close()
	}
}

func TestWhetherWeMayIsKnownBefore(t *testing.T) {
	source := netip.MustParseAddrPort("192.0.2.7:0")
	for _, e := range []intercept.Egress{{Mark: 2}, {Source: source}, {Mark: 2, Source: source}} {
		if err := e.Check(); (err == nil) != (os.Geteuid() == 0) || err != nil && !strings.Contains(err.Error(), "it takes CAP_NET_RAW") {
			t.Errorf("%+v: %v", e, err)
		}
	}
	if err := (intercept.Egress{}).Check(); err != nil {
		t.Error(err)
	}
}

// A listener may have an address that the host does not have, or not yet.
func TestAListenerOfAnotherHostsAddress(t *testing.T) {
	modes := []intercept.Mode{intercept.Redirect}
	if os.Geteuid() == 0 {
		modes = append(modes, intercept.TPROXY)
	}
	for _, m := range modes {
		for _, addr := range []string{"203.0.113.77:0", "[2001:db8::77]:0"} {
			lc := net.ListenConfig{Control: m.Control}
			l, err := lc.Listen(t.Context(), "tcp", addr)
			if err != nil {
				t.Errorf("%s: %v", m, err)
				continue
			}
			l.Close()
		}
	}
}

// A socket has an address before the other end can know of it, and none before it is connected.
func TestTheAddressOfASocketOfOurOwn(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		var socket syscall.RawConn
		d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
			socket = c
			before, err := intercept.LocalAddr(c)
			if err == nil && before.Port() != 0 {
				t.Errorf("%s: it is %s before it is connected", addr, before)
			}
			return err
		}}
		c, err := d.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		after, err := intercept.LocalAddr(socket)
		if want := c.LocalAddr().(*net.TCPAddr).AddrPort(); err != nil || after != want {
			t.Errorf("%s: it is %s, %v, want %s", addr, after, err, want)
		}
		c.Close()
		if closed, err := intercept.LocalAddr(socket); err == nil {
			t.Errorf("%s: it is %s when it is closed", addr, closed)
		}
	}
}

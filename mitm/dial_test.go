package mitm

import (
	"errors"
	"net"
	"net/netip"
	"testing"
)

func TestHostName(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"example.com", "example.com"},
		{"Example.COM.", "example.com."},
		{"bücher.example", "xn--bcher-kva.example"},
		{"my_host", "my_host"},
		{"192.0.2.1", "192.0.2.1"},
		{"2001:db8::1", "2001:db8::1"},
	} {
		if got, err := hostName(tt.in); err != nil || got != tt.want {
			t.Errorf("hostName(%q) = %q, %v, want %q", tt.in, got, err, tt.want)
		}
	}
	for _, bad := range []string{
		"", ".", "a..b", "a b", "a/b", "a:1", "a\x00b", "xn--example-.com", "-\n", string(make([]byte, 300)),
		"label-that-is-longer-than-the-sixty-three-bytes-that-a-label-may-have.example",
	} {
		if got, err := hostName(bad); err == nil {
			t.Errorf("hostName(%q) = %q, want an error", bad, got)
		}
	}
	if _, err := hostName("a b"); !errors.Is(err, errHostName) {
		t.Errorf("hostName = %v, want %v", err, errHostName)
	}
}

// listenerAt is a listener that only has an address.
type listenerAt struct {
	net.Listener
	addr *net.TCPAddr
}

func (l listenerAt) Addr() net.Addr { return l.addr }

func TestIsListener(t *testing.T) {
	at := func(addr string) *listener {
		return &listener{Listener: listenerAt{addr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))}}
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	ours, _ := netip.AddrFromSlice(own[len(own)-1].(*net.IPNet).IP)
	for _, tt := range []struct {
		name, listens, to string
		want              bool
	}{
		{"the very address", "127.0.0.1:8080", "127.0.0.1:8080", true},
		{"the same in IPv6 clothes", "127.0.0.1:8080", "[::ffff:127.0.0.1]:8080", true},
		{"another port", "127.0.0.1:8080", "127.0.0.1:8081", false},
		{"another address of loopback", "127.0.0.1:8080", "127.0.0.2:8080", false},
		{"any address of loopback for a wildcard", "0.0.0.0:8080", "127.0.0.2:8080", true},
		{"IPv6 loopback for a wildcard", "[::]:8080", "[::1]:8080", true},
		{"the unspecified address is loopback", "127.0.0.1:8080", "0.0.0.0:8080", true},
		{"an address of an interface for a wildcard", "[::]:8080", netip.AddrPortFrom(ours.Unmap(), 8080).String(), true},
		{"somebody else for a wildcard", "0.0.0.0:8080", "203.0.113.99:8080", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &Server{listeners: []*listener{at(tt.listens)}}
			to := netip.MustParseAddrPort(tt.to)
			if got := s.isListener(to.Addr().Unmap(), to.Port()); got != tt.want {
				t.Errorf("isListener(%s) = %v, want %v", to, got, tt.want)
			}
		})
	}
}

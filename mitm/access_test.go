package mitm

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
)

// flowFrom returns a flow whose client has the given address, or is behind a balancer
// with it: "client via balancer".
func flowFrom(from string) *bridge.Flow {
	client, balancer, behind := strings.Cut(from, " via ")
	if !behind {
		balancer = client
	}
	var b bridge.Bridge
	b.Client = bridge.NewStream(connFrom{ip: balancer})
	f := b.Flow()
	if behind {
		f.Push(bridge.Frame{Proto: "proxy2", Src: bridge.Addr{Host: client, Port: 50000}})
	}
	return f
}

// connFrom is a conn that only has addresses.
type connFrom struct {
	net.Conn
	ip string
}

func (connFrom) LocalAddr() net.Addr { return nil }

func (c connFrom) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(c.ip), 40000))
}

func TestWhoMayReachWhat(t *testing.T) {
	lan := netip.MustParsePrefix("192.0.2.0/24")
	for _, tt := range []struct {
		name       string
		client, to string
		config     Config
		denied     bool
	}{
		{"a remote client reaches the internet", "198.51.100.7", "203.0.113.9", Config{}, false},
		{"a remote client may not reach our loopback", "198.51.100.7", "127.0.0.1", Config{}, true},
		{"nor any other address of loopback", "198.51.100.7", "127.8.8.8", Config{}, true},
		{"nor IPv6 loopback", "198.51.100.7", "::1", Config{}, true},
		{"nor loopback in disguise", "198.51.100.7", "::ffff:127.0.0.1", Config{}, true},
		{"nor the metadata service", "198.51.100.7", "169.254.169.254", Config{}, true},
		{"nor a link-local address with a zone", "198.51.100.7", "fe80::1%lo", Config{}, true},
		{"nor the unspecified address", "198.51.100.7", "0.0.0.0", Config{}, true},
		{"nor a multicast address", "198.51.100.7", "224.0.0.1", Config{}, true},
		{"a client on loopback may reach all that", "127.0.0.1", "127.0.0.1", Config{}, false},
		{"so may one behind a balancer on loopback", "127.0.0.1 via 127.0.0.1", "127.0.0.1", Config{}, false},
		{"a balancer's loopback is not ours", "127.0.0.1 via 192.0.2.1", "127.0.0.1", Config{}, true},
		{"a remote client of a balancer on loopback stays remote", "198.51.100.7 via 127.0.0.1", "127.0.0.1", Config{}, true},
		{"what is denied is denied to it as well", "127.0.0.1", "192.0.2.5", Config{DenyTarget: []netip.Prefix{lan}}, true},
		{"allowed beats denied", "198.51.100.7", "192.0.2.5", Config{DenyTarget: []netip.Prefix{lan}, AllowTarget: []netip.Prefix{lan}}, false},
		{
			"allowed beats what is denied by default", "198.51.100.7", "127.0.0.1",
			Config{AllowTarget: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
			false,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &Server{config: tt.config}
			if got := s.denied(flowFrom(tt.client), netip.MustParseAddr(tt.to).Unmap()); got != tt.denied {
				t.Errorf("denied(%s to %s) = %v, want %v", tt.client, tt.to, got, tt.denied)
			}
		})
	}
}

func TestOwnInterfaceAddressesAreDeniedToRemoteClients(t *testing.T) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		ip, _ := netip.AddrFromSlice(a.(*net.IPNet).IP)
		if s := (&Server{}); !s.denied(flowFrom("198.51.100.7"), ip.Unmap()) {
			t.Errorf("%s is ours and not denied", ip)
		}
	}
}

func TestAuthorize(t *testing.T) {
	s := &Server{config: Config{Auth: []Credential{{"alice", "a:b"}, {"bob", ""}}}}
	check := s.authorize()
	for _, tt := range []struct {
		user, password string
		ok             bool
	}{
		{"alice", "a:b", true},
		{"bob", "", true},
		{"alice", "", false},
		{"bob", "a:b", false},
		{"", "", false},
		{"alice", "a:bc", false},
	} {
		if got := check(tt.user, tt.password); got != tt.ok {
			t.Errorf("authorize(%q, %q) = %v, want %v", tt.user, tt.password, got, tt.ok)
		}
	}
	if (&Server{}).authorize() != nil {
		t.Error("without credentials somebody is asked")
	}
}

func TestParsePrefixes(t *testing.T) {
	got, err := ParsePrefixes("10.0.0.0/8, 192.0.2.1,2001:db8::1,::ffff:10.0.0.0/104,10.1.2.3/8")
	want := []string{"10.0.0.0/8", "192.0.2.1/32", "2001:db8::1/128", "10.0.0.0/8", "10.0.0.0/8"}
	if err != nil || len(got) != len(want) {
		t.Fatalf("ParsePrefixes = %v, %v, want %v", got, err, want)
	}
	for i := range want {
		if got[i].String() != want[i] {
			t.Errorf("prefix %d is %s, want %s", i, got[i], want[i])
		}
	}
	for _, bad := range []string{"", "10.0.0.0/33", "example.com", "10.0.0.1,", "fe80::1%eth0"} {
		if _, err := ParsePrefixes(bad); err == nil {
			t.Errorf("ParsePrefixes(%q) = nil error", bad)
		}
	}
}

func TestParseCredential(t *testing.T) {
	if c, err := ParseCredential("alice:a:b"); err != nil || c != (Credential{"alice", "a:b"}) {
		t.Errorf("ParseCredential = %v, %v", c, err)
	}
	for _, bad := range []string{"", "alice", ":password"} {
		if _, err := ParseCredential(bad); err == nil {
			t.Errorf("ParseCredential(%q) = nil error", bad)
		}
	}
}

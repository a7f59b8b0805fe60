package interop

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// A namespace is a network of its own: what listens in it is seen by nobody else, so
// its ports may be fixed ones.
type namespace string

// A lab is two networks with a wire between them: in one the clients and a server of
// the internet, in the other the proxy.
//
//	clients                          proxy
//	198.51.100.2  a public source    198.51.100.1
//	10.9.8.2      a private one      10.9.8.1
//	2001:db8:1::2, fd00:9:8::2       2001:db8:1::1, fd00:9:8::1
//	fe80::2                          fe80::1
//	169.254.169.254  a cloud's metadata service
//	203.0.113.9, 2001:db8:2::9  servers of the internet
type lab struct{ clients, proxy namespace }

const (
	publicSource   = "198.51.100.2"
	privateSource  = "10.9.8.2"
	publicSource6  = "2001:db8:1::2"
	privateSource6 = "fd00:9:8::2"
)

// newLab makes a lab for the length of the test. It takes root.
func newLab(t *testing.T) lab {
	t.Helper()
	tag := fmt.Sprintf("mitm-%d-%04x", os.Getpid(), rand.IntN(1<<16))
	l := lab{namespace(tag + "-c"), namespace(tag + "-p")}
	for _, n := range []namespace{l.clients, l.proxy} {
		succeed(t, "ip", "netns", "add", string(n))
		t.Cleanup(func() { peers.Run(context.Background(), nil, "ip", "netns", "del", string(n)) })
	}
	succeed(t, "ip", "link", "add", "wire", "netns", string(l.clients), "type", "veth", "peer", "name", "wire", "netns", string(l.proxy))
	l.clients.configure(t,
		"addr add 198.51.100.2/24 dev wire", "addr add 10.9.8.2/24 dev wire",
		"addr add 2001:db8:1::2/64 dev wire nodad", "addr add fd00:9:8::2/64 dev wire nodad", "addr add fe80::2/64 dev wire nodad",
		"addr add 203.0.113.9/32 dev lo", "addr add 169.254.169.254/32 dev lo", "addr add 2001:db8:2::9/128 dev lo nodad")
	l.proxy.configure(t,
		"addr add 198.51.100.1/24 dev wire", "addr add 10.9.8.1/24 dev wire",
		"addr add 2001:db8:1::1/64 dev wire nodad", "addr add fd00:9:8::1/64 dev wire nodad", "addr add fe80::1/64 dev wire nodad",
		"route add 203.0.113.0/24 via 198.51.100.2", "route add 169.254.169.254/32 via 198.51.100.2", "route add 2001:db8:2::/64 via 2001:db8:1::2")
	return l
}

// configure brings the namespace's interfaces up and runs commands of ip in it.
func (n namespace) configure(t *testing.T, commands ...string) {
	t.Helper()
	text := "link set lo up\nlink set wire addrgenmode none\nlink set wire up\n"
	for _, c := range commands {
		text += c + "\n"
	}
	if res := run(t, text, "ip", "-n", string(n), "-batch", "-"); res.Code != 0 {
		t.Fatalf("configure %s: %s%s", n, res.Stdout, res.Stderr)
	}
}

// within runs f, which must not start goroutines that open sockets, with the
// namespace's network. A socket stays in the network that it was opened in.
func (n namespace) within(t *testing.T, f func() error) {
	t.Helper()
	failed := make(chan error, 1)
	go func() { failed <- n.enter(f) }()
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
}

func (n namespace) enter(f func() error) error { return peers.Within(string(n), f) }

// ports numbers the clients: in the flow log they are told apart by their addresses.
var ports atomic.Uint32

// dial connects from a source address, with a port that is used once, to an IP address.
func (n namespace) dial(t *testing.T, source, address string) *caller {
	t.Helper()
	d := net.Dialer{Timeout: runTimeout, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(source), uint16(20000+ports.Add(1))))}
	var c net.Conn
	n.within(t, func() (err error) {
		c, err = d.Dial("tcp", address)
		return err
	})
	return newCaller(t, c)
}

// listen listens for the length of the test.
func (n namespace) listen(t *testing.T, address string) net.Listener {
	t.Helper()
	var l net.Listener
	n.within(t, func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	})
	t.Cleanup(func() { l.Close() })
	return l
}

// hosts is the proxy's hosts file: names that resolve to what must not be reached, and
// names of servers.
const hosts = `127.0.0.1 localhost loopback.test
::1 loopback6.test
::ffff:127.0.0.1 mapped.test
169.254.169.254 metadata.test
10.9.8.1 own.test
2001:db8:1::1 own6.test
0.0.0.0 zero.test
203.0.113.9 origin.test
2001:db8:2::9 origin6.test
127.0.0.1 both.test
203.0.113.9 both.test
203.0.113.250 silent.test
198.51.100.77 nobody.test
`

// inside returns the program as it runs in the namespace, with the hosts file above.
func (n namespace) inside(p peers.Program) peers.Program {
	args := []string{"netns", "exec", string(n), "sh", "-c", `mount --bind "$0" /etc/hosts && exec "$@"`, peers.Here + "/hosts", p.Name}
	p.Name, p.Args = "ip", append(args, p.Args...)
	p.Files = map[string]string{"hosts": hosts}
	return p
}

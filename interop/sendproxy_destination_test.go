package interop

import (
	"bufio"
	"fmt"
	"net"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// headerLine accepts a connection, and returns the PROXY header of version 1 that it begins with.
func headerLine(t *testing.T, l net.Listener) string {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		t.Errorf("the server got %q, %v", line, err)
	}
	return line
}

func endpoints(client net.Conn) (from, to *net.TCPAddr) {
	return client.LocalAddr().(*net.TCPAddr), client.RemoteAddr().(*net.TCPAddr)
}

// A client that asks for nothing has its connection's own destination in the header, as HAProxy
// has it there: where the balancer goes the server knows better.
func TestTheHeaderSaysWhatTheClientConnectedTo(t *testing.T) {
	t.Parallel()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	balancer := reserve(t)
	start(t, peers.HAProxy(peers.HAProxyConfig{Listen: balancer, Server: server.Addr().String(), Send: "send-proxy"}))
	m := startMitm(t, "--listen", "127.0.0.1:0", "--connect", server.Addr().String(), "--send-proxy", "v1")
	for name, addr := range map[string]string{"HAProxy": at(balancer), "mitm": m.addrs[0]} {
		client, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		got := headerLine(t, server)
		from, to := endpoints(client)
		client.Close()
		if want := fmt.Sprintf("PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n", from.Port, to.Port); got != want {
			t.Errorf("%s says %q, want %q", name, got, want)
		}
	}
}

// What the kernel brings here was meant for a server, which the header names wherever it goes.
func TestTransparentHeaderSaysWhatTheClientMeant(t *testing.T) {
	inBothModes(t, func(t *testing.T, l routed, mode string) {
		const meant, elsewhere = 8001, 8002
		l.divert(t, mode)
		for _, f := range protocolFamilies() {
			for name, there := range map[string]int{"to where it was meant for": meant, "to the operator's server": elsewhere} {
				t.Run(f.name+" "+name, func(t *testing.T) {
					server := l.servers.listen(t, net.JoinHostPort(f.server, fmt.Sprint(there)))
					args := []string{"--send-proxy", "v1"}
					if there == elsewhere {
						args = append(args, "--connect", server.Addr().String())
					}
					m := l.transparently(t, mode, args...)
					var client net.Conn
					l.clients.within(t, func() (err error) {
						client, err = net.Dial("tcp", net.JoinHostPort(f.server, fmt.Sprint(meant)))
						return err
					})
					got := headerLine(t, server)
					from, _ := endpoints(client)
					client.Close()
					m.flow(t)
					family := map[string]string{"IPv4": "TCP4", "IPv6": "TCP6"}[f.name]
					if want := fmt.Sprintf("PROXY %s %s %s %d %d\r\n", family, f.client, f.server, from.Port, meant); got != want {
						t.Errorf("the server got %q, want %q", got, want)
					}
				})
			}
		}
	})
}

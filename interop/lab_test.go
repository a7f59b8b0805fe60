package interop

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
)

// A way is how a client asks a proxy for a destination: the message, and how the
// answer begins when it is granted and when it is refused. A granted one that is empty
// means that the server's first bytes come at once; a refused one that is empty, that
// the proxy closes.
type way struct {
	name             string
	ask              func(host string, port int) string // "" where it can't name the host
	granted, refused string
}

const socks5Hello = "\x05\x01\x00"

func ways(t *testing.T) []way {
	return []way{
		{"SOCKS4", ask4, "\x00\x5a", "\x00\x5b"},
		{"SOCKS4a", ask4a, "\x00\x5a", "\x00\x5b"},
		{"SOCKS5 with a name", ask5Name, "\x05\x00\x05\x00", "\x05\x00\x05\x02"},
		{"SOCKS5 with an address", ask5Addr, "\x05\x00\x05\x00", "\x05\x00\x05\x02"},
		{"CONNECT", askConnect, "HTTP/1.1 200", "HTTP/1.1 403"},
		{"an absolute-form request", askAbsolute, "HTTP/1.1 299", "HTTP/1.1 403"},
		{"TLS with a server name", func(host string, port int) string {
			if port != 443 {
				return ""
			}
			return hello(t, host)
		}, "", ""},
	}
}

func ask4(host string, port int) string {
	ip, err := netip.ParseAddr(host)
	if err != nil || !ip.Unmap().Is4() || ip.Unmap().IsUnspecified() {
		return "" // 0.0.0.0 would be 4a's mark
	}
	return "\x04\x01" + port16(port) + string(ip.Unmap().AsSlice()) + "\x00"
}

func ask4a(host string, port int) string {
	return "\x04\x01" + port16(port) + "\x00\x00\x00\x01\x00" + host + "\x00"
}

func ask5Name(host string, port int) string {
	return socks5Hello + "\x05\x01\x00\x03" + string(rune(len(host))) + host + port16(port)
}

func ask5Addr(host string, port int) string {
	ip, err := netip.ParseAddr(host)
	if err != nil || ip.Zone() != "" {
		return ""
	}
	return socks5Hello + "\x05\x01\x00" + map[bool]string{true: "\x01", false: "\x04"}[ip.Is4()] + string(ip.AsSlice()) + port16(port)
}

func askConnect(host string, port int) string {
	authority := net.JoinHostPort(host, fmt.Sprint(port))
	return fmt.Sprintf("CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", authority)
}

func askAbsolute(host string, port int) string {
	authority := net.JoinHostPort(host, fmt.Sprint(port))
	return fmt.Sprintf("GET http://%s/ HTTP/1.1\r\nHost: %[1]s\r\nConnection: close\r\n\r\n", authority)
}

func port16(port int) string { return string(binary.BigEndian.AppendUint16(nil, uint16(port))) }

// answer299 is what the lab's servers say to everybody: the beginning of it tells that
// they were reached.
const answer299 = "HTTP/1.1 299 Reached\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

// A trap is a server that answers everybody, and remembers who reached it where.
type trap struct {
	net.Listener
	mu      sync.Mutex
	reached []string
	done    chan struct{}
}

func (n namespace) trap(t *testing.T, address string) *trap {
	t.Helper()
	s := &trap{Listener: n.listen(t, address), done: make(chan struct{})}
	go s.serve()
	t.Cleanup(func() { s.Close(); <-s.done })
	return s
}

func (s *trap) serve() {
	defer close(s.done)
	for {
		c, err := s.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.reached = append(s.reached, c.LocalAddr().String())
		s.mu.Unlock()
		_, _ = c.Write([]byte(answer299))
		c.Close()
	}
}

func (s *trap) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.reached
	s.reached = nil
	return all
}

// forbidden is what a client that is not on the proxy's machine must not reach through
// it: the machine itself, and what only its network reaches.
func forbidden() []string {
	return []string{
		"127.0.0.1", "127.8.8.8", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
		"198.51.100.1", "10.9.8.1", "2001:db8:1::1", "fd00:9:8::1", "169.254.169.254", "fe80::2", "224.0.0.1", "ff02::1",
		"loopback.test", "loopback6.test", "mapped.test", "metadata.test", "own.test", "own6.test", "zero.test",
		"localhost",
	}
}

// malformed is what has no place in a request: an address with a zone.
func malformed() []string {
	return []string{"fe80::2%wire", "fe80::1%wire", "ff02::1%wire", "fe80::2%25wire"}
}

// internet is what everybody may reach.
func internet() []string {
	return []string{"203.0.113.9", "2001:db8:2::9", "origin.test", "origin6.test", "both.test"}
}

// openLab is a lab with servers wherever a proxy might be led: on all of its own
// addresses, and on all of the clients', among them the internet's and the metadata
// service's.
func openLab(t *testing.T) (l lab, inside, outside *trap) {
	t.Helper()
	l = newLab(t)
	return l, l.proxy.trap(t, "[::]:443"), l.clients.trap(t, "[::]:443")
}

// A labProxy is a mitm in a lab.
type labProxy struct {
	*mitm
	lab
	port string
}

func (l lab) mitm(t *testing.T, args ...string) labProxy {
	t.Helper()
	m := startMitmAs(t, l.proxy.inside, append([]string{"--listen", "[::]:0"}, args...)...)
	_, port, err := net.SplitHostPort(m.addrs[0])
	if err != nil {
		t.Fatal(err)
	}
	return labProxy{m, l, port}
}

// call connects to the proxy from a source address in either network.
func (p labProxy) call(t *testing.T, from string) *caller {
	t.Helper()
	switch ip := netip.MustParseAddr(from); {
	case ip.IsLoopback():
		return p.lab.proxy.dial(t, from, net.JoinHostPort(from, p.port))
	case ip == netip.MustParseAddr(privateSource):
		return p.clients.dial(t, from, "10.9.8.1:"+p.port)
	case ip.Is4():
		return p.clients.dial(t, from, "198.51.100.1:"+p.port)
	case ip == netip.MustParseAddr(privateSource6):
		return p.clients.dial(t, from, "[fd00:9:8::1]:"+p.port)
	}
	return p.clients.dial(t, from, "[2001:db8:1::1]:"+p.port)
}

// try asks for a host on port 443 and returns the beginning of the answer and the
// reason for which the flow ended.
func (p labProxy) try(t *testing.T, from string, w way, host string) (answer, reason string) {
	t.Helper()
	c := p.call(t, from)
	c.say(w.ask(host, 443))
	answer = c.first(max(len(w.granted), 1))
	c.Close()
	return answer, p.flowsOf(t, c)[0].Reason
}

// cantSay reports whether a way of asking has no words for a host.
func (w way) cantSay(host string) bool {
	_, err := netip.ParseAddr(host)
	isTLS := w.granted == ""
	// TLS to the proxy's own name is for the proxy. A server name that is an address is
	// against RFC 6066 §3, but dialled, unless it is no host name at all.
	return w.ask(host, 443) == "" || isTLS && (host == "localhost" || err == nil && strings.ContainsAny(host, ":%"))
}

package interop

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/internal/peers"
	ours "github.com/bridgeio/bridgeio/layers/proxyproto"
)

// dials connects, by TLS with alice's certificate if asked.
func (u mutual) dials(t *testing.T, address string, secure bool) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if !secure {
		return c
	}
	pair, err := tls.LoadX509KeyPair(u.cert, u.key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(u.rootPEM(t))
	return tls.Client(c, &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, ServerName: "localhost"})
}

func (u mutual) rootPEM(t *testing.T) []byte {
	t.Helper()
	pem, err := os.ReadFile(u.root)
	if err != nil {
		t.Fatal(err)
	}
	return pem
}

// An eavesdropper stands before a server, and keeps what it is told first.
type eavesdropper struct {
	net.Listener
	mu   sync.Mutex
	said []*bytes.Buffer // of each connection
}

// eavesdrop hands connections on to a server, "" for one that only listens.
func eavesdrop(t *testing.T, loopback, server string) *eavesdropper {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(loopback, "0"))
	if err != nil {
		t.Fatal(err)
	}
	p := &eavesdropper{Listener: l}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			said := &bytes.Buffer{}
			p.said = append(p.said, said)
			p.mu.Unlock()
			all.Go(func() { defer c.Close(); p.pass(c, said, server) })
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return p
}

func (p *eavesdropper) pass(c net.Conn, said *bytes.Buffer, server string) {
	var from io.Reader = io.TeeReader(c, lockedWriter{&p.mu, said})
	if server == "" {
		io.Copy(io.Discard, from)
		return
	}
	s, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer s.Close()
	var back sync.WaitGroup
	back.Go(func() { io.Copy(c, s); c.(*net.TCPConn).CloseWrite() })
	io.Copy(s, from)
	s.(*net.TCPConn).CloseWrite()
	back.Wait()
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// heard is what a connection has said so far; nil before there is one.
func (p *eavesdropper) heard(i int) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i >= len(p.said) {
		return nil
	}
	return append([]byte{}, p.said[i].Bytes()...)
}

// header waits for the PROXY header of a connection, with the bytes that it is of.
func (p *eavesdropper) header(t *testing.T, m *mitm, i int) (h *detect.ProxyHeader, wire []byte) {
	t.Helper()
	m.eventually(t, "a whole header", func() bool {
		all := p.heard(i)
		parsed, n, err := detect.ParseProxyHeader(all)
		h, wire = parsed, all[:n]
		return err == nil
	})
	return h, wire
}

// Headers of HAProxy reach the server byte by byte, or are what they are to become: nothing, the
// same in version 2 with a checksum of its own, or ours.
func TestABalancersHeaderByteByByte(t *testing.T) {
	t.Parallel()
	u := newMutual(t)
	families := []string{"::1"}
	if os.Getenv("INTEROP") == "full" {
		families = append(families, "127.0.0.1")
	}
	for _, loopback := range families {
		for _, b := range []struct {
			send string
			leaf *peers.Leaf
		}{
			{"send-proxy", nil},
			{"send-proxy-v2", nil},
			{"send-proxy-v2 proxy-v2-options crc32c,unique-id", nil},
			{"send-proxy-v2-ssl-cn", &u.leaf},
			{"send-proxy-v2-ssl-cn proxy-v2-options authority,ssl-cipher,crc32c,unique-id", &u.leaf},
		} {
			for _, mode := range []string{"relay", "rewrite", "strip", "strip, and ours"} {
				t.Run(fmt.Sprintf("%s of %q from %s", mode, b.send, loopback), func(t *testing.T) {
					server := eavesdrop(t, loopback, "")
					args := []string{"--listen", net.JoinHostPort(loopback, "0"), "--connect", server.Addr().String(), "--accept-proxy", loopback}
					if own := mode == "strip, and ours"; own {
						args = append(args, "--send-proxy", "v2", "--proxy-tlv", "crc32c,unique-id")
					} else {
						args = append(args, "--proxy-header", mode)
					}
					m := startMitm(t, args...)
					before := eavesdrop(t, loopback, m.addrs[0])
					front := reserve(t)
					config := peers.HAProxyConfig{Listen: front, Server: before.Addr().String(), Send: b.send}
					if b.leaf != nil {
						config.Leaf, config.Client = b.leaf, u.clients.pem
					}
					start(t, outward(peers.HAProxy(config), "bind 127.0.0.1:", "bind "+loopback+":"))
					c := u.dials(t, net.JoinHostPort(loopback, fmt.Sprint(front)), b.leaf != nil)
					fmt.Fprint(c, "hello\n")
					sent, wire := before.header(t, m, 0)
					m.eventually(t, "the payload", func() bool { return bytes.HasSuffix(server.heard(0), []byte("hello\n")) })
					got := bytes.TrimSuffix(server.heard(0), []byte("hello\n"))
					c.Close()
					if sent.Src != c.LocalAddr().(*net.TCPAddr).AddrPort() {
						t.Fatalf("HAProxy says %+v of the client %s", sent, c.LocalAddr())
					}
					flow := m.flow(t)
					switch mode {
					case "relay":
						if !bytes.Equal(got, wire) {
							t.Errorf("the server got\n%x, HAProxy has sent\n%x", got, wire)
						}
					case "strip":
						if len(got) != 0 {
							t.Errorf("the server got %x", got)
						}
					default:
						checkOwn(t, got, sent, mode != "rewrite", flow)
					}
				})
			}
		}
	}
}

// checkOwn holds a header of ours against the balancer's: the same addresses, and the same TLVs
// in their order but for the checksum, or ours alone.
func checkOwn(t *testing.T, got []byte, sent *detect.ProxyHeader, emitted bool, flow peers.Flow) {
	t.Helper()
	h, n, err := detect.ParseProxyHeader(got)
	if err != nil || n != len(got) || h.Version != 2 || h.Command != sent.Command || h.Family != sent.Family || h.Src != sent.Src || h.Dst != sent.Dst {
		t.Fatalf("the server got %x: %+v, %v; HAProxy has sent %+v", got, h, err, sent)
	}
	if emitted {
		if want := []detect.TLV{{Type: ours.TypeUniqueID, Value: []byte(flow.ID)}}; !reflect.DeepEqual(withoutSum(h), want) {
			t.Errorf("TLVs %v, want ours", h.TLVs)
		}
	} else if !reflect.DeepEqual(withoutSum(h), withoutSum(sent)) {
		t.Errorf("the server got %+v, HAProxy has sent %+v", h, sent)
	}
	if hasSum := len(withoutSum(h)) < len(h.TLVs); hasSum != (emitted || len(withoutSum(sent)) < len(sent.TLVs)) {
		t.Errorf("a checksum: %v, HAProxy has sent %+v", hasSum, sent)
	}
	checkSum(t, got, h)
}

func withoutSum(h *detect.ProxyHeader) []detect.TLV {
	return slices.DeleteFunc(slices.Clone(h.TLVs), func(v detect.TLV) bool { return v.Type == ours.TypeCRC32C })
}

// checkSum holds the checksum of a header, if it has one, against hash/crc32.
func checkSum(t *testing.T, wire []byte, h *detect.ProxyHeader) {
	t.Helper()
	at := len(wire)
	for _, v := range slices.Backward(h.TLVs) {
		at -= 3 + len(v.Value)
		if v.Type != ours.TypeCRC32C {
			continue
		}
		zeroed := bytes.Clone(wire)
		clear(zeroed[at+3 : at+7])
		if got, want := binary.BigEndian.Uint32(v.Value), crc32.Checksum(zeroed, crc32.MakeTable(crc32.Castagnoli)); got != want {
			t.Errorf("the checksum of %x is %08x, want %08x", wire, got, want)
		}
	}
}

// A balancer's checks of the server are passed on as what they are, LOCAL in version 2.
func TestABalancersHealthChecksByteByByte(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"send-proxy", "send-proxy-v2"} {
		for _, mode := range []string{"relay", "rewrite", "strip"} {
			t.Run(mode+" of "+version, func(t *testing.T) {
				server := eavesdrop(t, "::1", "")
				m := startMitm(t, "--listen", "[::1]:0", "--connect", server.Addr().String(), "--accept-proxy", "::1", "--proxy-header", mode)
				before := eavesdrop(t, "::1", m.addrs[0])
				start(t, peers.HAProxy(peers.HAProxyConfig{
					Listen: reserve(t), Server: before.Addr().String(), Send: version + " check check-send-proxy inter 1h",
				}))
				sent, wire := before.header(t, m, 0)
				m.flow(t)
				if mode == "strip" {
					if got := server.heard(0); len(got) != 0 {
						t.Errorf("the server got %q", got)
					}
					return
				}
				h, got := server.header(t, m, 0)
				if mode == "relay" && !bytes.Equal(got, wire) || mode == "rewrite" && h.Version != 2 ||
					h.Command != sent.Command || h.Src != sent.Src || h.Dst != sent.Dst || version == "send-proxy-v2" && h.Command != detect.ProxyLocal {
					t.Errorf("the server got %q, HAProxy has sent %q", got, wire)
				}
			})
		}
	}
}

package peers

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func TestBalancersHandBytesOn(t *testing.T) {
	edge, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := edge.Leaf("localhost")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		start func(port int, server string) (Program, error)
		tls   bool
	}{
		{"HAProxy that logs", func(port int, server string) (Program, error) {
			return HAProxy(HAProxyConfig{Listen: port, Server: server}), nil
		}, false},
		{"HAProxy that splices and is silent", func(port int, server string) (Program, error) {
			return HAProxy(HAProxyConfig{Listen: port, Server: server, Silent: true, Splice: true, Flows: 100}), nil
		}, false},
		{"HAProxy between two TLS sessions", func(port int, server string) (Program, error) {
			return HAProxy(HAProxyConfig{Listen: port, Server: server, Silent: true, Leaf: &leaf, Send: "ssl verify none"}), nil
		}, true},
		{"nginx", func(port int, server string) (Program, error) {
			return NginxStream(NginxStreamConfig{Listen: port, Server: server})
		}, false},
		{"nginx between two TLS sessions", func(port int, server string) (Program, error) {
			return NginxStream(NginxStreamConfig{Listen: port, Server: server, Leaf: &leaf, Encrypt: true, Flows: 100})
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			port, release, err := ReservePort()
			if err != nil {
				t.Fatal(err)
			}
			defer release()
			p, err := tt.start(port, echo(t, tt.tls))
			if err != nil {
				t.Fatal(err)
			}
			proc, err := Start(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			defer proc.Stop()
			checkEcho(t, fmt.Sprintf("127.0.0.1:%d", port), tt.tls, edge)
		})
	}
}

func TestASilentHAProxyIsConfiguredWithoutALog(t *testing.T) {
	for _, silent := range []bool{false, true} {
		config := HAProxy(HAProxyConfig{Silent: silent}).Files["haproxy.cfg"]
		if got := strings.Contains(config, "log"); got == silent {
			t.Errorf("Silent %v: mentions a log: %v\n%s", silent, got, config)
		}
	}
}

// echo starts a server that says what it hears, and returns its address.
func echo(t *testing.T, overTLS bool) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if overTLS {
		a, err := NewAuthority()
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := a.Leaf("localhost")
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.X509KeyPair([]byte(leaf.Cert), []byte(leaf.Key))
		if err != nil {
			t.Fatal(err)
		}
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}})
	}
	done := make(chan struct{})
	go serveEcho(l, done)
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

// serveEcho serves one conn at a time, as the test makes them.
func serveEcho(l net.Listener, done chan<- struct{}) {
	defer close(done)
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		io.Copy(c, c)
		c.Close()
	}
}

func checkEcho(t *testing.T, addr string, overTLS bool, edge *Authority) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if overTLS {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(edge.PEM))
		c = tls.Client(c, &tls.Config{ServerName: "localhost", RootCAs: roots})
	}
	sent := bytes.Repeat([]byte("0123456789abcdef"), 512)
	if _, err := c.Write(sent); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("echo of %d bytes: %v, equal %v", len(sent), err, bytes.Equal(got, sent))
	}
	c.Close()
}

package demo

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/armon/go-socks5"

	"github.com/bridgeio/bridgeio/bridge"
)

// peers are the programs around the proxy: an HTTPS origin (HTTP/1.1 and HTTP/2) of
// net/http, a SOCKS5 server of armon/go-socks5, an HTTP proxy of net/http.
type peers struct {
	origin, socks, proxy bridge.Addr
	roots                *x509.CertPool // what the origin's certificate verifies against
	closers              []io.Closer

	place *place // where they are, at the address
	host  string

	visitor atomic.Value // of the origin, the last one: an address, and its port
}

func startPeers(where *place, host string) (p *peers, err error) {
	p = &peers{roots: x509.NewCertPool(), place: where, host: host}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	certificate, err := selfSigned("localhost")
	if err != nil {
		return nil, err
	}
	p.roots.AddCert(certificate.Leaf)
	if p.origin, err = p.serveOrigin(certificate); err != nil {
		return nil, err
	}
	if p.socks, err = p.serveSOCKS(); err != nil {
		return nil, err
	}
	p.proxy, err = p.serveProxy()
	return p, err
}

func (p *peers) close() {
	for _, c := range p.closers {
		c.Close()
	}
}

func (p *peers) listen() (net.Listener, bridge.Addr, error) {
	addr := "127.0.0.1:0"
	if p.place != nil {
		addr = ":0" // its neighbours come from elsewhere
	}
	l, err := p.place.listen(addr)
	if err != nil {
		return nil, bridge.Addr{}, err
	}
	p.closers = append(p.closers, l)
	return l, bridge.Addr{Host: p.host, Port: bridge.AddrOf(l.Addr()).Port}, nil
}

// greeting is what the origin answers.
func greeting(path, proto string) string {
	return fmt.Sprintf("hello %s over %s\n", path, proto)
}

func (p *peers) serveOrigin(certificate tls.Certificate) (bridge.Addr, error) {
	l, addr, err := p.listen()
	if err != nil {
		return addr, err
	}
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p.visitor.Store(r.RemoteAddr)
			io.WriteString(w, greeting(r.URL.Path, r.Proto))
		}),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}},
		ErrorLog:  quiet(),
	}
	p.closers = append(p.closers, server)
	go server.ServeTLS(l, "", "")
	return addr, nil
}

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// serveSOCKS serves each conn by itself: the library's own loop ends at the first
// error of Accept.
func (p *peers) serveSOCKS() (bridge.Addr, error) {
	l, addr, err := p.listen()
	if err != nil {
		return addr, err
	}
	server, err := socks5.New(&socks5.Config{Logger: quiet(), Dial: p.place.dial})
	if err != nil {
		return addr, err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go server.ServeConn(c)
		}
	}()
	return addr, nil
}

func (p *peers) serveProxy() (bridge.Addr, error) {
	l, addr, err := p.listen()
	if err != nil {
		return addr, err
	}
	server := &http.Server{Handler: http.HandlerFunc(p.tunnel), ErrorLog: quiet()}
	p.closers = append(p.closers, server)
	go server.Serve(l)
	return addr, nil
}

// tunnel answers a CONNECT request.
func (p *peers) tunnel(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		http.Error(w, "only CONNECT", http.StatusMethodNotAllowed)
		return
	}
	server, err := p.place.dial(r.Context(), "tcp", r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer server.Close()
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(server, buffered)
		server.(*net.TCPConn).CloseWrite()
	}()
	io.Copy(client, server)
	client.(*net.TCPConn).CloseWrite()
	<-done
}

// selfSigned returns a certificate for name that is its own root.
func selfSigned(name string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "demo origin"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		DNSNames:              []string{name},
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}

package interop

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/internal/peers"
)

// matrixName is the name of every server of the matrix. A client that names none is led
// to an address, and the Firefox whose hello we have went to up.test.
const matrixName = "localhost"

// matrixPage is longer than two records of TLS, and shorter than a window of HTTP/2.
func matrixPage() string {
	var b strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&b, "line %04d of the page\n", i)
	}
	return b.String()
}

// servers are those of the matrix. nginx, node and Go have all of theirs in one process
// from the beginning; s_server and gnutls-serv have a process for each, which is started
// when it is needed.
type servers struct {
	page   string
	root   string // file with the certificate that signed their leaves
	leaves map[string]peers.Leaf
	ports  map[origin]int // of nginx, node and Go
}

func startServers(t *testing.T, needed []origin) *servers {
	t.Helper()
	authority, err := peers.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	s := &servers{
		page: matrixPage(), root: writeFile(t, "root.pem", authority.PEM),
		leaves: map[string]peers.Leaf{}, ports: map[origin]int{},
	}
	for key, issue := range map[string]func(...string) (peers.Leaf, error){
		"ecdsa": authority.Leaf, "rsa": authority.RSALeaf, "ed25519": authority.Ed25519Leaf,
	} {
		if s.leaves[key], err = issue(matrixName, "127.0.0.1", "up.test"); err != nil {
			t.Fatal(err)
		}
	}
	endpoints := map[string][]peers.TLSEndpoint{}
	for _, o := range needed {
		if o.server == "nginx" || o.server == "node" || o.server == "go" {
			s.ports[o] = reserve(t)
			endpoints[o.server] = append(endpoints[o.server], s.endpoint(o, s.ports[o]))
		}
	}
	if list := endpoints["nginx"]; list != nil {
		start(t, peers.NginxTLS(s.page, list...))
	}
	if list := endpoints["node"]; list != nil {
		start(t, peers.NodeTLS(s.page, list...))
	}
	for _, e := range endpoints["go"] {
		startGoServer(t, s.page, e)
	}
	return s
}

func (s *servers) endpoint(o origin, port int) peers.TLSEndpoint {
	return peers.TLSEndpoint{Port: port, Leaf: s.leaves[o.key], Version: o.version, ALPN: o.protocol()}
}

// protocol is the ALPN of the origin, as it is on the wire.
func (o origin) protocol() string {
	return map[string]string{"h2": "h2", "h1": "http/1.1", "none": ""}[o.alpn]
}

// negotiates is what the server chooses from a client's offer.
func (o origin) negotiates(offer []string) string {
	protocol := o.protocol()
	if o.server == "nginx" && protocol == "" {
		protocol = "http/1.1" // it can't be told not to
	}
	if slices.Contains(offer, protocol) {
		return protocol
	}
	return ""
}

// speaksHTTP2 reports whether the server does, rather than agree on it only.
func (o origin) speaksHTTP2() bool {
	return o.alpn == "h2" && o.server != "s_server" && o.server != "gnutls-serv"
}

// start makes sure that a server runs, and returns its address and what ends it.
func (s *servers) start(ctx context.Context, o origin) (addr string, stop func(), err error) {
	if port, ok := s.ports[o]; ok {
		return loopback(port), func() {}, nil
	}
	port, release, err := peers.ReservePort()
	if err != nil {
		return "", nil, err
	}
	program := peers.OpenSSLPage
	if o.server == "gnutls-serv" {
		program = peers.GnuTLSServer
	}
	proc, err := peers.Start(ctx, program(s.page, s.endpoint(o, port)))
	if err != nil {
		release()
		return "", nil, err
	}
	return loopback(port), func() { proc.Stop(); release() }, nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// startGoServer serves the page with crypto/tls and net/http.
func startGoServer(t *testing.T, page string, e peers.TLSEndpoint) {
	t.Helper()
	pair := keyPair(t, e.Leaf)
	version := map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}[e.Version]
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: version, MaxVersion: version}
	if e.ALPN != "" {
		config.NextProtos = []string{e.ALPN}
	}
	for _, suite := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		config.CipherSuites = append(config.CipherSuites, suite.ID)
	}
	mux := http.NewServeMux()
	mux.HandleFunc(peers.PagePath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, page)
	})
	// A Server that is given a listener of TLS leaves its ALPN alone.
	srv := &http.Server{Handler: mux, ErrorLog: log.New(io.Discard, "", 0)}
	l, err := tls.Listen("tcp", loopback(e.Port), config)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go serveHTTP(srv, l, done)
	t.Cleanup(func() { srv.Close(); <-done })
}

func serveHTTP(srv *http.Server, l net.Listener, done chan<- struct{}) {
	defer close(done)
	_ = srv.Serve(l) // ends with Close
}

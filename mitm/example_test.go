package mitm_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"

	"github.com/armon/go-socks5"
	"golang.org/x/net/proxy"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/layers/proxyproto"
	"github.com/bridgeio/bridgeio/layers/socks"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
	"github.com/bridgeio/bridgeio/mitm"
	"github.com/bridgeio/bridgeio/mitm/ca"
)

// origin is an HTTPS server, and what it verifies against.
func origin() (*httptest.Server, *x509.CertPool) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello over %s", r.Proto)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return server, roots
}

// authority is a new certificate authority, and what its clients trust.
func authority() (a *ca.Authority, trusted *x509.CertPool, remove func()) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	if a, err = ca.Open(dir + "/ca"); err != nil {
		panic(err)
	}
	trusted = x509.NewCertPool()
	trusted.AddCert(a.Certificate())
	return a, trusted, func() { a.Close(); os.RemoveAll(dir) }
}

// get fetches a page and prints it with its certificate's issuer.
func get(transport *http.Transport, address string) {
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Get(address)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	fmt.Printf("%s, %s\n", body, response.TLS.NegotiatedProtocol)
}

// The proxy as the command runs it: whatever comes, nested to any depth.
func ExampleNew() {
	web, roots := origin()
	defer web.Close()
	authority, trusted, remove := authority()
	defer remove()

	server, err := mitm.New(mitm.Config{
		Listen: []string{"127.0.0.1:0"},
		CA:     authority,
		Roots:  roots,
		Observer: &bridge.Observer{
			Close: func(f *bridge.Flow, out bridge.Outcome) { fmt.Println(f.Path(), out.Reason) },
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error)
	go func() { served <- server.Serve(ctx) }()

	entry := &url.URL{Scheme: "socks5", Host: server.Listening()[0].Addr.String()}
	get(&http.Transport{
		Proxy:             http.ProxyURL(entry),
		TLSClientConfig:   &tls.Config{RootCAs: trusted},
		ForceAttemptHTTP2: true,
	}, web.URL)
	stop()
	if err := <-served; err != nil {
		fmt.Println(err)
	}
	// Output:
	// hello over HTTP/2.0, h2
	// socks5>tls(h2) eof
}

// A chain of one's own: behind a balancer and in front of a SOCKS server, both of which
// stay what they are, decrypt the TLS inside.
func Example_chain() {
	web, roots := origin()
	defer web.Close()
	authority, trusted, remove := authority()
	defer remove()
	listener, hop := listen(), socksServer()
	balancers := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

	handler := bridge.Chain(
		proxyproto.Terminate(proxyproto.Config{Trust: balancers}),
		socks.Relay(),
		tlsbridge.Relay(tlsbridge.Config{Minter: &mitm.Minter{Authority: authority, Roots: roots}}),
	)
	p := &bridge.Proxy{
		Handler:  handler,
		Hop:      bridge.FixedHop(hop),
		Observer: &bridge.Observer{Close: func(f *bridge.Flow, out bridge.Outcome) { fmt.Println(f.Path(), out.Reason) }},
	}
	go p.Serve(context.Background(), listener)

	get(&http.Transport{
		DialContext: func(_ context.Context, _, addr string) (net.Conn, error) {
			c, err := net.Dial("tcp", listener.Addr().String())
			if err != nil {
				return nil, err
			}
			io.WriteString(c, "PROXY TCP4 198.51.100.7 198.51.100.80 50000 1080\r\n")
			d, err := proxy.SOCKS5("tcp", "", nil, dialled{c})
			if err != nil {
				return nil, err
			}
			return d.Dial("tcp", addr)
		},
		TLSClientConfig:   &tls.Config{RootCAs: trusted},
		ForceAttemptHTTP2: true,
	}, web.URL)
	p.Shutdown(context.Background())
	// Output:
	// hello over HTTP/2.0, h2
	// proxy1>socks5>tls(h2) eof
}

// dialled is a proxy.Dialer that has a conn already.
type dialled struct{ net.Conn }

func (d dialled) Dial(string, string) (net.Conn, error) { return d.Conn, nil }

func listen() net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	return l
}

// socksServer starts a SOCKS5 server that serves one conn.
func socksServer() bridge.Addr {
	l := listen()
	go func() {
		defer l.Close()
		server, err := socks5.New(&socks5.Config{})
		if err != nil {
			panic(err)
		}
		if c, err := l.Accept(); err == nil {
			server.ServeConn(c)
		}
	}()
	return bridge.AddrOf(l.Addr())
}

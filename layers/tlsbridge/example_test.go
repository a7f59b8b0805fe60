package tlsbridge_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
)

// minter copies what the server's certificate says and signs it itself.
type minter struct{ key *ecdsa.PrivateKey }

func (m minter) Mint(_ context.Context, server *tlsbridge.Snapshot, _ *detect.ClientHello) (*tls.Certificate, string, error) {
	leaf := *server.Chain[0]
	leaf.PublicKey, leaf.SignatureAlgorithm = nil, 0 // ours instead
	der, err := x509.CreateCertificate(rand.Reader, &leaf, &leaf, &m.key.PublicKey, m.key)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: m.key}, "self-signed", err
}

// A web server is seen through the bridge, which sees what is inside.
func ExampleRelay() {
	origin := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello over %s", r.Proto)
	}))
	origin.EnableHTTP2 = true
	origin.StartTLS()
	defer origin.Close()

	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	seen := make(chan *bridge.Flow, 1)
	proxy := &bridge.Proxy{
		Handler:  bridge.Chain(tlsbridge.Relay(tlsbridge.Config{Minter: minter{key}})),
		Hop:      bridge.FixedHop(bridge.AddrOf(origin.Listener.Addr())),
		Observer: &bridge.Observer{Close: func(f *bridge.Flow, _ bridge.Outcome) { seen <- f }},
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	go proxy.Serve(context.Background(), listener)
	defer proxy.Shutdown(context.Background())

	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	response, err := (&http.Client{Transport: transport}).Get("https://" + listener.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	body, _ := io.ReadAll(response.Body)
	response.Body.Close()
	transport.CloseIdleConnections()

	flow := <-seen
	info := flow.Frames()[0].Detail.(*tlsbridge.Info)
	fmt.Printf("%s\n%s %s\n", body, flow.Path(), tls.VersionName(info.Server.Version))
	// Output:
	// hello over HTTP/2.0
	// tls(h2) TLS 1.3
}

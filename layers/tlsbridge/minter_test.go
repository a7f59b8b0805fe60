package tlsbridge

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// asked is a Minter that keeps what it was asked for.
type asked struct {
	copying
	server chan *Snapshot
	hello  chan *detect.ClientHello
}

func (a asked) Mint(ctx context.Context, server *Snapshot, hello *detect.ClientHello) (*tls.Certificate, string, error) {
	a.server <- server
	a.hello <- hello
	return a.copying.Mint(ctx, server, hello)
}

func TestTheMinterIsToldWhatTheServerShowed(t *testing.T) {
	leaf := *certificate("ECDSA")
	leaf.OCSPStaple = []byte("a staple")
	leaf.Certificate = append(leaf.Certificate, serverCA().cert.Raw)
	addr, _ := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{leaf}, NextProtos: []string{"h2"}})
	m := asked{server: make(chan *Snapshot, 1), hello: make(chan *detect.ClientHello, 1)}
	l := newLab(t, bridge.Chain(Relay(Config{Minter: m})), addr, bridge.Limits{})
	for name, c := range map[string]struct{ sni, want string }{
		"a client that names a server": {serverName, serverName},
		"a client that names none":     {"", addr.Host},
	} {
		t.Run(name, func(t *testing.T) {
			config := withALPN("h2")
			config.ServerName, config.InsecureSkipVerify = c.sni, true
			roundtrip(t, tls.Client(l.dial(t), config))
			shown, hello := <-m.server, <-m.hello
			if shown.Name != c.want || hello.ServerName != c.sni || shown.ALPN != "h2" || string(shown.OCSPStaple) != "a staple" {
				t.Errorf("told of %+v, for a hello to %q", shown, hello.ServerName)
			}
			if len(shown.Chain) != 2 || !bytes.Equal(shown.Chain[0].Raw, leaf.Certificate[0]) {
				t.Errorf("%d certificates, want the server's 2", len(shown.Chain))
			}
			flow, _ := l.ends(t)
			if info := flow.Frames()[0].Detail.(*Info); info.Verdict != "ok" || info.ServerLeaf == info.MintedLeaf {
				t.Errorf("the flow tells %+v", info)
			}
		})
	}
}

func TestAGoodbyeWithinTheHandshakeIsPassedOn(t *testing.T) {
	goodbye := []byte{21, 3, 3, 0, 2, 1, 0} // RFC 8446 §6.1: close_notify, a warning
	addr := serveTCP(t, func(c *net.TCPConn) {
		if readHello(c) == nil {
			c.Write(goodbye)
		}
	})
	l := newLab(t, relayed(), addr, bridge.Limits{})
	c := l.dial(t)
	c.Write(helloOf(t, known()))
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, goodbye) {
		t.Errorf("the client got %x, %v; want %x", got, err, goodbye)
	}
	c.Close()
	if _, out := l.ends(t); out.Reason != bridge.TLSServer || out.EndedBy != bridge.ByServer {
		t.Errorf("outcome %+v, want tls_server by server", out)
	}
}

package tlsbridge

import (
	"crypto/tls"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
)

func TestTheClientGetsWhatTheServerChose(t *testing.T) {
	addr, saw := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{*certificate("ECDSA")}, NextProtos: []string{"h2"}})
	l := newLab(t, relayed(), addr, bridge.Limits{})
	config := clientConfig()
	config.NextProtos = []string{"h2", "http/1.1"}
	c := tls.Client(l.dial(t), config)
	roundtrip(t, c)
	if server := <-saw; server.err != nil || server.state.ServerName != serverName {
		t.Errorf("the server saw %+v", server)
	}
	flow, out := l.ends(t)
	if out.Reason != bridge.EOF || flow.Path() != "tls(h2)" || !flow.Decrypted() {
		t.Errorf("path %s, outcome %+v; want tls(h2), decrypted, eof", flow.Path(), out)
	}
}

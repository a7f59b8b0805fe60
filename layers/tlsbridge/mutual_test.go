package tlsbridge

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
)

// asking is a server that asks for a client certificate by two authorities.
func asking(version uint16, auth tls.ClientAuthType) *tls.Config {
	pool := serverCA().pool()
	pool.AddCert(otherCA().cert)
	return &tls.Config{
		Certificates: []tls.Certificate{*certificate("ECDSA")}, MinVersion: version, MaxVersion: version,
		ClientAuth: auth, ClientCAs: pool, NextProtos: []string{"h2"},
	}
}

// A client that is asked sees the authorities that the server names, and when it has
// nothing for them it stays inspected.
func TestAClientWithoutACertificateIsAskedAndInspected(t *testing.T) {
	for _, hello := range handshakers() {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(hello.name+" "+tls.VersionName(version), func(t *testing.T) {
				bridgetest.Baseline(t)
				addr, saw := echoTLS(t, asking(version, tls.RequestClientCert))
				l := newLab(t, bridge.Chain(Relay(Config{Minter: copying{}, Hello: hello.ServerHandshaker, MutualTLS: MutualAsk})), addr, bridge.Limits{})
				var named [][]byte
				config := clientConfig()
				config.NextProtos = []string{"h2"}
				config.GetClientCertificate = func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
					named = r.AcceptableCAs
					return &tls.Certificate{}, nil
				}
				raw := l.dial(t)
				client := tls.Client(raw, config)
				roundtrip(t, client)
				raw.Close()
				server := <-saw
				if server.err != nil || len(server.state.PeerCertificates) > 0 {
					t.Errorf("the server saw %+v", server)
				}
				want := [][]byte{serverCA().cert.RawSubject, otherCA().cert.RawSubject}
				if !slices.EqualFunc(named, want, bytes.Equal) {
					t.Errorf("the client was asked with the names %q, want %q", named, want)
				}
				flow, out := l.ends(t)
				if flow.Path() != "tls(h2)" || !flow.Decrypted() || out.Reason != bridge.EOF {
					t.Errorf("frames %+v, outcome %+v; want an inspected flow", flow.Frames(), out)
				}
				checkInfo(t, flow, client.ConnectionState(), server.state)
			})
		}
	}
}

// A client that answers with a certificate can't be bridged: it is told so by the end of
// the flow, and its next one goes through with the very certificate.
func TestAClientWithACertificateIsRescuedTheNextTime(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			bridgetest.Baseline(t)
			server := asking(version, tls.RequireAnyClientCert)
			server.ClientCAs = nil
			addr, saw := echoTLS(t, server)
			l := newLab(t, bridge.Chain(Relay(Config{Minter: copying{}, MutualTLS: MutualAsk})), addr, bridge.Limits{})
			config := clientConfig()
			config.RootCAs.AddCert(serverCA().cert)
			config.Certificates = []tls.Certificate{*certificate("RSA")}

			raw := l.dial(t)
			client := tls.Client(raw, config)
			if err := client.Handshake(); err != nil {
				t.Errorf("the client's handshake: %v", err)
			}
			if _, err := client.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
				t.Errorf("the client read %v, want a reset", err)
			}
			raw.Close()
			if first := <-saw; first.err == nil {
				t.Error("the server was content with no certificate")
			}
			if flow, out := l.ends(t); !errors.Is(out.Err, errHasCertificate) || flow.Decrypted() {
				t.Errorf("outcome %+v, want %v", out, errHasCertificate)
			}

			raw = l.dial(t)
			roundtrip(t, tls.Client(raw, config))
			raw.Close()
			if second := <-saw; second.err != nil || len(second.state.PeerCertificates) != 1 {
				t.Errorf("the server saw %+v", second)
			}
			flow, out := l.ends(t)
			if flow.Path() != "tls(pass)" || flow.Frames()[0].Note != "rescued: client certificate, as before" || out.Reason != bridge.EOF {
				t.Errorf("frames %+v, outcome %+v; want a rescue", flow.Frames(), out)
			}
		})
	}
}

// A server that insists, told of no certificate, ends the flow as it would have ended
// the client's.
func TestAServerThatInsistsOnACertificateEndsTheFlow(t *testing.T) {
	for _, mode := range []MutualTLS{MutualAsk, MutualNone} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(tls.VersionName(version), func(t *testing.T) {
				bridgetest.Baseline(t)
				addr, saw := echoTLS(t, asking(version, tls.RequireAnyClientCert))
				l := newLab(t, bridge.Chain(Relay(Config{Minter: copying{}, MutualTLS: mode})), addr, bridge.Limits{})
				raw := l.dial(t)
				client := tls.Client(raw, clientConfig())
				client.Handshake() // may or may not succeed, as with the server itself
				if _, err := client.Read(make([]byte, 1)); err == nil {
					t.Error("the client got something")
				}
				raw.Close()
				if server := <-saw; server.err == nil {
					t.Error("the server was content")
				}
				if flow, out := l.ends(t); out.Reason == bridge.EOF && version == tls.VersionTLS12 {
					t.Errorf("frames %+v, outcome %+v", flow.Frames(), out)
				}
			})
		}
	}
}

// With a certificate of the operator's, the server is content and the flow is inspected.
func TestTheOperatorsCertificateIsShown(t *testing.T) {
	for _, hello := range handshakers() {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(hello.name+" "+tls.VersionName(version), func(t *testing.T) {
				bridgetest.Baseline(t)
				addr, saw := echoTLS(t, asking(version, tls.RequireAndVerifyClientCert))
				ours := leafTemplate()
				ours.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
				certificate := signed(ours, "RSA", serverCA())
				var name string
				l := newLab(t, bridge.Chain(Relay(Config{
					Minter: copying{}, Hello: hello.ServerHandshaker,
					ClientCertificate: func(server *Snapshot) *tls.Certificate {
						name = server.Name
						return certificate
					},
				})), addr, bridge.Limits{})
				raw := l.dial(t)
				roundtrip(t, tls.Client(raw, clientConfig()))
				raw.Close()
				server := <-saw
				if server.err != nil || !server.state.PeerCertificates[0].Equal(certificate.Leaf) {
					t.Errorf("the server saw %+v", server)
				}
				if flow, out := l.ends(t); !flow.Decrypted() || out.Reason != bridge.EOF || name != serverName {
					t.Errorf("asked for %q, frames %+v, outcome %+v; want an inspected flow", name, flow.Frames(), out)
				}
			})
		}
	}
}

// namedHandshaker is one of the two ways to say hello to a server.
type namedHandshaker struct {
	name string
	ServerHandshaker
}

func handshakers() []namedHandshaker {
	return []namedHandshaker{{"Go's hello", GoHello()}, {"the client's hello", Mirror()}}
}

// The server's handshake is given up while it waits for the client's answer, and the client's is about to begin.
func TestAFlowThatIsCancelledDuringAQuestion(t *testing.T) {
	bridgetest.Baseline(t)
	addr, saw := echoTLS(t, asking(tls.VersionTLS13, tls.RequestClientCert))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	minter := minterFunc(func() (*tls.Certificate, error) {
		cancel()
		<-saw // the server's side of that handshake is over
		return certificate("ECDSA"), nil
	})
	p := &bridge.Proxy{Handler: bridge.Chain(Relay(Config{Minter: minter, MutualTLS: MutualAsk})), Hop: bridge.FixedHop(addr)}
	client, near := bridgetest.Pipe(1 << 20)
	defer client.Close()
	client.Write(helloOf(t, clientConfig()))
	out := p.ServeConn(ctx, near)
	if caught := (*bridge.PanicError)(nil); errors.As(out.Err, &caught) {
		t.Errorf("outcome %v by %v: %v", out.Reason, out.EndedBy, out.Err)
	}
}

package tlsbridge

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/detect"
)

// direct is a client that trusts the server's authority, not ours.
func direct() *tls.Config { return &tls.Config{ServerName: serverName, RootCAs: serverCA().pool()} }

// negativeSerial returns a certificate that Go cannot parse (RFC 5280 §4.1.2.2 wants a
// positive serialNumber).
func negativeSerial(t *testing.T) []byte {
	t.Helper()
	leaf := bytes.Clone(certificate("ECDSA").Certificate[0])
	i := bytes.Index(leaf, []byte{2, 1, 2, 2, 1, 2}) // version and serialNumber, each an INTEGER of one byte, 2
	leaf[i+5] = 0x82
	if _, err := x509.ParseCertificate(leaf); err == nil {
		t.Fatal("Go parses a negative serial")
	}
	return leaf
}

func TestAServerThatWantsAClientCertificateGetsTheClientsOwn(t *testing.T) {
	bridgetest.Baseline(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			addr, saw := echoTLS(t, &tls.Config{
				Certificates: []tls.Certificate{*certificate("ECDSA")}, MaxVersion: version,
				ClientAuth: tls.RequireAnyClientCert,
			})
			l := newLab(t, relayed(), addr, bridge.Limits{})
			config := direct()
			config.Certificates = []tls.Certificate{*certificate("RSA")}
			raw := l.dial(t)
			roundtrip(t, tls.Client(raw, config))
			raw.Close()
			// Which of the two conns the server reports first is not told.
			first, second := <-saw, <-saw
			if first.err == nil {
				first, second = second, first
			}
			if first.err == nil {
				t.Error("the server was content with the first handshake")
			}
			if second.err != nil || len(second.state.PeerCertificates) != 1 {
				t.Errorf("the server saw %+v", second)
			}
			flow, out := l.ends(t)
			if flow.Path() != "tls(pass)" || flow.Decrypted() || flow.Frames()[0].Note != "rescued: client certificate" || out.Reason != bridge.EOF {
				t.Errorf("frames %+v, outcome %+v; want a rescue", flow.Frames(), out)
			}
		})
	}
}

// A rescued flow is not decrypted: there is nothing in it for the next layer.
func TestARescuedFlowDoesNotReachTheNextLayer(t *testing.T) {
	bridgetest.Baseline(t)
	addr, saw := echoTLS(t, &tls.Config{
		Certificates: []tls.Certificate{*certificate("ECDSA")}, ClientAuth: tls.RequireAnyClientCert,
	})
	next := bridge.Layer{Name: "next", Handle: func(context.Context, *bridge.Bridge, bridge.Handler) error {
		t.Error("the next layer was called")
		return nil
	}}
	l := newLab(t, bridge.Chain(Relay(Config{Minter: copying{}}), next), addr, bridge.Limits{})
	config := direct()
	config.Certificates = []tls.Certificate{*certificate("RSA")}
	raw := l.dial(t)
	roundtrip(t, tls.Client(raw, config))
	raw.Close()
	<-saw
	<-saw
	if flow, out := l.ends(t); flow.Path() != "tls(pass)" || out.Reason != bridge.EOF {
		t.Errorf("path %s, outcome %+v; want a rescue", flow.Path(), out)
	}
}

func TestACertificateThatGoCannotParseGoesThrough(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			bridgetest.Baseline(t)
			odd := *certificate("ECDSA")
			odd.Certificate, odd.Leaf = [][]byte{negativeSerial(t)}, nil
			addr, saw := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{odd}, MaxVersion: version})
			l := newLab(t, relayed(), addr, bridge.Limits{})
			raw := l.dial(t)
			// This client is Go, too, and refuses it: what counts is that it was asked.
			err := tls.Client(raw, direct()).Handshake()
			if err == nil || !strings.Contains(err.Error(), "negative serial") {
				t.Errorf("the client: %v, want it to see the certificate", err)
			}
			raw.Close()
			<-saw
			<-saw
			if flow, _ := l.ends(t); flow.Path() != "tls(pass)" || !strings.HasPrefix(flow.Frames()[0].Note, "rescued: ") {
				t.Errorf("frames %+v, want a rescue", flow.Frames())
			}
		})
	}
}

// withExtension returns a hello of one record with an extension in front of the others.
func withExtension(t *testing.T, hello []byte, id byte) []byte {
	t.Helper()
	h, n, err := detect.ParseClientHello(hello)
	if err != nil {
		t.Fatal(err)
	}
	at := 5 + 4 + 2 + 32 + 1 + len(h.SessionID) + 2 + 2*len(h.CipherSuites) + 1 + len(h.CompressionMethods)
	out := append(bytes.Clone(hello[:at+2]), 0, id, 0, 0)
	out = append(out, hello[at+2:n]...)
	add16(out[3:], 4)  // record length
	add16(out[7:], 4)  // handshake length, of which the top byte stays 0
	add16(out[at:], 4) // extensions
	if _, _, err := detect.ParseClientHello(out); err != nil {
		t.Fatal(err)
	}
	return out
}

func add16(b []byte, n int) {
	sum := int(b[0])<<8 | int(b[1])
	sum += n
	b[0], b[1] = byte(sum>>8), byte(sum)
}

// sslv2Hello is a hello in the format of SSL 2.0 that offers TLS 1.0.
const sslv2Hello = "\x80\x1c\x01\x03\x01\x00\x03\x00\x00\x00\x10\x00\x00\x2f0123456789abcdef"

func TestWhatCannotBeInspectedGoesThroughRaw(t *testing.T) {
	early := withExtension(t, helloOf(t, known()), 42)
	old := bytes.Clone(helloOf(t, &tls.Config{ServerName: serverName, MaxVersion: tls.VersionTLS12}))
	copy(old[9:], "\x03\x00") // SSL 3.0
	for name, c := range map[string]struct {
		hello  []byte
		note   string
		policy Action
		path   string
		alert  Alert // with Fail closed; 0: none, since it goes through all the same
	}{
		"early data":            {early, "rescued: early data", Inspect, "tls(pass)", internalError},
		"an SSLv2 hello":        {[]byte(sslv2Hello), "rescued: SSLv2 hello", Inspect, "tls(pass)", internalError},
		"an SSL 3.0 hello":      {withoutVersions(t, old), "rescued: the hello offers nothing that is known here", Inspect, "tls(pass)", internalError},
		"what the policy lets":  {helloOf(t, known()), "", Pass, "tls(pass)", 0},
		"a hello that is wrong": {append(bytes.Clone(early[:9]), 9, 9, 9), "", Inspect, "tls>raw", closeNotify},
	} {
		t.Run(name, func(t *testing.T) {
			bridgetest.Baseline(t)
			policy := func(*bridge.Flow, *detect.ClientHello) (Action, string) { return c.policy, "" }
			handler := bridge.Chain(Relay(Config{Minter: copying{}, Policy: policy}))
			addr := serveTCP(t, func(conn *net.TCPConn) { io.Copy(conn, conn) })
			l := newLab(t, handler, addr, bridge.Limits{})
			sent := append(bytes.Clone(c.hello), "and what follows"...)
			if got, err := exchange(t, l, sent); err != nil || !bytes.Equal(got, sent) {
				t.Errorf("got %x, %v; want %x", got, err, sent)
			}
			flow, out := l.ends(t)
			if flow.Path() != c.path || flow.Frames()[0].Note != c.note || flow.Decrypted() || out.Reason != bridge.EOF {
				t.Errorf("frames %+v, outcome %+v", flow.Frames(), out)
			}

			if c.policy == Pass {
				return
			}
			closed := newLab(t, handler, addr, bridge.Limits{Fail: bridge.FailClosed})
			got, err := exchange(t, closed, c.hello)
			if wantAlert := c.alert != closeNotify; err != nil || wantAlert != (len(got) == 7 && Alert(got[6]) == c.alert) {
				t.Errorf("with Fail closed the client got %x, %v", got, err)
			}
			if _, out := closed.ends(t); out.Reason == bridge.EOF {
				t.Errorf("with Fail closed the outcome is %+v", out)
			}
		})
	}
}

// withoutVersions turns supported_versions, if there, into an extension that nobody knows.
func withoutVersions(t *testing.T, hello []byte) []byte {
	t.Helper()
	h, _, err := detect.ParseClientHello(hello)
	if err != nil {
		t.Fatal(err)
	}
	if versions, ok := h.Extension(43); ok {
		i := bytes.Index(hello, append([]byte{0, 43, 0, byte(len(versions))}, versions...))
		hello[i], hello[i+1] = 0xff, 0x42
	}
	return hello
}

// exchange sends, and returns as much as was sent, or less when the other side ends.
func exchange(t *testing.T, l *lab, sent []byte) ([]byte, error) {
	t.Helper()
	c := l.dial(t)
	defer c.Close()
	if _, err := c.Write(sent); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(sent))
	n, err := io.ReadFull(c, got)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return got[:n], err
}

func TestAFlowThatCannotBeRescuedEndsAsItFailed(t *testing.T) {
	for name, c := range map[string]struct {
		refuse func(*net.TCPConn)
		limits bridge.Limits
		alert  Alert
	}{
		"the server can't be dialled again": {
			func(c *net.TCPConn) { c.Write([]byte("SSH-2.0-not TLS at all\r\n")) }, bridge.Limits{}, internalError,
		},
		"nothing may go through raw": {
			func(c *net.TCPConn) { c.Write([]byte("SSH-2.0-not TLS at all\r\n")) }, bridge.Limits{Fail: bridge.FailClosed}, internalError,
		},
		"the server had sent an alert": {
			func(c *net.TCPConn) { c.Write([]byte{21, 3, 3, 0, 2, 2, byte(handshakeFailure)}) }, bridge.Limits{}, handshakeFailure,
		},
	} {
		t.Run(name, func(t *testing.T) {
			bridgetest.Baseline(t)
			addr := serveTCP(t, func(conn *net.TCPConn) {
				readHello(conn)
				c.refuse(conn)
				io.Copy(io.Discard, conn)
			})
			dialled := 0
			p := &bridge.Proxy{Handler: relayed(), Hop: bridge.FixedHop(addr), Limits: c.limits}
			p.Dial = func(ctx context.Context, hop bridge.Addr, _ *bridge.Flow) (net.Conn, error) {
				if dialled++; dialled > 1 {
					return nil, errors.New("not again")
				}
				return (&net.Dialer{}).DialContext(ctx, "tcp", hop.String())
			}
			client, server := bridgetest.TCPPair(t)
			outcome := make(chan bridge.Outcome, 1)
			go func() { outcome <- p.ServeConn(context.Background(), server) }()
			client.Write(withExtension(t, helloOf(t, anything()), 77))
			if got, err := io.ReadAll(client); err != nil || len(got) != 7 || Alert(got[6]) != c.alert {
				t.Errorf("the client got %x, %v; want alert %d", got, err, c.alert)
			}
			client.Close()
			if out := <-outcome; out.Reason != bridge.TLSServer {
				t.Errorf("outcome %+v, want tls_server", out)
			}
		})
	}
}

func TestAClientThatOffersMoreThanWeKnowFaresAsWithoutUs(t *testing.T) {
	bridgetest.Baseline(t)
	// This server knows one suite that neither utls nor crypto/tls has: DHE_RSA with AES-128-GCM.
	const suite = 0x009e
	addr := serveTCP(t, func(c *net.TCPConn) {
		buf := make([]byte, 4096)
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		hello, _, err := detect.ParseClientHello(buf[:n])
		if err != nil || !contains(hello.CipherSuites, suite) {
			c.Write([]byte{21, 3, 3, 0, 2, 2, byte(handshakeFailure)})
			return
		}
		c.Write([]byte("that will do"))
	})
	hello := helloOf(t, func() *tls.Config {
		config := known()
		config.MaxVersion = tls.VersionTLS12
		return config
	}())
	h, _, err := detect.ParseClientHello(hello)
	if err != nil {
		t.Fatal(err)
	}
	first := 5 + 4 + 2 + 32 + 1 + len(h.SessionID) + 2
	hello[first], hello[first+1] = suite>>8, suite&0xff
	l := newLab(t, relayed(), addr, bridge.Limits{})
	c := l.dial(t)
	c.Write(hello)
	if got, err := io.ReadAll(c); err != nil || string(got) != "that will do" {
		t.Errorf("the client got %q, %v", got, err)
	}
	c.Close()
	if flow, _ := l.ends(t); !strings.HasPrefix(flow.Frames()[0].Note, "rescued: ") {
		t.Errorf("frames %+v, want a rescue", flow.Frames())
	}
}

func contains(list []uint16, v uint16) bool {
	for _, w := range list {
		if w == v {
			return true
		}
	}
	return false
}

// A client that leaves while the server is dialled again for it has left: nobody has failed.
func TestAClientThatLeavesDuringARescueHasLeft(t *testing.T) {
	bridgetest.Baseline(t)
	addr, _ := echoTLS(t, asking(tls.VersionTLS13, tls.RequireAnyClientCert))
	var dials atomic.Int32
	redialled := make(chan struct{})
	l := run(t, &bridge.Proxy{
		Handler: relayed(), Hop: bridge.FixedHop(addr),
		Dial: func(ctx context.Context, hop bridge.Addr, _ *bridge.Flow) (net.Conn, error) {
			if dials.Add(1) > 1 {
				close(redialled)
				<-ctx.Done()
				return nil, context.Cause(ctx)
			}
			return (&net.Dialer{}).DialContext(ctx, "tcp", hop.String())
		},
	})
	c := l.dial(t)
	c.Write(helloOf(t, clientConfig()))
	<-redialled
	c.Close()
	if flow, out := l.ends(t); out.Reason != bridge.PeerClosed || out.EndedBy != bridge.ByClient {
		t.Errorf("outcome %+v, frames %+v; want that the client has left", out, flow.Frames())
	}
}

package mitm

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
)

// bridged serves clients at the address, in the place of a server with the certificate that answers each with an empty
// page, until the test ends.
func bridged(t *testing.T, m *Minter, cert tls.Certificate) (addr string, ended <-chan bridge.Outcome) {
	t.Helper()
	origin, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	outcomes := make(chan bridge.Outcome, 16)
	p := &bridge.Proxy{
		Handler:  bridge.Chain(tlsbridge.Relay(tlsbridge.Config{Minter: m})),
		Hop:      bridge.FixedHop(bridge.AddrOf(origin.Addr())),
		Observer: &bridge.Observer{Close: func(_ *bridge.Flow, out bridge.Outcome) { outcomes <- out }},
	}
	var running sync.WaitGroup
	running.Go(func() { answer(origin) })
	running.Go(func() {
		if err := p.Serve(t.Context(), front); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		origin.Close()
		if err := p.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		running.Wait()
	})
	return front.Addr().String(), outcomes
}

// answer serves one connection after the other until the listener is closed.
func answer(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		if _, err := c.Read(make([]byte, 4096)); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
		}
		c.Close()
	}
}

// presented is the certificate of a server, for the server itself.
func presented(server *tlsbridge.Snapshot, key crypto.Signer) tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{server.Chain[0].Raw}, PrivateKey: key, OCSPStaple: server.OCSPStaple}
}

func TestARefusedClientGetsTheAlert(t *testing.T) {
	w, key := newWorld(t), newKey(t)
	expired := w.server(t, key.Public(), func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	addr, ended := bridged(t, &Minter{Authority: w.ours, Roots: w.roots(), Verify: VerifyRefuse}, presented(expired, key))
	_, err := tls.Dial("tcp", addr, &tls.Config{ServerName: mintedName, RootCAs: w.trust.Roots})
	if op := (*net.OpError)(nil); !errors.As(err, &op) || op.Op != "remote error" || !strings.Contains(op.Err.Error(), "expired certificate") {
		t.Errorf("the client is told %v, want that the certificate has expired", err)
	}
	if out := <-ended; out.Reason != bridge.Block || out.EndedBy != bridge.ByMITM {
		t.Errorf("outcome %+v, want block by mitm", out)
	}
}

// TestCurlInsistsOnAStaple: with --cert-status curl goes on with a good one only, from whoever it is that signs.
func TestCurlInsistsOnAStaple(t *testing.T) {
	w, key := newWorld(t), newKey(t)
	trust := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(trust, w.ours.ExportPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		server *tlsbridge.Snapshot
		want   string // in what curl says; "": it is content
	}{
		{"the server staples none", w.server(t, key.Public(), asItIs), "No OCSP response received"},
		{"a good one", w.stapled(t, w.server(t, key.Public(), asItIs), ocsp.Good), ""},
		{"one that says unknown", w.stapled(t, w.server(t, key.Public(), asItIs), ocsp.Unknown), "status verification FAILED"},
		{"one that says revoked", w.stapled(t, w.server(t, key.Public(), asItIs), ocsp.Revoked), "unable to get local issuer certificate"},
		{"that of somebody else", newWorld(t).stapled(t, w.server(t, key.Public(), asItIs), ocsp.Good), "No OCSP response received"},
	}
	for _, leafCert := range []LeafCert{LeafClone, LeafNoClone} {
		for _, test := range tests {
			addr, _ := bridged(t, &Minter{Authority: w.ours, Roots: w.roots(), LeafCert: leafCert}, presented(test.server, key))
			_, port, err := net.SplitHostPort(addr)
			if err != nil {
				t.Fatal(err)
			}
			host := mintedName + ":" + port
			out, err := exec.CommandContext(t.Context(), "curl", "-sS", "--noproxy", "*", "--cert-status", "--cacert", trust,
				"--resolve", host+":127.0.0.1", "https://"+host+"/").CombinedOutput()
			if (err == nil) != (test.want == "") || !strings.Contains(string(out), test.want) {
				t.Errorf("%s: curl says %q, %v, want %q", test.name, out, err, test.want)
			}
		}
	}
}

package tlsbridge

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/detect"
)

// helloOf returns the bytes that a client with this config begins with.
func helloOf(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	here, there := net.Pipe()
	defer there.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		tls.Client(here, config).Handshake()
	}()
	var hello []byte
	buf := make([]byte, 4096)
	for {
		n, err := there.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		hello = append(hello, buf[:n]...)
		if _, _, err := detect.ParseClientHello(hello); err == nil {
			there.Close()
			<-done
			here.Close()
			return hello
		}
	}
}

// known is a client that offers nothing but what utls can do.
func known() *tls.Config {
	config := clientConfig()
	config.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256}
	return config
}

// readHello reads a whole hello.
func readHello(c net.Conn) error {
	var hello []byte
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return err
		}
		hello = append(hello, buf[:n]...)
		if _, _, err := detect.ParseClientHello(hello); !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
	}
}

func TestTheServersAlertIsWhatTheClientGets(t *testing.T) {
	bridgetest.Baseline(t)
	alerts := make(chan Alert, 1)
	addr := serveTCP(t, func(c *net.TCPConn) {
		if readHello(c) == nil {
			c.Write([]byte{21, 3, 3, 0, 2, 2, byte(<-alerts)})
		}
	})
	l := newLab(t, relayed(), addr, bridge.Limits{})
	for _, old := range []bool{false, true} {
		config := known()
		if old {
			config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		}
		hello := helloOf(t, config)
		for a := Alert(1); a != 0; a++ {
			alerts <- a
			c := l.dial(t)
			c.Write(hello)
			want := []byte{21, hello[9], hello[10], 0, 2, 2, byte(a)} // RFC 8446 §4.1.2: legacy_version
			if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, want) {
				t.Errorf("alert %d: the client got %x, %v; want %x", a, got, err, want)
			}
			c.Close()
			flow, out := l.ends(t)
			var failed *HandshakeError
			if !errors.As(out.Err, &failed) || failed.Alert != a || out.Reason != bridge.TLSServer || out.EndedBy != bridge.ByServer {
				t.Errorf("alert %d: outcome %+v, want tls_server by server with the alert", a, out)
			}
			if flow.Path() != "tls" || flow.Decrypted() {
				t.Errorf("alert %d: path %s", a, flow.Path())
			}
		}
	}
}

// faulty is a conn on which only so many bytes are written before something happens.
type faulty struct {
	*net.TCPConn
	left int
	then func(*net.TCPConn)
}

var errFault = errors.New("the fault that was asked for")

func (f *faulty) Write(p []byte) (int, error) {
	if f.left < 0 {
		return 0, errFault
	}
	n, err := f.TCPConn.Write(p[:min(len(p), f.left)])
	f.left -= n
	if err == nil && n < len(p) {
		f.left = -1
		f.then(f.TCPConn)
		err = errFault
	}
	return n, err
}

// faults are the ways to leave a handshake, and how the other peer sees it.
var faults = []struct {
	name   string
	then   func(*net.TCPConn)
	seen   func(error) bool
	reason bridge.Reason // of a flow whose server does it; by the client it is tls_client instead of tls_server
}{
	{"closes", func(c *net.TCPConn) { c.CloseWrite() }, func(err error) bool { return err == nil }, bridge.TLSServer},
	{"resets", func(c *net.TCPConn) { c.SetLinger(0); c.Close() }, func(err error) bool { return errors.Is(err, syscall.ECONNRESET) }, bridge.Resets},
	{"stalls", func(*net.TCPConn) {}, func(err error) bool { return err == nil }, bridge.Timeout},
}

// limits are short for those who wait for a peer that stalls.
func limits(reason bridge.Reason) bridge.Limits {
	if reason == bridge.Timeout {
		return bridge.Limits{Turn: 300 * time.Millisecond}
	}
	return bridge.Limits{}
}

func TestAServerThatLeavesAtAnyStepIsSeenToLeave(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, fault := range faults {
			for _, after := range []int{0, 1, 5, 11, 90, 300} {
				t.Run(fmt.Sprintf("%s %s after %d bytes", tls.VersionName(version), fault.name, after), func(t *testing.T) {
					bridgetest.Baseline(t)
					addr := serveTCP(t, func(c *net.TCPConn) {
						tls.Server(&faulty{c, after, fault.then}, &tls.Config{
							Certificates: []tls.Certificate{*certificate("ECDSA")}, MaxVersion: version,
						}).Handshake()
						io.Copy(io.Discard, c)
					})
					l := newLab(t, relayed(), addr, limits(fault.reason))
					c := l.dial(t)
					c.Write(helloOf(t, known()))
					got, err := io.ReadAll(c)
					if len(got) != 0 || !fault.seen(err) {
						t.Errorf("the client got %x, %v", got, err)
					}
					c.Close()
					if _, out := l.ends(t); out.Reason != fault.reason || out.EndedBy != bridge.ByServer {
						t.Errorf("outcome %+v, want %s by server", out, fault.reason)
					}
				})
			}
		}
	}
}

func TestAClientThatLeavesAtAnyStepIsSeenToLeave(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, fault := range faults {
			for _, after := range []int{0, 1, 6, 20} {
				t.Run(fmt.Sprintf("%s %s after %d bytes", tls.VersionName(version), fault.name, after), func(t *testing.T) {
					bridgetest.Baseline(t)
					testClientLeaves(t, version, after, fault.then, fault.seen, fault.reason)
				})
			}
		}
	}
}

// testClientLeaves has a client do something after so many bytes behind its hello.
func testClientLeaves(t *testing.T, version uint16, after int, then func(*net.TCPConn), seen func(error) bool, reason bridge.Reason) {
	saw := make(chan error, 1)
	addr := serveTCP(t, func(c *net.TCPConn) {
		s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*certificate("ECDSA")}, MaxVersion: version})
		err := s.Handshake()
		if err == nil {
			_, err = io.Copy(io.Discard, s)
		}
		saw <- err
	})
	l := newLab(t, relayed(), addr, limits(reason))
	c := l.dial(t)
	config := known()
	tls.Client(&faulty{c, len(helloOf(t, config)) + after, then}, config).Handshake()
	if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Errorf("the client saw %v", err)
	}
	c.Close()
	if reason == bridge.TLSServer {
		reason = bridge.TLSClient
	}
	if _, out := l.ends(t); out.Reason != reason || out.EndedBy != bridge.ByClient {
		t.Errorf("outcome %+v, want %s by client", out, reason)
	}
	if err := <-saw; !seen(err) {
		t.Errorf("the server saw %v", err)
	}
}

func TestAClientThatLeavesCancelsTheServersHandshake(t *testing.T) {
	bridgetest.Baseline(t)
	arrived, left := make(chan struct{}), make(chan error, 1)
	addr := serveTCP(t, func(c *net.TCPConn) {
		if err := readHello(c); err != nil {
			t.Error(err)
		}
		close(arrived)
		_, err := c.Read(make([]byte, 1))
		left <- err
	})
	l := newLab(t, relayed(), addr, bridge.Limits{Turn: -1})
	c := l.dial(t)
	c.Write(helloOf(t, known()))
	<-arrived
	c.Close()
	if err := <-left; err != io.EOF {
		t.Errorf("the server saw %v, want EOF", err)
	}
	if _, out := l.ends(t); out.Reason != bridge.PeerClosed || out.EndedBy != bridge.ByClient {
		t.Errorf("outcome %+v, want peer_closed by client", out)
	}
}

func TestADialThatFailsEndsAsItFailed(t *testing.T) {
	closed := listen(t)
	addr := bridge.AddrOf(closed.Addr())
	closed.Close()
	l := newLab(t, relayed(), addr, bridge.Limits{})
	c := l.dial(t)
	c.Write(helloOf(t, known()))
	if got, err := io.ReadAll(c); len(got) != 0 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client got %x, %v; want a reset", got, err)
	}
	flow, out := l.ends(t)
	if out.Reason != bridge.Refused || flow.Path() != "tls" || flow.Frames()[0].SNI != serverName {
		t.Errorf("path %s, outcome %+v; want tls, refused", flow.Path(), out)
	}
}

// minterFunc is a Minter.
type minterFunc func() (*tls.Certificate, error)

func (f minterFunc) Mint(context.Context, *Snapshot, *detect.ClientHello) (*tls.Certificate, string, error) {
	leaf, err := f()
	return leaf, "", err
}

// handshakerFunc is a ServerHandshaker.
type handshakerFunc func(net.Conn) (Session, *Snapshot, error)

func (f handshakerFunc) Handshake(_ context.Context, c net.Conn, _ *Offer) (Session, *Snapshot, error) {
	return f(c)
}

func TestAHandshakerThatIgnoresItsContextIsInterrupted(t *testing.T) {
	bridgetest.Baseline(t)
	for name, then := range map[string]error{"and fails": errFault, "and goes on": nil} {
		t.Run(name, func(t *testing.T) {
			addr := serveTCP(t, func(c *net.TCPConn) { io.Copy(io.Discard, c) })
			deaf := handshakerFunc(func(c net.Conn) (Session, *Snapshot, error) {
				_, err := c.Read(make([]byte, 1))
				if err == nil {
					t.Error("the silent server spoke")
				}
				return nil, nil, then
			})
			l := newLab(t, bridge.Chain(Relay(Config{Minter: copying{}, Hello: deaf})), addr, limits(bridge.Timeout))
			c := l.dial(t)
			c.Write(helloOf(t, known()))
			if got, err := io.ReadAll(c); len(got) != 0 || err != nil {
				t.Errorf("the client got %x, %v; want a FIN", got, err)
			}
			c.Close()
			if _, out := l.ends(t); out.Reason != bridge.Timeout || out.EndedBy != bridge.ByServer {
				t.Errorf("outcome %+v, want timeout by server", out)
			}
		})
	}
}

// A minter that does not want to stand for the server says what the client is to see.
func TestAMinterThatRefusesChoosesTheAlert(t *testing.T) {
	bridgetest.Baseline(t)
	const expired = 45
	minter := minterFunc(func() (*tls.Certificate, error) {
		return nil, &Refused{expired, errors.New("the certificate has expired")}
	})
	addr, _ := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{*certificate("ECDSA")}})
	l := newLab(t, bridge.Chain(Relay(Config{Minter: minter})), addr, bridge.Limits{})
	raw := l.dial(t)
	err := tls.Client(raw, clientConfig()).Handshake()
	raw.Close()
	if a, ok := alertOf(err); !ok || a != expired {
		t.Errorf("the client fails with %v, want alert 45", err)
	}
	flow, out := l.ends(t)
	if out.Reason != bridge.Block || out.EndedBy != bridge.ByMITM || flow.Frames()[0].Note != "refused: the certificate has expired" {
		t.Errorf("frames %+v, outcome %+v, want block by mitm", flow.Frames(), out)
	}
}

func TestAFaultOfOursIsAnInternalError(t *testing.T) {
	for name, c := range map[string]struct {
		config Config
		reason bridge.Reason
	}{
		"a minter that fails": {
			Config{Minter: minterFunc(func() (*tls.Certificate, error) { return nil, errors.New("no key") })}, bridge.Internal,
		},
		"a minter that panics": {
			Config{Minter: minterFunc(func() (*tls.Certificate, error) { panic("no key") })}, bridge.Panic,
		},
		"a handshake that panics": {
			Config{Minter: copying{}, Hello: handshakerFunc(func(net.Conn) (Session, *Snapshot, error) { panic("bad hello") })}, bridge.Panic,
		},
		"a handshake that panics between two reads": {
			Config{Minter: copying{}, Hello: handshakerFunc(func(c net.Conn) (Session, *Snapshot, error) {
				c.Write([]byte("hello"))
				c.Read(make([]byte, 1))
				panic("bad answer")
			})}, bridge.Panic,
		},
	} {
		t.Run(name, func(t *testing.T) {
			bridgetest.Baseline(t)
			addr, _ := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{*certificate("ECDSA")}})
			c.config.Limiter = NewLimiter(1)
			l := newLab(t, bridge.Chain(Relay(c.config)), addr, bridge.Limits{})
			for range 3 { // a slot that was not given back would be missed
				raw := l.dial(t)
				err := tls.Client(raw, clientConfig()).Handshake()
				raw.Close()
				if a, ok := alertOf(err); !ok || a != internalError {
					t.Errorf("the client fails with %v, want alert 80", err)
				}
				if _, out := l.ends(t); out.Reason != c.reason || out.EndedBy != bridge.ByMITM {
					t.Errorf("outcome %+v, want %s by mitm", out, c.reason)
				}
			}
		})
	}
}

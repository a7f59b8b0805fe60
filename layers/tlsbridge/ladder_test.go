package tlsbridge

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
)

// choosy is a ServerHandshaker that fails, as ours, until it has all of the changes, and
// then is GoHello. It notes what it was asked for.
type choosy struct {
	wants []Changes // one more with each failure
	asked chan Changes
}

func newChoosy(wants ...Changes) choosy { return choosy{wants, make(chan Changes, 16)} }

var errOurs = errors.New("of ours")

func (h choosy) Handshake(ctx context.Context, c net.Conn, o *Offer) (Session, *Snapshot, error) {
	h.asked <- o.Changes
	for _, want := range h.wants {
		if o.Changes&want == 0 {
			return nil, nil, &Retry{Changes: want, Err: errOurs}
		}
	}
	return GoHello().Handshake(ctx, c, o)
}

func (h choosy) tried() []Changes {
	var all []Changes
	for len(h.asked) > 0 {
		all = append(all, <-h.asked)
	}
	return all
}

// patient is a server that takes whatever comes, and waits for the client to leave.
func patient(t testing.TB) bridge.Addr {
	config := &tls.Config{Certificates: []tls.Certificate{*certificate("ECDSA")}}
	return serveTCP(t, func(c *net.TCPConn) {
		s := tls.Server(c, config)
		if s.Handshake() == nil {
			s.Read(make([]byte, 1))
			s.CloseWrite()
		}
	})
}

func visit(t *testing.T, l *lab) (*bridge.Flow, bridge.Outcome) {
	t.Helper()
	raw := l.dial(t)
	c := tls.Client(raw, clientConfig())
	if err := c.Handshake(); err == nil {
		c.Close()
	}
	raw.Close()
	return l.ends(t)
}

func TestTheLadderIsClimbedOnceAndRemembered(t *testing.T) {
	bridgetest.Baseline(t)
	hello := newChoosy(1, 4)
	l := newLab(t, bridge.Chain(Relay(Config{Minter: copying{}, Hello: hello})), patient(t), bridge.Limits{})
	for i, want := range [][]Changes{{0, 1, 5}, {5}, {5}} {
		flow, _ := visit(t, l)
		if !flow.Decrypted() {
			t.Errorf("flow %d: frames %+v, want it inspected", i, flow.Frames())
		}
		if got := hello.tried(); !slices.Equal(got, want) {
			t.Errorf("flow %d: hellos with %v, want %v", i, got, want)
		}
	}
}

// A Retry that asks for nothing new is the end of the ladder.
func TestALadderThatLeadsNowhereEndsInARescueThatIsRemembered(t *testing.T) {
	bridgetest.Baseline(t)
	asked := make(chan Changes, 16)
	stuck := handshakerFunc(func(net.Conn) (Session, *Snapshot, error) {
		asked <- 0
		return nil, nil, &Retry{Changes: 2, Err: errOurs}
	})
	l := newLab(t, bridge.Chain(Relay(Config{Minter: copying{}, Hello: stuck})), patient(t), bridge.Limits{})
	for i, want := range []struct {
		tries int
		note  string
	}{{2, "rescued: of ours"}, {0, "rescued: of ours, as before"}} {
		flow, _ := visit(t, l)
		if note := flow.Frames()[0].Note; flow.Path() != "tls(pass)" || note != want.note {
			t.Errorf("flow %d: path %s, note %q; want a rescue with %q", i, flow.Path(), note, want.note)
		}
		if got := len(asked); got != want.tries {
			t.Errorf("flow %d: %d handshakes, want %d", i, got, want.tries)
		}
		for len(asked) > 0 {
			<-asked
		}
	}
}

// An alert that answers a hello which the client has not sent says nothing about the
// client's own.
func TestAnAlertToAChangedHelloIsNotTheClients(t *testing.T) {
	bridgetest.Baseline(t)
	hello := newChoosy(1)
	server := &tls.Config{
		Certificates: []tls.Certificate{*certificate("ECDSA")}, MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.CurveP521},
	}
	addr := serveTCP(t, func(c *net.TCPConn) { tls.Server(c, server).Handshake() })
	l := newLab(t, bridge.Chain(Relay(Config{Minter: copying{}, Hello: hello})), addr, bridge.Limits{})
	raw := l.dial(t)
	config := direct()
	config.CurvePreferences = []tls.CurveID{tls.X25519}
	if a, ok := alertOf(tls.Client(raw, config).Handshake()); !ok || a != handshakeFailure {
		t.Errorf("the client was told %v, want the server's own handshake_failure", a)
	}
	raw.Close()
	if flow, _ := l.ends(t); flow.Path() != "tls(pass)" {
		t.Errorf("path %s, want a rescue", flow.Path())
	}
	if got := hello.tried(); !slices.Equal(got, []Changes{0, 1}) {
		t.Errorf("hellos with %v, want 0 and 1", got)
	}
}

func TestTheMemoryForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		k := hashed[lessonKey]("a")
		m.learn(k, lesson{changes: 3})
		time.Sleep(lessonsWhile - time.Second)
		if got := m.recall(k); got.changes != 3 {
			t.Errorf("before the end it has %+v", got)
		}
		time.Sleep(2 * time.Second)
		if got := m.recall(k); got != (lesson{}) {
			t.Errorf("after the end it has %+v", got)
		}
	})
}

// What one client has come to does not open the server to another.
func TestClientsDoNotLearnFromEachOther(t *testing.T) {
	bridgetest.Baseline(t)
	hello := newChoosy(1)
	l := newLab(t, bridge.Chain(Relay(Config{Minter: copying{}, Hello: hello})), patient(t), bridge.Limits{})
	for _, from := range []string{"127.0.0.1", "127.0.0.2"} {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		raw, err := d.Dial("tcp", l.addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := tls.Client(raw, clientConfig()).Handshake(); err != nil {
			t.Errorf("from %s: %v", from, err)
		}
		raw.Close()
		l.ends(t)
		if got := hello.tried(); !slices.Equal(got, []Changes{0, 1}) {
			t.Errorf("from %s: hellos with %v, want 0 and 1", from, got)
		}
	}
}

package tlsbridge

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	utls "github.com/refraction-networking/utls"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/detect"
)

// resuming is a chain in which sessions are resumed on both sides.
func resuming() bridge.Handler {
	return bridge.Chain(Relay(Config{Minter: &remembering{}, Tickets: NewTickets(nil), Sessions: NewSessions()}))
}

// remembering is a Minter that makes one certificate for each of the servers'.
type remembering struct {
	mu   sync.Mutex
	made map[string]*tls.Certificate
}

func (m *remembering) Mint(ctx context.Context, server *Snapshot, hello *detect.ClientHello) (*tls.Certificate, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := string(server.Chain[0].Raw)
	if m.made[key] == nil {
		leaf, _, err := copying{}.Mint(ctx, server, hello)
		if err != nil {
			return nil, "", err
		}
		m.made = map[string]*tls.Certificate{key: leaf}
	}
	return m.made[key], "ok", nil
}

// talk has a client say something through l, hear it again, and leave. It reads far enough
// for the tickets of TLS 1.3 to come.
func talk(t *testing.T, l *lab, from string, config *tls.Config) (tls.ConnectionState, *bridge.Flow) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	raw, err := d.Dial("tcp", l.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(patience))
	c := tls.Client(raw, config)
	roundtrip(t, c)
	raw.Close()
	flow, _ := l.ends(t)
	return c.ConnectionState(), flow
}

func infoOf(t *testing.T, f *bridge.Flow) *Info {
	t.Helper()
	info, ok := f.Frames()[0].Detail.(*Info)
	if !ok {
		t.Fatalf("frames %+v, want an *Info", f.Frames())
	}
	return info
}

// aging is remembering whose verdict changes, as it does when a certificate expires.
type aging struct {
	remembering
	words []string
}

func (m *aging) Mint(ctx context.Context, server *Snapshot, hello *detect.ClientHello) (*tls.Certificate, string, error) {
	leaf, _, err := m.remembering.Mint(ctx, server, hello)
	word := m.words[0]
	m.words = m.words[1:]
	return leaf, word, err
}

// A client that resumes does not look at the certificate: it must not where that would be another matter now.
func TestATicketDoesNotOutliveTheVerdict(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			bridgetest.Baseline(t)
			addr, _ := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{*certificate("ECDSA")}, MinVersion: version, MaxVersion: version})
			l := newLab(t, bridge.Chain(Relay(Config{Minter: &aging{words: []string{"ok", "ok", "expired", "expired"}}, Tickets: NewTickets(nil)})), addr, bridge.Limits{})
			config := clientConfig()
			config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
			for i, want := range []bool{false, true, false, true} {
				if state, _ := talk(t, l, "127.0.0.1", config); state.DidResume != want {
					t.Errorf("connection %d resumed: %v, want %v", i+1, state.DidResume, want)
				}
			}
		})
	}
}

func TestWhatIsKeptOfServersTickets(t *testing.T) {
	small := utls.MakeClientSessionState([]byte("ticket"), utls.VersionTLS12, 0xc02f, nil, nil, nil)
	t.Run("for two hours at most, however often it is used", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := &ticketDrawer{NewSessions(), hashed[sessionKey]("a"), true}
			d.Put("", small)
			for _, want := range []bool{true, true, false, false} {
				time.Sleep(50 * time.Minute)
				if _, ok := d.Get(""); ok != want {
					t.Errorf("there after %v: %v, want %v", time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)), ok, want)
				}
			}
		})
	})
	t.Run("none that is too large, and those before it stay", func(t *testing.T) {
		d := &ticketDrawer{NewSessions(), hashed[sessionKey]("a"), true}
		d.Put("", small)
		d.Put("", utls.MakeClientSessionState(make([]byte, largestSession+1), utls.VersionTLS12, 0xc02f, nil, nil, nil))
		if got, ok := d.Get(""); !ok || got != small {
			t.Errorf("kept %v, %v", got, ok)
		}
	})
}

func TestSessionsAreResumedOnBothSidesOrOnNone(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			bridgetest.Baseline(t)
			addr, saw := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{*certificate("ECDSA")}, MinVersion: version, MaxVersion: version})
			l := newLab(t, resuming(), addr, bridge.Limits{})
			config := clientConfig()
			config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
			for i, want := range []bool{false, true, true} {
				client, flow := talk(t, l, "127.0.0.1", config)
				server := (<-saw).state
				info := infoOf(t, flow)
				if got := []bool{client.DidResume, server.DidResume, info.Client.Resumed, info.Server.Resumed}; slices.Contains(got, !want) {
					t.Errorf("conn %d: resumed by the client, the server, and said of each: %v; want %v", i, got, want)
				}
				if !flow.Decrypted() || info.ClientJA4 != info.ServerJA4 {
					t.Errorf("conn %d: %+v", i, info)
				}
			}
			// One that has no session of its own: the server must not see one either.
			client, _ := talk(t, l, "127.0.0.1", clientConfig())
			if server := (<-saw).state; client.DidResume || server.DidResume {
				t.Errorf("a new client: resumed %v, %v", client.DidResume, server.DidResume)
			}
		})
	}
}

// Another client that tries to resume must not do so with the first one's ticket.
func TestClientsDoNotShareTheTicketsOfServers(t *testing.T) {
	bridgetest.Baseline(t)
	addr, saw := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{*certificate("ECDSA")}})
	l := newLab(t, resuming(), addr, bridge.Limits{})
	config := clientConfig()
	config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	for i, from := range []string{"127.0.0.1", "127.0.0.2"} {
		client, _ := talk(t, l, from, config)
		server := (<-saw).state
		if wantClient := i > 0; client.DidResume != wantClient || server.DidResume {
			t.Errorf("from %s: resumed by the client %v, by the server %v; want %v, false", from, client.DidResume, server.DidResume, wantClient)
		}
	}
}

// A ticket stands for the certificate that its client has checked, and for no other.
func TestATicketIsGoodForOneCertificateOnly(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			bridgetest.Baseline(t)
			var shown atomic.Pointer[tls.Certificate]
			addr, saw := echoTLS(t, &tls.Config{
				MinVersion: version, MaxVersion: version, SessionTicketsDisabled: true,
				GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return shown.Load(), nil },
			})
			l := newLab(t, resuming(), addr, bridge.Limits{})
			config := clientConfig()
			config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
			one, other := certificate("ECDSA"), certificate("ECDSA")
			for i, step := range []struct {
				certificate *tls.Certificate
				want        bool
			}{{one, false}, {one, true}, {other, false}, {other, true}} {
				shown.Store(step.certificate)
				client, _ := talk(t, l, "127.0.0.1", config)
				<-saw
				if client.DidResume != step.want {
					t.Errorf("conn %d: resumed %v, want %v", i, client.DidResume, step.want)
				}
			}
		})
	}
}

// RFC 6066 §3 forbids it, though one certificate may be good for both names.
func TestATicketIsGoodForOneNameOnly(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			bridgetest.Baseline(t)
			leaf := leafTemplate()
			leaf.DNSNames = append(leaf.DNSNames, publicName)
			addr, saw := echoTLS(t, &tls.Config{
				Certificates: []tls.Certificate{*signed(leaf, "ECDSA", serverCA())}, MinVersion: version, MaxVersion: version,
			})
			l := newLab(t, resuming(), addr, bridge.Limits{})
			config := clientConfig()
			config.ClientSessionCache = forAllNames{tls.NewLRUClientSessionCache(1)}
			for i, step := range []struct {
				name string
				want bool
			}{{serverName, false}, {serverName, true}, {publicName, false}, {publicName, true}} {
				config.ServerName = step.name
				client, _ := talk(t, l, "127.0.0.1", config)
				<-saw
				if client.DidResume != step.want {
					t.Errorf("conn %d, for %s: resumed %v, want %v", i, step.name, client.DidResume, step.want)
				}
			}
		})
	}
}

// forAllNames gives a client the same session for whatever server it wants.
type forAllNames struct{ tls.ClientSessionCache }

func (f forAllNames) Get(string) (*tls.ClientSessionState, bool) { return f.ClientSessionCache.Get("") }
func (f forAllNames) Put(_ string, s *tls.ClientSessionState)    { f.ClientSessionCache.Put("", s) }

// Who has the same secret takes the tickets of the other, and nobody else does.
func TestTicketsAreTakenByThoseWhoHaveTheSecret(t *testing.T) {
	bridgetest.Baseline(t)
	addr, saw := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{*certificate("ECDSA")}})
	minter, config := &remembering{}, clientConfig()
	config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for i, step := range []struct {
		secret string
		want   bool
	}{{"secret", false}, {"secret", true}, {"another", false}, {"", false}, {"", false}} {
		l := newLab(t, bridge.Chain(Relay(Config{Minter: minter, Tickets: NewTickets([]byte(step.secret))})), addr, bridge.Limits{})
		client, _ := talk(t, l, "127.0.0.1", config)
		<-saw
		if client.DidResume != step.want {
			t.Errorf("replica %d, of the secret %q: resumed %v, want %v", i, step.secret, client.DidResume, step.want)
		}
	}
}

// A server that asks for another share cannot be answered with a ticket: the ladder does
// without.
func TestARetryOfAResumedSessionDoesWithout(t *testing.T) {
	bridgetest.Baseline(t)
	addr, saw := echoTLS(t, &tls.Config{
		Certificates: []tls.Certificate{*certificate("ECDSA")}, MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.CurveP384},
	})
	l := newLab(t, resuming(), addr, bridge.Limits{})
	config := clientConfig()
	config.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP384}
	config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	var rungs []string
	for range 2 {
		_, flow := talk(t, l, "127.0.0.1", config)
		rungs = append(rungs, infoOf(t, flow).Rung)
		for (<-saw).err != nil {
			// the first rung's
		}
	}
	if want := []string{"faithful", "without resumption"}; !slices.Equal(rungs, want) {
		t.Errorf("rungs %q, want %q", rungs, want)
	}
}

func TestTicketKeysAreOfTheDayAndTheOneBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, other, own := NewTickets([]byte("secret")), NewTickets([]byte("secret")), NewTickets(nil)
		before := one.today()
		if !slices.Equal(before, other.today()) || slices.Equal(before, own.today()) {
			t.Error("the keys are not a function of the secret")
		}
		time.Sleep(24 * time.Hour)
		if after := one.today(); after[1] != before[0] || after[0] == before[0] {
			t.Error("after a day the key is not replaced and kept")
		}
	})
}

func TestSecretsOfBothSidesAreWritten(t *testing.T) {
	for _, hello := range handshakers() {
		for version, lines := range map[uint16]int{tls.VersionTLS12: 2, tls.VersionTLS13: 8} {
			t.Run(hello.name+" "+tls.VersionName(version), func(t *testing.T) {
				bridgetest.Baseline(t)
				addr, saw := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{*certificate("ECDSA")}, MinVersion: version, MaxVersion: version})
				keys := make(chan string, 64)
				l := newLab(t, bridge.Chain(Relay(Config{Minter: copying{}, Hello: hello.ServerHandshaker, KeyLog: lineChannel(keys)})), addr, bridge.Limits{})
				talk(t, l, "127.0.0.1", clientConfig())
				<-saw
				close(keys)
				randoms := make(map[string]bool)
				n := 0
				for line := range keys {
					var label, random, secret string
					if _, err := fmt.Sscanf(line, "%s %s %s\n", &label, &random, &secret); err != nil || len(random) != 64 {
						t.Errorf("line %q: %v", line, err)
					}
					randoms[random] = true
					n++
				}
				if n != lines || len(randoms) != 2 {
					t.Errorf("%d lines of %d connections, want %d of 2", n, len(randoms), lines)
				}
			})
		}
	}
}

// lineChannel is a Writer of lines.
type lineChannel chan string

func (c lineChannel) Write(p []byte) (int, error) {
	c <- string(p)
	return len(p), nil
}

var _ io.Writer = lineChannel(nil)

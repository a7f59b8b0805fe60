package tlsbridge

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/detect"
)

// told is one call of Config.Refused.
type told struct {
	name string
	info Info
	how  Refusal
}

// refusals runs one client against a server, and returns what Refused was told.
func refusals(t *testing.T, server func(*tls.Conn), version uint16, client func(*net.TCPConn)) (all []told, flow *bridge.Flow) {
	t.Helper()
	config := &tls.Config{Certificates: []tls.Certificate{*certificate("ECDSA")}, MinVersion: version, MaxVersion: version}
	addr := serveTCP(t, func(c *net.TCPConn) {
		s := tls.Server(c, config)
		if s.Handshake() == nil {
			server(s)
		}
	})
	calls := make(chan told, 16)
	l := newLab(t, bridge.Chain(Relay(Config{Minter: copying{}, Refused: func(_ *bridge.Flow, h *detect.ClientHello, i Info, how Refusal) {
		calls <- told{h.ServerName, i, how}
	}})), addr, bridge.Limits{})
	raw := l.dial(t)
	client(raw)
	raw.Close()
	flow, _ = l.ends(t)
	close(calls)
	for c := range calls {
		all = append(all, c)
	}
	return all, flow
}

// waits is a server that says nothing until the client ends.
func waits(s *tls.Conn) { io.Copy(io.Discard, s) }

// greets is a server that speaks first, as one of SMTP does.
func greets(s *tls.Conn) {
	io.WriteString(s, "220 hello")
	waits(s)
}

// untilFlight sends a hello and returns when the answer begins to come.
func untilFlight(t *testing.T, c *net.TCPConn, version uint16) {
	t.Helper()
	config := known()
	config.MaxVersion = version
	c.Write(helloOf(t, config))
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Errorf("no answer: %v", err)
	}
}

func TestHowClientsRefuse(t *testing.T) {
	distrust := func(c *net.TCPConn) {
		if err := tls.Client(c, direct()).Handshake(); err == nil {
			t.Error("the client trusts a certificate of nobody's")
		}
	}
	shaken := func(then func(*tls.Conn)) func(*net.TCPConn) {
		return func(c *net.TCPConn) {
			s := tls.Client(c, clientConfig())
			if err := s.Handshake(); err != nil {
				t.Errorf("the client's handshake: %v", err)
			}
			then(s)
		}
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, tt := range []struct {
			name   string
			server func(*tls.Conn)
			client func(*net.TCPConn)
			want   Refusal
		}{
			{"an alert about the certificate", waits, distrust, BadCertificate},
			{"a FIN after the certificate", waits, func(c *net.TCPConn) { untilFlight(t, c, version) }, ClosedOnCertificate},
			{"a reset after the certificate", waits, func(c *net.TCPConn) {
				untilFlight(t, c, version)
				c.SetLinger(0)
			}, ClosedOnCertificate},
			{"another alert", waits, func(c *net.TCPConn) {
				untilFlight(t, c, version)
				c.Write([]byte{21, 3, 3, 0, 2, 2, byte(handshakeFailure)})
				io.Copy(io.Discard, c)
			}, NotRefused},
			{"an alert that a person has stopped it", waits, func(c *net.TCPConn) {
				untilFlight(t, c, version)
				c.Write([]byte{21, 3, 3, 0, 2, 1, byte(userCanceled), 21, 3, 3, 0, 2, 1, byte(closeNotify)})
				c.CloseWrite()
				io.Copy(io.Discard, c)
			}, NotRefused},
			{"an alert in plaintext", waits, func(c *net.TCPConn) {
				untilFlight(t, c, version)
				c.Write([]byte{21, 3, 3, 0, 2, 2, 48})
				io.Copy(io.Discard, c)
			}, UnknownCA},
			{"silence and a goodbye", waits, shaken(func(s *tls.Conn) { s.Close() }), SilentAfterHandshake},
			{"silence and a FIN", waits, shaken(func(*tls.Conn) {}), SilentAfterHandshake},
			{"silence and a reset", waits, shaken(func(s *tls.Conn) { s.NetConn().(*net.TCPConn).SetLinger(0) }), SilentAfterHandshake},
			{"a server that speaks first", greets, shaken(func(s *tls.Conn) { s.Read(make([]byte, 1)) }), NotRefused},
			{"a server that leaves first", func(s *tls.Conn) { s.Close() }, shaken(func(s *tls.Conn) { s.Read(make([]byte, 1)) }), NotRefused},
			{"a request", waits, shaken(func(s *tls.Conn) {
				io.WriteString(s, "GET / HTTP/1.0\r\n\r\n")
				s.CloseWrite()
				io.Copy(io.Discard, s)
			}), NotRefused},
			{"a hello alone", waits, func(c *net.TCPConn) { c.Write(helloOf(t, known())[:20]) }, NotRefused},
		} {
			t.Run(tls.VersionName(version)+" "+tt.name, func(t *testing.T) {
				bridgetest.Baseline(t)
				all, flow := refusals(t, tt.server, version, tt.client)
				if tt.want == NotRefused {
					if len(all) > 0 {
						t.Errorf("told %+v, want nothing", all)
					}
					return
				}
				if len(all) != 1 || all[0].how != tt.want || all[0].name != serverName || all[0].info.Verdict != "ok" || all[0].info.ClientJA4 == "" {
					t.Fatalf("told %+v, want %s once", all, tt.want)
				}
				if info := flow.Frames()[0].Detail.(*Info); info.Refused() != tt.want {
					t.Errorf("the frame says %q, want %q", info.Refused(), tt.want)
				}
			})
		}
	}
}

// A client that resumes a session has accepted the certificate before. It may still refuse
// it, since some verify it again; but to leave in silence says nothing.
func TestHowClientsThatResumeRefuse(t *testing.T) {
	errChanged := errors.New("no longer trusted")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, tt := range []struct {
			name   string
			verify func(tls.ConnectionState) error
			want   []Refusal
		}{
			{"silence", nil, nil},
			{"an alert", func(tls.ConnectionState) error { return errChanged }, []Refusal{BadCertificate}},
		} {
			t.Run(tls.VersionName(version)+" "+tt.name, func(t *testing.T) {
				bridgetest.Baseline(t)
				addr, _ := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{*certificate("ECDSA")}, MinVersion: version, MaxVersion: version})
				calls := make(chan Refusal, 16)
				l := newLab(t, bridge.Chain(Relay(Config{
					Minter: &remembering{}, Tickets: NewTickets(nil), Sessions: NewSessions(),
					Refused: func(_ *bridge.Flow, _ *detect.ClientHello, _ Info, how Refusal) { calls <- how },
				})), addr, bridge.Limits{})
				config := clientConfig()
				config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
				talk(t, l, "127.0.0.1", config)

				config.VerifyConnection = tt.verify
				raw := l.dial(t)
				c := tls.Client(raw, config)
				if err := c.Handshake(); !errors.Is(err, errChanged) && err != nil || (err == nil) != (tt.verify == nil) {
					t.Errorf("the client's handshake: %v", err)
				}
				if tt.verify == nil && !c.ConnectionState().DidResume {
					t.Error("the client did not resume")
				}
				c.Close()
				l.ends(t)
				close(calls)
				var all []Refusal
				for how := range calls {
					all = append(all, how)
				}
				if !slices.Equal(all, tt.want) {
					t.Errorf("told %q, want %q", all, tt.want)
				}
			})
		}
	}
}

// A client that wants ECH and does not get it comes again; it has not refused anything.
func TestARealECHClientIsToldApart(t *testing.T) {
	bridgetest.Baseline(t)
	all, _ := refusals(t, waits, tls.VersionTLS13, func(c *net.TCPConn) {
		config := clientConfig()
		config.MinVersion = tls.VersionTLS13
		config.ServerName = "secret.test"
		config.EncryptedClientHelloConfigList = echConfigList(t, serverName)
		err := tls.Client(c, config).Handshake()
		if rejected := (*tls.ECHRejectionError)(nil); !errors.As(err, &rejected) || len(rejected.RetryConfigList) > 0 {
			t.Errorf("the client: %v, want ECH rejected without other keys", err)
		}
	})
	if len(all) != 1 || all[0].how != ECHRequired || all[0].name != serverName {
		t.Errorf("told %+v, want ech_required", all)
	}
}

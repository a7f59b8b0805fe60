package socks_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	. "github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/layers"
	"github.com/bridgeio/bridgeio/layers/socks"
)

const (
	bind     = "\x05\x02\x00\x01\xc0\x00\x02\x07\x00\x50"
	reached  = "\x05\x00\x00\x01\xc0\x00\x02\x07\x9c\x40"
	unmet    = "\x05\x06\x00\x01\x00\x00\x00\x00\x00\x00"
	bind4    = "\x04\x02\x00\x50\xc0\x00\x02\x07me\x00"
	bound4   = "\x00\x5a\x80\x00\xc6\x33\x64\x01"
	reached4 = "\x00\x5a\x9c\x40\xc0\x00\x02\x07"
)

var caller = bridge.Addr{Host: "192.0.2.7", Port: 40000}

const met = "BIND at 198.51.100.1:32768, reached from 192.0.2.7:40000"

func TestRelayOfBIND(t *testing.T) {
	tests := []struct {
		name   string
		script Script
		path   string
		frame  bridge.Frame
	}{
		{
			"both replies, and the client speaks first",
			Script{C(hello), S(noAuth), C(bind), S(granted), S(reached), Tunnel()},
			"socks5", relayed5(bridge.Frame{Dst: caller, Note: met}),
		},
		{
			"both replies, and the one who has connected speaks first",
			Script{C(hello), S(noAuth), C(bind), S(granted), S(reached), S("220 hello\r\n"), Tunnel()},
			"socks5", relayed5(bridge.Frame{Dst: caller, Note: met}),
		},
		{
			"a peer that connects, and of whom nothing is said",
			Script{C(hello), S(noAuth), C(bind), S(granted), S("\x05\x00\x00\x03\x00\x00\x00"), Tunnel()},
			"socks5", relayed5(bridge.Frame{Note: "BIND at 198.51.100.1:32768, reached from "}),
		},
		{
			"a refused BIND",
			Script{C(hello), S(noAuth), C(bind), S("\x05\x07\x00\x01\x00\x00\x00\x00\x00\x00")},
			"socks5", relayed5(bridge.Frame{Note: "07 command not supported"}),
		},
		{
			"nobody connects",
			Script{C(hello), S(noAuth), C(bind), S(granted), S(unmet)},
			"socks5", relayed5(bridge.Frame{Note: "BIND at 198.51.100.1:32768: 06 TTL expired"}),
		},
		{
			"a second reply that is none",
			Script{C(hello), S(noAuth), C(bind), S(granted), S("\x04" + reached[1:]), Tunnel()},
			"socks5>raw", relayed5(bridge.Frame{Note: "BIND at 198.51.100.1:32768", Opaque: true}),
		},
		{
			"SOCKS4",
			Script{C(bind4), S(bound4), S(reached4), Tunnel()},
			"socks4", relayed4(bridge.Frame{User: "me", Dst: caller, Note: met}),
		},
		{
			"SOCKS4, and nobody connects",
			Script{C(bind4), S(bound4), S("\x00\x5b" + reached4[2:])},
			"socks4", relayed4(bridge.Frame{User: "me", Note: "BIND at 198.51.100.1:32768: 5b request rejected or failed"}),
		},
		{
			"a refused BIND of SOCKS4",
			Script{C(bind4), S("\x00\x5c" + bound4[2:])},
			"socks4", relayed4(bridge.Frame{User: "me", Note: "5c request rejected: no connection to identd"}),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			Relay(t, bridge.Chain(socks.Relay()), tt.script, Path(tt.path), frame(tt.frame))
		})
	}
	t.Run("what was said", func(t *testing.T) {
		Relay(t, bridge.Chain(socks.Relay()), Script{C(hello), S(noAuth), C(bind), S(granted), S(reached), Tunnel()},
			Target("192.0.2.7:40000"), details(func(h *socks.Handshake) bool {
				return h.Cmd == socks.CmdBind && h.Dst.Addr().String() == "192.0.2.7:80" && h.Replied && h.Rep == 0 &&
					h.Bnd.Addr().String() == "198.51.100.1:32768" && h.Peer.Addr() == caller
			}))
		Relay(t, bridge.Chain(socks.Relay()), Script{C(hello), S(noAuth), C(bind), S(granted), S(unmet)},
			details(func(h *socks.Handshake) bool {
				return h.Rep == byte(socks.RepTTLExpired) && h.Bnd.Port == 32768 && h.Peer == socks.Addr{}
			}))
	})
}

// clientHello returns what crypto/tls says first.
func clientHello(t testing.TB, name string) string {
	t.Helper()
	client, server := net.Pipe()
	defer server.Close()
	go func() {
		defer client.Close()
		tls.Client(client, &tls.Config{ServerName: name}).Handshake() // which fails when the pipe is closed
	}()
	buf := make([]byte, 0, 4096)
	for {
		n, err := server.Read(buf[len(buf):cap(buf)])
		if err != nil {
			t.Fatal(err)
		}
		if buf = buf[:len(buf)+n]; detect.TLS().Detect(detect.Input{Client: buf}).Kind == detect.Match {
			return string(buf)
		}
	}
}

// switched is the chain of a switch that would take off TLS, with a last handler that says that it was reached.
func switched(bridged bridge.Layer, last bridge.Handler) bridge.Handler {
	inner := layers.Switch{Cases: []layers.Case{{Detector: detect.TLS(), Layers: []bridge.Layer{bridged}}}}
	return bridge.ChainTo(last, socks.Relay(), inner.Layer())
}

// TestBINDAndTLS holds who may be the TLS client behind a BIND: the one at the client's side is the next layer's, the
// one at the server's side goes on as it is, and the flow says so.
func TestBINDAndTLS(t *testing.T) {
	bridged := bridge.Layer{Name: "tls", Handle: func(ctx context.Context, b *bridge.Bridge, next bridge.Handler) error {
		b.Push(bridge.Frame{Proto: "bridged"})
		return bridge.Relay(ctx, b)
	}}
	said := clientHello(t, "inside.example")
	ask := Script{C(hello), S(noAuth), C(bind), S(granted), S(reached)}
	Relay(t, switched(bridged, bridge.Relay), append(ask[:5:5], C(said), S("and back"), C("more")),
		Path("socks5>bridged"), Target("192.0.2.7:40000"), NoPipelining())
	Relay(t, switched(bridged, bridge.Relay), append(ask[:5:5], S(said), C("and back"), S("more")),
		Path("socks5>tls(pass)"), NoPipelining(), Flow(func(t testing.TB, f *bridge.Flow) {
			want := bridge.Frame{Proto: "tls", Verb: bridge.VerbPass, SNI: "inside.example", Note: "the TLS client is at the server's side"}
			if got := f.Frames()[1]; got != want {
				t.Errorf("frame %+v, want %+v", got, want)
			}
		}))
	Relay(t, switched(bridged, bridge.Relay), append(ask[:5:5], S("\x16\x03\x01\x00\x05hello"), C("no hello"), S("more")),
		Path("socks5>raw"), NoPipelining())
	Relay(t, switched(bridged, bridge.Relay), append(ask[:5:5], S("150 no hello\r\n"), C("and back")), Path("socks5>raw"))
}

// TestBINDAndGSSAPIFailClosed holds what ends a flow that has to be inspected, besides what TestRelayFailsClosed plays.
func TestBINDAndGSSAPIFailClosed(t *testing.T) {
	tests := []struct {
		name             string
		client           string
		server, unheard  string
		reason           bridge.Reason
		path, wantedNote string
	}{
		{
			"a ClientHello from the wrong side", hello + bind, noAuth + granted + reached, clientHello(t, "inside.example"),
			bridge.Block, "socks5>tls(pass)", met,
		},
		{
			"encapsulation", helloAll + kerberos + level + sealed, gssapi + token + level, sealed,
			bridge.Desynced, "socks5", "GSSAPI encapsulates what follows",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, ours := Pipe(1 << 16)
				theirs, dialled := Pipe(1 << 16)
				write(t, client, tt.client)
				write(t, theirs, tt.server+tt.unheard)
				var flow *bridge.Flow
				p := &bridge.Proxy{
					Handler:  bridge.Chain(socks.Relay()),
					Hop:      bridge.FixedHop(exampleCom),
					Dial:     func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) { return dialled, nil },
					Limits:   bridge.Limits{Fail: bridge.FailClosed},
					Observer: &bridge.Observer{Open: func(f *bridge.Flow) { flow = f }},
				}
				heard := make(chan string)
				go func() {
					got, _ := io.ReadAll(client)
					client.Close()
					heard <- string(got)
				}()
				out := p.ServeConn(t.Context(), ours)
				if got := <-heard; got != tt.server {
					t.Errorf("the client heard %q, want %q", got, tt.server)
				}
				if note := flow.Frames()[0].Note; out.Reason != tt.reason || flow.Path() != tt.path || note != tt.wantedNote {
					t.Errorf("path %s, note %q, outcome %s: %v; want %s, %q, %s", flow.Path(), note, out.Reason, out.Err, tt.path, tt.wantedNote, tt.reason)
				}
			})
		})
	}
}

// TestBINDTakesItsTime holds how long what may take, behind a BIND that was granted.
func TestBINDTakesItsTime(t *testing.T) {
	tests := []struct {
		name   string
		says   string // by the server, at once
		then   string // by the server, after a while:
		while  time.Duration
		path   string
		reason bridge.Reason
		after  time.Duration
	}{
		{"somebody connects after 9 minutes", granted, reached + "hi", 9 * time.Minute, "socks5", bridge.EOF, 9 * time.Minute},
		{"nobody connects", granted, "", 11 * time.Minute, "socks5", bridge.Idle, 10 * time.Minute},
		{"a first word after 9 minutes", granted + reached, "hi", 9 * time.Minute, "socks5", bridge.EOF, 9 * time.Minute},
		{"no word", granted + reached, "", 11 * time.Minute, "socks5", bridge.Idle, 10 * time.Minute},
		{"a hello that does not come to its end", granted + reached + "\x16\x03\x01\x02\x00\x01", "", time.Minute, "socks5", bridge.EOF, time.Minute},
		{"a first reply that does not come", "", granted, 31 * time.Second, "socks5>raw", bridge.EOF, 31 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, ours := Pipe(1 << 10)
				theirs, dialled := Pipe(1 << 10)
				write(t, client, hello+bind)
				write(t, theirs, noAuth+tt.says)
				timer := time.AfterFunc(tt.while, func() {
					io.WriteString(theirs, tt.then)
					theirs.CloseWrite()
					client.CloseWrite()
				})
				defer timer.Stop()
				flow, out := serveTo(t, bridge.Chain(socks.Relay()), ours, dialled)
				if out.Reason != tt.reason || flow.Path() != tt.path || out.Duration.Truncate(time.Minute) != tt.after.Truncate(time.Minute) {
					t.Errorf("path %s, outcome %s after %s: %v; want %s, %s after %s",
						flow.Path(), out.Reason, out.Duration, out.Err, tt.path, tt.reason, tt.after)
				}
				if tt.reason == bridge.EOF {
					readAll(t, client, noAuth+tt.says+tt.then)
				}
			})
		})
	}
}

// TestOnlyCONNECTCanBeSaidAgain holds that Redial refuses what was bound to the connection that is gone.
func TestOnlyCONNECTCanBeSaidAgain(t *testing.T) {
	tests := []struct {
		name         string
		client, says string
		want         string
	}{
		{"CONNECT", hello + connect, noAuth + granted, ""},
		{"BIND", hello + bind + "x", noAuth + granted + reached, "redial: what command 02 has begun is bound to its connection"},
		{"SOCKS4 BIND", bind4 + "x", bound4 + reached4, "redial: what command 02 has begun is bound to its connection"},
		{"GSSAPI", helloAll + kerberos + level + connect, gssapi + token + level + granted, "redial: the client authenticates by GSSAPI"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, ours := Pipe(1 << 10)
				theirs, dialled := Pipe(1 << 10)
				write(t, client, tt.client)
				write(t, theirs, tt.says)
				client.CloseWrite()
				theirs.CloseWrite()
				reachedNext := false
				flow, _ := serveTo(t, bridge.Chain(socks.Relay(), bridge.Layer{
					Name: "redial",
					Handle: func(ctx context.Context, b *bridge.Bridge, _ bridge.Handler) error {
						reachedNext = true
						if tt.want == "" {
							return nil // TestRedialSaysTheHandshakeAgain does it
						}
						if err := b.Redial(ctx); err == nil || err.Error() != tt.want {
							t.Errorf("Redial: %v, want %s", err, tt.want)
						}
						return nil
					},
				}), ours, dialled)
				if !reachedNext || strings.Contains(flow.Path(), "raw") {
					t.Errorf("path %s; the next layer was reached: %v", flow.Path(), reachedNext)
				}
			})
		})
	}
}

package socks_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	. "github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/layers/socks"
)

// The messages of GSSAPI. The tokens are made up, but for the first one's head, which is of RFC 2743 §3.1.
const (
	gssapi   = "\x05\x01"
	kerberos = "\x01\x01\x00\x0f\x60\x0d\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x01\x00"
	token    = "\x01\x01\x00\x03xyz"
	empty    = "\x01\x01\x00\x00"
	level    = "\x01\x02\x00\x01\x01"
	abort    = "\x01\xff"
	sealed   = "\x01\x03\x00\x04seal"
)

// secret is a frame that says that only the peers can read on.
var secret = relayed5(bridge.Frame{Note: "GSSAPI encapsulates what follows", Opaque: true})

func TestRelayOfGSSAPI(t *testing.T) {
	ask := Script{C(helloAll), S(gssapi)}
	tests := []struct {
		name   string
		script Script
		path   string
		frame  bridge.Frame
		tokens int
	}{
		{
			"a context of two tokens, and encapsulation",
			Script{C(kerberos), S(token), C(level), S(level), C(sealed), S(sealed), Tunnel()},
			"socks5>raw", secret, 2,
		},
		{
			"a context of five tokens, of which the last confirms",
			Script{C(kerberos), S(token), C(token), S(token), C(token), S(empty), C(level), S(level), C(sealed), S(sealed), Tunnel()},
			"socks5>raw", secret, 6,
		},
		{
			"a client whose last token nobody confirms",
			Script{C(kerberos), S(token), C(token), C(level), S(level), C(sealed), S(sealed), Tunnel()},
			"socks5>raw", secret, 3,
		},
		{
			"a client that does not wait for the confirmation of its last token",
			Script{C(kerberos), S(token), C(token), C(level), S(empty), S(level), C(sealed), S(sealed), Tunnel()},
			"socks5>raw", secret, 4,
		},
		{
			"a client that encapsulates without having asked",
			Script{C(kerberos), S(token), C(sealed), S(sealed), Tunnel()},
			"socks5>raw", secret, 2,
		},
		{
			"no protection: a request that everybody can read",
			Script{C(kerberos), S(token), C(level), S("\x01\x02\x00\x01\x00"), C(connect), S(granted), Tunnel()},
			"socks5", relayed5(bridge.Frame{Dst: exampleCom}), 2,
		},
		{
			"no protection, and a refused request",
			Script{C(kerberos), S(token), C(level), S(level), C(connect), S("\x05\x05" + granted[2:])},
			"socks5", relayed5(bridge.Frame{Dst: exampleCom, Note: "05 connection refused"}), 2,
		},
		{
			"no protection, and no request",
			Script{C(kerberos), S(token), C(level), S(level), C("\x04what")},
			"socks5>raw", relayed5(bridge.Frame{Opaque: true}), 2,
		},
		{
			"a refused token",
			Script{C(kerberos), S(abort)},
			"socks5", relayed5(bridge.Frame{Note: "GSSAPI refused by the server"}), 1,
		},
		{
			"a refused protection level",
			Script{C(kerberos), S(token), C(level), S(abort)},
			"socks5", relayed5(bridge.Frame{Note: "GSSAPI refused by the server"}), 2,
		},
		{
			"a client that refuses the server",
			Script{C(kerberos), S(token), C(abort)},
			"socks5", relayed5(bridge.Frame{Note: "GSSAPI refused by the client"}), 2,
		},
		{
			"a protection level from the server that was not asked",
			Script{C(kerberos), S(level), Tunnel()},
			"socks5>raw", relayed5(bridge.Frame{Note: "GSSAPI out of turn", Opaque: true}), 1,
		},
		{
			"data from the server in the place of a protection level",
			Script{C(kerberos), S(token), C(level), S(sealed), Tunnel()},
			"socks5>raw", relayed5(bridge.Frame{Note: "GSSAPI out of turn", Opaque: true}), 2,
		},
		{
			"a token of another version",
			Script{C("\x05" + kerberos[1:]), Tunnel()},
			"socks5>raw", relayed5(bridge.Frame{Opaque: true}), 0,
		},
		{
			"a message of an unknown type",
			Script{C(kerberos), S("\x01\x04\x00\x00"), Tunnel()},
			"socks5>raw", relayed5(bridge.Frame{Opaque: true}), 1,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			options := []Option{Path(tt.path), frame(tt.frame), details(func(h *socks.Handshake) bool {
				return h.Method == socks.MethodGSSAPI && h.Encapsulated == (tt.frame == secret) && h.Tokens == tt.tokens
			})}
			if !strings.HasPrefix(tt.name, "a context") && !strings.HasPrefix(tt.name, "no protection") {
				options = append(options, NoPipelining()) // the client's next word depends on the server's
			}
			Relay(t, bridge.Chain(socks.Relay()), append(ask, tt.script...), options...)
		})
	}
}

// The longest token, from both peers. The client says all at once, the server one message for each of the client's.
func TestGSSAPIPassesTheLongestToken(t *testing.T) {
	long := "\x01\x01\xff\xff" + strings.Repeat("k", 65535)
	synctest.Test(t, func(t *testing.T) {
		client, ours := Pipe(1 << 18)
		theirs, dialled := Pipe(1 << 18)
		write(t, client, helloAll+long+level+connect)
		client.CloseWrite()
		go func() {
			for _, turn := range [][2]string{{helloAll, gssapi}, {long, long}, {level, level}, {connect, granted}} {
				if _, err := io.ReadFull(theirs, make([]byte, len(turn[0]))); err != nil {
					break
				}
				io.WriteString(theirs, turn[1])
			}
			theirs.CloseWrite()
		}()
		flow, out := serveTo(t, bridge.Chain(socks.Relay()), ours, dialled)
		if note := flow.Frames()[0].Note; out.Reason != bridge.EOF || flow.Path() != "socks5" || note != "" {
			t.Errorf("path %s, note %q, outcome %s: %v", flow.Path(), note, out.Reason, out.Err)
		}
		readAll(t, client, gssapi+long+level+granted)
	})
}

// TestGSSAPIPasses holds what else can be said in one go.
func TestGSSAPIPasses(t *testing.T) {
	tests := []struct{ name, client, server, path, note string }{
		{"a server that begins", "", token, "socks5>raw", "GSSAPI out of turn"},
		{"two who say nothing", "", "", "socks5>raw", ""},
		{"a client that ends, and is answered", kerberos, abort, "socks5", "GSSAPI refused by the server"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, ours := Pipe(1 << 18)
				theirs, dialled := Pipe(1 << 18)
				write(t, client, helloAll+tt.client)
				write(t, theirs, gssapi+tt.server)
				timer := time.AfterFunc(time.Minute, func() {
					client.CloseWrite()
					theirs.CloseWrite()
				})
				defer timer.Stop()
				flow, out := serveTo(t, bridge.Chain(socks.Relay()), ours, dialled)
				if note := flow.Frames()[0].Note; out.Reason != bridge.EOF || flow.Path() != tt.path || note != tt.note {
					t.Errorf("path %s, note %q, outcome %s: %v; want %s, %q", flow.Path(), note, out.Reason, out.Err, tt.path, tt.note)
				}
				readAll(t, client, gssapi+tt.server)
				readAll(t, theirs, helloAll+tt.client)
			})
		})
	}
}

func TestRelayTellsWhatGSSAPISaid(t *testing.T) {
	Relay(t, bridge.Chain(socks.Relay()), Script{
		C(helloAll), S(gssapi), C(kerberos), S(token), C(level), S(level), C(connect), S(granted), Tunnel(),
	}, Target("example.com:443"), details(func(h *socks.Handshake) bool {
		return h.Authenticated && h.Mech == "1.2.840.113554.1.2.2" && h.Tokens == 2 && !h.Encapsulated &&
			h.Cmd == socks.CmdConnect && h.Replied
	}))
	Relay(t, bridge.Chain(socks.Relay()), Script{C(helloAll), S(gssapi), C(kerberos), S(abort)},
		details(func(h *socks.Handshake) bool { return !h.Authenticated && h.Mech != "" && h.Cmd == 0 }))
}

// TestGSSAPIThatDoesNotEnd holds that the messages which are looked into are bounded, and none is lost beyond.
func TestGSSAPIThatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, says := range map[string]string{
			"before the protection level": strings.Repeat(token, 100),
			"before the server's answer":  level,
		} {
			client, ours := Pipe(1 << 16)
			theirs, dialled := Pipe(1 << 16)
			write(t, client, helloAll+kerberos+says)
			write(t, theirs, gssapi+strings.Repeat(empty, 100))
			client.CloseWrite()
			theirs.CloseWrite()
			flow, out := serveTo(t, bridge.Chain(socks.Relay()), ours, dialled)
			if out.Reason != bridge.EOF || flow.Path() != "socks5>raw" {
				t.Errorf("%s: path %s, outcome %s: %v", name, flow.Path(), out.Reason, out.Err)
			}
			if note := flow.Frames()[0].Note; note != "GSSAPI of more than 64 tokens" {
				t.Errorf("%s: note %q", name, note)
			}
			readAll(t, client, gssapi+strings.Repeat(empty, 100))
			readAll(t, theirs, helloAll+kerberos+says)
		}
	})
}

func write(t testing.TB, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

// readAll reads a conn to its end, where it must have brought what is wanted.
func readAll(t testing.TB, c net.Conn, want string) {
	t.Helper()
	if got, err := io.ReadAll(c); string(got) != want || err != nil {
		t.Errorf("read %q, %v; want %q", got, err, want)
	}
}

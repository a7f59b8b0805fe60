package flowlog

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// compile returns the published schema. With strict it also refuses what it does not
// name, so that no field goes undocumented.
func compile(tb testing.TB, strict bool) *jsonschema.Schema {
	tb.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		tb.Fatal(err)
	}
	if strict {
		closeObjects(doc)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("flow.json", doc); err != nil {
		tb.Fatal(err)
	}
	s, err := c.Compile("flow.json")
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func closeObjects(doc any) {
	switch doc := doc.(type) {
	case map[string]any:
		if doc["type"] == "object" {
			doc["additionalProperties"] = false
		}
		for _, v := range doc {
			closeObjects(v)
		}
	case []any:
		for _, v := range doc {
			closeObjects(v)
		}
	}
}

// validate fails the test when a line is not one line of valid JSON after the schema.
func validate(tb testing.TB, s *jsonschema.Schema, line []byte) map[string]any {
	tb.Helper()
	if bytes.Count(line, []byte("\n")) != 1 || !bytes.HasSuffix(line, []byte("\n")) {
		tb.Fatalf("not one line: %q", line)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(line))
	if err != nil {
		tb.Fatalf("%v in %s", err, line)
	}
	if err := s.Validate(doc); err != nil {
		tb.Fatalf("%#v in %s", err, line)
	}
	return doc.(map[string]any)
}

// bridged is what the TLS layer leaves in its frame.
func bridged() *tlsbridge.Info {
	leg := tlsbridge.Leg{Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256, Group: tls.X25519MLKEM768, ALPN: "h2"}
	return &tlsbridge.Info{
		Client: leg, Server: leg, ClientJA3: ja3, ClientJA4: ja4, ServerJA3: ja3, ServerJA4: ja4, Rung: "faithful", ECH: "offered",
		ServerLeaf: [32]byte{1}, MintedLeaf: [32]byte{2}, Verdict: "ok", ClientSubject: "CN=alice",
	}
}

func TestALine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // whose clock begins at a fixed time
		<-time.After(1234567 * time.Nanosecond)
		f := newFlow(
			t,
			bridge.Frame{Proto: "socks5", Verb: bridge.VerbRelay, Dst: bridge.Addr{Host: "example.com", Port: 443}, User: "user"},
			bridge.Frame{Proto: "tls", Verb: bridge.VerbRelay, SNI: "example.com", ALPN: "h2", Decrypted: true, Detail: bridged()},
		)
		line := newRecord(f, bridge.Outcome{Reason: bridge.EOF, EndedBy: bridge.ByClient, Duration: 812345678}).line()
		want := `{"v":1,"id":"` + f.ID() + `","start":"2000-01-01T00:00:00.001234Z","duration_ms":812.346,` +
			`"client":"198.51.100.2:50122","server":"203.0.113.9:443","target":"example.com:443","path":"socks5>tls(h2)",` +
			`"frames":[{"proto":"socks5","verb":"relay","dst":"example.com:443","user":"user"},{"proto":"tls","verb":"relay","sni":"example.com","alpn":"h2"}],` +
			`"action":"inspect","rule":"default",` +
			`"tls":{"client":{"version":"1.3","cipher":"TLS_AES_128_GCM_SHA256","group":"X25519MLKEM768","alpn":"h2",` +
			`"ja3":"` + ja3 + `","ja4":"` + ja4 + `","resumed":false,"ech":"offered"},` +
			`"server":{"version":"1.3","cipher":"TLS_AES_128_GCM_SHA256","group":"X25519MLKEM768","alpn":"h2",` +
			`"ja3":"` + ja3 + `","ja4":"` + ja4 + `","rung":"faithful","resumed":false},` +
			`"certificate":{"server_sha256":"01` + strings.Repeat("0", 62) + `","leaf_sha256":"02` + strings.Repeat("0", 62) + `","verdict":"ok"},` +
			`"client_subject":"CN=alice"},` +
			`"bytes":{"from_client":1234,"from_server":48211},"ended_by":"client","reason":"eof","error":""}` + "\n"
		if string(line) != want {
			t.Errorf("line\n%swant\n%s", line, want)
		}
	})
}

func TestLinesFollowTheSchema(t *testing.T) {
	strict := compile(t, true)
	open := bridge.Outcome{Reason: bridge.EOF, EndedBy: bridge.ByMITM}
	for _, tt := range []struct {
		name    string
		frames  []bridge.Frame
		out     bridge.Outcome
		present string // top-level fields besides those that are always there
	}{
		{"no layer", nil, open, "client rule server target"},
		{"every field of a frame", []bridge.Frame{{
			Proto: "x", Verb: bridge.VerbTerminate, Src: bridge.Addr{Host: "2001:db8::1", Port: 1}, Dst: bridge.Addr{Host: "h", Port: 65535},
			User: "u", SNI: "s", ALPN: "a", Note: "n", Opaque: true,
		}}, open, "client frames rule server target"},
		{"the whole of TLS", []bridge.Frame{{Proto: "tls", Verb: bridge.VerbRelay, Detail: bridged()}}, open, "client frames rule server target tls"},
		{"TLS that tells nothing", []bridge.Frame{{Proto: "tls", Verb: bridge.VerbPass, Detail: &tlsbridge.Info{}}}, open, "client frames rule server target"},
		{"TLS that failed with the client", []bridge.Frame{{Proto: "tls", Verb: bridge.VerbRelay, Detail: &tlsbridge.Info{Server: bridged().Server}}}, open, "client frames rule server target tls"},
		{"TLS that was passed on", []bridge.Frame{{Proto: "tls", Verb: bridge.VerbPass, Detail: &tlsbridge.Info{ClientJA3: ja3, ClientJA4: ja4, Rule: "bypassonfail"}}}, open, "client frames rule server target tls"},
		{"a detail of another kind", []bridge.Frame{{Proto: "tls", Verb: bridge.VerbRelay, Detail: 1}}, open, "client frames rule server target"},
		{
			"strings that are not text",
			[]bridge.Frame{{Proto: "tls", Verb: bridge.VerbRelay, SNI: "\xff\n\x1b[2J\u2028"}},
			bridge.Outcome{Reason: bridge.Internal, EndedBy: bridge.ByMITM, Err: errors.New("line\nbreak \xfe")},
			"client frames rule server target",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			doc := validate(t, strict, newRecord(newFlow(t, tt.frames...), tt.out).line())
			var present []string
			for name := range doc {
				if !slices.Contains(alwaysThere(), name) {
					present = append(present, name)
				}
			}
			slices.Sort(present)
			if got := strings.Join(present, " "); got != tt.present {
				t.Errorf("optional fields %q, want %q", got, tt.present)
			}
		})
	}
}

func alwaysThere() []string {
	return []string{"v", "id", "start", "duration_ms", "path", "action", "bytes", "ended_by", "reason", "error"}
}

func TestAFlowThatWentNowhere(t *testing.T) {
	b := &bridge.Bridge{Client: bridge.NewStream(fakeConn{remote: "@socket"})}
	doc := validate(t, compile(t, true), newRecord(b.Flow(), bridge.Outcome{Reason: bridge.PeerClosed, EndedBy: bridge.ByClient, Err: io.EOF}).line())
	for _, name := range []string{"client", "server", "target", "frames", "tls"} {
		if v, ok := doc[name]; ok {
			t.Errorf("%s is %v, want it absent", name, v)
		}
	}
	if doc["path"] != "raw" || doc["error"] != "EOF" {
		t.Errorf("path %q, error %q", doc["path"], doc["error"])
	}
}

func TestSchemaKnowsEveryReasonAndPartyAndVerb(t *testing.T) {
	strict := compile(t, true)
	for _, reason := range bridge.Reasons() {
		for _, by := range []bridge.Party{bridge.ByClient, bridge.ByServer, bridge.ByMITM} {
			for _, verb := range []bridge.Verb{bridge.VerbRelay, bridge.VerbTerminate, bridge.VerbOriginate, bridge.VerbPass, ""} {
				f := newFlow(t, bridge.Frame{Proto: "tls", Verb: verb})
				validate(t, strict, newRecord(f, bridge.Outcome{Reason: reason, EndedBy: by}).line())
			}
		}
	}
}

func TestSchemaKnowsEveryRefusal(t *testing.T) {
	strict := compile(t, true)
	for _, how := range []tlsbridge.Refusal{
		tlsbridge.NotRefused, tlsbridge.UnknownCA, tlsbridge.CertificateUnknown, tlsbridge.BadCertificate, tlsbridge.CertificateExpired,
		tlsbridge.CertificateRevoked, tlsbridge.UnsupportedCert, tlsbridge.ECHRequired, tlsbridge.ClosedOnCertificate, tlsbridge.SilentAfterHandshake,
	} {
		info := bridged()
		info.Refusal = how
		doc := validate(t, strict, newRecord(newFlow(t, bridge.Frame{Proto: "tls", Detail: info}), bridge.Outcome{Reason: bridge.TLSClient, EndedBy: bridge.ByClient}).line())
		got, there := doc["tls"].(map[string]any)["refused"]
		if there != (how != tlsbridge.NotRefused) || there && got != string(how) {
			t.Errorf("refused is %v, want %q", got, how)
		}
	}
}

func TestSchemaRefuses(t *testing.T) {
	s := compile(t, false)
	valid := newRecord(newFlow(t, bridge.Frame{Proto: "tls", Verb: bridge.VerbRelay, Detail: bridged()}),
		bridge.Outcome{Reason: bridge.EOF, EndedBy: bridge.ByMITM}).line()
	for _, tt := range []struct{ name, old, new string }{
		{"another version", `"v":1`, `"v":2`},
		{"an identifier that is no ULID", `"id":"`, `"id":"I`},
		{"a start with an offset", `Z","duration`, `+00:00","duration`},
		{"a negative duration", `"duration_ms":`, `"duration_ms":-1`},
		{"an address without a port", `198.51.100.2:50122`, `198.51.100.2`},
		{"an unknown action", `"inspect"`, `"inspected"`},
		{"an unknown reason", `"eof"`, `"end"`},
		{"an unknown party", `"mitm"`, `"us"`},
		{"an unknown verb", `"verb":"relay"`, `"verb":"relayed"`},
		{"a frame without a protocol", `"proto"`, `"protocol"`},
		{"half a byte", `"from_client":1234`, `"from_client":1234.5`},
		{"a hash that is too short", `"leaf_sha256":"0200`, `"leaf_sha256":"`},
		{"a TLS version in words", `"version":"1.3"`, `"version":"TLS 1.3"`},
		{"a JA3 that is none", `"ja3":"`, `"ja3":"g`},
		{"a JA4 that is none", `"ja4":"t`, `"ja4":"`},
		{"an ECH that is none", `"ech":"offered"`, `"ech":"grease"`},
		{"no error field", `"error"`, `"err"`},
	} {
		changed := strings.Replace(string(valid), tt.old, tt.new, 1)
		if changed == string(valid) {
			t.Fatalf("%s: %s is not in %s", tt.name, tt.old, valid)
		}
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(changed))
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if s.Validate(doc) == nil {
			t.Errorf("%s: the schema allows %s", tt.name, changed)
		}
	}
	later := strings.Replace(string(valid), `"v":1`, `"v":1,"new":{}`, 1)
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(later))
	if err != nil || s.Validate(doc) != nil {
		t.Errorf("the schema refuses a field that a later version may add: %v", err)
	}
}

func TestSchemaIsACopy(t *testing.T) {
	clear(Schema())
	if !json.Valid(Schema()) {
		t.Error("a caller has changed the schema")
	}
}

func TestAction(t *testing.T) {
	frame := func(verb bridge.Verb) bridge.Frame { return bridge.Frame{Proto: "tls", Verb: verb} }
	decrypted, opaque, opaqueAfter := frame(bridge.VerbRelay), frame(bridge.VerbRelay), frame(bridge.VerbRelay)
	decrypted.Decrypted, opaque.Opaque = true, true
	opaqueAfter.Decrypted, opaqueAfter.Opaque = true, true
	rescuedFrame := frame(bridge.VerbPass)
	rescuedFrame.Note = "rescued: the server asks for a certificate"
	socks := bridge.Frame{Proto: "socks5", Verb: bridge.VerbTerminate}
	for _, tt := range []struct {
		name   string
		frames []bridge.Frame
		reason bridge.Reason
		want   string
	}{
		{"nothing but bytes", nil, bridge.EOF, allow},
		{"a layer without TLS", []bridge.Frame{socks}, bridge.EOF, allow},
		{"bridged", []bridge.Frame{socks, decrypted}, bridge.EOF, "inspect"},
		{"bridged, and another layer inside", []bridge.Frame{decrypted, socks}, bridge.EOF, "inspect"},
		{"the server's handshake failed", []bridge.Frame{frame(bridge.VerbRelay)}, bridge.TLSServer, "inspect"},
		{"passed", []bridge.Frame{frame(bridge.VerbPass)}, bridge.EOF, "bypass"},
		{"it broke the protocol", []bridge.Frame{opaque}, bridge.EOF, "bypass"},
		{"what was inside broke its protocol", []bridge.Frame{opaqueAfter}, bridge.EOF, "inspect"},
		{"rescued", []bridge.Frame{rescuedFrame}, bridge.EOF, "rescue"},
		{"terminated", []bridge.Frame{frame(bridge.VerbTerminate)}, bridge.EOF, "terminate"},
		{"an HTTPS proxy", []bridge.Frame{frame(bridge.VerbTerminate), socks, decrypted}, bridge.EOF, "inspect"},
		{"passed within TLS", []bridge.Frame{decrypted, frame(bridge.VerbPass)}, bridge.EOF, "bypass"},
		{"originated", []bridge.Frame{frame(bridge.VerbOriginate)}, bridge.EOF, "encrypt"},
		{"blocked by a rule", []bridge.Frame{decrypted}, bridge.Block, block},
		{"denied", nil, bridge.Denied, block},
		{"a loop", nil, bridge.Loop, block},
		{"refused by the server", nil, bridge.Refused, allow},
	} {
		if got := actionOf(tt.frames, bridge.Outcome{Reason: tt.reason}); got != tt.want {
			t.Errorf("%s: action %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestWhatWasOriginatedIsNotInThePath(t *testing.T) {
	hop := bridge.Addr{Host: "example.com", Port: 443}
	next := func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) {
		return fakeConn{remote: "192.0.2.1:1080"}, nil
	}
	b := &bridge.Bridge{Client: bridge.NewStream(fakeConn{remote: "198.51.100.2:50122"})}
	b.DialFunc = bridge.Originate(next, bridge.Addr{}, bridge.Limits{}, func(context.Context, *bridge.Bridge, bridge.Addr) (bridge.Frame, error) {
		return bridge.Frame{Proto: "socks5", Verb: bridge.VerbOriginate, Dst: hop}, nil
	})
	b.SetHop(hop)
	if err := b.Dial(t.Context()); err != nil {
		t.Fatal(err)
	}
	denied := bridge.Outcome{Reason: bridge.Denied, EndedBy: bridge.ByServer, Err: io.EOF}
	doc := validate(t, compile(t, true), newRecord(b.Flow(), denied).line())
	if got := fmt.Sprint(doc["originated"]); got != "[map[dst:example.com:443 proto:socks5 verb:originate]]" {
		t.Errorf("originated is %s", got)
	}
	if doc["path"] != "raw" || doc["frames"] != nil || doc["target"] != "example.com:443" || doc["server"] != "192.0.2.1:1080" {
		t.Errorf("path %v, frames %v, target %v, server %v", doc["path"], doc["frames"], doc["target"], doc["server"])
	}
	if doc["action"] != "allow" {
		t.Errorf("action %v: it was not one of our own rules", doc["action"])
	}
}

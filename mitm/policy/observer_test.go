package policy_test

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
	"github.com/bridgeio/bridgeio/mitm/policy"
)

// sink takes what is written.
type sink struct{ conn }

func (sink) Write(p []byte) (int, error)      { return len(p), nil }
func (sink) SetWriteDeadline(time.Time) error { return nil }

// inspected is the frame of a flow of curl's that is inspected.
func inspected() bridge.Frame {
	return bridge.Frame{
		Proto: "tls", Verb: bridge.VerbRelay, SNI: "Example.com", Decrypted: true,
		Detail: &tlsbridge.Info{ClientJA4: curl.JA4},
	}
}

func TestApplicationDataOfTheClientAccepts(t *testing.T) {
	changed := func(change func(*bridge.Frame)) []bridge.Frame {
		f := inspected()
		change(&f)
		return []bridge.Frame{f}
	}
	for _, tt := range []struct {
		name     string
		frames   []bridge.Frame
		to       bridge.Side
		accepted bool
	}{
		{"the client speaks", []bridge.Frame{inspected()}, bridge.Server, true},
		{"the client speaks within another layer", []bridge.Frame{inspected(), {Proto: "http"}}, bridge.Server, true},
		{"only the server speaks", []bridge.Frame{inspected()}, bridge.Client, false},
		{"the flow was passed on", changed(func(f *bridge.Frame) { f.Verb, f.Decrypted = bridge.VerbPass, false }), bridge.Server, false},
		{"TLS was for us", changed(func(f *bridge.Frame) { f.Verb = bridge.VerbTerminate }), bridge.Server, false},
		{"the handshake was not finished", changed(func(f *bridge.Frame) { f.Decrypted = false }), bridge.Server, false},
		{"to another name", changed(func(f *bridge.Frame) { f.SNI = "www.example.com" }), bridge.Server, false},
		{"another client", changed(func(f *bridge.Frame) { f.Detail = &tlsbridge.Info{ClientJA4: "another"} }), bridge.Server, false},
		{"nothing is known of TLS", changed(func(f *bridge.Frame) { f.Detail = nil }), bridge.Server, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			memory := policy.NewBypass(1, period, 8)
			memory.Refused(curl, tlsbridge.SilentAfterHandshake, "ok")
			b := newBridge(memory)
			for _, f := range tt.frames {
				b.Push(f)
			}
			b.Tap()
			if len(memory.List()) != 1 {
				t.Fatal("accepted before anything was said")
			}
			for range 2 {
				if err := b.Write(t.Context(), tt.to, []byte("data")); err != nil {
					t.Fatal(err)
				}
			}
			if got := len(memory.List()) == 0; got != tt.accepted {
				t.Errorf("accepted %v, want %v", got, tt.accepted)
			}
		})
	}
}

// What a client has said before TLS says nothing of the certificate.
func TestWhatWasSaidBeforeTLSDoesNotAccept(t *testing.T) {
	memory := policy.NewBypass(1, period, 8)
	memory.Refused(curl, tlsbridge.SilentAfterHandshake, "ok")
	b := newBridge(memory)
	b.Keep()
	for _, said := range []string{"EHLO a\r\n", "STARTTLS\r\n"} {
		if err := b.Write(t.Context(), bridge.Server, []byte(said)); err != nil {
			t.Fatal(err)
		}
	}
	b.Push(inspected())
	b.Tap()
	if len(memory.List()) != 1 {
		t.Fatal("accepted by what was said before TLS")
	}
	if err := b.Write(t.Context(), bridge.Server, []byte("EHLO a\r\n")); err != nil {
		t.Fatal(err)
	}
	if len(memory.List()) != 0 {
		t.Error("not accepted by what was said in TLS")
	}
}

// newBridge returns a bridge of curl's address, whose peers take everything.
func newBridge(memory *policy.Bypass) *bridge.Bridge {
	peer := func(addr string) sink { return sink{conn{remote: netip.MustParseAddrPort(addr)}} }
	b := &bridge.Bridge{
		Client:   bridge.NewStream(peer(curl.Client + ":50000")),
		Observer: memory.Observer(),
		DialFunc: func(context.Context, bridge.Addr, *bridge.Flow) (net.Conn, error) {
			return peer("203.0.113.9:443"), nil
		},
	}
	b.SetHop(bridge.Addr{Host: "203.0.113.9", Port: 443})
	return b
}

func TestTheDataOfClientsThatNeverRefusedIsNotLookedAt(t *testing.T) {
	memory := policy.NewBypass(1, period, 8)
	b := newBridge(memory)
	b.Push(inspected())
	if tap := memory.Observer().Tap(b.Flow()); tap != nil {
		t.Error("a flow is tapped that nothing can be learnt from")
	}
	memory.Refused(curl, tlsbridge.SilentAfterHandshake, "ok")
	if tap := memory.Observer().Tap(b.Flow()); tap == nil {
		t.Error("a flow of a client that has refused is not tapped")
	}
	if (*policy.Bypass)(nil).Observer() != nil {
		t.Error("a nil Bypass observes")
	}
}

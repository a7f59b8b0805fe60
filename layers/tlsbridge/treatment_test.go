package tlsbridge_test

import (
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	. "github.com/bridgeio/bridgeio/layers/tlsbridge"
)

func TestTheInnermostTLSSaysWhatWasDone(t *testing.T) {
	tls := func(f bridge.Frame) bridge.Frame {
		f.Proto = "tls"
		return f
	}
	decrypted := tls(bridge.Frame{Verb: bridge.VerbRelay, Decrypted: true})
	terminated := tls(bridge.Frame{Verb: bridge.VerbTerminate, Decrypted: true})
	passed := tls(bridge.Frame{Verb: bridge.VerbPass, Note: "sslv2"})
	connect := bridge.Frame{Proto: "connect", Verb: bridge.VerbTerminate}
	for _, tt := range []struct {
		name   string
		frames []bridge.Frame
		want   Treatment
	}{
		{"no TLS", nil, ""},
		{"a layer without TLS", []bridge.Frame{connect}, ""},
		{"bridged", []bridge.Frame{connect, decrypted}, Inspected},
		{"bridged, and another layer inside", []bridge.Frame{decrypted, connect}, Inspected},
		{"the server's handshake failed", []bridge.Frame{tls(bridge.Frame{Verb: bridge.VerbRelay})}, Inspected},
		{"what was inside broke its protocol", []bridge.Frame{tls(bridge.Frame{Decrypted: true, Opaque: true})}, Inspected},
		{"it broke the protocol", []bridge.Frame{connect, tls(bridge.Frame{Opaque: true})}, Bypassed},
		{"passed", []bridge.Frame{connect, passed}, Bypassed},
		{"passed within TLS", []bridge.Frame{decrypted, passed}, Bypassed},
		{"rescued", []bridge.Frame{connect, tls(bridge.Frame{Verb: bridge.VerbPass, Note: "rescued: why"})}, Rescued},
		{"terminated", []bridge.Frame{terminated, connect}, Terminated},
		{"an HTTPS proxy", []bridge.Frame{terminated, connect, decrypted}, Inspected},
		{"originated", []bridge.Frame{connect, tls(bridge.Frame{Verb: bridge.VerbOriginate})}, Originated},
	} {
		var got Treatment
		if frame := Innermost(tt.frames); frame != nil {
			got = TreatmentOf(frame)
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

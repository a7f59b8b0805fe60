package flowlog

import (
	"slices"
	"strings"

	"github.com/bridgeio/bridgeio/bridge"
)

// innermostTLS returns the last TLS frame, or nil.
func innermostTLS(frames []bridge.Frame) *bridge.Frame {
	for i, frame := range slices.Backward(frames) {
		if frame.Proto == "tls" {
			return &frames[i]
		}
	}
	return nil
}

// action is what was done with a flow.
type action string

const (
	inspect   action = "inspect"
	bypass    action = "bypass"
	rescue    action = "rescue"
	block     action = "block"
	encrypt   action = "encrypt"
	terminate action = "terminate"
	allow     action = "allow"
)

// rescued is how the note of a frame begins that was let through because the server's
// side could not be bridged.
const rescued = "rescued: "

func actionOf(frames []bridge.Frame, out bridge.Outcome) action {
	switch out.Reason {
	case bridge.Block, bridge.Denied, bridge.Loop:
		if out.EndedBy != bridge.ByServer { // an upstream proxy may deny things, too
			return block
		}
	}
	tls := innermostTLS(frames)
	switch {
	case tls == nil:
		return allow
	case tls.Verb == bridge.VerbPass && strings.HasPrefix(tls.Note, rescued):
		return rescue
	case tls.Verb == bridge.VerbPass, tls.Opaque && !tls.Decrypted:
		return bypass
	case tls.Verb == bridge.VerbTerminate:
		return terminate
	case tls.Verb == bridge.VerbOriginate:
		return encrypt
	}
	return inspect
}

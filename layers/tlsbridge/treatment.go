package tlsbridge

import (
	"slices"
	"strings"

	"github.com/bridgeio/bridgeio/bridge"
)

// protoTLS is the name of the layers here, and of TLS in a flow's path.
const protoTLS = "tls"

// Treatment is what was done with the TLS of a flow, in a word for logs.
type Treatment string

// The treatments.
const (
	Inspected  Treatment = "inspect"   // bridged, or tried to
	Bypassed   Treatment = "bypass"    // let through as it was
	Rescued    Treatment = "rescue"    // the same, because the server's side could not be bridged
	Terminated Treatment = "terminate" // TLS with the client alone
	Originated Treatment = "encrypt"   // TLS with the server alone
)

// rescued is how the note of a frame begins that was let through because the server's
// side could not be bridged.
const rescued = "rescued: "

// TreatmentOf returns what was done with a TLS frame. It is told from the frame alone, which
// may be one of a flow that goes on.
func TreatmentOf(frame *bridge.Frame) Treatment {
	switch {
	case frame.Verb == bridge.VerbPass && strings.HasPrefix(frame.Note, rescued):
		return Rescued
	case frame.Verb == bridge.VerbPass, frame.Opaque && !frame.Decrypted:
		return Bypassed
	case frame.Verb == bridge.VerbTerminate:
		return Terminated
	case frame.Verb == bridge.VerbOriginate:
		return Originated
	}
	return Inspected
}

// Innermost returns the last TLS frame, which is what a flow is known by, or nil.
func Innermost(frames []bridge.Frame) *bridge.Frame {
	for i, frame := range slices.Backward(frames) {
		if frame.Proto == protoTLS {
			return &frames[i]
		}
	}
	return nil
}

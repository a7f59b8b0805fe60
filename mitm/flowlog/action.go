package flowlog

import (
	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
)

// What is done with a flow is said of its innermost TLS, but for these two.
const (
	block = "block"
	allow = "allow" // there was no TLS
)

func actionOf(frames []bridge.Frame, out bridge.Outcome) string {
	switch out.Reason {
	case bridge.Block, bridge.Denied, bridge.Loop:
		if out.EndedBy != bridge.ByServer { // an upstream proxy may deny things, too
			return block
		}
	}
	if tls := tlsbridge.Innermost(frames); tls != nil {
		return string(tlsbridge.TreatmentOf(tls))
	}
	return allow
}

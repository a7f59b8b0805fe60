package mitm

import (
	"context"
	"errors"
	"slices"

	"github.com/bridgeio/bridgeio/bridge"
)

var (
	errNoDestination = errors.New("no destination: neither SOCKS, nor a request for an HTTP proxy, nor TLS with a server name")
	errUnasked       = errors.New("closed before anything was asked for")
	errNotTLS        = errors.New("only TLS is let through")
	errUninspected   = errors.New("what can't be inspected is not let through")
)

// last is where the conversation of the innermost layer begins, and where everything
// ends up that no layer could take off: the one place that decides what is relayed.
func (s *Server) last(ctx context.Context, b *bridge.Bridge) error {
	frames := b.Flow().Frames()
	switch {
	case noHop(b) && b.Client.End() != bridge.Open && len(b.Client.Buffered()) == 0:
		return bridge.Fails(bridge.PeerClosed, bridge.ByClient, errUnasked)
	case noHop(b):
		return bridge.Fails(bridge.Desynced, bridge.ByClient, errNoDestination)
	case s.config.NonTLS == NonTLSBlock && !isTLS(frames):
		return bridge.Fails(bridge.Block, bridge.ByMITM, errNotTLS)
	case s.config.Limits.Fail == bridge.FailClosed && !isInspected(frames):
		return bridge.Fails(bridge.Block, bridge.ByMITM, errUninspected)
	}
	return bridge.Relay(ctx, b)
}

// isForwarded reports whether the HTTP proxy forwards the requests of a flow by itself.
func isForwarded(f *bridge.Flow) bool {
	frames := f.Frames()
	return len(frames) > 0 && frames[len(frames)-1].Proto == "http" && frames[len(frames)-1].Verb == bridge.VerbTerminate
}

// isTLS reports whether there is TLS with the server, on one side at least, or it was passed
// on.
func isTLS(frames []bridge.Frame) bool {
	return isBridged(frames) || slices.ContainsFunc(withServer(frames), func(f bridge.Frame) bool {
		return f.Proto == "tls" && f.Verb == bridge.VerbPass
	})
}

// isBridged reports whether what is observed was encrypted between the client and the server,
// on one side at least.
func isBridged(frames []bridge.Frame) bool {
	return slices.ContainsFunc(withServer(frames), func(f bridge.Frame) bool { return f.Proto == "tls" && f.Decrypted })
}

// withServer leaves out what the client spoke with us to reach the server: TLS with a proxy is none
// with the server.
func withServer(frames []bridge.Frame) []bridge.Frame {
	for i, f := range slices.Backward(frames) {
		if f.Verb == bridge.VerbTerminate && f.Proto != "tls" {
			return frames[i+1:]
		}
	}
	return frames
}

// isInspected reports whether what is relayed can be read: it was decrypted, or it is a
// protocol that is not encrypted.
func isInspected(frames []bridge.Frame) bool {
	return isBridged(frames) || len(frames) > 0 && slices.Contains([]string{"http", "http2"}, frames[len(frames)-1].Proto)
}

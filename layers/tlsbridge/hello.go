package tlsbridge

import (
	"context"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// opening is the first message of a client: a ClientHello, or nil for one in the format
// of SSL 2.0 (RFC 5246 §E.2).
type opening struct{ hello *detect.ClientHello }

func parseOpening(buf []byte) (opening, int, error) {
	switch v := detect.SSLv2().Func(detect.Input{Client: buf}); v.Kind {
	case detect.Match:
		return opening{}, len(buf), nil
	case detect.NeedMore:
		return opening{}, 0, bridge.ErrShort
	}
	hello, n, err := detect.ParseClientHello(buf)
	return opening{hello}, n, err
}

// expectHello waits for the client's hello and leaves it where it is. A client that
// nobody else waits for may think about its first byte for longer.
func expectHello[M any](ctx context.Context, b *bridge.Bridge, p bridge.Parser[M]) (M, error) {
	limits := b.Limits()
	within := limits.Turn
	if b.Server == nil && b.Hop().IsZero() && len(b.Client.Buffered()) == 0 {
		within = limits.First
	}
	m, _, err := bridge.Expect(ctx, b, bridge.Client, p, bridge.Max(detect.MaxClientHello), bridge.Within(within))
	return m, err
}

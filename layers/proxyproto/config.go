package proxyproto

import (
	"net/netip"
	"slices"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// Untrusted says what becomes of connections from sources that may not send a header.
type Untrusted uint8

const (
	Ignore Untrusted = iota // all they send is payload, also what looks like a header
	Reject                  // they are closed
)

// Config says from whom a header is believed. The zero value believes nobody. It is not changed after first use.
type Config struct {
	// Trust are the sources that must send a header. A source is the address of the client's socket.
	Trust []netip.Prefix

	// Auto are further sources that may send a header. It is then enough to be able to connect from there to claim
	// any address, so Trust is better wherever all connections come through a balancer. A client that waits for
	// the server to speak first is held up for Limits.Proxy.
	Auto []netip.Prefix

	// Untrusted says what becomes of all others.
	Untrusted Untrusted

	// SetHop makes the destination that the header names the hop of a bridge that has none. It is for Terminate.
	SetHop bool

	// Forward says what Dial does with the header that Terminate takes off.
	Forward Forward

	// MaxHeader bounds what follows the fixed 16 bytes of version 2. Zero means 4096, and the protocol's own limit
	// is 65535.
	MaxHeader int

	// Strict refuses a version 2 header whose last TLV does not end with it. Without, that rest is kept as its Tail.
	Strict bool
}

// stance is what is asked of a source.
type stance uint8

const (
	untrusted stance = iota
	mayHave
	mustHave
)

// towards returns what is asked of the client of b. There is one header on a connection: inside of it all is payload.
func (c Config) towards(b *bridge.Bridge) stance {
	source, _ := b.Flow().Peer().IP()
	source = source.WithZone("")
	holds := func(p netip.Prefix) bool { return p.Contains(source) }
	switch {
	case slices.ContainsFunc(c.Trust, holds):
		return mustHave
	case slices.ContainsFunc(c.Auto, holds):
		return mayHave
	}
	return untrusted
}

func (c Config) maxHeader() int {
	if c.MaxHeader <= 0 {
		return detect.DefaultMaxProxyHeader
	}
	return min(c.MaxHeader, maxLen)
}

// required is the parser for those who must send a header.
func (c Config) required(buf []byte) (*detect.ProxyHeader, int, error) {
	h, n, err := detect.ParseProxyHeaderMax(buf, c.maxHeader())
	if err == nil && c.Strict && len(h.Tail) > 0 {
		return nil, 0, malformed("TLV", n-len(h.Tail))
	}
	return h, n, err
}

// optional is the parser for those who may: nil and no bytes when what they send cannot be a header.
func (c Config) optional(buf []byte) (*detect.ProxyHeader, int, error) {
	switch identify(buf).Kind {
	case detect.NoMatch:
		return nil, 0, nil
	case detect.NeedMore:
		return nil, 0, bridge.ErrShort
	}
	return c.required(buf)
}

// identify says whether bytes are the beginning of a header, as soon as that is certain.
func identify(buf []byte) detect.Verdict {
	return detect.Identify(detect.Input{Client: buf}, detect.ProxyV1(), detect.ProxyV2())
}

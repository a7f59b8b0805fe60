package starttls

import (
	"context"
	"strings"

	"github.com/bridgeio/bridgeio/bridge"
)

// XMPP returns the layer for XMPP with STARTTLS (RFC 6120 §5), between clients and servers and between servers.
func XMPP() bridge.Layer { return layer("xmpp", xmpp) }

func xmpp(ctx context.Context, s *session) error {
	if err := openStream(ctx, s, bridge.Client); err != nil {
		return err
	}
	if err := openStream(ctx, s, bridge.Server); err != nil {
		return err
	}
	features, err := nextItem(ctx, s, bridge.Server)
	if err != nil || features.name != "features" {
		return orPlain(err)
	}
	for {
		i, _, err := expect(ctx, s, bridge.Client, parseItem)
		switch {
		case err != nil:
			return err
		case i.is("starttls"):
			return proceed(ctx, s)
		case i.kind != space:
			return errPlain
		}
		if _, err := turn(ctx, s, bridge.Client, parseItem); err != nil {
			return err
		}
	}
}

// openStream relays what a stream begins with. Features, and so STARTTLS, are of version 1.0 and above (RFC 6120 §4.7.5).
func openStream(ctx context.Context, s *session, from bridge.Side) error {
	for {
		i, err := nextItem(ctx, s, from)
		switch {
		case err != nil:
			return err
		case i.kind == prolog:
			continue
		case i.kind != opening || !strings.HasPrefix(attribute(i.tag, "version"), "1."):
			return errPlain
		}
		if from == bridge.Client {
			s.plain.Host, s.plain.Client = clean(attribute(i.tag, "to")), clean(attribute(i.tag, "from"))
		}
		return nil
	}
}

// nextItem relays an item, and whitespace that is before it.
func nextItem(ctx context.Context, s *session, from bridge.Side) (item, error) {
	for {
		i, err := turn(ctx, s, from, parseItem, bridge.Class(func(i item) any { return i.kind }))
		if err != nil || i.kind != space {
			return i, err
		}
	}
}

// proceed relays <starttls/> and the answer to it. RFC 6120 §5.3.3: until the end of <proceed/> "the entities MUST NOT
// send any whitespace as separators between XML elements".
func proceed(ctx context.Context, s *session) error {
	if _, err := ask(ctx, s, parseItem); err != nil {
		return err
	}
	i, err := answer(ctx, s, parseItem, func(i item) bool { return i.is("proceed") },
		bridge.Class(func(i item) any { return i.is("proceed") }))
	if err != nil || i.is("proceed") {
		return err
	}
	s.plain.Refusal = clean(i.name)
	return errPlain
}

// is reports whether an item is the element of STARTTLS with that name.
func (i item) is(name string) bool {
	return i.kind == element && i.name == name && strings.Contains(i.tag, "urn:ietf:params:xml:ns:xmpp-tls")
}

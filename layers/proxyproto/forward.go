package proxyproto

import (
	"bytes"
	"context"
	"slices"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// Forward says what becomes of a header that [Terminate] has taken off, when [Dial] connects the server side: it stands
// first there, too, whenever and however often that is dialled.
type Forward uint8

const (
	Strip     Forward = iota // it goes no further
	Verbatim                 // it is passed on as it came, byte by byte
	Rewritten                // it is passed on in version 2, with DialConfig.TLVs added and its PP2_TYPE_CRC32C computed anew
)

// verb is that of the header's frame.
func (f Forward) verb() bridge.Verb {
	if f == Strip {
		return bridge.VerbTerminate
	}
	return bridge.VerbRelay
}

// received is a header that is to be passed on by Dial.
type received struct {
	header  *detect.ProxyHeader
	wire    []byte
	forward Forward
}

type receivedKey struct{}

// remember keeps the header for Dial. It is in the context, as it belongs to the client's connection and not to a flow:
// that may begin again with another server.
func (c Config) remember(ctx context.Context, h *detect.ProxyHeader, wire []byte) context.Context {
	if c.Forward == Strip {
		return ctx
	}
	return context.WithValue(ctx, receivedKey{}, &received{h, bytes.Clone(wire), c.Forward})
}

func receivedIn(ctx context.Context) *received {
	r, _ := ctx.Value(receivedKey{}).(*received)
	return r
}

// rewritten is h in version 2, with further TLVs.
//
// A sender that knew no addresses has told a receiver to "use the real connection's parameters as if there were no PROXY
// protocol header on the wire" (§2.1), which are those of ours.
func rewritten(h *detect.ProxyHeader, ours addresses, tlvs []detect.TLV) *detect.ProxyHeader {
	again := *h
	again.Version, again.Tail = 2, nil // what is no TLV can't stand in front of one
	if h.Command == detect.ProxyProxied && h.Family == detect.ProxyUnspec {
		ours.into(&again)
	}
	again.TLVs = slices.Clone(h.TLVs)
	for _, v := range tlvs {
		if !slices.ContainsFunc(h.TLVs, func(has detect.TLV) bool { return has.Type == v.Type }) {
			again.TLVs = append(again.TLVs, v)
		}
	}
	return &again
}

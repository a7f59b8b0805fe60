package policy

import (
	"sync"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/layers/tlsbridge"
)

// Observer returns what calls Accepted when a client sends its first application data through an inspected flow. Nearly
// all flows are of clients that have never refused: of these it looks at no data.
func (b *Bypass) Observer() *bridge.Observer {
	if b == nil {
		return nil
	}
	return &bridge.Observer{Tap: b.tap}
}

func (b *Bypass) tap(f *bridge.Flow) func(bridge.Side, []byte) {
	var refused []Key
	for _, frame := range f.Frames() {
		if k, inspected := inspectedKey(f, frame); inspected && b.knows(k) {
			refused = append(refused, k)
		}
	}
	if refused == nil {
		return nil
	}
	accept := sync.OnceFunc(func() {
		for _, k := range refused {
			b.Accepted(k)
		}
	})
	before := f.Kept() // said before the certificate was shown
	return func(from bridge.Side, data []byte) {
		switch {
		case from != bridge.Client:
		case before > 0:
			before -= int64(len(data))
		default:
			accept()
		}
	}
}

// inspectedKey returns the Key of a frame in which TLS was bridged, and whether it is one.
func inspectedKey(f *bridge.Flow, frame bridge.Frame) (k Key, inspected bool) {
	info, ok := frame.Detail.(*tlsbridge.Info)
	if !ok || frame.Verb != bridge.VerbRelay || !frame.Decrypted {
		return Key{}, false
	}
	return newKey(f, frame.SNI, info.ClientJA4), true
}

func (b *Bypass) knows(k Key) bool {
	_, known := b.tally.Get(k)
	return known
}

// Package layers composes the layers of a bridge by what the peers say.
//
// A [Switch] looks at the first bytes of a conversation, decides which protocol it
// is, and runs the layers of that case with itself as the next handler, so that
// protocols stack in any order:
//
//	auto := layers.Switch{Cases: []layers.Case{
//		{Detector: detect.TLS(), Layers: []bridge.Layer{tls}},
//		{Detector: detect.SOCKS5(), Layers: []bridge.Layer{socks}},
//		{Detector: detect.SSH()}, // recognised and named, and passed on
//	}}
//	handler := bridge.Chain(auto.Layer())
//
// The layers themselves are in the packages below this one, one a protocol; it
// imports none of them.
package layers

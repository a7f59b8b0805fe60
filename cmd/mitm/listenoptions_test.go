package main

import (
	"testing"

	"github.com/bridgeio/bridgeio/mitm"
)

func TestTLSListeners(t *testing.T) {
	for v, want := range map[string]mitm.TLSListener{
		"443,80":              {Addr: ":443", Decrypted: 80},
		"10443,80,443":        {Addr: ":10443", Decrypted: 80, Port: 443},
		"192.0.2.1,443,80,80": {Addr: "192.0.2.1:443", Decrypted: 80, Port: 80},
		"::1,993,143":         {Addr: "[::1]:993", Decrypted: 143},
		"443":                 {},
		"443,80,443,1":        {},
		"443,0":               {},
		"443,80,0":            {},
		"https,80":            {},
		"":                    {},
		"65536,80":            {},
	} {
		got, err := tlsListener(v)
		if got != want || (err == nil) != (want != mitm.TLSListener{}) {
			t.Errorf("%q: %+v, %v, want %+v", v, got, err, want)
		}
	}
}

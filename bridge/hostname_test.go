package bridge_test

import (
	"strings"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
)

func TestHostNames(t *testing.T) {
	label := strings.Repeat("a", 63)
	long := strings.Repeat("a.", 126) + "a" // 253 bytes
	for name, want := range map[string]bool{
		"Example.com": true, "localhost": true, "example.com.": true, "_a.b_c.example": true,
		"xn--bcher-kva.example": true, label + ".de": true, long: true, long + ".": true, "192.0.2.1": true,
		label + "a.de": false, long + "a": false, "": false, ".": false, "a..b": false, "a..": false, ".a": false,
		"-a.de": false, "a-.de": false, "bücher.example": false, "example.com:80": false, "[::1]": false, "::1": false,
	} {
		if got := bridge.IsHostName(name); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}

func TestOnlySomeBytesMakeAHostName(t *testing.T) {
	const good = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
	for c := range 256 {
		name := "a" + string([]byte{byte(c)}) + "a"
		if got, want := bridge.IsHostName(name), strings.IndexByte(good, byte(c)) >= 0; got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}

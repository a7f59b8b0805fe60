package bridgetest

import (
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
)

// A client that waits for what we say goes on when the server, which is dialled later, is broken off.
func TestABrokenOffServerDoesNotSilenceTheClient(t *testing.T) {
	script := Script{Send("hello"), Recv("welcome"), Send("connect"), Dials("192.0.2.1:80"), Recv("granted"), C("ping"), S("pong"), C("bye")}
	d := newDialogue(nil, script, nil)
	for n, want := range []string{"helloconnectping", "helloconnectping", "helloconnectping", "helloconnectping", "helloconnectpingbye"} {
		for _, p := range []play{d.ended(bridge.Server, n), d.reset(bridge.Server, n)} {
			if got := string(sends(p.parts[bridge.Client].acts)); got != want {
				t.Errorf("%s: the client says %q, want %q", p.name, got, want)
			}
		}
	}
}

package bridgetest

import (
	"bytes"

	"github.com/bridgeio/bridgeio/bridge"
)

// Script is a dialogue as both peers and the dialler see it, in order.
type Script []Step

// Step is one message of a dialogue, or a dial.
type Step struct {
	kind  kind
	from  bridge.Side
	data  []byte // what the peer sends
	heard []byte // what the other peer gets
	hop   string
	err   error
}

type kind uint8

const (
	says kind = iota // a peer sends data, and the other gets heard
	told             // the client gets heard from us
	dials
	tunnel
)

// C is a message of the client: the server must get exactly these bytes.
func C(message string) Step { return said(bridge.Client, message) }

// S is a message of the server: the client must get exactly these bytes.
func S(message string) Step { return said(bridge.Server, message) }

func said(from bridge.Side, message string) Step {
	return Step{kind: says, from: from, data: []byte(message), heard: []byte(message)}
}

// As says that the other peer gets other bytes for this message, for a layer that rewrites or strips it.
func (s Step) As(heard string) Step {
	s.heard = []byte(heard)
	return s
}

// Send is a message of the client to us: the server gets nothing of it.
func Send(message string) Step { return C(message).As("") }

// Recv is a message that the client must get from us.
func Recv(message string) Step { return Step{kind: told, heard: []byte(message)} }

// Dials is the dial of the server side, which succeeds. No dial may come before all that the client sends before this
// step was sent.
func Dials(hop string) Step { return Step{kind: dials, hop: hop} }

// DialFails is a dial of the server side that fails with err.
func DialFails(hop string, err error) Step { return Step{kind: dials, hop: hop, err: err} }

// Tunnel says that from here on bytes flow between the client and the peer that was dialled.
func Tunnel() Step { return Step{kind: tunnel} }

// tunnelled is what a Tunnel step stands for: bytes that are the beginning of no protocol.
var tunnelled = [...]string{"\x80\xfe in the tunnel \x00\r\n", "\xff\x81 and back \x00\r\n", "once more", "and back"}

// expanded returns the script with each Tunnel replaced by what it stands for.
func (s Script) expanded() Script {
	var all Script
	for _, step := range s {
		if step.kind != tunnel {
			all = append(all, step)
			continue
		}
		for i, message := range tunnelled {
			all = append(all, said(bridge.Side(i%2), message))
		}
	}
	return all
}

// act is what a peer does once it has heard so many bytes.
type act struct {
	after int
	data  []byte
	heard []byte
}

// acts returns what one side does.
func (s Script) acts(of bridge.Side) []act {
	var acts []act
	heard := 0
	for _, step := range s {
		switch {
		case step.kind == says && step.from == of:
			acts = append(acts, act{heard, step.data, step.heard})
		case step.kind == says, step.kind == told && of == bridge.Client:
			heard += len(step.heard)
		}
	}
	return acts
}

// beforeDial returns how many bytes the client sends before a dial, and the dial; false when there is none.
func (s Script) beforeDial() (sent int, dial Step, ok bool) {
	for _, step := range s {
		if step.kind == dials {
			return sent, step, true
		}
		if step.kind == says && step.from == bridge.Client {
			sent += len(step.data)
		}
	}
	return 0, Step{}, false
}

// heard returns all that one side gets when nothing goes wrong.
func (s Script) heard(by bridge.Side) []byte {
	var all []byte
	for _, step := range s {
		if step.kind == says && step.from != by || step.kind == told && by == bridge.Client {
			all = append(all, step.heard...)
		}
	}
	return all
}

// fromUs returns how much of what one side gets is from us.
func (s Script) fromUs(by bridge.Side) int {
	n := 0
	for _, step := range s {
		if step.kind == told && by == bridge.Client {
			n += len(step.heard)
		}
	}
	return n
}

// sends returns all bytes of the acts.
func sends(acts []act) []byte {
	var all []byte
	for _, a := range acts {
		all = append(all, a.data...)
	}
	return all
}

// hears returns what the other peer gets of the acts.
func hears(acts []act) []byte {
	var all []byte
	for _, a := range acts {
		all = append(all, a.heard...)
	}
	return all
}

// upTo returns the acts up to the nth byte that is sent. What is left of a message that is heard as something else
// is heard as nothing.
func upTo(acts []act, n int) []act {
	var some []act
	for _, a := range acts {
		if len(a.data) > n {
			same := bytes.Equal(a.data, a.heard)
			a.data, a.heard = a.data[:n], nil
			if same {
				a.heard = a.data
			}
			n = 0
			return append(some, a)
		}
		n -= len(a.data)
		some = append(some, a)
	}
	return some
}

// coalesced returns the acts with those joined that nothing has to be waited for in between.
func coalesced(acts []act) []act {
	var joined []act
	for _, a := range acts {
		if last := len(joined) - 1; last >= 0 && joined[last].after == a.after {
			joined[last].data = append(bytes.Clone(joined[last].data), a.data...)
			joined[last].heard = append(bytes.Clone(joined[last].heard), a.heard...)
		} else {
			joined = append(joined, a)
		}
	}
	return joined
}

// atOnce returns the acts as one, of a peer that does not wait for answers.
func atOnce(acts []act) []act {
	if len(acts) == 0 {
		return nil
	}
	return []act{{0, sends(acts), hears(acts)}}
}

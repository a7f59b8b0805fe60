package capture

import (
	"bytes"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

// Whatever is written, in whatever order, is in the capture, and the capture keeps the
// rules of its format.
func FuzzCaptureReassembles(f *testing.F) {
	f.Add(uint32(0), false, []byte("GET / HTTP/1.1\r\n\r\n"), []byte{0, 18})
	f.Add(uint32(1<<32-1), true, []byte("both sides talk"), []byte{0, 1, 1, 2, 2, 3, 3, 250, 0, 5})
	f.Add(uint32(1<<31-5), false, bytes.Repeat([]byte("long "), 2000), []byte{0, 255, 1, 255, 4, 255, 5, 255})
	f.Fuzz(func(t *testing.T, isn uint32, ipv6 bool, data, script []byte) {
		var buf bytes.Buffer
		w, err := newWriter(&buf, Config{}, 4096, func(time.Time) uint32 { return isn })
		if err != nil {
			t.Fatal(err)
		}
		flows := make([]*scripted, 4)
		for i := range flows {
			d := web()
			d.client = []string{"198.51.100.1:1", "198.51.100.2:2", "[2001:db8::1]:3", "198.51.100.1:4"}[i]
			if ipv6 {
				d.server = "[2001:db8::9]:443"
			}
			made := d.make(t)
			flows[i] = &scripted{flow: made, client: d.client, show: w.Observer().Tap(made)}
		}
		// A step of the script is a flow, a side and how much of the data it sends.
		for ; len(script) >= 2; script = script[2:] {
			from := bridge.Side(script[0] & 1)
			n := min(16*int(script[1]), len(data))
			flows[script[0]>>1&3].write(from, data[:n])
			data = data[n:]
		}
		for _, s := range flows {
			w.Observer().Close(s.flow, outcome(bridge.EOF, bridge.ByClient))
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		check(t, flows, follow(t, read(t, buf.Bytes())))
	})
}

// scripted is a flow, and what it sent.
type scripted struct {
	flow   *bridge.Flow
	client string
	show   func(bridge.Side, []byte)
	sent   [2][]byte
	writes int
}

func (s *scripted) write(from bridge.Side, b []byte) {
	borrowed := bytes.Clone(b)
	s.show(from, borrowed)
	clear(borrowed) // whoever kept it instead of copying it sees zeros
	s.sent[from] = append(s.sent[from], b...)
	if len(b) > 0 {
		s.writes++
	}
}

func check(t *testing.T, flows []*scripted, got []connection) {
	t.Helper()
	if len(got) != len(flows) {
		t.Fatalf("%d connections, want %d", len(got), len(flows))
	}
	for _, c := range got {
		for _, s := range flows {
			if s.client != bridge.AddrFrom(c.client).String() {
				continue
			}
			if !bytes.Equal(c.streams[client], s.sent[client]) || !bytes.Equal(c.streams[server], s.sent[server]) {
				t.Errorf("%s: captured %q, sent %q", s.client, c.streams, s.sent)
			}
			if len(c.writes) != s.writes || c.end != "fin by client" {
				t.Errorf("%s: %d writes and end %q, want %d", s.client, len(c.writes), c.end, s.writes)
			}
			s.writes = -1
		}
	}
	for _, s := range flows {
		if s.writes != -1 {
			t.Errorf("%s: not in the capture", s.client)
		}
	}
}

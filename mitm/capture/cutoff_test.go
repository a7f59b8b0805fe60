package capture

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
)

func TestTheCutoffIsAGapBeforeTheEnd(t *testing.T) {
	for _, tt := range []struct {
		name          string
		cutoff        int64
		client        []int // sizes of writes
		reason        bridge.Reason
		written, lost int
		end           string
	}{
		{"less than it", 100, []int{50, 49}, bridge.EOF, 99, 0, "fin by client"},
		{"just as much", 100, []int{50, 50}, bridge.EOF, 100, 0, "fin by client"},
		{"a byte more", 100, []int{50, 51}, bridge.EOF, 100, 1, "fin by client"},
		{"many writes more", 100, []int{100, 5000, 1, 3}, bridge.EOF, 100, 5004, "fin by client"},
		{"one write that is larger", 2000, []int{5000}, bridge.EOF, 2000, 3000, "fin by client"},
		{"then a reset", 100, []int{300}, bridge.Resets, 100, 200, "rst by client"},
		{"without one", 0, []int{5000}, bridge.EOF, 5000, 0, "fin by client"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, Config{Cutoff: tt.cutoff})
			f := web().make(t)
			show := s.Observer().Tap(f)
			for _, size := range tt.client {
				show(client, bytes.Repeat([]byte("c"), size))
			}
			show(server, []byte("short")) // it has a count of its own
			s.Observer().Close(f, outcome(tt.reason, bridge.ByClient))
			c := s.finish()[0]
			if len(c.streams[client]) != tt.written || string(c.streams[server]) != "short" {
				t.Errorf("%d and %d bytes are written, want %d and 5", len(c.streams[client]), len(c.streams[server]), tt.written)
			}
			if c.missing != [2]uint32{client: uint32(tt.lost)} || c.end != tt.end {
				t.Errorf("%v are missing, end %q; want %d and %q", c.missing, c.end, tt.lost, tt.end)
			}
			if got := s.Stats(); got.Payload != int64(tt.written+5) || got.Lost != 0 {
				t.Errorf("stats %+v", got)
			}
		})
	}
}

// A sequence number that is 2^31 ahead is an old one to readers.
func TestAWideGapIsMarkedInSteps(t *testing.T) {
	for _, size := range []int64{1, widestGap, widestGap + 1, math.MaxUint32, 1 << 32, 5<<32 + 7} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			s := start(t, Config{Cutoff: 1})
			f := web().make(t)
			show := s.Observer().Tap(f)
			show(client, []byte("x"))
			v, _ := s.flows.Load(f)
			v.(*story).decrypted.cut[client].Store(size)
			s.Observer().Close(f, outcome(bridge.EOF, bridge.ByServer))
			if c := s.finish()[0]; c.end != "fin by server" || c.missing[client] != uint32(size) {
				t.Errorf("%d are missing, modulo 2^32, end %q", c.missing[client], c.end)
			}
			marked, next := int64(0), uint32(0)
			for _, p := range read(t, s.buf.Bytes()) {
				if p.from != client {
					continue
				}
				if step := p.seq - next; p.flags == "." && len(p.payload) == 0 && next != 0 {
					if marked += int64(step); step > widestGap {
						t.Errorf("a step of %d", step)
					}
				}
				next = p.seq + uint32(len(p.payload))
				if p.flags == "S" {
					next++
				}
			}
			if marked != size {
				t.Errorf("%d bytes are marked as missing", marked)
			}
		})
	}
}

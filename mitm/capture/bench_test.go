package capture

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

// BenchmarkCapture measures a write from the tap to the file. The queue is bounded, so
// in the long run it is as fast as the goroutine that writes.
func BenchmarkCapture(b *testing.B) {
	for _, server := range []string{"203.0.113.9:443", "[2001:db8::9]:443"} {
		for _, size := range []int{64, 1460, 32 << 10, 128 << 10} {
			family := "ipv4"
			if server[0] == '[' {
				family = "ipv6"
			}
			b.Run(fmt.Sprintf("size=%d/%s", size, family), func(b *testing.B) {
				w, err := NewWriter(io.Discard, Config{})
				if err != nil {
					b.Fatal(err)
				}
				d := web()
				d.server = server
				show := w.Observer().Tap(d.make(b))
				data := make([]byte, size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					show(bridge.Client, data)
				}
				if err := w.Close(); err != nil {
					b.Fatal(err)
				}
				if s := w.Stats(); s.Lost > 0 {
					b.Errorf("%d flows lost", s.Lost)
				}
			})
		}
	}
}

// BenchmarkSegment measures one segment of 1460 bytes.
func BenchmarkSegment(b *testing.B) {
	p := newPackets(func(time.Time, []byte) {})
	t := &tcpState{segment: segmentIPv4}
	for side := range t.ip {
		t.ip[side] = []byte{192, 0, 2, byte(side)}
	}
	data := make([]byte, segmentIPv4)
	b.SetBytes(segmentIPv4)
	b.ReportAllocs()
	for b.Loop() {
		p.send(t, time.Time{}, bridge.Client, ackFlag, data)
	}
}

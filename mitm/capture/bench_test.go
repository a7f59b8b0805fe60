package capture

import (
	"fmt"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

// BenchmarkCapture measures a write from the tap to the file. The queue is bounded, so
// in the long run it is as fast as the goroutine that writes.
func BenchmarkCapture(b *testing.B) {
	for _, format := range []string{"pcap", "pcapng"} {
		for _, server := range []string{"203.0.113.9:443", "[2001:db8::9]:443"} {
			for _, size := range []int{64, 1460, 32 << 10, 128 << 10} {
				family := "ipv4"
				if server[0] == '[' {
					family = "ipv6"
				}
				b.Run(fmt.Sprintf("size=%d/%s/%s", size, family, format), func(b *testing.B) {
					f, err := ParseFormat(format)
					if err != nil {
						b.Fatal(err)
					}
					d := web()
					d.server = server
					benchmarkCapture(b, Config{Format: f}, d.make(b), size)
				})
			}
		}
	}
}

func benchmarkCapture(b *testing.B, config Config, f *bridge.Flow, size int) {
	w, err := NewWriter(io.Discard, config)
	if err != nil {
		b.Fatal(err)
	}
	show := w.Observer().Tap(f)
	data := make([]byte, size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		show(bridge.Client, data)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	s := w.Stats()
	if s.Lost > 0 {
		b.Errorf("%d flows lost", s.Lost)
	}
	b.ReportMetric(float64(s.Packets)/b.Elapsed().Seconds(), "packets/s")
}

// BenchmarkSegment measures one segment of 1460 bytes in each format.
func BenchmarkSegment(b *testing.B) {
	for _, f := range []struct {
		name   string
		config Config
	}{{"pcap", Config{}}, {"pcapng", Config{Format: PCAPNG}}} {
		b.Run(f.name, func(b *testing.B) {
			o, err := newOutput(io.Discard, f.config.format())
			if err != nil {
				b.Fatal(err)
			}
			p, c := &packets{o.packet}, &conversation{view: ViewDecrypted, story: &story{flow: web().make(b)}}
			c.tcp.begin(endsOf(netip.MustParseAddrPort("198.51.100.2:1"), netip.MustParseAddrPort("203.0.113.9:2")), 0)
			data := make([]byte, segmentIPv4)
			b.SetBytes(segmentIPv4)
			b.ReportAllocs()
			for b.Loop() {
				p.send(c, time.Time{}, client, ackFlag, data)
				if o.full() {
					o.flush()
				}
			}
		})
	}
}

package capture

import (
	"fmt"
	"io"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
)

// BenchmarkFeed measures what a write costs until each of some readers has it on its
// connection: the packets are made for each of them.
func BenchmarkFeed(b *testing.B) {
	for _, readers := range []int{0, 1, 4, 10} {
		b.Run(fmt.Sprintf("readers=%d", readers), func(b *testing.B) {
			f := startFeed(b, OverIP{Throttle: true})
			for range readers {
				conn := f.pipes.connect()
				if _, err := io.ReadFull(conn, make([]byte, pcapFileHeader)); err != nil {
					b.Fatal(err)
				}
				go io.Copy(io.Discard, conn)
			}
			show, end := f.begin()
			data := make([]byte, 32<<10)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				show(bridge.Client, data)
			}
			end()
			f.Close()
			if s := f.Stats(); s.Lost > 0 {
				b.Errorf("%d flows lost", s.Lost)
			}
		})
	}
}

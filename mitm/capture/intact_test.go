package capture

import (
	"bytes"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// blocks returns a pcapng file of some packets, and where each of them ends.
func blocks(t *testing.T) (pcapng []byte, ends []int) {
	t.Helper()
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriter(&b, layers.LinkTypeEthernet)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 10 {
		frame := make([]byte, 60+n)
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(1, 0), CaptureLength: len(frame), Length: len(frame)}, frame); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, b.Len())
	}
	return b.Bytes(), ends
}

func TestIntactIsTheWholePacketsOfWhatWasCutAnywhere(t *testing.T) {
	pcap, pcapEnds := sample(t)
	pcapng, pcapngEnds := blocks(t)
	for _, tt := range []struct {
		name string
		file []byte
		ends []int
	}{{"pcap", pcap, pcapEnds}, {"pcapng", pcapng, pcapngEnds}} {
		for n := range len(tt.file) + 1 {
			var size, packets int
			for i, end := range tt.ends {
				if end <= n {
					size, packets = end, i+1
				}
			}
			got, count := intact(iotest.OneByteReader(bytes.NewReader(tt.file[:n])))
			if count != packets || packets > 0 && got != int64(size) {
				t.Fatalf("%s cut after %d bytes: intact() = %d, %d, want %d, %d", tt.name, n, got, count, size, packets)
			}
		}
	}
}

func TestIntactStopsWhereNoPacketCanBe(t *testing.T) {
	pcap, ends := sample(t)
	for name, tail := range map[string][]byte{
		"zeros":              make([]byte, 8),
		"a length too large": bytes.Repeat([]byte{0xff}, 100),
	} {
		got, count := intact(bytes.NewReader(append(bytes.Clone(pcap), tail...)))
		if count != len(ends) || got != int64(len(pcap)) {
			t.Errorf("with %s behind it: intact() = %d, %d, want %d, %d", name, got, count, len(pcap), len(ends))
		}
	}
}

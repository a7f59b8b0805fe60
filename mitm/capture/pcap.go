package capture

import "time"

// packetHeader is what stands before each packet of a pcap file: its time, in seconds and
// microseconds, how much of it was captured, and how long it was.
const packetHeader = 16

// pcapFormat is a pcap file (draft-ietf-opsawg-pcap): a header, then packets.
type pcapFormat struct{}

func (pcapFormat) header() []byte {
	b := le.AppendUint32(nil, pcapMagic)
	b = le.AppendUint16(b, 2) // major version
	b = le.AppendUint16(b, 4) // minor version
	b = le.AppendUint64(b, 0) // reserved
	b = le.AppendUint32(b, snapLen)
	return le.AppendUint32(b, linkEthernet)
}

func (pcapFormat) restart() {}

func (pcapFormat) packet(b []byte, _ *conversation, at time.Time, size int) (all, frame []byte) {
	us := at.UnixMicro()
	b = le.AppendUint32(b, uint32(us/1e6))
	b = le.AppendUint32(b, uint32(us%1e6))
	b = le.AppendUint32(b, uint32(size))
	b = le.AppendUint32(b, uint32(size))
	b = grow(b, size)
	return b, b[len(b)-size:]
}

func (pcapFormat) whole(b []byte) int {
	n := 0
	for len(b)-n >= packetHeader {
		end := n + packetHeader + int(le.Uint32(b[n+8:]))
		if end > len(b) {
			break
		}
		n = end
	}
	return n
}

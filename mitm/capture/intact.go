package capture

import (
	"bufio"
	"encoding/binary"
	"io"
)

const (
	pcapMagic      = 0xa1b2c3d4 // little-endian: with microseconds
	pcapFileHeader = 24

	// Of a pcapng file, draft-ietf-opsawg-pcapng sections 3.1 and 4.3.
	smallestBlock  = 12
	enhancedPacket = 6
)

// intact returns how many bytes at the beginning of a capture are whole: its header and
// records, of which so many are packets. What follows is what a process wrote when it
// was killed. Captures are those that this package writes.
func intact(r io.Reader) (size int64, packets int) {
	b := bufio.NewReaderSize(r, 64<<10)
	head, err := b.Peek(pcapFileHeader)
	if err != nil {
		return 0, 0
	}
	measure := blockLength
	if binary.LittleEndian.Uint32(head) == pcapMagic {
		measure = recordLength
		size = pcapFileHeader
		b.Discard(pcapFileHeader)
	}
	for {
		n, packet := measure(b)
		if n == 0 {
			return size, packets
		}
		if m, err := b.Discard(n); err != nil || m < n {
			return size, packets
		}
		size += int64(n)
		if packet {
			packets++
		}
	}
}

// recordLength returns the length of the next record of a pcap file; 0: there is none.
func recordLength(b *bufio.Reader) (n int, packet bool) {
	head, err := b.Peek(packetHeader)
	if err != nil {
		return 0, false
	}
	captured := binary.LittleEndian.Uint32(head[8:])
	if captured > snapLen {
		return 0, false
	}
	return packetHeader + int(captured), true
}

// blockLength returns the length of the next block of a pcapng file; 0: there is none.
func blockLength(b *bufio.Reader) (n int, packet bool) {
	head, err := b.Peek(8)
	if err != nil {
		return 0, false
	}
	length := binary.LittleEndian.Uint32(head[4:])
	if length < smallestBlock || length%4 != 0 || length > 1<<30 {
		return 0, false
	}
	return int(length), binary.LittleEndian.Uint32(head) == enhancedPacket
}

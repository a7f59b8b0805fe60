package classify

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrNotCapture says that a file is neither pcap nor pcapng.
var ErrNotCapture = errors.New("neither pcap nor pcapng")

// ReadError says where the reading of a capture ended before the file did.
type ReadError struct {
	Packet int   // the number of the packet that could not be read, counted from 1 as Wireshark does
	Offset int64 // where its record or block begins in the file
	Err    error
}

func (e *ReadError) Error() string {
	return fmt.Sprintf("reading stopped at packet %d, offset %d: %v", e.Packet, e.Offset, e.Err)
}

func (e *ReadError) Unwrap() error { return e.Err }

// maxRecord bounds what is taken for a packet. tcpdump writes, and Wireshark reads, no more than 256 KiB of one.
const maxRecord = 1 << 20

// A packet is what was captured of one: less than was sent, perhaps, which its own headers tell. The data is valid until
// the next one is read.
type packet struct {
	link int // draft-ietf-opsawg-pcaplinktype
	data []byte
}

// packets reads the packets of a pcap or pcapng file.
type packets struct {
	r      *bufio.Reader
	offset int64 // where the next byte to read is in the file
	began  int64 // where the record or block begins that is being read
	number int   // of the packet that is being read

	order  binary.ByteOrder
	next   func() (packet, error) // by the format
	ifaces []iface                // of a pcap file there is one
	buf    []byte
}

// iface is what a file says of a network interface.
type iface struct {
	link    int
	snapLen int // 0 is no limit
}

// newPackets reads the beginning of a file, which tells the formats apart.
func newPackets(r io.Reader) (*packets, error) {
	p := &packets{r: bufio.NewReaderSize(r, 16<<10), buf: make([]byte, 64)}
	magic, err := p.r.Peek(4)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("read: %w", err)
	}
	if len(magic) < 4 {
		return nil, ErrNotCapture
	}
	if binary.BigEndian.Uint32(magic) == blockSection {
		p.next = p.nextBlock
		return p, nil
	}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		if m := order.Uint32(magic); m == magicMicroseconds || m == magicNanoseconds {
			p.order, p.next = order, p.nextRecord
			return p, p.fileHeader()
		}
	}
	return nil, ErrNotCapture
}

// read returns the next packet. The error is io.EOF at the end of a file that is whole, else a [*ReadError].
func (p *packets) read() (packet, error) {
	p.number++
	pkt, err := p.next()
	if err != nil && err != io.EOF {
		err = &ReadError{Packet: p.number, Offset: p.began, Err: err}
	}
	return pkt, err
}

// take reads n bytes, which the caller has compared with a bound. They are valid until the next call.
func (p *packets) take(n int) ([]byte, error) {
	if n > len(p.buf) {
		p.buf = make([]byte, max(n, 2*len(p.buf)))
	}
	got, err := io.ReadFull(p.r, p.buf[:n])
	p.offset += int64(got)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return p.buf[:n], err
}

// skip reads over n bytes.
func (p *packets) skip(n int64) error {
	got, err := io.CopyN(io.Discard, p.r, n)
	p.offset += got
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// begin notes that a record begins here. The error is io.EOF if the file ends here instead.
func (p *packets) begin() error {
	p.began = p.offset
	_, err := p.r.Peek(1)
	return err
}

// The magic numbers of pcap (draft-ietf-opsawg-pcap section 4).
const (
	magicMicroseconds = 0xa1b2c3d4
	magicNanoseconds  = 0xa1b23c4d
)

// fileHeader reads the header of a pcap file (draft-ietf-opsawg-pcap section 4). Its snapshot length is not looked at:
// there are writers that do not keep to it.
func (p *packets) fileHeader() error {
	head, err := p.take(24)
	if err != nil {
		return &ReadError{Packet: 1, Err: fmt.Errorf("file header: %w", err)}
	}
	if major := p.order.Uint16(head[4:]); major != 2 {
		return &ReadError{Packet: 1, Err: fmt.Errorf("file header: version %d", major)}
	}
	// The bits above are about frame check sequences.
	p.ifaces = []iface{{link: int(p.order.Uint32(head[20:]) & 0xffff)}}
	return nil
}

// nextRecord reads a packet of a pcap file (draft-ietf-opsawg-pcap section 5).
func (p *packets) nextRecord() (packet, error) {
	if err := p.begin(); err != nil {
		return packet{}, err
	}
	head, err := p.take(16)
	if err != nil {
		return packet{}, fmt.Errorf("record header: %w", err)
	}
	captured := p.order.Uint32(head[8:])
	if captured > maxRecord {
		return packet{}, fmt.Errorf("a packet of %d bytes", captured)
	}
	data, err := p.take(int(captured))
	if err != nil {
		return packet{}, fmt.Errorf("packet data: %w", err)
	}
	return packet{link: p.ifaces[0].link, data: data}, nil
}

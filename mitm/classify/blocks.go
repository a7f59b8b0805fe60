package classify

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The types of blocks of a pcapng file (draft-ietf-opsawg-pcapng section 4 and appendix A).
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockObsolete  = 2
	blockSimple    = 3
	blockEnhanced  = 6
)

// byteOrderMagic is how a section tells its byte order (section 4.1).
const byteOrderMagic = 0x1a2b3c4d

// maxIfaces bounds the interfaces of a section: a block of 20 bytes makes one.
const maxIfaces = 1 << 16

// nextBlock reads blocks up to the next packet and returns that. Options and blocks of other types are passed over, so
// are times.
func (p *packets) nextBlock() (packet, error) {
	for {
		if err := p.begin(); err != nil {
			return packet{}, err
		}
		kind, size, err := p.blockHead()
		if err != nil {
			return packet{}, fmt.Errorf("block header: %w", err)
		}
		var (
			pkt   packet
			found bool
		)
		switch kind {
		case blockSection:
			err = p.section(size)
		case blockInterface:
			err = p.block(size, p.iface)
		case blockObsolete, blockSimple, blockEnhanced:
			found = true
			err = p.block(size, func(body []byte) error {
				pkt, err = p.blockPacket(kind, body)
				return err
			})
		default:
			err = p.skip(int64(size) - 8)
		}
		if err != nil || found {
			return pkt, err
		}
	}
}

// blockHead reads the type and the length of a block. The byte order of a section's own block stands behind them.
func (p *packets) blockHead() (kind, size uint32, err error) {
	head, err := p.take(8)
	if err != nil {
		return 0, 0, err
	}
	if binary.BigEndian.Uint32(head) == blockSection {
		magic, err := p.r.Peek(4)
		if err != nil {
			return 0, 0, errors.New("unexpected end of a section header")
		}
		switch {
		case binary.LittleEndian.Uint32(magic) == byteOrderMagic:
			p.order = binary.LittleEndian
		case binary.BigEndian.Uint32(magic) == byteOrderMagic:
			p.order = binary.BigEndian
		default:
			return 0, 0, fmt.Errorf("byte-order magic %x", magic)
		}
	}
	kind, size = p.order.Uint32(head), p.order.Uint32(head[4:])
	// Section 3.1: the length "MUST be a multiple of 4", and covers type and both lengths.
	if size < 12 || size%4 != 0 {
		return 0, 0, fmt.Errorf("a block of %d bytes", size)
	}
	return kind, size, nil
}

// block reads the body of a block of size bytes and hands it on, unless it is larger than what is read at all.
func (p *packets) block(size uint32, use func([]byte) error) error {
	if size > maxRecord {
		return fmt.Errorf("a block of %d bytes", size)
	}
	body, err := p.take(int(size) - 8)
	if err != nil {
		return err
	}
	// Section 3.1: the total length stands at the end again, for those who read backwards.
	if again := p.order.Uint32(body[len(body)-4:]); again != size {
		return fmt.Errorf("a block of %d bytes ends as one of %d", size, again)
	}
	return use(body[:len(body)-4])
}

// section begins a section, whose interfaces are its own (section 4.1). Its length stands behind the version, and is not
// needed.
func (p *packets) section(size uint32) error {
	p.ifaces = p.ifaces[:0]
	if size < 28 {
		return fmt.Errorf("section header: a block of %d bytes", size)
	}
	body, err := p.take(8)
	if err != nil {
		return fmt.Errorf("section header: %w", err)
	}
	if major := p.order.Uint16(body[4:]); major != 1 {
		return fmt.Errorf("section header: version %d", major)
	}
	return p.skip(int64(size) - 16)
}

// iface adds an interface (section 4.2).
func (p *packets) iface(body []byte) error {
	if len(body) < 8 || len(p.ifaces) >= maxIfaces {
		return errors.New("interface description: too short, or too many")
	}
	p.ifaces = append(p.ifaces, iface{link: int(p.order.Uint16(body)), snapLen: int(p.order.Uint32(body[4:]))})
	return nil
}

// blockPacket reads a packet of one of the three kinds: enhanced (section 4.3), simple (4.4), obsolete (appendix A).
func (p *packets) blockPacket(kind uint32, body []byte) (packet, error) {
	if kind == blockSimple {
		return p.simplePacket(body)
	}
	if len(body) < 20 {
		return packet{}, errors.New("packet block: too short")
	}
	id := p.order.Uint32(body)
	if kind == blockObsolete {
		id = uint32(p.order.Uint16(body)) // and a drop count
	}
	captured, data := p.order.Uint32(body[12:]), body[20:]
	switch {
	case int64(id) >= int64(len(p.ifaces)):
		return packet{}, fmt.Errorf("packet block: interface %d of %d", id, len(p.ifaces))
	case int64(captured) > int64(len(data)):
		return packet{}, fmt.Errorf("packet block: a packet of %d bytes in %d", captured, len(data))
	}
	return packet{link: p.ifaces[id].link, data: data[:captured]}, nil
}

// simplePacket reads a block that leaves it to the first interface how much of the packet was captured.
func (p *packets) simplePacket(body []byte) (packet, error) {
	if len(body) < 4 || len(p.ifaces) == 0 {
		return packet{}, errors.New("simple packet block: too short, or without an interface")
	}
	data := body[4:]
	captured := min(int(p.order.Uint32(body)), len(data)) // the length that was sent; behind it is padding
	if snap := p.ifaces[0].snapLen; snap > 0 {
		captured = min(captured, snap)
	}
	return packet{link: p.ifaces[0].link, data: data[:captured]}, nil
}

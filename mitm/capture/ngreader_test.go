package capture

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket/pcapgo"
)

// ngBlock is a block of a pcapng file, read back as draft-ietf-opsawg-pcapng says.
type ngBlock struct {
	kind    uint32
	body    []byte
	options map[uint16]string // of the blocks that this package gives some

	at      time.Time // of packets
	iface   string
	segment segment
	name    string // "192.0.2.1 example.com", of names
	secrets string // of secrets
}

// ngBlocks parses a file, and checks of each block what holds for all of them.
func ngBlocks(b []byte) ([]ngBlock, error) {
	var all []ngBlock
	var ifaces []string
	for n := 0; n < len(b); {
		if len(b)-n < 12 {
			return nil, fmt.Errorf("%d bytes after the last block", len(b)-n)
		}
		size := int(le.Uint32(b[n+4:]))
		if size%4 != 0 || size < 12 || size > len(b)-n || int(le.Uint32(b[n+size-4:])) != size {
			return nil, fmt.Errorf("block %d: lengths of %d", len(all), size)
		}
		block := ngBlock{kind: le.Uint32(b[n:]), body: b[n+8 : n+size-4]}
		if (len(all) == 0) != (block.kind == sectionHeaderBlock) {
			return nil, fmt.Errorf("block %d has type %#x", len(all), block.kind)
		}
		if err := block.parse(ifaces); err != nil {
			return nil, fmt.Errorf("block %d: %w", len(all), err)
		}
		if block.kind == interfaceDescriptionBlock {
			ifaces = append(ifaces, block.options[ifName])
		}
		all = append(all, block)
		n += size
	}
	return all, nil
}

func (b *ngBlock) parse(ifaces []string) (err error) {
	body := b.body
	switch b.kind {
	case sectionHeaderBlock:
		if want := []byte{0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255}; !bytes.HasPrefix(body, want) {
			return fmt.Errorf("section header %x", body)
		}
		b.options, err = ngOptions(body[16:])
	case interfaceDescriptionBlock:
		if want := []byte{1, 0, 0, 0, 0, 0, 4, 0}; !bytes.HasPrefix(body, want) {
			return fmt.Errorf("interface %x", body)
		}
		b.options, err = ngOptions(body[8:])
	case enhancedPacketBlock:
		return b.parsePacket(ifaces)
	case nameResolutionBlock:
		record, size := le.Uint16(body), int(le.Uint16(body[2:]))
		width := map[uint16]int{nrbIPv4: 4, nrbIPv6: 16}[record]
		value := body[4 : 4+size]
		if rest := body[4+(size+3)&^3:]; width == 0 || len(rest) != 4 || le.Uint32(rest) != 0 || bytes.IndexByte(value[width:], 0) != size-width-1 {
			return fmt.Errorf("names %x", body)
		}
		addr, _ := netip.AddrFromSlice(value[:width])
		b.name = fmt.Sprintf("%v %s", addr, value[width:size-1])
	case decryptionSecretsBlock:
		size := int(le.Uint32(body[4:]))
		if le.Uint32(body) != 0x544c534b || len(body) != 8+(size+3)&^3 {
			return fmt.Errorf("secrets %x", body)
		}
		b.secrets = string(body[8 : 8+size])
	default:
		return errors.New("of a type that is not written")
	}
	return err
}

func (b *ngBlock) parsePacket(ifaces []string) (err error) {
	iface, size := le.Uint32(b.body), int(le.Uint32(b.body[12:]))
	if int(iface) >= len(ifaces) || int(le.Uint32(b.body[16:])) != size {
		return fmt.Errorf("interface %d, lengths of %d", iface, size)
	}
	b.iface = ifaces[iface]
	b.at = time.UnixMicro(int64(le.Uint32(b.body[4:]))<<32 | int64(le.Uint32(b.body[8:])))
	if b.options, err = ngOptions(b.body[20+(size+3)&^3:]); err != nil {
		return err
	}
	if size == 0 {
		return nil // not one of ours
	}
	b.segment, err = parseFrame(b.body[20 : 20+size])
	b.segment.at = b.at
	return err
}

func ngOptions(b []byte) (map[uint16]string, error) {
	all := map[uint16]string{}
	for len(b) > 0 {
		code, size := le.Uint16(b), int(le.Uint16(b[2:]))
		padded := (size + 3) &^ 3
		if len(b) < 4+padded || !bytes.Equal(b[4+size:4+padded], make([]byte, padded-size)) {
			return nil, fmt.Errorf("option %d of %d bytes", code, size)
		}
		if code == 0 {
			if len(b) != 4 || size != 0 {
				return nil, errors.New("something comes after the last option")
			}
			return all, nil
		}
		all[code] = string(b[4 : 4+size])
		b = b[4+padded:]
	}
	return all, nil
}

// readNg parses a pcapng capture. What gopacket reads must be the same packets.
func readNg(tb testing.TB, b []byte) []ngBlock {
	tb.Helper()
	all, err := ngBlocks(b)
	if err != nil {
		tb.Fatal(err)
	}
	r, err := pcapgo.NewNgReader(bytes.NewReader(b), pcapgo.DefaultNgReaderOptions)
	if err != nil {
		tb.Fatalf("gopacket: %v", err)
	}
	for i, block := range all {
		if block.kind != enhancedPacketBlock {
			continue
		}
		frame, info, err := r.ReadPacketData()
		if err != nil {
			tb.Fatalf("gopacket: block %d: %v", i, err)
		}
		if !bytes.Equal(frame, block.body[20:20+len(frame)]) || !info.Timestamp.Equal(block.at) {
			tb.Fatalf("gopacket: block %d: another packet", i)
		}
	}
	if _, _, err := r.ReadPacketData(); !errors.Is(err, io.EOF) {
		tb.Fatalf("gopacket: %v after the last packet", err)
	}
	return all
}

// of returns the packets of one interface.
func of(iface View, all []ngBlock) []segment {
	var segments []segment
	for _, b := range all {
		if b.kind == enhancedPacketBlock && b.iface == string(iface) {
			segments = append(segments, b.segment)
		}
	}
	return segments
}

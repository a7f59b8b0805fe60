package capture

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// The blocks of a pcapng file (draft-ietf-opsawg-pcapng), little-endian. The functions
// append one block each, whole and padded.

const (
	sectionHeaderBlock        = 0x0a0d0d0a // §4.1
	interfaceDescriptionBlock = 1          // §4.2
	enhancedPacketBlock       = 6          // §4.3
	nameResolutionBlock       = 4          // §4.5
	decryptionSecretsBlock    = 10         // §4.7

	byteOrderMagic = 0x1a2b3c4d
	tlsKeyLog      = 0x544c534b // Secrets Type: TLS Key Log
	linkEthernet   = 1

	optEnd       = 0 // opt_endofopt, §3.5
	optComment   = 1 // opt_comment, §3.5
	shbUserAppl  = 4 // shb_userappl, §4.1
	ifName       = 2 // if_name, §4.2
	nrbRecordEnd = 0 // nrb_record_end, §4.5
	nrbIPv4      = 1 // nrb_record_ipv4
	nrbIPv6      = 2 // nrb_record_ipv6

	// blockFrame is a block's type and its length, which stands at both ends.
	blockFrame = 12

	// optionLimit is the longest value of an option: its length has 16 bits.
	optionLimit = 1<<16 - 1
)

var le = binary.LittleEndian

// appendSection appends the header of a section of unknown length.
func appendSection(b []byte, application string) []byte {
	b, at := beginBlock(b, sectionHeaderBlock)
	b = le.AppendUint32(b, byteOrderMagic)
	b = le.AppendUint16(b, 1) // major version
	b = le.AppendUint16(b, 0) // minor version
	b = le.AppendUint64(b, 1<<64-1)
	b = appendOption(b, shbUserAppl, application)
	b = appendOption(b, optEnd, "")
	return endBlock(b, at)
}

// appendInterface describes the next interface: Ethernet, with times in microseconds,
// which is the default.
func appendInterface(b []byte, name string) []byte {
	b, at := beginBlock(b, interfaceDescriptionBlock)
	b = le.AppendUint16(b, linkEthernet)
	b = le.AppendUint16(b, 0) // reserved
	b = le.AppendUint32(b, snapLen)
	b = appendOption(b, ifName, name)
	b = appendOption(b, optEnd, "")
	return endBlock(b, at)
}

// appendPacket appends a packet of an interface with room for size bytes of data, which
// is where it says. An empty comment is none.
func appendPacket(b []byte, iface uint32, at time.Time, size int, comment string) (block, data []byte) {
	b, begin := beginBlock(b, enhancedPacketBlock)
	us := uint64(at.UnixMicro())
	b = le.AppendUint32(b, iface)
	b = le.AppendUint32(b, uint32(us>>32))
	b = le.AppendUint32(b, uint32(us))
	b = le.AppendUint32(b, uint32(size)) // captured
	b = le.AppendUint32(b, uint32(size)) // original
	from := len(b)
	b = grow(b, size)
	b = pad(b, size)
	if comment != "" {
		b = appendOption(b, optComment, comment)
		b = appendOption(b, optEnd, "")
	}
	b = endBlock(b, begin)
	return b, b[from : from+size]
}

// appendName says which name an address has.
func appendName(b []byte, addr netip.Addr, name string) []byte {
	b, at := beginBlock(b, nameResolutionBlock)
	record, ip := uint16(nrbIPv6), addr.AsSlice()
	if addr.Is4() {
		record = nrbIPv4
	}
	size := len(ip) + len(name) + 1
	b = le.AppendUint16(b, record)
	b = le.AppendUint16(b, uint16(size))
	b = append(b, ip...)
	b = append(b, name...)
	b = append(b, 0)
	b = pad(b, size)
	b = le.AppendUint16(b, nrbRecordEnd)
	b = le.AppendUint16(b, 0)
	return endBlock(b, at)
}

// appendSecrets appends lines of a TLS key log (RFC 9850), which hold for the packets
// that come after them.
func appendSecrets(b, lines []byte) []byte {
	b, at := beginBlock(b, decryptionSecretsBlock)
	b = le.AppendUint32(b, tlsKeyLog)
	b = le.AppendUint32(b, uint32(len(lines)))
	b = append(b, lines...)
	b = pad(b, len(lines))
	return endBlock(b, at)
}

// appendOption appends an option. A value that is too long is cut off.
func appendOption(b []byte, code uint16, value string) []byte {
	value = value[:min(len(value), optionLimit)]
	b = le.AppendUint16(b, code)
	b = le.AppendUint16(b, uint16(len(value)))
	b = append(b, value...)
	return pad(b, len(value))
}

// beginBlock appends a block's type, and room for its length. It returns where it begins.
func beginBlock(b []byte, kind uint32) ([]byte, int) {
	at := len(b)
	b = le.AppendUint32(b, kind)
	return le.AppendUint32(b, 0), at
}

// endBlock sets the length of the block that begins there, at both of its ends.
func endBlock(b []byte, at int) []byte {
	size := uint32(len(b) - at + 4)
	le.PutUint32(b[at+4:], size)
	return le.AppendUint32(b, size)
}

// pad appends what a value of n bytes lacks to a multiple of four.
func pad(b []byte, n int) []byte {
	var zero [3]byte
	return append(b, zero[:-n&3]...)
}

// wholeBlocks returns how many of the bytes of b are whole blocks.
func wholeBlocks(b []byte) int {
	n := 0
	for len(b)-n >= blockFrame {
		size := int(le.Uint32(b[n+4:]))
		if size < blockFrame || size > len(b)-n {
			break
		}
		n += size
	}
	return n
}

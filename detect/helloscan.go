package detect

import "encoding/binary"

const (
	recordHeaderLen = 5
	maxRecordLen    = 1 << 14 // RFC 8446 §5.1

	contentTypeHandshake = 22
	typeClientHello      = 1

	// minHello is a ClientHello with one cipher suite, one compression method and no extensions: header 4,
	// legacy_version 2, random 32, legacy_session_id 1, cipher_suites 2+2, legacy_compression_methods 1+1.
	minHello = 45
)

// Extension types that are read here.
const (
	extServerName          = 0
	extSupportedGroups     = 10
	extECPointFormats      = 11
	extSignatureAlgorithms = 13
	extALPN                = 16
	extSessionTicket       = 35
	extPreSharedKey        = 41
	extEarlyData           = 42
	extSupportedVersions   = 43
	extSignatureAlgsCert   = 50
	extKeyShare            = 51
	extECH                 = 0xfe0d
)

// helloCursor reads a ClientHello from front to back. It is used twice: over the records as they came, where it joins
// them without copying, judges, and keeps nothing; then over the joined message, to fill keep.
//
// After the first byte that is missing or cannot be, out says so, and reading yields zeros and moves nothing.
type helloCursor struct {
	buf     []byte
	pos     int // of the next byte in buf
	left    int // bytes of the current record that were not read
	records int
	off     int // of the next byte in the message
	size    int // of the message, when known
	out     result

	keep       *ClientHello // nil: judge only
	extensions int
	seen       uint64 // bit set of the extensions in once
}

// scanClientHello judges the records in buf. The cursor tells what it counted.
func scanClientHello(buf []byte) (helloCursor, result) {
	c := helloCursor{buf: buf}
	c.message()
	if c.ok() {
		c.out = complete(c.pos)
	}
	return c, c.out
}

func (c *helloCursor) ok() bool { return c.out.field == "" && c.out.need == 0 }

// fail ends the reading because of the byte at a position in buf.
func (c *helloCursor) fail(field string, at int) {
	if c.ok() {
		c.out = bad(field, at)
	}
}

// need is the least length that buf must have to hold the whole message: what is missing of it, and the headers of as
// many records as that fills beyond the current one.
func (c *helloCursor) need() int {
	missing := max(c.size, minHello) - c.off
	records := (max(missing-c.left, 0) + maxRecordLen - 1) / maxRecordLen
	return c.pos + missing + records*recordHeaderLen
}

// wait ends the reading because buf ends.
func (c *helloCursor) wait() { c.out = short(c.need()) }

// bound ends the reading when a length that was just read makes the whole too long.
func (c *helloCursor) bound() {
	if c.need() > MaxClientHello {
		c.fail("length", c.pos-1)
	}
}

// room ends the reading when fewer than n bytes are left before the offset end in the message.
func (c *helloCursor) room(field string, n, end int) {
	if n > end-c.off {
		c.fail(field, c.pos-1)
	}
}

// record reads a record header.
func (c *helloCursor) record() {
	h := c.buf[c.pos:]
	switch {
	case len(h) > 0 && h[0] != contentTypeHandshake:
		c.fail("ContentType", c.pos)
	case len(h) > 1 && h[1] != 3:
		c.fail("legacy_record_version", c.pos+1)
	case len(h) > 2 && h[2] > 4:
		c.fail("legacy_record_version", c.pos+2)
	case len(h) > 3 && int(h[3]) > maxRecordLen>>8:
		c.fail("record length", c.pos+3)
	case len(h) < recordHeaderLen:
		c.wait()
	default:
		c.recordLength(int(h[3])<<8 | int(h[4]))
	}
}

func (c *helloCursor) recordLength(n int) {
	// RFC 8446 §5.1: "Implementations MUST NOT send zero-length fragments of Handshake types". A record that goes on
	// after the message holds what no client may send before it has an answer.
	if n == 0 || n > maxRecordLen || (c.size > 0 && n > c.size-c.off) {
		c.fail("record length", c.pos+3)
		return
	}
	c.pos += recordHeaderLen
	c.left = n
	c.records++
	c.bound()
}

// skip moves over n bytes of the message.
func (c *helloCursor) skip(n int) {
	for n > 0 && c.ok() {
		if c.left == 0 {
			c.record()
			continue
		}
		k := min(n, c.left, len(c.buf)-c.pos)
		if k == 0 {
			c.wait()
			return
		}
		c.pos += k
		c.left -= k
		c.off += k
		n -= k
	}
}

// take moves over n bytes and returns them when there is somebody to keep them.
func (c *helloCursor) take(n int) []byte {
	c.skip(n)
	if c.keep == nil {
		return nil
	}
	return c.buf[c.pos-n : c.pos : c.pos]
}

func (c *helloCursor) u8() int {
	c.skip(1)
	if !c.ok() {
		return 0
	}
	return int(c.buf[c.pos-1])
}

func (c *helloCursor) u16() int { return c.u8()<<8 | c.u8() }

// vector reads a length of width bytes, and returns it. It must be at least least, a multiple of unit, and leave what
// it counts inside of what surrounds it, which ends at the offset end in the message.
func (c *helloCursor) vector(field string, width, least, unit, end int) int {
	c.room(field, width, end)
	n := 0
	for range width {
		n = n<<8 | c.u8()
	}
	c.room(field, n, end)
	if n < least || n%unit != 0 {
		c.fail(field, c.pos-1)
	}
	if !c.ok() {
		return 0
	}
	return n
}

// list16 reads n bytes of 16-bit numbers, and returns them when there is somebody to keep them.
func (c *helloCursor) list16(n int) []uint16 {
	b := c.take(n)
	if c.keep == nil {
		return nil
	}
	list := make([]uint16, 0, n/2)
	for ; len(b) > 0; b = b[2:] {
		list = append(list, binary.BigEndian.Uint16(b))
	}
	return list
}

// message reads the handshake header and the ClientHello (RFC 8446 §4.1.2).
func (c *helloCursor) message() {
	if c.u8() != typeClientHello {
		c.fail("HandshakeType", c.pos-1)
		return
	}
	size := c.u8()<<16 | c.u16()
	c.messageSize(4 + size)
	if !c.ok() {
		return
	}
	h := c.keep
	if h == nil {
		h = &ClientHello{}
	}
	if c.u8() != 3 {
		c.fail("legacy_version", c.pos-1)
	}
	h.LegacyVersion = uint16(3<<8 | c.u8())
	h.Random = c.take(32)
	h.SessionID = c.take(c.vector("legacy_session_id", 1, 0, 1, min(c.off+1+32, c.size)))
	h.CipherSuites = c.list16(c.vector("cipher_suites", 2, 2, 2, c.size))
	h.CompressionMethods = c.take(c.vector("legacy_compression_methods", 1, 1, 1, c.size))
	if c.ok() && c.off < c.size {
		c.extensionBlock(h)
	}
}

// messageSize takes note of how long the message says it is, header included.
func (c *helloCursor) messageSize(size int) {
	switch {
	case !c.ok():
	case size < minHello || size > MaxClientHello-recordHeaderLen:
		c.fail("handshake length", c.pos-1)
	case c.left > size-c.off:
		c.fail("record length", c.pos-1)
	default:
		c.size = size
		c.bound()
	}
}

// extensionBlock reads the extensions, which end the message.
func (c *helloCursor) extensionBlock(h *ClientHello) {
	if n := c.vector("extensions", 2, 0, 1, c.size); c.ok() && c.off+n != c.size {
		c.fail("extensions", c.pos-1)
	}
	for c.ok() && c.off < c.size {
		c.room("extension type", 2, c.size)
		id := uint16(c.u16())
		c.mayStandHere(id)
		n := c.vector("extension length", 2, 0, 1, c.size)
		if h := c.keep; h != nil {
			h.Extensions = append(h.Extensions, Extension{ID: id, Data: c.buf[c.pos : c.pos+n : c.pos+n]})
		}
		c.extensions++
		end := c.off + n
		c.extension(h, id, end)
		if c.ok() && c.off != end {
			c.fail(extensionName(id), c.pos-1)
		}
	}
}

// once has the bit of each extension whose second occurrence would be read differently by different peers.
const once = 1<<extServerName | 1<<extSupportedGroups | 1<<extSignatureAlgorithms | 1<<extALPN | 1<<extSessionTicket |
	1<<extPreSharedKey | 1<<extSupportedVersions | 1<<extSignatureAlgsCert | 1<<extKeyShare

// mayStandHere checks the place of an extension among those before it.
func (c *helloCursor) mayStandHere(id uint16) {
	// RFC 8446 §4.2.11: pre_shared_key "MUST be the last extension in the ClientHello".
	if c.seen&(1<<extPreSharedKey) != 0 {
		c.fail("pre_shared_key", c.pos-1)
	}
	// RFC 8446 §4.2: "There MUST NOT be more than one extension of the same type". (A shift by 64 and more gives 0.)
	bit := uint64(1) << id & once
	if c.seen&bit != 0 {
		c.fail(extensionName(id), c.pos-1)
	}
	c.seen |= bit
}

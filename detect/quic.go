package detect

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// QUIC versions (RFC 9000 §15, RFC 9369 §3.1).
const (
	quicVersion1 = 0x00000001
	quicVersion2 = 0x6b3343cf
)

const (
	quicLeast   = 1200 // RFC 9000 §14.1: a client pads the datagrams of its Initial packets
	quicConnID  = 20
	quicSample  = 16
	quicLongBit = 0x80
	quicFixed   = 0x40
)

// QUIC detects a client's first datagram: an Initial packet of version 1 or 2 (RFC 9000 §17.2.2, RFC 9369), or a long
// header of another version in a datagram of at least 1,200 bytes. Host and ALPN are those of the ClientHello in it,
// where it is in this one datagram whole; [QUICHello] reads one that is in several.
func QUIC() Detector {
	return Detector{Name: "quic", Limit: 64 << 10, Datagram: true, Func: func(in Input) Verdict {
		version, ok := quicHeader(in.Client)
		if !ok {
			return No()
		}
		info := Info{Protocol: "quic"}
		switch version {
		case quicVersion1:
			info.Version = "1"
		case quicVersion2:
			info.Version = "2"
		default:
			return Yes(info)
		}
		if hello, err := QUICHello(in.Client); err == nil {
			info.Host, info.ALPN = "", hello.ALPN
			if isHost(hello.ServerName) {
				info.Host = hello.ServerName
			}
		}
		return Yes(info)
	}}
}

// quicHeader looks at the invariant part of a long header (RFC 8999 §5.1), and at what versions 1 and 2 make of it.
func quicHeader(b []byte) (version uint32, ok bool) {
	if len(b) < quicLeast || b[0]&(quicLongBit|quicFixed) != quicLongBit|quicFixed {
		return 0, false
	}
	version = be32(b[1:])
	dst := int(b[5])
	if version == 0 || dst > quicConnID || 6+dst >= len(b) || int(b[6+dst]) > quicConnID {
		return 0, false
	}
	switch version {
	case quicVersion1:
		return version, b[0]&0x30 == 0 && dst >= 8
	case quicVersion2:
		return version, b[0]&0x30 == 0x10 && dst >= 8
	}
	// Versions that are reserved to be negotiated away, and the drafts.
	return version, version&0x0f0f0f0f == 0x0a0a0a0a || version>>8 == 0xff0000
}

// QUICHello reads the ClientHello out of the first datagrams of a client of QUIC version 1 or 2, in any order. The error
// is [ErrShort] when a part of it is missing, else a [*MalformedError]. The keys of Initial packets are known to all
// (RFC 9001 §5.2).
func QUICHello(datagrams ...[]byte) (*ClientHello, error) {
	var pieces []quicPiece
	for _, b := range datagrams {
		for len(b) > 0 {
			packet, rest, ok := cutInitial(b)
			if !ok {
				break
			}
			frames, ok := packet.open()
			if !ok {
				return nil, &MalformedError{Protocol: "quic", Field: "Initial packet", Offset: 0}
			}
			pieces = append(pieces, cryptoFrames(frames)...)
			b = rest
		}
	}
	if len(pieces) == 0 {
		return nil, &MalformedError{Protocol: "quic", Field: "Initial packet", Offset: 0}
	}
	stream := assemble(pieces)
	if len(stream) < 4 || len(stream) < 4+int(be32(stream)&0xffffff) {
		return nil, ErrShort
	}
	message := stream[:4+int(be32(stream)&0xffffff)]
	var records []byte
	for rest := message; len(rest) > 0; {
		n := min(len(rest), 16384)
		records = append(records, 22, 3, 1, byte(n>>8), byte(n))
		records, rest = append(records, rest[:n]...), rest[n:]
	}
	hello, _, err := ParseClientHello(records)
	return hello, err
}

// quicInitial is an Initial packet: its bytes, and where the packet number begins.
type quicInitial struct {
	bytes   []byte
	version uint32
	dst     []byte
	number  int
}

// cutInitial takes the first packet off a datagram, if it is an Initial one.
func cutInitial(b []byte) (p quicInitial, rest []byte, ok bool) {
	if len(b) < 7 || b[0]&quicLongBit == 0 {
		return p, nil, false
	}
	p.version = be32(b[1:])
	kind := b[0] & 0x30
	if !(p.version == quicVersion1 && kind == 0 || p.version == quicVersion2 && kind == 0x10) {
		return p, nil, false
	}
	at := 5
	for i := range 2 {
		if at >= len(b) || int(b[at]) > quicConnID || at+1+int(b[at]) > len(b) {
			return p, nil, false
		}
		if i == 0 {
			p.dst = b[at+1 : at+1+int(b[at])]
		}
		at += 1 + int(b[at])
	}
	token, n := quicVarint(b[at:])
	if n == 0 || token > uint64(len(b)-at-n) {
		return p, nil, false
	}
	at += n + int(token)
	length, n := quicVarint(b[at:])
	if n == 0 || length > uint64(len(b)-at-n) || length < 4+quicSample {
		return p, nil, false
	}
	p.number = at + n
	end := p.number + int(length)
	p.bytes = b[:end]
	return p, b[end:], true
}

// quicVarint reads a variable-length integer (RFC 9000 §16), and its length, which is 0 when it is not whole.
func quicVarint(b []byte) (v uint64, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	if n = 1 << (b[0] >> 6); len(b) < n {
		return 0, 0
	}
	v = uint64(b[0] & 0x3f)
	for _, c := range b[1:n] {
		v = v<<8 | uint64(c)
	}
	return v, n
}

// The salts and the words in the labels of each version (RFC 9001 §5.2, RFC 9369 §3.3).
var quicKeys = map[uint32]struct{ salt, key, iv, hp string }{
	quicVersion1: {"\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a", "quic key", "quic iv", "quic hp"},
	quicVersion2: {"\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9", "quicv2 key", "quicv2 iv", "quicv2 hp"},
}

// open takes off header protection and encryption (RFC 9001 §5) and returns the frames.
func (p quicInitial) open() (frames []byte, ok bool) {
	words := quicKeys[p.version]
	initial, err := hkdf.Extract(sha256.New, p.dst, []byte(words.salt))
	if err != nil {
		return nil, false
	}
	secret := expandLabel(initial, "client in", sha256.Size)
	block, err := aes.NewCipher(expandLabel(secret, words.hp, 16))
	if err != nil {
		return nil, false
	}
	packet := slices.Clone(p.bytes)
	var mask [aes.BlockSize]byte
	block.Encrypt(mask[:], packet[p.number+4:p.number+4+quicSample])
	packet[0] ^= mask[0] & 0x0f
	length := int(packet[0]&3) + 1
	nonce := expandLabel(secret, words.iv, 12)
	for i := range length {
		packet[p.number+i] ^= mask[1+i]
		nonce[len(nonce)-length+i] ^= packet[p.number+i]
	}
	if block, err = aes.NewCipher(expandLabel(secret, words.key, 16)); err != nil {
		return nil, false
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, false
	}
	body := p.number + length
	frames, err = aead.Open(nil, nonce, packet[body:], packet[:body])
	return frames, err == nil
}

// expandLabel is HKDF-Expand-Label (RFC 8446 §7.1) without a context.
func expandLabel(secret []byte, label string, n int) []byte {
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(append(info, byte(6+len(label))), "tls13 "+label...)
	key, err := hkdf.Expand(sha256.New, secret, string(append(info, 0)), n)
	if err != nil {
		panic(err) // of lengths that are constant
	}
	return key
}

// quicPiece is the data of a CRYPTO frame.
type quicPiece struct {
	offset uint64
	data   []byte
}

// cryptoFrames collects the CRYPTO frames of an Initial packet, as far as its frames are understood: PADDING, PING, ACK
// and CRYPTO may be in it (RFC 9000 §17.2.2).
func cryptoFrames(b []byte) (all []quicPiece) {
	for len(b) > 0 {
		kind := b[0]
		b = b[1:]
		switch kind {
		case 0x00, 0x01: // PADDING, PING
		case 0x02, 0x03:
			var ok bool
			if b, ok = skipACK(b, kind == 0x03); !ok {
				return all
			}
		case 0x06:
			offset, n := quicVarint(b)
			length, m := quicVarint(b[n:])
			if n == 0 || m == 0 || length > uint64(len(b)-n-m) || offset > MaxClientHello {
				return all
			}
			all = append(all, quicPiece{offset, b[n+m : n+m+int(length)]})
			b = b[n+m+int(length):]
		default:
			return all
		}
	}
	return all
}

// skipACK takes an ACK frame off (RFC 9000 §19.3).
func skipACK(b []byte, ecn bool) ([]byte, bool) {
	next := func() (v uint64, ok bool) {
		v, n := quicVarint(b)
		b = b[n:]
		return v, n > 0
	}
	next() // Largest Acknowledged
	next() // ACK Delay
	ranges, ok := next()
	fields := 1 + 2*ranges
	if ecn {
		fields += 3
	}
	for i := uint64(0); ok && i < fields; i++ {
		_, ok = next()
	}
	return b, ok
}

// assemble puts pieces together, as far as they follow one another from the first byte.
func assemble(pieces []quicPiece) (stream []byte) {
	slices.SortStableFunc(pieces, func(a, b quicPiece) int { return int(a.offset) - int(b.offset) })
	for _, p := range pieces {
		have := uint64(len(stream))
		if p.offset > have {
			break
		}
		if skip := have - p.offset; skip < uint64(len(p.data)) {
			stream = append(stream, p.data[skip:]...)
		}
	}
	return stream
}

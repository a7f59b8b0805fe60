package detect

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
)

// quicInitial is an Initial packet (RFC 9000 §17.2.2) as it was sent.
type quicInitial struct {
	version uint32
	dst     []byte // Destination Connection ID
	packet  []byte // all of it
	number  int    // where the packet number begins in it
}

// quicSample is how many bytes of the payload the mask of the header is made from (RFC 9001 §5.4.2). They begin where
// the payload would, if the packet number had its greatest length.
const (
	quicSample    = aes.BlockSize
	quicNumberMax = 4
)

// cutInitial takes the first packet off a datagram, if it is an Initial packet of version 1 or 2.
func cutInitial(b []byte) (p quicInitial, rest []byte, ok bool) {
	version, dst, _, rest, ok := cutQUICHeader(b)
	if !ok || !isInitial(version, b[0]) {
		return quicInitial{}, nil, false
	}
	token, n := quicVarint(rest)
	if n == 0 || token > uint64(len(rest)-n) {
		return quicInitial{}, nil, false
	}
	rest = rest[n+int(token):]
	length, n := quicVarint(rest)
	if n == 0 || length > uint64(len(rest)-n) || length < quicNumberMax+quicSample {
		return quicInitial{}, nil, false
	}
	rest = rest[n:]
	number := len(b) - len(rest)
	end := number + int(length)
	return quicInitial{version, dst, b[:end], number}, b[end:], true
}

// isInitial looks at the Long Packet Type, which is another in version 2 (RFC 9369 §3.2).
func isInitial(version uint32, first byte) bool {
	kind := first & 0x30
	return version == quicVersion1 && kind == 0 || version == quicVersion2 && kind == 0x10
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

// quicKeys are a client's for Initial packets. They hide nothing: whoever sees the connection ID has them.
type quicKeys struct {
	header  cipher.Block
	payload cipher.AEAD
	iv      []byte
}

// newQUICKeys derives the keys (RFC 9001 §5.2; RFC 9369 §3.3 has other words). It fails where the Go runtime is told to
// refuse keys that are known to all (GODEBUG=fips140=only).
func newQUICKeys(version uint32, dst []byte) (*quicKeys, error) {
	salt, prefix := "\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a", "quic "
	if version == quicVersion2 {
		salt, prefix = "\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9", "quicv2 "
	}
	initial, err := hkdf.Extract(sha256.New, dst, []byte(salt))
	if err != nil {
		return nil, err
	}
	secret, err := expandLabel(initial, "client in", sha256.Size)
	if err != nil {
		return nil, err
	}
	header, err1 := expandLabel(secret, prefix+"hp", 16)
	key, err2 := expandLabel(secret, prefix+"key", 16)
	iv, err3 := expandLabel(secret, prefix+"iv", 12)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	return quicKeysOf(header, key, iv)
}

func quicKeysOf(header, key, iv []byte) (*quicKeys, error) {
	mask, err1 := aes.NewCipher(header)
	block, err2 := aes.NewCipher(key)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	payload, err := cipher.NewGCM(block)
	return &quicKeys{mask, payload, iv}, err
}

// expandLabel is HKDF-Expand-Label (RFC 8446 §7.1) without a context.
func expandLabel(secret []byte, label string, n int) ([]byte, error) {
	label = "tls13 " + label
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(append(info, byte(len(label))), label...)
	return hkdf.Expand(sha256.New, secret, string(append(info, 0)), n)
}

// open takes off the protection of the header (RFC 9001 §5.4) and that of the payload (§5.3), and returns the frames.
func (k *quicKeys) open(p quicInitial) (frames []byte, ok bool) {
	packet := slices.Clone(p.packet)
	var mask [aes.BlockSize]byte
	k.header.Encrypt(mask[:], packet[p.number+quicNumberMax:][:quicSample])
	packet[0] ^= mask[0] & 0x0f
	length := int(packet[0]&3) + 1
	nonce := slices.Clone(k.iv)
	for i := range length {
		packet[p.number+i] ^= mask[1+i]
		nonce[len(nonce)-length+i] ^= packet[p.number+i]
	}
	payload := p.number + length
	frames, err := k.payload.Open(nil, nonce, packet[payload:], packet[:payload])
	return frames, err == nil
}

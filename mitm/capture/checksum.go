package capture

import "math/bits"

// The checksum of RFC 1071 does not depend on the order of the bytes of a word, nor on
// how many words are added at once (its section 2): it is summed up in little-endian
// words of 64 bits.

// sumOf adds b, which begins at an even offset of what is summed up, to a sum.
func sumOf(sum uint64, b []byte) uint64 {
	var carry uint64
	for len(b) >= 32 {
		sum, carry = bits.Add64(sum, le.Uint64(b[0:]), carry)
		sum, carry = bits.Add64(sum, le.Uint64(b[8:]), carry)
		sum, carry = bits.Add64(sum, le.Uint64(b[16:]), carry)
		sum, carry = bits.Add64(sum, le.Uint64(b[24:]), carry)
		b = b[32:]
	}
	for len(b) >= 8 {
		sum, carry = bits.Add64(sum, le.Uint64(b), carry)
		b = b[8:]
	}
	var last [8]byte
	copy(last[:], b)
	sum, carry = bits.Add64(sum, le.Uint64(last[:]), carry)
	sum, carry = bits.Add64(sum, 0, carry)
	return sum + carry
}

// putChecksum writes the checksum that a sum amounts to.
func putChecksum(b []byte, sum uint64) {
	sum = sum>>32 + sum&0xffffffff
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	le.PutUint16(b, ^uint16(sum))
}

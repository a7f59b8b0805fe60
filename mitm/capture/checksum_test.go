package capture

import (
	"encoding/binary"
	"testing"
)

// FuzzChecksum holds the sum that is made of words of 64 bits against the definition of
// RFC 1071, over data that has its own checksum in it, in one piece and in two.
func FuzzChecksum(f *testing.F) {
	f.Add([]byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}, uint16(4)) // the example of its section 3
	f.Add([]byte{}, uint16(0))
	f.Add(make([]byte, 33), uint16(8))
	f.Fuzz(func(t *testing.T, b []byte, at uint16) {
		for range 32 { // all ones: every addition carries
			b = append(b, 0xff)
		}
		cut := min(int(at)*2, len(b)/2*2)
		var own [2]byte
		putChecksum(own[:], sumOf(sumOf(0, b[:cut]), b[cut:]))
		if got, want := binary.BigEndian.Uint16(own[:]), ^onesComplement(b); got != want && got^want != 0xffff {
			t.Errorf("checksum of %x is %04x, want %04x", b, got, want)
		}
	})
}

func TestTheChecksumOfTheRFC(t *testing.T) {
	var got [2]byte
	putChecksum(got[:], sumOf(0, []byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}))
	if want := [2]byte{0xdd ^ 0xff, 0xf2 ^ 0xff}; got != want {
		t.Errorf("checksum %x, want %x", got, want)
	}
}

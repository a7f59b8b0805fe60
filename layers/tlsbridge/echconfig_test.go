package tlsbridge

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/binary"
	"testing"
)

// echConfigList returns an ECHConfigList (RFC 9849 §4) for a key that nobody has kept.
func echConfigList(t *testing.T, publicName string) []byte {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	config := echConfig(7, key.PublicKey().Bytes(), publicName)
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(config))), config...)
}

// echConfig returns an ECHConfig for DHKEM(X25519, HKDF-SHA256), with HKDF-SHA256 and
// AES-128-GCM.
func echConfig(id byte, public []byte, publicName string) []byte {
	b := []byte{id, 0, 0x20}
	b = binary.BigEndian.AppendUint16(b, uint16(len(public)))
	b = append(b, public...)
	b = append(b, 0, 4, 0, 1, 0, 1)
	b = append(b, 0, byte(len(publicName)))
	b = append(b, publicName...)
	b = append(b, 0, 0)
	out := binary.BigEndian.AppendUint16([]byte{0xfe, 0x0d}, uint16(len(b)))
	return append(out, b...)
}

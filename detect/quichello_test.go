package detect_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"slices"
	"testing"

	"golang.org/x/crypto/hkdf"

	"github.com/bridgeio/bridgeio/detect"
)

const (
	quicV1 = 1
	quicV2 = 0x6b3343cf
)

// rfcInitials are the samples of RFC 9001 and RFC 9369, each in appendix A.2.
func rfcInitials(t testing.TB) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for version, name := range map[string]string{"1": "rfc9001-a2", "2": "rfc9369-a2"} {
		digits, err := os.ReadFile("testdata/quic/" + name + ".hex")
		if err != nil {
			t.Fatal(err)
		}
		all[version] = unhex(t, string(digits))
	}
	return all
}

func TestQUICHelloOfTheRFCs(t *testing.T) {
	for version, b := range rfcInitials(t) {
		hello, err := detect.QUICHello(b)
		if err != nil || hello.ServerName != "example.com" || !slices.Equal(hello.ALPN, []string{"alpn"}) {
			t.Errorf("version %s: %+v, %v", version, hello, err)
		}
		v := detect.QUIC().Detect(detect.Input{Client: b})
		if v.Kind != detect.Match || v.Info.Version != version || v.Info.Host != "example.com" {
			t.Errorf("version %s: %v %+v", version, v.Kind, v.Info)
		}
		for _, at := range []int{22, 600, len(b) - 1} {
			broken := bytes.Clone(b)
			broken[at] ^= 1
			var malformed *detect.MalformedError
			if _, err := detect.QUICHello(broken); !errors.As(err, &malformed) {
				t.Errorf("version %s, with byte %d changed: %v", version, at, err)
			}
			if v := detect.QUIC().Detect(detect.Input{Client: broken}); v.Kind != detect.Match || v.Info.Host != "" {
				t.Errorf("version %s, with byte %d changed: %v %+v", version, at, v.Kind, v.Info)
			}
		}
	}
}

// sealInitial makes an Initial packet as a client does, with keys of one connection ID for what may be another.
func sealInitial(t testing.TB, version uint32, keys, dst string, payload []byte) []byte {
	t.Helper()
	salt, words, first := "38762cf7f55934b34d179ae6a4c80cadccbb7f0a", "quic ", byte(0xc3)
	if version == quicV2 {
		salt, words, first = "0dede3def700a6db819381be6e269dcbf9bd2ed9", "quicv2 ", 0xd3
	}
	expand := func(secret []byte, label string, n int) []byte {
		label = "tls13 " + label
		info := append([]byte{0, byte(n), byte(len(label))}, label+"\x00"...)
		out := make([]byte, n)
		if _, err := io.ReadFull(hkdf.Expand(sha256.New, secret, info), out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	secret := expand(hkdf.Extract(sha256.New, []byte(keys), unhex(t, salt)), "client in", 32)
	block, err := aes.NewCipher(expand(secret, words+"key", 16))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	b := binary.BigEndian.AppendUint32([]byte{first}, version)
	b = append(append(append(b, byte(len(dst))), dst...), 0, 0)
	b = binary.BigEndian.AppendUint16(b, 0x4000|uint16(4+len(payload)+16))
	number := len(b)
	b = append(b, 0, 0, 0, 2)
	nonce := expand(secret, words+"iv", 12)
	nonce[11] ^= 2
	b = aead.Seal(b, nonce, payload, bytes.Clone(b))
	if block, err = aes.NewCipher(expand(secret, words+"hp", 16)); err != nil {
		t.Fatal(err)
	}
	mask := make([]byte, 16)
	block.Encrypt(mask, b[number+4:][:16])
	b[0] ^= mask[0] & 0x0f
	for i := range 4 {
		b[number+i] ^= mask[1+i]
	}
	return b
}

// crypto is a CRYPTO frame of a part of a message.
func crypto(message []byte, from, to int) []byte {
	b := binary.BigEndian.AppendUint32([]byte{6}, 0x80000000|uint32(from))
	return append(binary.BigEndian.AppendUint16(b, 0x4000|uint16(to-from)), message[from:to]...)
}

func TestQUICHelloOfManyParts(t *testing.T) {
	const id, later = "original", "of the server"
	want, _, err := detect.ParseClientHello(hellos(t)["wget"])
	if err != nil {
		t.Fatal(err)
	}
	message := want.Raw
	end := len(message)
	seal := func(dst string, frames ...[]byte) []byte {
		return sealInitial(t, quicV1, id, dst, append(bytes.Join(frames, nil), make([]byte, 20)...))
	}
	ack := unhex(t, `02 05 00 01 00 01 01`)
	ackECN := unhex(t, `03 05 4000 00 00 01 02 03`)
	closed := unhex(t, `1c 00 00 00`)
	tests := []struct {
		name      string
		datagrams [][]byte
		err       string // "" none, "short", "malformed"
	}{
		{"nothing", nil, "short"},
		{"no datagram of QUIC", [][]byte{[]byte("hello")}, "malformed"},
		{"an empty datagram", [][]byte{{}}, "malformed"},
		{"whole", [][]byte{seal(id, crypto(message, 0, end))}, ""},
		{"behind acknowledgements, a PING and PADDING", [][]byte{seal(id, ack, []byte{0, 1, 0}, ackECN, crypto(message, 0, end))}, ""},
		{"in pieces that overlap, out of order", [][]byte{seal(id, crypto(message, 100, end), crypto(message, 0, 120), crypto(message, 40, 60))}, ""},
		{"in two datagrams, the last one first", [][]byte{seal(id, crypto(message, 200, end)), seal(id, crypto(message, 0, 200))}, ""},
		{"in two packets of a datagram", [][]byte{append(seal(id, crypto(message, 200, end)), seal(id, crypto(message, 0, 200))...)}, ""},
		{"behind the server's answer", [][]byte{seal(later, crypto(message, 200, end)), seal(id, crypto(message, 0, 200))}, ""},
		{"beside another connection's", [][]byte{
			seal(id, crypto(message, 0, end)), sealInitial(t, quicV1, "another", "unknown", make([]byte, 40)),
		}, ""},
		{"without its beginning", [][]byte{seal(id, crypto(message, 1, end))}, "short"},
		{"with a hole", [][]byte{seal(id, crypto(message, 0, 100), crypto(message, 101, end))}, "short"},
		{"without its end", [][]byte{seal(id, crypto(message, 0, end-1))}, "short"},
		{"of three bytes", [][]byte{seal(id, crypto(message, 0, 3))}, "short"},
		{"nothing but PADDING", [][]byte{seal(id)}, "short"},
		{"behind the end of the connection", [][]byte{seal(id, closed, crypto(message, 0, end))}, "short"},
		{"in a frame that goes beyond the packet", [][]byte{seal(id, []byte{6, 0, 0x7f, 0xff})}, "short"},
		{"behind an acknowledgement without end", [][]byte{seal(id, unhex(t, `02 05 00 bfffffff 00`))}, "short"},
		{"another message", [][]byte{seal(id, crypto([]byte{2, 0, 0, 0}, 0, 4))}, "malformed"},
		{"a message of megabytes", [][]byte{seal(id, crypto([]byte{1, 255, 255, 255}, 0, 4))}, "malformed"},
		{"a message that is none", [][]byte{seal(id, crypto([]byte{1, 0, 0, 4, 9, 9, 9, 9}, 0, 8))}, "malformed"},
		{"of version 2", [][]byte{sealInitial(t, quicV2, id, id, append(crypto(message, 0, end), make([]byte, 20)...))}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			hello, err := detect.QUICHello(tt.datagrams...)
			var malformed *detect.MalformedError
			switch {
			case tt.err == "" && (err != nil || !bytes.Equal(hello.Raw, want.Raw) || hello.ServerName != want.ServerName):
				t.Errorf("%+v, %v, want %+v", hello, err, want)
			case tt.err != "" && hello != nil, tt.err == "short" && !errors.Is(err, detect.ErrShort), tt.err == "malformed" && !errors.As(err, &malformed):
				t.Errorf("%+v, %v, want it %s", hello, err, tt.err)
			}
		})
	}
}

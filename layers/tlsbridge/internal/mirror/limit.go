package mirror

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"io"
	"iter"

	"golang.org/x/crypto/chacha20poly1305"

	utls "github.com/refraction-networking/utls"

	"github.com/bridgeio/bridgeio/detect"
)

// A client that offers record_size_limit (RFC 8449) or max_fragment_length (RFC 6066 §4) may get the server's own limit in
// answer, and then has to keep it. utls reads neither. Below TLS 1.3 the answer is in plaintext; in TLS 1.3 it is in
// EncryptedExtensions, the first message that the server encrypts, which is decrypted here once more.

const (
	extMaxFragmentLength = 1

	recordApplicationData  = 23
	typeEncryptedExtension = 8
)

// offersLimit reports whether a hello leads to such an answer.
func offersLimit(hello *detect.ClientHello) bool {
	_, fragment := hello.Extension(extMaxFragmentLength)
	_, record := hello.Extension(extRecordSizeLimit)
	return fragment || record
}

// most returns how many bytes of application data may be in a record for the server; 0: as many as TLS allows.
func (h *handshake) most() int {
	f := &h.tap.server
	fragment, record := f.FragmentLength, f.RecordSizeLimit
	if h.conn.ConnectionState().Version == utls.VersionTLS13 {
		fragment, record = limitsOf(serverExtensions(h.tap.kept, f.Suite, h.secrets.server))
		if record > 0 {
			record-- // in TLS 1.3 it counts the content type too
		}
	}
	switch {
	case record >= 64: // RFC 8449 §4: "MUST NOT send a value smaller than 64", less the content type
		return int(record)
	case record > 0:
		return 63
	case fragment >= 1 && fragment <= 4:
		return 1 << (8 + fragment)
	}
	return 0
}

func limitsOf(extensions []byte) (fragment byte, record uint16) {
	for id, data := range extensionsIn(extensions) {
		switch {
		case id == extMaxFragmentLength && len(data) == 1:
			fragment = data[0]
		case id == extRecordSizeLimit && len(data) == 2:
			record = binary.BigEndian.Uint16(data)
		}
	}
	return fragment, record
}

// extensionsIn goes over a list of extensions as far as it is well formed.
func extensionsIn(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= 4 {
			end := 4 + int(binary.BigEndian.Uint16(b[2:]))
			if end > len(b) || !yield(binary.BigEndian.Uint16(b), b[4:end]) {
				return
			}
			b = b[end:]
		}
	}
}

// serverExtensions returns the extensions of the EncryptedExtensions in what a server of TLS 1.3 has sent, and nil when
// they are not found.
func serverExtensions(sent []byte, suite uint16, secret []byte) []byte {
	for len(sent) >= recordHeaderLen {
		header := sent[:recordHeaderLen]
		n := recordHeaderLen + int(binary.BigEndian.Uint16(header[3:]))
		if n > len(sent) {
			return nil
		}
		if header[0] == recordApplicationData {
			message := open(suite, secret, header, sent[recordHeaderLen:n])
			if len(message) < 6 || message[0] != typeEncryptedExtension {
				return nil
			}
			end := 6 + int(binary.BigEndian.Uint16(message[4:]))
			return message[6:min(end, len(message))]
		}
		sent = sent[n:]
	}
	return nil
}

// open decrypts the first record under a traffic secret (RFC 8446 §5.2, §7.3).
func open(suite uint16, secret, header, sealed []byte) []byte {
	newHash, keyLen := sha256.New, 16
	newAEAD := func(key []byte) (cipher.AEAD, error) {
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		return cipher.NewGCM(block)
	}
	switch suite {
	case utls.TLS_AES_256_GCM_SHA384:
		newHash, keyLen = sha512.New384, 32
	case utls.TLS_CHACHA20_POLY1305_SHA256:
		keyLen, newAEAD = 32, chacha20poly1305.New
	}
	aead, err := newAEAD(expand(newHash, secret, "key", keyLen))
	if err != nil {
		return nil
	}
	// The sequence number is 0, so that the nonce is the IV.
	plain, err := aead.Open(nil, expand(newHash, secret, "iv", aead.NonceSize()), sealed, header)
	if err != nil {
		return nil
	}
	return plain
}

// expand is HKDF-Expand-Label without a context (RFC 8446 §7.1). It returns nil for a secret that is none.
func expand(newHash func() hash.Hash, secret []byte, label string, n int) []byte {
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(info, byte(len("tls13 ")+len(label)))
	info = append(info, "tls13 "+label...)
	key, err := hkdf.Expand(newHash, secret, string(append(info, 0)), n)
	if err != nil {
		return nil
	}
	return key
}

// secrets is a key log that keeps the secret of the server's handshake flight.
type secrets struct {
	next   io.Writer // nil: there is none
	server []byte
}

func (s *secrets) Write(line []byte) (int, error) {
	if fields := bytes.Fields(line); len(fields) == 3 && string(fields[0]) == "SERVER_HANDSHAKE_TRAFFIC_SECRET" {
		s.server, _ = hex.DecodeString(string(fields[2]))
	}
	if s.next == nil {
		return len(line), nil
	}
	return s.next.Write(line)
}

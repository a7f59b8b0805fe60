package mirror

import (
	"bytes"
	"compress/zlib"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"

	utls "github.com/refraction-networking/utls"

	"github.com/bridgeio/bridgeio/detect"
)

// server13 is as much of a server of TLS 1.3 as it takes to say in encrypted messages what crypto/tls never says. It
// speaks TLS_AES_128_GCM_SHA256 with X25519.
type server13 struct {
	extensions  []byte                      // of EncryptedExtensions
	certificate func(message []byte) []byte // what is sent for Certificate; nil: itself
	entry       []byte                      // extensions of the leaf's CertificateEntry
	signer      crypto.Signer               // nil: the leaf's
	extra       int                         // bytes by which the chain is longer than its leaf
}

func message(kind byte, body ...[]byte) []byte {
	all := slices.Concat(body...)
	return append([]byte{kind, byte(len(all) >> 16), byte(len(all) >> 8), byte(len(all))}, all...)
}

func vector24(b []byte) []byte {
	return append([]byte{byte(len(b) >> 16), byte(len(b) >> 8), byte(len(b))}, b...)
}

func vector16(b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
}

// expandLabel is HKDF-Expand-Label (RFC 8446 §7.1).
func expandLabel(secret []byte, label string, context []byte, n int) []byte {
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(append(info, byte(6+len(label))), "tls13 "+label...)
	info = append(append(info, byte(len(context))), context...)
	key, err := hkdf.Expand(sha256.New, secret, string(info), n)
	if err != nil {
		panic(err)
	}
	return key
}

// secret is the server's handshake traffic secret (RFC 8446 §7.1) after a transcript.
func secret(shared, transcript []byte) []byte {
	zero, empty := make([]byte, sha256.Size), sha256.Sum256(nil)
	early, _ := hkdf.Extract(sha256.New, zero, zero)
	handshake, _ := hkdf.Extract(sha256.New, shared, expandLabel(early, "derived", empty[:], sha256.Size))
	hash := sha256.Sum256(transcript)
	return expandLabel(handshake, "s hs traffic", hash[:], sha256.Size)
}

// seal makes encrypted records of handshake messages (RFC 8446 §5.2).
func seal(secret, messages []byte) []byte {
	block, _ := aes.NewCipher(expandLabel(secret, "key", nil, 16))
	aead, _ := cipher.NewGCM(block)
	iv := expandLabel(secret, "iv", nil, aead.NonceSize())
	var all []byte
	for sequence := byte(0); len(messages) > 0; sequence++ {
		n := min(len(messages), 16000)
		plain := append(slices.Clone(messages[:n]), recordHandshake)
		header := record(recordApplicationData, make([]byte, len(plain)+aead.Overhead()))[:recordHeaderLen]
		nonce := slices.Clone(iv)
		nonce[len(nonce)-1] ^= sequence
		all = aead.Seal(append(all, header...), nonce, plain, header)
		messages = messages[n:]
	}
	return all
}

// flight is what the server says to a hello.
func (s *server13) flight(sent *detect.ClientHello) []byte {
	data, _ := sent.Extension(extKeyShare)
	theirs, err := ecdh.X25519().NewPublicKey(find(split(data), uint16(utls.X25519)))
	if err != nil {
		panic(err)
	}
	key, _ := ecdh.X25519().GenerateKey(rand.Reader)
	shared, _ := key.ECDH(theirs)
	share := append([]byte{0, byte(utls.X25519)}, vector16(key.PublicKey().Bytes())...)
	hello := answer(sent, anyRandom, utls.TLS_AES_128_GCM_SHA256, tls13, extension(extKeyShare, share...))
	transcript := slices.Concat(sent.Raw, hello[recordHeaderLen:])
	secret := secret(shared, transcript)

	leaf := certificates()["ECDSA"]
	entries := append(vector24(leaf.Certificate[0]), vector16(s.entry)...)
	for n := s.extra; n > 0; n -= len(leaf.Certificate[0]) {
		entries = slices.Concat(entries, vector24(leaf.Certificate[0]), []byte{0, 0})
	}
	shown := message(11, []byte{0}, vector24(entries))
	if s.certificate != nil {
		shown = s.certificate(shown)
	}
	messages := slices.Concat(message(8, vector16(s.extensions)), shown)
	signer := s.signer
	if signer == nil {
		signer = leaf.PrivateKey.(crypto.Signer)
	}
	messages = append(messages, verify(slices.Concat(transcript, messages), signer)...)
	hash := sha256.Sum256(slices.Concat(transcript, messages))
	mac := hmac.New(sha256.New, expandLabel(secret, "finished", nil, sha256.Size))
	mac.Write(hash[:])
	return append(hello, seal(secret, append(messages, message(20, mac.Sum(nil))...))...)
}

// verify is CertificateVerify (RFC 8446 §4.4.3).
func verify(transcript []byte, key crypto.Signer) []byte {
	hash := sha256.Sum256(transcript)
	signed := sha256.Sum256(slices.Concat(bytes.Repeat([]byte{' '}, 64), []byte("TLS 1.3, server CertificateVerify\x00"), hash[:]))
	signature, err := key.Sign(rand.Reader, signed[:], crypto.SHA256)
	if err != nil {
		panic(err)
	}
	return message(15, binary.BigEndian.AppendUint16(nil, uint16(tls.ECDSAWithP256AndSHA256)), vector16(signature))
}

// compressed is a CompressedCertificate (RFC 8879 §4) with zlib.
func compressed(certificate []byte) []byte {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	w.Write(certificate[handshakeHeaderLen:])
	w.Close()
	return message(25, []byte{0, 1}, certificate[1:handshakeHeaderLen], vector24(b.Bytes()))
}

// met is how Handshake ends with such a server.
func met(t *testing.T, hello *detect.ClientHello, s *server13) (session *Session, err error) {
	t.Helper()
	near, far := tcpPair(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer far.Close()
		far.Write(s.flight(parse(t, readHello(t, far))))
		io.Copy(io.Discard, far)
	}()
	session, _, err = Handshake(t.Context(), near, hello, Config{})
	near.Close()
	<-done
	return session, err
}

func TestWhatAServerSaysEncrypted(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	credential := extension(extDelegatedCredential, 1, 2, 3)
	limit := func(n uint16) []byte {
		return extension(extRecordSizeLimit, binary.BigEndian.AppendUint16(nil, n)...)
	}
	for _, tt := range []struct {
		name    string
		hello   string
		server  *server13
		changes Changes // of a Retry
		fails   bool    // without one
		most    int
	}{
		{"nothing unusual", "firefox.0", &server13{}, 0, false, 0},
		{"its certificate in short", "firefox.0", &server13{certificate: compressed}, 0, false, 0},
		{"many certificates in short", "firefox.0", &server13{certificate: compressed, extra: 40_000}, WithoutCompression, false, 0},
		{"many certificates", "firefox.0", &server13{extra: 40_000}, 0, false, 0},
		{"its certificate in short to a client that did not want that", "curl", &server13{certificate: compressed}, 0, true, 0},
		{"a delegated credential", "firefox.0", &server13{entry: credential, signer: key}, WithoutDelegatedCredentials, false, 0},
		{"a signature that is wrong", "curl", &server13{signer: key}, 0, true, 0},
		{"a limit to records", "firefox.0", &server13{extensions: limit(1025)}, 0, false, 1024},
		{"a limit to records that is too low", "firefox.0", &server13{extensions: limit(60)}, 0, false, 63},
		{"a limit to fragments", "ossl_mfl", &server13{extensions: extension(extMaxFragmentLength, 1)}, 0, false, 512},
	} {
		t.Run(tt.name, func(t *testing.T) {
			session, err := met(t, parse(t, realHellos(t)[tt.hello]), tt.server)
			retry := (*Retry)(nil)
			switch isRetry := errors.As(err, &retry); {
			case (err != nil) != (tt.fails || tt.changes != 0), isRetry != (tt.changes != 0), isRetry && retry.Changes != tt.changes:
				t.Fatalf("%v, %+v", err, retry)
			case err == nil && session.most != tt.most:
				t.Errorf("records of %d bytes at most, want %d", session.most, tt.most)
			}
		})
	}
}

package tlsbridge

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/hpke"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"

	"github.com/bridgeio/bridgeio/detect"
)

// ParseECHKeys reads the keys of an ECH server from the PEM of RFC 9934: a PRIVATE KEY
// (PKCS #8) and then an ECHCONFIG, the list of configurations that it is for. There may be
// several of such pairs. All are offered to clients that come with an older one.
func ParseECHKeys(text []byte) ([]tls.EncryptedClientHelloKey, error) {
	var (
		keys    []tls.EncryptedClientHelloKey
		private *ecdh.PrivateKey
	)
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "PRIVATE KEY":
			key, err := parseECHPrivateKey(block.Bytes)
			if err != nil {
				return nil, err
			}
			private = key
		case "ECHCONFIG":
			if private == nil {
				return nil, errors.New("an ECHCONFIG without a PRIVATE KEY in front of it")
			}
			found, err := matchingECHKeys(block.Bytes, private)
			if err != nil {
				return nil, err
			}
			keys = append(keys, found...)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("no ECH keys in it; want PEM with a PRIVATE KEY and an ECHCONFIG (RFC 9934)")
	}
	return keys, nil
}

func parseECHPrivateKey(der []byte) (*ecdh.PrivateKey, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	switch key := key.(type) {
	case *ecdh.PrivateKey:
		return key, nil
	case *ecdsa.PrivateKey:
		return key.ECDH()
	}
	return nil, fmt.Errorf("private key: a %T cannot be used for ECH", key)
}

// matchingECHKeys returns the configurations of a list that are for a key.
func matchingECHKeys(list []byte, private *ecdh.PrivateKey) ([]tls.EncryptedClientHelloKey, error) {
	s := cryptobyte.String(list)
	var configs cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&configs) || !s.Empty() || configs.Empty() {
		return nil, errors.New("the ECHCONFIG is not a list of configurations")
	}
	var keys []tls.EncryptedClientHelloKey
	for !configs.Empty() {
		config, ok := readECHConfig(&configs)
		if !ok {
			return nil, errors.New("the ECHCONFIG is malformed")
		}
		if config.version == extECH && bytes.Equal(config.public, private.PublicKey().Bytes()) {
			keys = append(keys, tls.EncryptedClientHelloKey{Config: config.raw, PrivateKey: private.Bytes(), SendAsRetry: true})
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the ECHCONFIG has no configuration for the PRIVATE KEY")
	}
	return keys, nil
}

const (
	extECH       = 0xfe0d
	extECHOuter  = 0xfd00 // ech_outer_extensions
	echKindOuter = 0
)

// echKeyConfig is the part of an ECHConfig (RFC 9849 §4) that chooses a key.
type echKeyConfig struct {
	raw     []byte // the whole
	version uint16
	id      uint8
	kem     uint16
	public  []byte
}

func readECHConfig(s *cryptobyte.String) (c echKeyConfig, ok bool) {
	all := []byte(*s)
	var contents, public cryptobyte.String
	if !s.ReadUint16(&c.version) || !s.ReadUint16LengthPrefixed(&contents) {
		return c, false
	}
	c.raw = all[:len(all)-len(*s)]
	if c.version != extECH {
		return c, true // of another version, to be ignored
	}
	ok = contents.ReadUint8(&c.id) && contents.ReadUint16(&c.kem) && contents.ReadUint16LengthPrefixed(&public)
	c.public = public
	return c, ok
}

// outerECH is the encrypted_client_hello of a ClientHelloOuter (RFC 9849 §5).
type outerECH struct {
	kdf, aead uint16
	id        uint8
	enc       []byte
	payload   []byte
}

func readOuterECH(data []byte) (o outerECH, ok bool) {
	s := cryptobyte.String(data)
	var (
		kind         uint8
		enc, payload cryptobyte.String
	)
	ok = s.ReadUint8(&kind) && kind == echKindOuter && s.ReadUint16(&o.kdf) && s.ReadUint16(&o.aead) && s.ReadUint8(&o.id) &&
		s.ReadUint16LengthPrefixed(&enc) && s.ReadUint16LengthPrefixed(&payload) && s.Empty()
	o.enc, o.payload = enc, payload
	return o, ok
}

// OpenECH returns the inner hello of one that was made for one of the keys (RFC 9849 §7.1); nil: it was not. What is
// wrong with it is left to the handshake to say.
func OpenECH(outer *detect.ClientHello, keys []tls.EncryptedClientHelloKey) *detect.ClientHello {
	data, there := outer.Extension(extECH)
	if !there {
		return nil
	}
	ech, ok := readOuterECH(data)
	if !ok {
		return nil
	}
	for _, key := range keys {
		encoded, err := decryptECH(outer, ech, key)
		if err != nil {
			continue
		}
		if inner, err := decodeInnerHello(outer, encoded); err == nil {
			return inner
		}
	}
	return nil
}

var errNotThisKey = errors.New("made for another key")

// decryptECH opens the payload (RFC 9849 §5.2 and §7.1).
func decryptECH(outer *detect.ClientHello, ech outerECH, key tls.EncryptedClientHelloKey) ([]byte, error) {
	config := cryptobyte.String(key.Config)
	c, ok := readECHConfig(&config)
	if !ok || c.version != extECH || c.id != ech.id {
		return nil, errNotThisKey
	}
	kem, err1 := hpke.NewKEM(c.kem)
	kdf, err2 := hpke.NewKDF(ech.kdf)
	aead, err3 := hpke.NewAEAD(ech.aead)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	private, err := kem.NewPrivateKey(key.PrivateKey)
	if err != nil {
		return nil, err
	}
	recipient, err := hpke.NewRecipient(ech.enc, private, kdf, aead, append([]byte("tls ech\x00"), key.Config...))
	if err != nil {
		return nil, err
	}
	return recipient.Open(outerAAD(outer, len(ech.payload)), ech.payload)
}

// outerAAD is the ClientHelloOuter with zeros in the place of the payload, and without the
// header of a handshake message.
func outerAAD(outer *detect.ClientHello, payload int) []byte {
	aad := bytes.Clone(outer.Raw[4:])
	end := 2 + 32 + 1 + len(outer.SessionID) + 2 + 2*len(outer.CipherSuites) + 1 + len(outer.CompressionMethods) + 2
	for _, e := range outer.Extensions {
		if end += 2 + 2 + len(e.Data); e.ID == extECH {
			break
		}
	}
	clear(aad[end-payload : end]) // the payload comes last
	return aad
}

// decodeInnerHello returns the ClientHelloInner that is encoded (RFC 9849 §5.1): the outer's
// session identifier and what it refers to of the outer's extensions is filled in, and the
// mark that it is an inner one is left out, since the server is to see it by itself.
func decodeInnerHello(outer *detect.ClientHello, encoded []byte) (*detect.ClientHello, error) {
	malformed := errors.New("malformed inner hello")
	s := cryptobyte.String(encoded)
	var head []byte
	var session, suites, compression, extensions cryptobyte.String
	if !s.ReadBytes(&head, 2+32) || !s.ReadUint8LengthPrefixed(&session) || !session.Empty() ||
		!s.ReadUint16LengthPrefixed(&suites) || !s.ReadUint8LengthPrefixed(&compression) || !s.ReadUint16LengthPrefixed(&extensions) ||
		slices.ContainsFunc(s, func(padding byte) bool { return padding != 0 }) {
		return nil, malformed
	}
	expanded, ok := expandExtensions(outer, extensions)
	if !ok {
		return nil, malformed
	}
	var b cryptobyte.Builder
	b.AddUint8(1) // client_hello
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddBytes(head)
		b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(outer.SessionID) })
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(suites) })
		b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(compression) })
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(expanded) })
	})
	message, err := b.Bytes()
	if err != nil {
		return nil, malformed
	}
	return parseMessage(message, outer.RecordVersion)
}

// expandExtensions puts the outer's extensions where the inner hello refers to them, which it
// may do once, in the order of the outer.
func expandExtensions(outer *detect.ClientHello, inner cryptobyte.String) ([]byte, bool) {
	var b cryptobyte.Builder
	add := func(id uint16, data []byte) {
		b.AddUint16(id)
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(data) })
	}
	referred := false
	for !inner.Empty() {
		var (
			id   uint16
			data cryptobyte.String
		)
		if !inner.ReadUint16(&id) || !inner.ReadUint16LengthPrefixed(&data) {
			return nil, false
		}
		switch {
		case id == extECH:
		case id != extECHOuter:
			add(id, data)
		case referred:
			return nil, false
		default:
			referred = true
			var ids cryptobyte.String
			if !data.ReadUint8LengthPrefixed(&ids) || !data.Empty() {
				return nil, false
			}
			left := outer.Extensions
			for !ids.Empty() {
				var want uint16
				if !ids.ReadUint16(&want) || want == extECH {
					return nil, false
				}
				i := slices.IndexFunc(left, func(e detect.Extension) bool { return e.ID == want })
				if i < 0 {
					return nil, false
				}
				add(want, left[i].Data)
				left = left[i+1:]
			}
		}
	}
	all, err := b.Bytes()
	return all, err == nil
}

// parseMessage parses a hello that has no records.
func parseMessage(message []byte, version uint16) (*detect.ClientHello, error) {
	const most = 1 << 14
	var records []byte
	for rest := message; len(rest) > 0; {
		n := min(len(rest), most)
		records = append(records, contentTypeHandshake)
		records = binary.BigEndian.AppendUint16(records, version)
		records = binary.BigEndian.AppendUint16(records, uint16(n))
		records = append(records, rest[:n]...)
		rest = rest[n:]
	}
	hello, _, err := detect.ParseClientHello(records)
	return hello, err
}

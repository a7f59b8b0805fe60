package mirror

import "encoding/binary"

// flight is what is read from a server's plaintext messages (RFC 8446 §4, RFC 5246 §7.4), of which utls tells only a
// part. It is fed in pieces of any size and holds at most one message, and of that no more than it needs.
type flight struct {
	header [recordHeaderLen]byte
	have   int // bytes of the header that were seen
	left   int // bytes of the record that are to come

	message []byte // the beginning of the current one, with its header
	skip    int    // bytes of it that are to come and not kept
	closed  bool   // nothing more is in plaintext

	answered       bool   // a ServerHello was seen
	retried        bool   // a HelloRetryRequest was seen
	group          uint16 // NamedGroup of the key exchange, or the one that a retry is to have; 0: none seen
	suite          uint16
	encryptThenMAC bool // the server has agreed to encrypt_then_mac
	fragment       byte // max_fragment_length that it has agreed to (RFC 6066 §4); 0: none
	echRetry       bool // a retry had encrypted_client_hello
}

const (
	recordHeaderLen    = 5
	handshakeHeaderLen = 4

	recordChangeCipherSpec = 20
	recordHandshake        = 22

	typeServerHello       = 2
	typeServerKeyExchange = 12
	typeServerHelloDone   = 14

	extMaxFragmentLength = 1

	// maxKept bounds what is kept of a message: a ServerHello has 130 bytes, or 1,200 with a hybrid key share; of a
	// ServerKeyExchange the first 3 count.
	maxKept = 4 << 10
)

// helloRetryRandom is the Random of a HelloRetryRequest (RFC 8446 §4.1.3).
const helloRetryRandom = "\xCF\x21\xAD\x74\xE5\x9A\x61\x11\xBE\x1D\x8C\x02\x1E\x65\xB8\x91" +
	"\xC2\xA2\x11\x16\x7A\xBB\x8C\x5E\x07\x9E\x09\xE2\xC8\xA8\x33\x9C"

// feed looks at the next bytes.
func (f *flight) feed(p []byte) {
	for len(p) > 0 && !f.closed {
		if f.left == 0 {
			n := copy(f.header[f.have:], p)
			p = p[n:]
			if f.have += n; f.have == recordHeaderLen {
				f.have, f.left = 0, int(binary.BigEndian.Uint16(f.header[3:]))
				// What follows ChangeCipherSpec is encrypted, unless it came between the two hellos of a server that
				// retries (RFC 8446 §D.4).
				f.closed = f.header[0] == recordChangeCipherSpec && f.answered
			}
			continue
		}
		n := min(f.left, len(p))
		if f.header[0] == recordHandshake {
			f.handshake(p[:n])
		}
		f.left -= n
		p = p[n:]
	}
}

// handshake looks at a piece of handshake messages, which records cut anywhere.
func (f *flight) handshake(p []byte) {
	for len(p) > 0 && !f.closed {
		if f.skip > 0 {
			n := min(f.skip, len(p))
			f.skip -= n
			p = p[n:]
			continue
		}
		want := handshakeHeaderLen
		if len(f.message) >= handshakeHeaderLen {
			want = min(f.size(), maxKept)
		}
		n := min(want-len(f.message), len(p))
		f.message = append(f.message, p[:n]...)
		p = p[n:]
		f.complete()
	}
}

// size is the length of the current message, header included.
func (f *flight) size() int {
	return handshakeHeaderLen + int(binary.BigEndian.Uint32(f.message)&0xffffff)
}

// complete ends the current message when all of it that is kept is there.
func (f *flight) complete() {
	if len(f.message) < handshakeHeaderLen {
		return
	}
	kind := f.message[0]
	if wanted := kind == typeServerHello || kind == typeServerKeyExchange; wanted && len(f.message) < min(f.size(), maxKept) {
		return
	}
	f.skip = f.size() - len(f.message)
	body := f.message[handshakeHeaderLen:]
	f.message = nil
	switch kind {
	case typeServerHello:
		f.serverHello(body)
	case typeServerKeyExchange:
		// RFC 8422 §5.4: curve_type named_curve (3), then the NamedCurve.
		if len(body) >= 3 && body[0] == 3 {
			f.group = binary.BigEndian.Uint16(body[1:])
		}
		f.closed = true
	case typeServerHelloDone:
		f.closed = true
	}
}

// serverHello reads a ServerHello or a HelloRetryRequest, which looks the same.
func (f *flight) serverHello(b []byte) {
	const versionAndRandom, suiteAndCompression = 2 + 32, 2 + 1
	if len(b) < versionAndRandom+1 {
		return
	}
	retry := string(b[2:versionAndRandom]) == helloRetryRandom
	f.answered, f.retried = !retry, f.retried || retry
	b = b[versionAndRandom:]
	id := 1 + int(b[0])
	if len(b) < id+suiteAndCompression {
		return
	}
	f.suite = binary.BigEndian.Uint16(b[id:])
	if rest := id + suiteAndCompression + 2; len(b) >= rest {
		f.extensions(b[rest:], retry)
	}
}

func (f *flight) extensions(b []byte, retry bool) {
	for len(b) >= 4 {
		id, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if b = b[4:]; n > len(b) {
			return
		}
		switch {
		case id == extKeyShare && n >= 2:
			f.group = binary.BigEndian.Uint16(b)
		case id == extSupportedVersions && !retry:
			f.closed = true // in TLS 1.3 everything after this message is encrypted
		case id == extEncryptThenMAC:
			f.encryptThenMAC = true
		case id == extMaxFragmentLength && n == 1:
			f.fragment = b[0]
		case id == extECH && retry:
			f.echRetry = true
		}
		b = b[n:]
	}
}

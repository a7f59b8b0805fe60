package tlsbridge

import "encoding/binary"

// sniffer looks at what a peer sends during a handshake for what the TLS libraries keep
// to themselves: a fatal alert in plaintext, and, of a server, the group of the key
// exchange. It is fed in pieces of any size and holds at most one message.
//
// OpenSSL's clients send their alerts in plaintext even after a TLS 1.3 ServerHello.
// crypto/tls tries to decrypt them and reports a bad record MAC.
type sniffer struct {
	header [recordHeaderLen]byte
	have   int // bytes of the header that were seen
	left   int // bytes of the record that are to come

	alert    []byte // of an alert record in plaintext
	fatal    Alert
	hasFatal bool

	messages bool   // handshake messages are looked at; not, or no more, when false
	message  []byte // the beginning of the current one, with its header
	skip     int    // bytes of it that are to come and not kept
	answered bool   // a ServerHello was seen
	group    uint16 // NamedGroup of the key exchange; 0: none seen
}

const (
	recordHeaderLen    = 5
	handshakeHeaderLen = 4

	// maxKept bounds what is kept of a message. A ServerHello has 130 bytes, or
	// 1,200 with a hybrid key share; of a ServerKeyExchange the first 3 count.
	maxKept = 4 << 10

	typeServerHello       = 2
	typeServerKeyExchange = 12
	typeServerHelloDone   = 14

	extSupportedVersions = 43
	extKeyShare          = 51
)

// feed looks at the next bytes.
func (s *sniffer) feed(p []byte) {
	for len(p) > 0 {
		if s.left == 0 {
			n := copy(s.header[s.have:], p)
			p = p[n:]
			if s.have += n; s.have == recordHeaderLen {
				s.have = 0
				s.record()
			}
			continue
		}
		n := min(s.left, len(p))
		s.payload(p[:n])
		s.left -= n
		p = p[n:]
	}
}

// record begins a record.
func (s *sniffer) record() {
	s.left = int(binary.BigEndian.Uint16(s.header[3:]))
	s.alert = nil
	// What follows ChangeCipherSpec is encrypted, unless it came between the two hellos
	// of a TLS 1.3 server that retries (RFC 8446 §D.4).
	if s.header[0] == contentTypeChangeCipherSpec && s.answered {
		s.messages = false
	}
}

func (s *sniffer) payload(p []byte) {
	switch {
	// An encrypted alert is longer than the two bytes of one in plaintext.
	case s.header[0] == contentTypeAlert && binary.BigEndian.Uint16(s.header[3:]) == 2:
		if s.alert = append(s.alert, p...); len(s.alert) == 2 && s.alert[0] == levelFatal {
			s.fatal, s.hasFatal = Alert(s.alert[1]), true
		}
	case s.header[0] == contentTypeHandshake:
		s.handshake(p)
	}
}

// handshake looks at a piece of handshake messages, which records cut anywhere.
func (s *sniffer) handshake(p []byte) {
	for s.messages && len(p) > 0 {
		if s.skip > 0 {
			n := min(s.skip, len(p))
			s.skip -= n
			p = p[n:]
			continue
		}
		want := handshakeHeaderLen
		if len(s.message) >= handshakeHeaderLen {
			want = min(s.size(), maxKept)
		}
		n := min(want-len(s.message), len(p))
		s.message = append(s.message, p[:n]...)
		p = p[n:]
		s.complete()
	}
}

// size is the length of the current message, header included.
func (s *sniffer) size() int {
	return handshakeHeaderLen + int(binary.BigEndian.Uint32(s.message)&0xffffff)
}

// complete ends the current message when all of it that is kept is there.
func (s *sniffer) complete() {
	if len(s.message) < handshakeHeaderLen {
		return
	}
	kind := s.message[0]
	if wanted := kind == typeServerHello || kind == typeServerKeyExchange; wanted && len(s.message) < min(s.size(), maxKept) {
		return
	}
	s.skip = s.size() - len(s.message)
	body := s.message[handshakeHeaderLen:]
	s.message = nil
	switch kind {
	case typeServerHello:
		s.serverHello(body)
	case typeServerKeyExchange:
		// RFC 8422 §5.4: curve_type named_curve (3), then the NamedCurve.
		if len(body) >= 3 && body[0] == 3 {
			s.group = binary.BigEndian.Uint16(body[1:])
		}
		s.messages = false
	case typeServerHelloDone:
		s.messages = false
	}
}

// serverHello reads the group of a ServerHello's key_share (RFC 8446 §4.1.3, §4.2.8).
// In a HelloRetryRequest, which looks the same, it is the group to come.
func (s *sniffer) serverHello(b []byte) {
	const versionAndRandom, suiteAndCompression = 2 + 32, 2 + 1
	if len(b) < versionAndRandom+1 {
		return
	}
	retry := string(b[2:versionAndRandom]) == helloRetryRandom
	s.answered = !retry
	b = b[versionAndRandom:]
	if rest := 1 + int(b[0]) + suiteAndCompression + 2; len(b) >= rest {
		s.extensions(b[rest:], retry)
	}
}

func (s *sniffer) extensions(b []byte, retry bool) {
	for len(b) >= 4 {
		id, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if b = b[4:]; n > len(b) {
			return
		}
		if id == extKeyShare && n >= 2 {
			s.group = binary.BigEndian.Uint16(b)
		}
		// In TLS 1.3 everything after this message is encrypted.
		if id == extSupportedVersions && !retry {
			s.messages = false
		}
		b = b[n:]
	}
}

// helloRetryRandom is the Random of a HelloRetryRequest (RFC 8446 §4.1.3).
const helloRetryRandom = "\xCF\x21\xAD\x74\xE5\x9A\x61\x11\xBE\x1D\x8C\x02\x1E\x65\xB8\x91" +
	"\xC2\xA2\x11\x16\x7A\xBB\x8C\x5E\x07\x9E\x09\xE2\xC8\xA8\x33\x9C"

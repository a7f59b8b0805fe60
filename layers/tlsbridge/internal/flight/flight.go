// Package flight reads what the two peers of a TLS handshake say in plaintext, and what the TLS libraries keep to
// themselves: a fatal alert, and what a server has chosen.
//
//	var f flight.Flight
//	f.Server = true
//	f.Feed(piece) // of any size, again and again
//	if f.Answered { … f.Group … }
//
// OpenSSL's clients send their alerts in plaintext even after a TLS 1.3 ServerHello. crypto/tls tries to decrypt them and
// reports a bad record MAC.
package flight

import "encoding/binary"

// Flight is what one peer has said so far (RFC 8446 §4, RFC 5246 §7.4). It holds at most one message, and of that no more
// than it needs. The zero Flight is a client's.
type Flight struct {
	Server bool // it is a server's: its handshake messages are looked at

	Alert    byte // the fatal alert, if HasAlert
	HasAlert bool
	Canceled bool // a client has sent user_canceled as a warning, which the libraries drop

	Answered        bool   // a ServerHello was seen
	Retried         bool   // a HelloRetryRequest was seen
	RetriedECH      bool   // and it had encrypted_client_hello
	Group           uint16 // NamedGroup of the key exchange, or the one that a retry is to have; 0: none seen
	Suite           uint16 // cipher suite
	EncryptThenMAC  bool   // the server has agreed to encrypt_then_mac (RFC 7366)
	FragmentLength  byte   // max_fragment_length that it has agreed to (RFC 6066 §4); 0: none
	RecordSizeLimit uint16 // its record_size_limit (RFC 8449); 0: none

	header [recordHeaderLen]byte
	have   int // bytes of the header that were seen
	left   int // bytes of the record that are to come

	alert   []byte // of an alert record in plaintext
	message []byte // the beginning of the current handshake message, with its header
	skip    int    // bytes of it that are to come and not kept
	closed  bool   // no more handshake messages are in plaintext
}

const (
	recordHeaderLen    = 5
	handshakeHeaderLen = 4

	recordChangeCipherSpec = 20
	recordAlert            = 21
	recordHandshake        = 22

	levelFatal = 2

	alertUserCanceled = 90

	typeServerHello       = 2
	typeServerKeyExchange = 12
	typeServerHelloDone   = 14

	extMaxFragmentLength = 1
	extEncryptThenMAC    = 22
	extRecordSizeLimit   = 28
	extSupportedVersions = 43
	extKeyShare          = 51
	extECH               = 0xfe0d

	// maxKept bounds what is kept of a message: a ServerHello has 130 bytes, or 1,200 with a hybrid key share; of a
	// ServerKeyExchange the first 3 count.
	maxKept = 4 << 10
)

// helloRetryRandom is the Random of a HelloRetryRequest (RFC 8446 §4.1.3).
const helloRetryRandom = "\xCF\x21\xAD\x74\xE5\x9A\x61\x11\xBE\x1D\x8C\x02\x1E\x65\xB8\x91" +
	"\xC2\xA2\x11\x16\x7A\xBB\x8C\x5E\x07\x9E\x09\xE2\xC8\xA8\x33\x9C"

// Feed looks at the next bytes.
func (f *Flight) Feed(p []byte) {
	for len(p) > 0 {
		if f.left == 0 {
			n := copy(f.header[f.have:], p)
			p = p[n:]
			if f.have += n; f.have == recordHeaderLen {
				f.have = 0
				f.record()
			}
			continue
		}
		n := min(f.left, len(p))
		f.payload(p[:n])
		f.left -= n
		p = p[n:]
	}
}

// Done reports whether no more handshake messages will be looked at.
func (f *Flight) Done() bool { return f.closed }

// record begins a record.
func (f *Flight) record() {
	f.left = int(binary.BigEndian.Uint16(f.header[3:]))
	f.alert = nil
	// What follows ChangeCipherSpec is encrypted, unless it came between the two hellos of a server that retries (RFC
	// 8446 §D.4).
	if f.header[0] == recordChangeCipherSpec && f.Answered {
		f.closed = true
	}
}

func (f *Flight) payload(p []byte) {
	switch {
	// An encrypted alert is longer than the two bytes of one in plaintext.
	case f.header[0] == recordAlert && binary.BigEndian.Uint16(f.header[3:]) == 2:
		if f.alert = append(f.alert, p...); len(f.alert) == 2 {
			f.alerted(f.alert[0], f.alert[1])
		}
	case f.header[0] == recordHandshake && f.Server:
		f.handshake(p)
	}
}

func (f *Flight) alerted(level, description byte) {
	switch {
	case level == levelFatal:
		f.Alert, f.HasAlert = description, true
	case description == alertUserCanceled && !f.Server:
		f.Canceled = true
	}
}

// handshake looks at a piece of handshake messages, which records cut anywhere.
func (f *Flight) handshake(p []byte) {
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
func (f *Flight) size() int {
	return handshakeHeaderLen + int(binary.BigEndian.Uint32(f.message)&0xffffff)
}

// complete ends the current message when all of it that is kept is there.
func (f *Flight) complete() {
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
			f.Group = binary.BigEndian.Uint16(body[1:])
		}
		f.closed = true
	case typeServerHelloDone:
		f.closed = true
	}
}

// serverHello reads a ServerHello or a HelloRetryRequest, which looks the same.
func (f *Flight) serverHello(b []byte) {
	const versionAndRandom, suiteAndCompression = 2 + 32, 2 + 1
	if len(b) < versionAndRandom+1 {
		return
	}
	retry := string(b[2:versionAndRandom]) == helloRetryRandom
	f.Answered, f.Retried = !retry, f.Retried || retry
	b = b[versionAndRandom:]
	id := 1 + int(b[0])
	if len(b) < id+suiteAndCompression {
		return
	}
	f.Suite = binary.BigEndian.Uint16(b[id:])
	if rest := id + suiteAndCompression + 2; len(b) >= rest {
		f.extensions(b[rest:], retry)
	}
}

func (f *Flight) extensions(b []byte, retry bool) {
	for len(b) >= 4 {
		id, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if b = b[4:]; n > len(b) {
			return
		}
		switch {
		case id == extKeyShare && n >= 2:
			f.Group = binary.BigEndian.Uint16(b)
		case id == extSupportedVersions && !retry:
			f.closed = true // in TLS 1.3 everything after this message is encrypted
		case id == extEncryptThenMAC:
			f.EncryptThenMAC = true
		case id == extMaxFragmentLength && n == 1:
			f.FragmentLength = b[0]
		case id == extRecordSizeLimit && n == 2:
			f.RecordSizeLimit = binary.BigEndian.Uint16(b)
		case id == extECH && retry:
			f.RetriedECH = true
		}
		b = b[n:]
	}
}

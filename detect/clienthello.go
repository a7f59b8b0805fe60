package detect

import "encoding/binary"

// MaxClientHello is the most bytes that the records of a ClientHello may take, their headers included. Real ones have 100
// to 2,000 bytes in one record; crypto/tls stops at 64 KiB too. How many records they are does not matter: servers take
// one byte in each, so who looks for a name must, too.
const MaxClientHello = 64 << 10

// Extension is one extension of a ClientHello (RFC 8446 §4.2).
type Extension struct {
	ID   uint16
	Data []byte // extension_data, a part of ClientHello.Raw
}

// ClientHello is the first message of a TLS client (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2). Everything in it is a copy of
// what was parsed, and its slices share memory with each other: do not change them.
type ClientHello struct {
	Raw     []byte // the handshake message, with its header of 4 bytes and without record headers
	Records int    // how many records it came in

	RecordVersion      uint16 // legacy_record_version of the first record
	LegacyVersion      uint16 // legacy_version
	Random             []byte // 32 bytes
	SessionID          []byte // legacy_session_id, 0 to 32 bytes
	CipherSuites       []uint16
	CompressionMethods []byte
	Extensions         []Extension // in order; nil when the hello has none, as is legal before TLS 1.3

	// What follows is read from the extensions. GREASE values (RFC 8701) are kept; see MaxVersion.

	// ServerName is the host_name of server_name (RFC 6066 §3) in the case in which it was sent, an IP address too
	// (which the RFC forbids). It holds letters, digits, and -_.: only: a name with anything else leaves it empty
	// while HasServerName is true, and can be had with Extension.
	ServerName    string
	HasServerName bool // the extension is there

	ALPN                    []string // protocol_name_list, raw
	SupportedVersions       []uint16
	SupportedGroups         []uint16
	KeyShareGroups          []uint16 // the groups of key_share, in order
	SignatureAlgorithms     []uint16
	SignatureAlgorithmsCert []uint16

	HasEarlyData    bool
	HasPreSharedKey bool
	HasECH          bool // encrypted_client_hello, be it real or GREASE
}

// ParseClientHello parses the ClientHello at the beginning of buf, which starts with a record header. The length that
// it returns covers all records that carry the hello; the handshake message may be cut into records at any byte.
//
// Malformed is, at its first byte: a record of another type or of a version other than 3.0 to 3.4, an empty record or
// one above 2^14 bytes, another handshake message, more than 64 records or [MaxClientHello] bytes, a record that goes
// on after the hello, a length that does not fit what is around it, a second extension of a type that is read here or
// of session_ticket, pre_shared_key when not last (RFC 8446 §4.2.11), and an ill-formed content of those whose content
// is in [ClientHello].
func ParseClientHello(buf []byte) (*ClientHello, int, error) {
	probe, r := scanClientHello(buf)
	if !r.isComplete() {
		return nil, 0, r.err("tls")
	}
	return readClientHello(buf[:r.n], probe), r.n, nil
}

// readClientHello reads the records that the probe went over and found complete.
func readClientHello(records []byte, probe helloCursor) *ClientHello {
	h := &ClientHello{
		Raw:           joinRecords(records, probe.off),
		Records:       probe.records,
		RecordVersion: binary.BigEndian.Uint16(records[1:]),
		Extensions:    make([]Extension, 0, probe.extensions),
	}
	if probe.extensions == 0 {
		h.Extensions = nil
	}
	keep := helloCursor{buf: h.Raw, left: len(h.Raw), keep: h}
	keep.message()
	return h
}

// joinRecords returns the size payload bytes of the complete records in buf.
func joinRecords(buf []byte, size int) []byte {
	msg := make([]byte, 0, size)
	for len(buf) > 0 {
		n := recordHeaderLen + int(binary.BigEndian.Uint16(buf[3:]))
		msg = append(msg, buf[recordHeaderLen:n]...)
		buf = buf[n:]
	}
	return msg
}

// Extension returns the data of the first extension with this id, and whether there is one. The data is part of Raw.
func (h *ClientHello) Extension(id uint16) ([]byte, bool) {
	for _, e := range h.Extensions {
		if e.ID == id {
			return e.Data, true
		}
	}
	return nil, false
}

// MaxVersion returns the highest protocol version that the client offers: of supported_versions what is not GREASE or
// a draft, else LegacyVersion.
func (h *ClientHello) MaxVersion() uint16 {
	var highest uint16
	for _, v := range h.SupportedVersions {
		if v>>8 == 3 {
			highest = max(highest, v)
		}
	}
	if highest == 0 {
		return h.LegacyVersion
	}
	return highest
}

// TLS detects a TLS client. It matches when the whole ClientHello is there and parses, so a Match means that
// [ParseClientHello] succeeds on the same bytes.
func TLS() Detector {
	return Func("tls", MaxClientHello, detectTLS)
}

func detectTLS(client []byte) Verdict {
	probe, r := scanClientHello(client)
	if !r.isComplete() {
		return r.undecided()
	}
	h := readClientHello(client[:r.n], probe)
	return Yes(Info{
		Protocol: "tls", Version: tlsVersionName(h.MaxVersion()), Host: h.ServerName, ALPN: h.ALPN,
	})
}

// tlsVersionName writes a protocol version as people do, and an unknown one not at all.
func tlsVersionName(v uint16) string {
	switch v {
	case 0x0300:
		return "ssl3"
	case 0x0301:
		return "1.0"
	case 0x0302:
		return "1.1"
	case 0x0303:
		return "1.2"
	case 0x0304:
		return "1.3"
	}
	return ""
}

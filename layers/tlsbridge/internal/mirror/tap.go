package mirror

import (
	"encoding/binary"
	"net"

	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/layers/tlsbridge/internal/flight"
)

const (
	recordHeaderLen    = 5
	handshakeHeaderLen = 4
	maxRecordLen       = 1 << 14 // RFC 8446 §5.1

	recordHandshake = 22
)

// tap is the transport of a handshake. It lets the first hello look like the client's on the wire, and looks at what
// the server says before utls does.
type tap struct {
	net.Conn
	records int    // how many the hello is cut into
	version uint16 // legacy_record_version of the hello
	sent    []byte // the hello, as far as utls has written it
	broken  bool   // the transport has failed, or ended
	server  flight.Flight
	heard   func(*flight.Flight) error // may end the handshake

	keep bool // what the server sends is kept, as far as its first encrypted record goes
	kept []byte
}

// mostKept is room for a ServerHello, a retry before it, and one encrypted record.
const mostKept = 24 << 10

func newTap(c net.Conn, hello *detect.ClientHello) *tap {
	return &tap{Conn: c, records: hello.Records, version: hello.RecordVersion, server: flight.Flight{Server: true}}
}

func (t *tap) Write(p []byte) (int, error) {
	if isComplete(t.sent) {
		return t.write(p)
	}
	if t.sent = appendPayload(t.sent, p); !isComplete(t.sent) {
		return len(p), nil // utls writes a hello of more than one record piece by piece
	}
	if _, err := t.write(appendRecords(nil, t.version, t.sent, t.records)); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (t *tap) write(p []byte) (int, error) {
	n, err := t.Conn.Write(p)
	t.broken = t.broken || err != nil
	return n, err
}

// isComplete reports whether message is a whole handshake message.
func isComplete(message []byte) bool {
	return len(message) >= handshakeHeaderLen &&
		len(message)-handshakeHeaderLen >= int(binary.BigEndian.Uint32(message)&0xffffff)
}

// appendPayload appends what is in the complete records of p.
func appendPayload(b, p []byte) []byte {
	for len(p) >= recordHeaderLen {
		n := min(recordHeaderLen+int(binary.BigEndian.Uint16(p[3:])), len(p))
		b = append(b, p[recordHeaderLen:n]...)
		p = p[n:]
	}
	return b
}

// appendRecords cuts a handshake message into n records of about the same length, or into as many as it takes.
func appendRecords(b []byte, version uint16, message []byte, n int) []byte {
	size := len(message)
	n = min(max(n, (size+maxRecordLen-1)/maxRecordLen), size)
	for i := range n {
		piece := message[size*i/n : size*(i+1)/n]
		b = append(b, recordHandshake)
		b = binary.BigEndian.AppendUint16(b, version)
		b = binary.BigEndian.AppendUint16(b, uint16(len(piece)))
		b = append(b, piece...)
	}
	return b
}

func (t *tap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.broken = t.broken || err != nil
	if t.keep && len(t.kept) < mostKept {
		t.kept = append(t.kept, p[:n]...)
	}
	if !t.server.Done() {
		t.server.Feed(p[:n])
		if ended := t.heard(&t.server); ended != nil {
			return 0, ended
		}
	}
	return n, err
}

package mirror

import (
	"encoding/binary"
	"net"

	"github.com/bridgeio/bridgeio/detect"
	"github.com/bridgeio/bridgeio/layers/tlsbridge/internal/flight"
)

const (
	recordHeaderLen = 5
	recordHandshake = 22
)

// tap is the transport of a handshake. It lets the first hello look like the client's on the wire, and looks at what
// the server says before utls does.
type tap struct {
	net.Conn
	records int    // how many the hello is cut into
	version uint16 // legacy_record_version of the hello
	sent    []byte // the hello
	server  flight.Flight
	heard   func(*flight.Flight)
	settled bool

	keep bool // what the server sends is kept, as far as its first encrypted record goes
	kept []byte
}

// mostKept is room for a ServerHello, a retry before it, and one encrypted record.
const mostKept = 24 << 10

func newTap(c net.Conn, hello *detect.ClientHello) *tap {
	return &tap{Conn: c, records: hello.Records, version: hello.RecordVersion, server: flight.Flight{Server: true}}
}

func (t *tap) Write(p []byte) (int, error) {
	if t.sent != nil || t.settled {
		return t.Conn.Write(p)
	}
	t.sent = joined(p)
	if _, err := t.Conn.Write(appendRecords(nil, t.version, t.sent, t.records)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// joined returns the payload of complete records.
func joined(p []byte) []byte {
	var all []byte
	for len(p) >= recordHeaderLen {
		n := min(recordHeaderLen+int(binary.BigEndian.Uint16(p[3:])), len(p))
		all = append(all, p[recordHeaderLen:n]...)
		p = p[n:]
	}
	return all
}

// appendRecords cuts a handshake message into n records, or into as many as it takes.
func appendRecords(b []byte, version uint16, message []byte, n int) []byte {
	const most = 1 << 14
	size := min((len(message)+max(n, 1)-1)/max(n, 1), most)
	for len(message) > 0 {
		piece := message[:min(size, len(message))]
		b = append(b, recordHandshake)
		b = binary.BigEndian.AppendUint16(b, version)
		b = binary.BigEndian.AppendUint16(b, uint16(len(piece)))
		b = append(b, piece...)
		message = message[len(piece):]
	}
	return b
}

func (t *tap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	if t.keep && len(t.kept) < mostKept {
		t.kept = append(t.kept, p[:n]...)
	}
	if !t.settled && !t.server.Done() {
		t.server.Feed(p[:n])
		t.heard(&t.server)
	}
	return n, err
}

// settle ends the looking.
func (t *tap) settle() {
	t.settled, t.keep = true, false
	t.sent, t.heard, t.kept = nil, nil, nil
}

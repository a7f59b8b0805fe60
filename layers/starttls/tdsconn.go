package starttls

import (
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// handshakeOver says that the client has sent a TLS record without a packet around it, which it does once its handshake
// is finished ([MS-TDS] §3.2.5.2). The server speaks after that, and we shake hands with it before: so from then on,
// and no sooner, what is written to either is written as it is.
type handshakeOver struct{ atomic.Bool }

// tdsConn is a conn over which TLS shakes hands in TDS packets.
type tdsConn struct {
	stream
	over   *handshakeOver
	client bool // it is the client's, who says when the handshake is over

	writing sync.Mutex

	reading sync.Mutex
	raw     bool // no packets any more
	header  [detect.TDSHeaderLen]byte
	have    int // of the header
	left    int // of the packet's data
}

// stream is what a tdsConn needs of the conn below, a bridge.Stream.
type stream interface {
	net.Conn
	CloseWrite() error
	End() bridge.End
	EndWrite(bridge.End) error
	bridge.Poller
}

// newTDSConn returns a tdsConn over c, which is, or becomes, a bridge.Stream.
func newTDSConn(c net.Conn, over *handshakeOver, client bool) *tdsConn {
	s, ok := c.(stream)
	if !ok {
		s = bridge.NewStream(c)
	}
	return &tdsConn{stream: s, over: over, client: client}
}

// Read reads what is in the packets.
func (c *tdsConn) Read(p []byte) (int, error) { return c.read(p, c.stream.Read) }

// TryRead reads what is there without waiting.
func (c *tdsConn) TryRead(p []byte) (int, error) { return c.read(p, c.stream.TryRead) }

// AwaitRead blocks until TryRead may bring something.
func (c *tdsConn) AwaitRead() error {
	if c.keeps() {
		return nil
	}
	return c.stream.AwaitRead()
}

// keeps reports whether there is something that was read and not yet handed out.
func (c *tdsConn) keeps() bool {
	c.reading.Lock()
	defer c.reading.Unlock()
	return c.raw && c.have > 0
}

func (c *tdsConn) read(p []byte, below func([]byte) (int, error)) (n int, err error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	for !c.raw && c.left == 0 {
		if err := c.readHeader(below); err != nil {
			return 0, err
		}
	}
	if c.raw {
		return c.readRaw(p, below)
	}
	n, err = below(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// readHeader reads on in the header of a packet. TLS has content types from 20 on (RFC 8446 §5.1), and TDS has none of
// those: so what begins with anything else than a packet of a handshake is TLS without packets.
func (c *tdsConn) readHeader(below func([]byte) (int, error)) error {
	n, err := below(c.header[c.have:])
	c.have += n
	switch {
	case c.have > 0 && c.header[0] != detect.TDSPreloginPacket && c.header[0] != detect.TDSResponse:
		c.raw = true
		if c.client {
			c.over.Store(true)
		}
		return nil
	case c.have == len(c.header):
		length := int(binary.BigEndian.Uint16(c.header[2:]))
		if length < len(c.header) {
			return malformed("tds", "Length", 2)
		}
		c.have, c.left = 0, length-len(c.header)
		return nil
	}
	return err
}

// readRaw reads what was taken for a header first.
func (c *tdsConn) readRaw(p []byte, below func([]byte) (int, error)) (int, error) {
	if c.have == 0 {
		return below(p)
	}
	n := copy(p, c.header[:c.have])
	copy(c.header[:], c.header[n:c.have])
	c.have -= n
	return n, nil
}

// Write writes p in packets, each with as much as the packets of a handshake hold, or as it is when the handshake is over.
func (c *tdsConn) Write(p []byte) (n int, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.over.Load() {
		return c.stream.Write(p)
	}
	for len(p) > 0 {
		data := p[:min(len(p), maxTDSData)]
		if _, err := c.stream.Write(appendTDSPacket(nil, data, len(data) == len(p))); err != nil {
			return n, err
		}
		n, p = n+len(data), p[len(data):]
	}
	return n, nil
}

// maxTDSData is the most that a packet carries before the peers have agreed on another size ([MS-TDS] §2.2.3.1.3).
const maxTDSData = 4096 - detect.TDSHeaderLen

// appendTDSPacket appends a packet of a handshake, which is of the type PRELOGIN in both directions.
func appendTDSPacket(b, data []byte, last bool) []byte {
	status := byte(0)
	if last {
		status = 1 // EOM
	}
	b = append(b, detect.TDSPreloginPacket, status)
	b = binary.BigEndian.AppendUint16(b, uint16(detect.TDSHeaderLen+len(data)))
	return append(append(b, 0, 0, 0, 0), data...)
}

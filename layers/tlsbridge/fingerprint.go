package tlsbridge

import (
	"encoding/binary"

	"github.com/bridgeio/bridgeio/detect"
)

// fingerprints returns the JA3 and JA4 of a hello that was sent, a handshake message.
func fingerprints(sent []byte) (ja3, ja4 string) {
	if sent == nil {
		return "", ""
	}
	record := []byte{contentTypeHandshake, 3, 1}
	record = binary.BigEndian.AppendUint16(record, uint16(len(sent)))
	hello, _, err := detect.ParseClientHello(append(record, sent...))
	if err != nil {
		return "", "" // longer than a record, or so crafted that nobody will ask for it
	}
	return hello.JA3(), hello.JA4()
}

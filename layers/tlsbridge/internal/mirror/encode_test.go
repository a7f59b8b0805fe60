package mirror

import (
	"encoding/binary"

	"github.com/bridgeio/bridgeio/detect"
)

// encode returns a hello in the record that it goes on the wire in, or in several when it is long.
func encode(h *detect.ClientHello) []byte {
	body := binary.BigEndian.AppendUint16(nil, h.LegacyVersion)
	body = append(body, h.Random...)
	body = append(append(body, byte(len(h.SessionID))), h.SessionID...)
	body = append(body, list16(h.CipherSuites)...)
	body = append(append(body, byte(len(h.CompressionMethods))), h.CompressionMethods...)
	var extensions []byte
	for _, e := range h.Extensions {
		extensions = append(extensions, extension(e.ID, e.Data...)...)
	}
	if h.Extensions != nil {
		body = append(binary.BigEndian.AppendUint16(body, uint16(len(extensions))), extensions...)
	}
	message := append([]byte{1, byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}, body...)
	return appendRecords(nil, h.RecordVersion, message, max(h.Records, 1))
}

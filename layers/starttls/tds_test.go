package starttls_test

import (
	"encoding/binary"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	. "github.com/bridgeio/bridgeio/bridge/bridgetest"
	"github.com/bridgeio/bridgeio/layers/starttls"
)

// The types of packets, and the values of ENCRYPTION.
const (
	clientPrelogin, serverPrelogin       = 0x12, 0x04
	encryptOff, encryptOn, encryptNotSup = 0, 1, 2
)

// prelogin is a PRELOGIN message with the options VERSION and ENCRYPTION.
func prelogin(kind, encryption byte) string {
	options := "\x00\x00\x0b\x00\x06" + "\x01\x00\x11\x00\x01" + "\xff" + "\x10\x00\x0f\xa0\x00\x00" + string([]byte{encryption})
	return packet(kind, options)
}

// packet is a packet of TDS.
func packet(kind byte, data string) string {
	header := binary.BigEndian.AppendUint16([]byte{kind, 1}, uint16(8+len(data)))
	return string(append(header, 0, 0, 0, 0)) + data
}

func TestTDS(t *testing.T) {
	ask := prelogin(clientPrelogin, encryptOff)
	playInTurn(t, starttls.TDS(), []dialogue{
		{"all is encrypted", Script{C(ask), S(prelogin(serverPrelogin, encryptOn)), Tunnel()}, "tds>inner", starttls.Plain{}, bridge.Frame{}},
		{
			"the server requires it, and a certificate",
			Script{C(prelogin(clientPrelogin, encryptOn)), S(prelogin(serverPrelogin, 0x83)), Tunnel()},
			"tds>inner",
			starttls.Plain{},
			bridge.Frame{},
		},
		{
			"only the login is encrypted",
			Script{C(ask), S(prelogin(serverPrelogin, encryptOff)), Tunnel()},
			"tds",
			starttls.Plain{},
			bridge.Frame{Note: "only the login is encrypted"},
		},
		{"nothing is encrypted", Script{C(ask), S(prelogin(serverPrelogin, encryptNotSup)), Tunnel()}, "tds", starttls.Plain{}, bridge.Frame{}},
		{"the wrong peer", Script{C(prelogin(serverPrelogin, encryptOn)), Tunnel()}, "tds>raw", starttls.Plain{}, bridge.Frame{}},
	})
}

package socks

import (
	"encoding/asn1"
	"encoding/binary"
	"fmt"

	"github.com/bridgeio/bridgeio/bridge"
)

// The message types of GSSAPI (mtyp, RFC 1961 §3.4, §3.8, §4.3, §5.1).
const (
	GSSAPIAuth       byte = 0x01 // a token of the security context
	GSSAPIProtection byte = 0x02 // a protection level
	GSSAPIData       byte = 0x03 // encapsulated user data
	GSSAPIAbort      byte = 0xff // a refusal, which has neither len nor token
)

const (
	versionGSSAPI byte = 0x01 // ver, RFC 1961 §3.4

	gssapiHead      = 4
	gssapiAbortLen  = 2
	maxGSSAPI       = gssapiHead + 1<<16 - 1
	maxGSSAPIFrames = 64 // Kerberos takes 2 tokens, SPNEGO around it 4
)

// GSSAPIMessage is what each peer says when GSSAPI was chosen (RFC 1961).
type GSSAPIMessage struct {
	Mtyp  byte
	Token string // up to 65,535 bytes, raw. Empty in an abort message
}

// String does not contain the token.
func (m GSSAPIMessage) String() string {
	if m.Mtyp == GSSAPIAbort {
		return "abort"
	}
	return fmt.Sprintf("mtyp %02x of %d bytes", m.Mtyp, len(m.Token))
}

// ParseGSSAPI parses a message of the GSSAPI method (RFC 1961 §3.4). Another version and an unknown mtyp are malformed.
func ParseGSSAPI(buf []byte) (GSSAPIMessage, int, error) {
	switch {
	case len(buf) > 0 && buf[0] != versionGSSAPI:
		return GSSAPIMessage{}, 0, malformed("socks5", "ver", 0)
	case len(buf) < gssapiAbortLen:
		return GSSAPIMessage{}, 0, bridge.ErrShort
	case buf[1] == GSSAPIAbort:
		return GSSAPIMessage{Mtyp: GSSAPIAbort}, gssapiAbortLen, nil
	case buf[1] < GSSAPIAuth || buf[1] > GSSAPIData:
		return GSSAPIMessage{}, 0, malformed("socks5", "mtyp", 1)
	case len(buf) < gssapiHead:
		return GSSAPIMessage{}, 0, bridge.ErrShort
	}
	end := gssapiHead + int(binary.BigEndian.Uint16(buf[2:]))
	if len(buf) < end {
		return GSSAPIMessage{}, 0, bridge.ErrShort
	}
	return GSSAPIMessage{Mtyp: buf[1], Token: string(buf[gssapiHead:end])}, end, nil
}

// AppendGSSAPI appends a message of the GSSAPI method (RFC 1961 §3.4). It fails when the message could not be parsed
// again: an unknown mtyp, a token of more than 65,535 bytes, and one in an abort message.
func AppendGSSAPI(b []byte, m GSSAPIMessage) ([]byte, error) {
	switch {
	case m.Mtyp == GSSAPIAbort && m.Token != "":
		return nil, fmt.Errorf("an abort message with a token of %d bytes", len(m.Token))
	case m.Mtyp == GSSAPIAbort:
		return append(b, versionGSSAPI, GSSAPIAbort), nil
	case m.Mtyp < GSSAPIAuth || m.Mtyp > GSSAPIData:
		return nil, fmt.Errorf("unknown mtyp %02x", m.Mtyp)
	case len(m.Token) > maxGSSAPI-gssapiHead:
		return nil, fmt.Errorf("token of %d bytes, at most %d fit", len(m.Token), maxGSSAPI-gssapiHead)
	}
	b = binary.BigEndian.AppendUint16(append(b, versionGSSAPI, m.Mtyp), uint16(len(m.Token)))
	return append(b, m.Token...), nil
}

// maxMech bounds the name of a mechanism: those in use take less than a dozen bytes.
const maxMech = 64

// mechOf returns the mechanism that the first token of a context names, as "1.2.840.113554.1.2.2" for Kerberos, and
// nothing for a token that names none. RFC 2743 §3.1: the token begins with the tag 60, the length of the rest, and
// the object identifier of the mechanism.
func mechOf(token string) string {
	var outer asn1.RawValue
	rest := []byte(token)
	if len(rest) == 0 || rest[0] != 0x60 {
		return ""
	}
	if _, err := asn1.Unmarshal(rest, &outer); err != nil || len(outer.Bytes) < 2 {
		return ""
	}
	if length := int(outer.Bytes[1]); length > maxMech || len(outer.Bytes) < 2+length {
		return ""
	}
	var mech asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(outer.Bytes[:2+int(outer.Bytes[1])], &mech); err != nil {
		return ""
	}
	return mech.String()
}

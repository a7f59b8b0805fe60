package starttls

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/bridgeio/bridgeio/bridge"
)

// RDP returns the layer for the Remote Desktop Protocol ([MS-RDPBCGR] §1.3.1.1), in which TLS begins when the server has
// selected it.
//
// It is bridged when the server selects TLS alone. CredSSP, which most servers ask for, proves to both that they see
// the very same certificate ([MS-CSSP] §3.1.5): that goes on as it is, and so does RDSTLS.
func RDP() bridge.Layer { return layer("rdp", rdp) }

func rdp(ctx context.Context, s *session) error {
	request, err := ask(ctx, s, parseRDPRequest)
	if err != nil {
		return err
	}
	s.frame.User = clean(request.user)
	c, err := answer(ctx, s, parseRDPConfirm, func(c rdpConfirm) bool { return c.tls() }, bridge.Class(itself[rdpConfirm]))
	switch {
	case err != nil:
		return err
	case c.tls():
		return nil
	}
	s.frame.Note = c.String()
	return errPlain
}

// rdpRequest is what matters of the X.224 Connection Request ([MS-RDPBCGR] §2.2.1.1).
type rdpRequest struct {
	user string // the cookie's
}

// rdpConfirm is what matters of the X.224 Connection Confirm ([MS-RDPBCGR] §2.2.1.2).
type rdpConfirm struct {
	kind  byte   // of the structure in it: rdpResponse, rdpFailure; 0: none
	value uint32 // selectedProtocol, or failureCode
}

const (
	rdpResponse = 2 // TYPE_RDP_NEG_RSP
	rdpFailure  = 3 // TYPE_RDP_NEG_FAILURE
	protocolSSL = 1 // PROTOCOL_SSL
)

func (c rdpConfirm) tls() bool { return c.kind == rdpResponse && c.value == protocolSSL }

// String says what a confirm other than one of TLS leads to.
func (c rdpConfirm) String() string {
	switch {
	case c.kind == rdpFailure:
		return fmt.Sprintf("refused: failure code %d", c.value)
	case c.kind == 0, c.value == 0:
		return "standard RDP security"
	case c.value&(2|8) != 0: // PROTOCOL_HYBRID, PROTOCOL_HYBRID_EX
		return "CredSSP, which no other certificate than the server's is good for"
	case c.value == 4:
		return "RDSTLS"
	}
	return fmt.Sprintf("selected protocol %d", c.value)
}

// tpduCode is the code of an X.224 TPDU.
const (
	tpduRequest = 0xe0
	tpduConfirm = 0xd0
)

// parseRDPRequest reads a Connection Request with what may be in it: a cookie or a routing token in a line, and which
// security protocols the client supports.
func parseRDPRequest(buf []byte) (r rdpRequest, n int, err error) {
	data, n, err := tpdu(buf, tpduRequest)
	if err != nil {
		return r, 0, err
	}
	if line, _, ok := bytes.Cut(data, []byte("\r\n")); ok {
		r.user, _ = strings.CutPrefix(string(line), "Cookie: mstshash=")
		if len(r.user) == len(line) {
			r.user = "" // a routing token
		}
	}
	return r, n, nil
}

// parseRDPConfirm reads a Connection Confirm.
func parseRDPConfirm(buf []byte) (c rdpConfirm, n int, err error) {
	data, n, err := tpdu(buf, tpduConfirm)
	switch {
	case err != nil:
		return c, 0, err
	case len(data) == 0: // of a server that knows no such protocols
		return c, n, nil
	case len(data) != 8, data[0] != rdpResponse && data[0] != rdpFailure, data[2] != 8, data[3] != 0:
		return c, 0, malformed("rdp", "RDP_NEG_RSP", n-len(data))
	}
	return rdpConfirm{kind: data[0], value: binary.LittleEndian.Uint32(data[4:])}, n, nil
}

// tpdu reads a TPKT packet (RFC 1006 §6) with one X.224 connection TPDU in it, and returns what is behind its fixed part.
func tpdu(buf []byte, code byte) (data []byte, n int, err error) {
	const fixed = 4 + 7 // the TPKT header; length indicator, code, two references, class
	for i, want := range []byte{3, 0} {
		if len(buf) > i && buf[i] != want {
			return nil, 0, malformed("rdp", "TPKT", i)
		}
	}
	if len(buf) < 4 {
		return nil, 0, bridge.ErrShort
	}
	n = int(binary.BigEndian.Uint16(buf[2:]))
	switch {
	case n < fixed, n > 4+1+255:
		return nil, 0, malformed("rdp", "TPKT length", 2)
	case len(buf) < n:
		return nil, 0, bridge.ErrShort
	case int(buf[4]) != n-5:
		return nil, 0, malformed("rdp", "length indicator", 4)
	case buf[5] != code:
		return nil, 0, malformed("rdp", "TPDU code", 5)
	}
	return buf[fixed:n], n, nil
}

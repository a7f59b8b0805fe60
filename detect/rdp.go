package detect

import "bytes"

// RDPRequest is an X.224 Connection Request as clients of remote desktops send it (MS-RDPBCGR §2.2.1.1).
type RDPRequest struct {
	Cookie    string       // the user of "Cookie: mstshash=", raw
	Token     string       // the line of another kind, with the routing token: "Cookie: msts=…", "tsv://…", raw
	Protocols RDPProtocols // requestedProtocols; 0, standard RDP security, where none are named
}

// RDPConfirm is the server's Connection Confirm (MS-RDPBCGR §2.2.1.2).
type RDPConfirm struct {
	Selected RDPProtocols // selectedProtocol
	Failure  uint32       // failureCode, where the server takes none
}

// RDPProtocols is the flags of requestedProtocols, or the one of selectedProtocol.
type RDPProtocols uint32

// The security protocols (MS-RDPBCGR §2.2.1.1.1).
const (
	RDPSSL      RDPProtocols = 1 // TLS
	RDPHybrid   RDPProtocols = 2 // CredSSP over TLS
	RDPRDSTLS   RDPProtocols = 4
	RDPHybridEx RDPProtocols = 8
	RDPAAD      RDPProtocols = 16
)

const (
	tpktHeaderLen  = 4
	x224FixedLen   = 7 // LI, code, DST-REF, SRC-REF, CLASS
	rdpBodyAt      = tpktHeaderLen + x224FixedLen
	x224Request    = 0xe0
	x224Confirm    = 0xd0
	maxRDPRequest  = tpktHeaderLen + 1 + 254 // X.224 §13.2.1: 255 of LI is reserved
	rdpNegLen      = 8
	rdpNegRequest  = 1
	rdpNegResponse = 2
	rdpNegFailure  = 3
	rdpHash        = "Cookie: mstshash="
	rdpToken       = "Cookie: msts="
)

// ParseRDPRequest parses a Connection Request at the beginning of buf, one TPKT packet. It takes any: one without
// cookie and rdpNegReq asks for standard RDP security.
func ParseRDPRequest(buf []byte) (RDPRequest, int, error) {
	r := scanX224(buf, x224Request)
	if !r.isComplete() {
		return RDPRequest{}, 0, r.err("rdp")
	}
	return rdpRequest(buf[rdpBodyAt:r.n]), r.n, nil
}

// ParseRDPConfirm parses a Connection Confirm at the beginning of buf, one TPKT packet. Without rdpNegData, Selected is
// 0: standard RDP security.
func ParseRDPConfirm(buf []byte) (RDPConfirm, int, error) {
	r := scanX224(buf, x224Confirm)
	if !r.isComplete() {
		return RDPConfirm{}, 0, r.err("rdp")
	}
	var c RDPConfirm
	if neg := buf[rdpBodyAt:r.n]; len(neg) >= rdpNegLen && le16(neg[2:]) == rdpNegLen {
		switch neg[0] {
		case rdpNegResponse:
			c.Selected = RDPProtocols(le32(neg[4:]))
		case rdpNegFailure:
			c.Failure = le32(neg[4:])
		}
	}
	return c, r.n, nil
}

// scanX224 scans a TPKT packet (RFC 1006 §6) with one TPDU of a connection's begin (X.224 §13.3, §13.4).
func scanX224(b []byte, code byte) result {
	switch {
	case len(b) > 0 && b[0] != 3:
		return bad("TPKT version", 0)
	case len(b) > 1 && b[1] != 0:
		return bad("TPKT reserved", 1)
	case len(b) < tpktHeaderLen:
		return short(rdpBodyAt)
	}
	length := be16(b[2:])
	switch {
	case length < rdpBodyAt || length > maxRDPRequest:
		return bad("TPKT length", 2)
	case len(b) > 4 && int(b[4]) != length-tpktHeaderLen-1:
		return bad("LI", 4)
	case len(b) > 5 && b[5] != code:
		return bad("code", 5)
	case code == x224Request && (len(b) > 6 && b[6] != 0 || len(b) > 7 && b[7] != 0):
		return bad("DST-REF", 6) // X.224 §13.3.3: the server has not given one yet
	case len(b) > 10 && b[10] != 0:
		return bad("CLASS", 10)
	case len(b) < length:
		return short(length)
	}
	return complete(length)
}

// splitRDP tells the two parts of what follows the fixed part: a line of text, and rdpNegReq. Either may be missing.
func splitRDP(body []byte) (line, neg []byte) {
	if at := bytes.Index(body, []byte("\r\n")); at >= 0 && body[0] != rdpNegRequest {
		line, body = body[:at], body[at+2:]
	}
	if len(body) >= rdpNegLen && body[0] == rdpNegRequest && le16(body[2:]) == rdpNegLen {
		neg = body[:rdpNegLen]
	}
	return line, neg
}

// rdpRequest reads what follows the fixed part.
func rdpRequest(body []byte) (q RDPRequest) {
	line, neg := splitRDP(body)
	if user, found := bytes.CutPrefix(line, []byte(rdpHash)); found {
		q.Cookie = string(user)
	} else {
		q.Token = string(line)
	}
	if neg != nil {
		q.Protocols = RDPProtocols(le32(neg[4:]))
	}
	return q
}

// RDP detects a client of Remote Desktop, by its whole Connection Request. Other protocols share that (S7, ISO-TSAP),
// so a cookie, a token or a negotiation request must be in it. User is the one of the cookie.
func RDP() Detector {
	return scanned("rdp", maxRDPRequest, scanRDP, func(b []byte) Info {
		q := rdpRequest(b[rdpBodyAt:be16(b[2:])])
		return Info{Protocol: "rdp", User: clean([]byte(q.Cookie))}
	})
}

// scanRDP is scanX224 for a request that is one of Remote Desktop.
func scanRDP(b []byte) result {
	const least = rdpBodyAt + rdpNegLen // a line is longer
	r := scanX224(b, x224Request)
	switch {
	case r.field != "":
	case len(b) >= tpktHeaderLen && be16(b[2:]) < least:
		return bad("TPKT length", 2)
	case r.need > 0:
		r.need = max(r.need, least)
	case !isRDP(b[rdpBodyAt:r.n]):
		return bad("rdpNegReq", rdpBodyAt)
	}
	return r
}

// isRDP wants a line that names a user or a server, or else flags that exist.
func isRDP(body []byte) bool {
	line, neg := splitRDP(body)
	if bytes.HasPrefix(line, []byte(rdpHash)) || bytes.HasPrefix(line, []byte(rdpToken)) {
		return true
	}
	const known = RDPSSL | RDPHybrid | RDPRDSTLS | RDPHybridEx | RDPAAD
	return neg != nil && RDPProtocols(le32(neg[4:]))&^known == 0
}

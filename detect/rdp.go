package detect

import "bytes"

// RDPRequest is an X.224 Connection Request as clients of remote desktops send it (MS-RDPBCGR §2.2.1.1).
type RDPRequest struct {
	Cookie    string       // the user of "Cookie: mstshash=", raw
	Token     string       // the routing token, "msts=…", raw
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
)

const (
	tpktHeaderLen  = 4
	x224FixedLen   = 7 // LI, code, DST-REF, SRC-REF, CLASS
	rdpBodyAt      = tpktHeaderLen + x224FixedLen
	x224Request    = 0xe0
	x224Confirm    = 0xd0
	maxRDPRequest  = 512
	rdpNegLen      = 8
	rdpNegRequest  = 1
	rdpNegResponse = 2
	rdpNegFailure  = 3
	rdpCookie      = "Cookie: "
	rdpHash        = "mstshash="
)

// ParseRDPRequest parses a Connection Request at the beginning of buf.
func ParseRDPRequest(buf []byte) (RDPRequest, int, error) {
	r := scanX224(buf, x224Request)
	if !r.isComplete() {
		return RDPRequest{}, 0, r.err("rdp")
	}
	return rdpRequest(buf[rdpBodyAt:r.n]), r.n, nil
}

// ParseRDPConfirm parses a Connection Confirm at the beginning of buf.
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

// scanX224 scans a TPKT packet (RFC 1006 §6) with one TPDU of a connection's begin (X.224 §13.3).
func scanX224(b []byte, code byte) result {
	switch {
	case len(b) > 0 && b[0] != 3:
		return bad("TPKT version", 0)
	case len(b) > 1 && b[1] != 0:
		return bad("TPKT reserved", 1)
	case len(b) > 3 && (be16(b[2:]) < rdpBodyAt || be16(b[2:]) > maxRDPRequest):
		return bad("TPKT length", 2)
	case len(b) > 4 && int(b[4]) != be16(b[2:])-tpktHeaderLen-1:
		return bad("LI", 4)
	case len(b) > 5 && b[5] != code:
		return bad("code", 5)
	case len(b) > 10 && b[10] != 0:
		return bad("CLASS", 10)
	case len(b) < rdpBodyAt:
		return short(rdpBodyAt)
	case len(b) < be16(b[2:]):
		return short(be16(b[2:]))
	}
	return complete(be16(b[2:]))
}

// rdpRequest reads what follows the fixed part.
func rdpRequest(body []byte) (q RDPRequest) {
	if cookie, found := bytes.CutPrefix(body, []byte(rdpCookie)); found {
		line, rest, whole := bytes.Cut(cookie, []byte("\r\n"))
		if whole {
			body = rest
			if user, found := bytes.CutPrefix(line, []byte(rdpHash)); found {
				q.Cookie = string(user)
			} else {
				q.Token = string(line)
			}
		}
	}
	if len(body) >= rdpNegLen && body[0] == rdpNegRequest && le16(body[2:]) == rdpNegLen {
		q.Protocols = RDPProtocols(le32(body[4:]))
	}
	return q
}

// RDP detects a client of Remote Desktop, by its whole Connection Request. Other protocols share that (S7, ISO-TSAP),
// so a cookie, a token or a negotiation request must be in it. User is the one of the cookie.
func RDP() Detector {
	return scanned("rdp", maxRDPRequest, func(b []byte) result {
		r := scanX224(b, x224Request)
		if r.isComplete() && !isRDP(b[rdpBodyAt:r.n]) {
			return bad("rdpNegRequest", rdpBodyAt)
		}
		return r
	}, func(b []byte) Info {
		q := rdpRequest(b[rdpBodyAt:be16(b[2:])])
		return Info{Protocol: "rdp", User: clean([]byte(q.Cookie))}
	})
}

func isRDP(body []byte) bool {
	if bytes.HasPrefix(body, []byte(rdpCookie+rdpHash)) || bytes.HasPrefix(body, []byte(rdpCookie+"msts=")) {
		return true
	}
	return len(body) >= rdpNegLen && body[0] == rdpNegRequest && le16(body[2:]) == rdpNegLen && le32(body[4:]) <= 0x1f
}

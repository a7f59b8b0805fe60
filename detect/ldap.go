package detect

import "strconv"

// LDAPMessage is an LDAPMessage (RFC 4511 §4.1.1), as far as it takes to follow StartTLS.
type LDAPMessage struct {
	ID         int
	Op         LDAPOp
	Name       string // of a bind request: the DN, raw; of an extended request or response: the OID
	Version    int    // of a bind request
	ResultCode int    // of a bind or extended response, -1 if it has none
}

// LDAPOp is the tag of a protocolOp.
type LDAPOp byte

// The operations that matter here (RFC 4511 §4).
const (
	LDAPBindRequest      LDAPOp = 0x60
	LDAPUnbindRequest    LDAPOp = 0x42
	LDAPSearchRequest    LDAPOp = 0x63
	LDAPSearchEntry      LDAPOp = 0x64
	LDAPSearchDone       LDAPOp = 0x65
	LDAPSearchReference  LDAPOp = 0x73
	LDAPExtendedRequest  LDAPOp = 0x77
	LDAPExtendedResponse LDAPOp = 0x78
)

// LDAPStartTLS is the OID of StartTLS (RFC 4511 §4.14.1).
const LDAPStartTLS = "1.3.6.1.4.1.1466.20037"

const (
	// maxLDAPMessage bounds the messages that are of interest: what comes before TLS or a bind is short.
	maxLDAPMessage = 64 << 10

	// maxLDAPAwaited is the longest bind or extended request that the detector waits for to say more than its name. A
	// bind with a Kerberos ticket is longer.
	maxLDAPAwaited = 1024
)

// ParseLDAPMessage parses a message at the beginning of buf. It takes definite lengths only (RFC 4511 §5.1).
func ParseLDAPMessage(buf []byte) (LDAPMessage, int, error) {
	m, length, r := scanLDAP(buf)
	switch {
	case !r.isComplete():
		return LDAPMessage{}, 0, r.err("ldap")
	case len(buf) < length:
		return LDAPMessage{}, 0, ErrShort
	}
	m.read(buf[r.n:length])
	return m, length, nil
}

// scanLDAP scans up to and with the tag of the operation, and returns the length of the message.
func scanLDAP(b []byte) (m LDAPMessage, length int, r result) {
	if len(b) > 0 && b[0] != 0x30 {
		return m, 0, bad("LDAPMessage", 0)
	}
	body, size, r := berLength(b, 1)
	if !r.isComplete() {
		if r.need > 0 {
			r.need += len("\x02\x01\x01\x42")
		}
		return m, 0, r
	}
	if size < len("\x02\x01\x01\x42\x00") || size > maxLDAPMessage {
		return m, 0, bad("length", 1)
	}
	if r := fixed(b, body, "\x02", "messageID"); !r.isComplete() {
		if r.need > 0 {
			r.need += 3
		}
		return m, 0, r
	}
	if len(b) <= body+1 {
		return m, 0, short(body + 4)
	}
	idLen := int(b[body+1])
	if idLen == 0 || idLen > 4 || idLen+4 > size {
		return m, 0, bad("messageID", body+1)
	}
	op := body + 2 + idLen
	if len(b) <= op {
		return m, 0, short(op + 1)
	}
	for _, c := range b[body+2 : op] {
		m.ID = m.ID<<8 | int(c)
	}
	if m.ID > 1<<31-1 {
		return m, 0, bad("messageID", body+2)
	}
	m.Op = LDAPOp(b[op])
	return m, body + size, complete(op + 1)
}

// berLength reads a length (X.690 §8.1.3) and returns where the contents begin, and their size.
func berLength(b []byte, at int) (contents, size int, r result) {
	if len(b) <= at {
		return 0, 0, short(at + 1)
	}
	n := int(b[at])
	if n < 0x80 {
		return at + 1, n, complete(at + 1)
	}
	count := n & 0x7f
	if count == 0 || count > 4 {
		return 0, 0, bad("length", at)
	}
	if len(b) < at+1+count {
		return 0, 0, short(at + 1 + count)
	}
	for _, c := range b[at+1 : at+1+count] {
		size = size<<8 | int(c)
	}
	return at + 1 + count, size, complete(at + 1 + count)
}

// read fills in what the operation says; rest begins with its length. What is not as it should be stays zero.
func (m *LDAPMessage) read(rest []byte) {
	at, size, r := berLength(rest, 0)
	if !r.isComplete() || size > len(rest)-at {
		return
	}
	body := rest[at : at+size]
	switch m.Op {
	case LDAPBindRequest:
		version, after, _ := berValue(body, 0x02)
		dn, _, _ := berValue(after, 0x04)
		m.Version, m.Name = max(berNumber(version), 0), string(dn)
	case LDAPExtendedRequest:
		oid, _, _ := berValue(body, 0x80)
		m.Name = string(oid)
	case LDAPExtendedResponse, LDAPBindRequest + 1:
		code, after, _ := berValue(body, 0x0a)
		m.ResultCode = berNumber(code)
		for len(after) > 0 {
			value, next, ok := berValue(after, after[0])
			if !ok {
				return
			}
			if after[0] == 0x8a {
				m.Name = string(value)
			}
			after = next
		}
	}
}

// berNumber is the value of an INTEGER or ENUMERATED that is not negative, else -1. Peers read leading zeros (X.690
// §8.3.2 forbids them), so that a success which is written so is one.
func berNumber(b []byte) int {
	if len(b) == 0 || len(b) > 4 || b[0] >= 0x80 {
		return -1
	}
	n := 0
	for _, c := range b {
		n = n<<8 | int(c)
	}
	return n
}

// berValue returns the contents of the first element, when it has the tag, and what is behind it.
func berValue(b []byte, tag byte) (value, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != tag {
		return nil, b, false
	}
	at, size, r := berLength(b, 1)
	if !r.isComplete() || size > len(b)-at {
		return nil, b, false
	}
	return b[at : at+size], b[at+size:], true
}

// LDAP detects the first message of an LDAP client, a request (RFC 4511 §4.1.1). Verb is the operation, or StartTLS. Of
// a bind Version is the one that it names, and User the DN.
func LDAP() Detector {
	scan := func(b []byte) result {
		m, length, r := scanLDAP(b)
		switch {
		case !r.isComplete():
			return r
		case ldapVerb(m.Op) == "":
			return bad("protocolOp", r.n-1)
		case m.Op != LDAPBindRequest && m.Op != LDAPExtendedRequest || length > maxLDAPAwaited:
			return r
		case len(b) < length:
			return short(length) // what it asks for
		}
		return complete(length)
	}
	return scanned("ldap", maxLDAPMessage, scan, func(b []byte) Info {
		m, length, r := scanLDAP(b)
		info := Info{Protocol: "ldap", Verb: ldapVerb(m.Op)}
		if m.Op != LDAPBindRequest {
			info.Version = "3"
		}
		if length > min(len(b), maxLDAPAwaited) {
			return info
		}
		m.read(b[r.n:length])
		switch {
		case m.Op == LDAPBindRequest:
			info.User = clean([]byte(m.Name))
			if m.Version > 0 {
				info.Version = strconv.Itoa(m.Version)
			}
		case m.Op == LDAPExtendedRequest && m.Name == LDAPStartTLS:
			info.Verb = "StartTLS"
		}
		return info
	})
}

// ldapVerb is the name of a request that may come first.
func ldapVerb(op LDAPOp) string {
	switch op {
	case LDAPBindRequest:
		return "bind"
	case LDAPUnbindRequest:
		return "unbind"
	case LDAPSearchRequest:
		return "search"
	case 0x66:
		return "modify"
	case 0x68:
		return "add"
	case 0x4a:
		return "delete"
	case 0x6c:
		return "modifyDN"
	case 0x6e:
		return "compare"
	case LDAPExtendedRequest:
		return "extended"
	}
	return ""
}

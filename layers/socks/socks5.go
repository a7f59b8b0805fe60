package socks

import (
	"fmt"

	"github.com/bridgeio/bridgeio/bridge"
)

// The authentication methods (METHOD, RFC 1928 §3) that have a meaning here.
const (
	MethodNoAuth   byte = 0x00 // NO AUTHENTICATION REQUIRED
	MethodGSSAPI   byte = 0x01 // GSSAPI, RFC 1961
	MethodUserPass byte = 0x02 // USERNAME/PASSWORD, RFC 1929
	MethodNone     byte = 0xff // NO ACCEPTABLE METHODS
)

// The commands (CMD, RFC 1928 §4), and the two that Tor has added.
const (
	CmdConnect      byte = 0x01 // CONNECT
	CmdBind         byte = 0x02 // BIND
	CmdUDPAssociate byte = 0x03 // UDP ASSOCIATE
	CmdResolve      byte = 0xf0 // RESOLVE: the reply's BND.ADDR is the name's address
	CmdResolvePTR   byte = 0xf1 // RESOLVE_PTR: the reply's BND.ADDR is the address's name
)

// Rep is the reply code of SOCKS5 (REP, RFC 1928 §6).
type Rep byte

const (
	RepSucceeded            Rep = 0x00
	RepGeneralFailure       Rep = 0x01 // general SOCKS server failure
	RepNotAllowed           Rep = 0x02 // connection not allowed by ruleset
	RepNetworkUnreachable   Rep = 0x03
	RepHostUnreachable      Rep = 0x04
	RepConnectionRefused    Rep = 0x05
	RepTTLExpired           Rep = 0x06
	RepCommandNotSupported  Rep = 0x07
	RepAddrTypeNotSupported Rep = 0x08
)

// String returns the code with the RFC's words for it, where it has some.
func (r Rep) String() string {
	words := [...]string{
		"succeeded", "general SOCKS server failure", "connection not allowed by ruleset", "network unreachable",
		"host unreachable", "connection refused", "TTL expired", "command not supported", "address type not supported",
	}
	if int(r) >= len(words) {
		return fmt.Sprintf("%02x", byte(r))
	}
	return fmt.Sprintf("%02x %s", byte(r), words[r])
}

const (
	version5    byte = 0x05
	versionAuth byte = 0x01 // of the user and password negotiation, RFC 1929 §2

	statusSuccess byte = 0x00
	statusFailure byte = 0x01 // RFC 1929 §2 has any other value mean failure
)

// The greatest lengths of the messages.
const (
	maxGreeting = 2 + 255
	pairLen     = 2 // method selection, status
	maxUserPass = 2 + 255 + 1 + 255
	maxMessage  = 4 + 1 + 255 + 2 // request, reply
)

// AppendGreeting appends the client's first message (RFC 1928 §3). It takes 1 to 255 methods.
func AppendGreeting(b []byte, methods ...byte) ([]byte, error) {
	if len(methods) == 0 || len(methods) > 255 {
		return nil, fmt.Errorf("%d methods, 1 to 255 fit", len(methods))
	}
	return append(append(b, version5, byte(len(methods))), methods...), nil
}

// ParseMethod parses the server's choice of a METHOD (RFC 1928 §3).
func ParseMethod(buf []byte) (method byte, n int, err error) {
	return parsePair(buf, version5)
}

// AppendMethod appends the server's choice of a METHOD (RFC 1928 §3).
func AppendMethod(b []byte, method byte) []byte { return append(b, version5, method) }

// UserPass is the client's message of the user and password negotiation (RFC 1929 §2). Both are raw. An empty one is
// taken, although "ULEN … the length of the UNAME field" begins at 1 in the RFC: there are clients with an empty
// password.
type UserPass struct{ UName, Passwd string }

// String does not contain the password.
func (u UserPass) String() string { return fmt.Sprintf("user %q", u.UName) }

// ParseUserPass parses user and password (RFC 1929 §2).
func ParseUserPass(buf []byte) (UserPass, int, error) {
	switch {
	case len(buf) > 0 && buf[0] != versionAuth:
		return UserPass{}, 0, malformed("socks5", "VER", 0)
	case len(buf) < 2:
		return UserPass{}, 0, bridge.ErrShort
	}
	uEnd := 2 + int(buf[1])
	if len(buf) <= uEnd {
		return UserPass{}, 0, bridge.ErrShort
	}
	pEnd := uEnd + 1 + int(buf[uEnd])
	if len(buf) < pEnd {
		return UserPass{}, 0, bridge.ErrShort
	}
	return UserPass{UName: string(buf[2:uEnd]), Passwd: string(buf[uEnd+1 : pEnd])}, pEnd, nil
}

// AppendUserPass appends user and password (RFC 1929 §2), of up to 255 bytes each.
func AppendUserPass(b []byte, u UserPass) ([]byte, error) {
	if len(u.UName) > 255 || len(u.Passwd) > 255 {
		return nil, fmt.Errorf("user of %d bytes and password of %d, at most 255 fit", len(u.UName), len(u.Passwd))
	}
	b = append(append(b, versionAuth, byte(len(u.UName))), u.UName...)
	return append(append(b, byte(len(u.Passwd))), u.Passwd...), nil
}

// ParseStatus parses the answer to user and password (RFC 1929 §2); 00 is success.
func ParseStatus(buf []byte) (status byte, n int, err error) {
	return parsePair(buf, versionAuth)
}

// AppendStatus appends the answer to user and password (RFC 1929 §2).
func AppendStatus(b []byte, status byte) []byte { return append(b, versionAuth, status) }

// parsePair parses a message of a version and one byte.
func parsePair(buf []byte, version byte) (byte, int, error) {
	switch {
	case len(buf) > 0 && buf[0] != version:
		return 0, 0, malformed("socks5", "VER", 0)
	case len(buf) < pairLen:
		return 0, 0, bridge.ErrShort
	}
	return buf[1], pairLen, nil
}

// Request is the client's request (RFC 1928 §4).
type Request struct {
	Cmd byte
	Rsv byte // 00 by the RFC; any is taken, and kept
	Dst Addr
}

// ParseRequest parses a request (RFC 1928 §4) of any command. Another version and an unknown ATYP are malformed.
func ParseRequest(buf []byte) (Request, int, error) {
	head, a, n, err := parseMessage(buf)
	if err != nil {
		return Request{}, 0, err
	}
	return Request{Cmd: head[1], Rsv: head[2], Dst: a}, n, nil
}

// AppendRequest appends a request (RFC 1928 §4). It fails when the name is longer than 255 bytes.
func AppendRequest(b []byte, q Request) ([]byte, error) {
	return appendAddr(append(b, version5, q.Cmd, q.Rsv), q.Dst)
}

// Reply is the server's reply to a request (RFC 1928 §6).
type Reply struct {
	Rep Rep
	Rsv byte // 00 by the RFC; any is taken, and kept
	Bnd Addr
}

// ParseReply parses a reply (RFC 1928 §6) with any code. Another version and an unknown ATYP are malformed.
func ParseReply(buf []byte) (Reply, int, error) {
	head, a, n, err := parseMessage(buf)
	if err != nil {
		return Reply{}, 0, err
	}
	return Reply{Rep: Rep(head[1]), Rsv: head[2], Bnd: a}, n, nil
}

// AppendReply appends a reply (RFC 1928 §6). It fails when the name is longer than 255 bytes.
func AppendReply(b []byte, r Reply) ([]byte, error) {
	return appendAddr(append(b, version5, byte(r.Rep), r.Rsv), r.Bnd)
}

// parseMessage parses what request and reply have in common.
func parseMessage(buf []byte) (head [3]byte, a Addr, n int, err error) {
	if len(buf) > 0 && buf[0] != version5 {
		return head, Addr{}, 0, malformed("socks5", "VER", 0)
	}
	if a, n, err = parseAddr(buf, len(head)); err == nil {
		head = [3]byte(buf)
	}
	return head, a, n, err
}

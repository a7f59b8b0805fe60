package socks

import "github.com/bridgeio/bridgeio/bridge"

// Handshake is what was said in a handshake, as far as it went. It is the Detail of the frames of this package.
type Handshake struct {
	Version       byte   // 4 or 5
	Methods       []byte // SOCKS5: those that the client offered
	Method        byte   // SOCKS5: the one that was chosen; MethodNone also when it did not come to that
	Authenticated bool   // SOCKS5: user and password, or the security context of GSSAPI, were accepted
	Mech          string // GSSAPI: the mechanism that the client's first token names, as "1.2.840.113554.1.2.2"
	Tokens        int    // GSSAPI: how many the peers have exchanged
	Encapsulated  bool   // GSSAPI: what followed was encapsulated, so that there is no more to be told
	Cmd           byte   // the command; 0 when it did not come to that
	Dst           Addr   // the destination as it was asked for
	Replied       bool   // relayed and originated: there was a reply,
	Rep           byte   // with this Rep, or in version 4 Rep4, which for BIND is that of the last reply,
	Bnd           Addr   // and this address
	Peer          Addr   // relayed BIND: who has connected, by the second reply
}

// parseVersion looks at the first byte of a client, which says what the rest is, and takes nothing.
func parseVersion(buf []byte) (version byte, n int, err error) {
	switch {
	case len(buf) == 0:
		return 0, 0, bridge.ErrShort
	case buf[0] != version4 && buf[0] != version5:
		return 0, 0, malformed("socks", "VER", 0)
	}
	return buf[0], 0, nil
}

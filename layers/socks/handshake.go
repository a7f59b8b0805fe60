package socks

import "github.com/bridgeio/bridgeio/bridge"

// Handshake is what was said in a handshake, as far as it went. It is the Detail of the frames of this package.
type Handshake struct {
	Version       byte   // 4 or 5
	Methods       []byte // SOCKS5: those that the client offered
	Method        byte   // SOCKS5: the one that was chosen; MethodNone also when it did not come to that
	Authenticated bool   // SOCKS5: user and password were accepted
	Cmd           byte   // the command; 0 when it did not come to that
	Dst           Addr   // the destination as it was asked for
	Replied       bool   // relayed: there was a reply,
	Rep           byte   // with this Rep, or in version 4 Rep4,
	Bnd           Addr   // and this address
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

package starttls

import (
	"context"
	"net"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// TDS returns the layer for TDS 7.x, the protocol of Microsoft SQL Server ([MS-TDS]), in which the handshake of TLS is
// wrapped in packets of TDS, and TDS then in TLS. TDS 8 begins with TLS, and needs no layer but that of TLS.
//
// It is bridged when server and client agree on encrypting all of it. When they agree on the login alone, plain packets
// follow TLS on the same connection: that goes on as it is.
func TDS() bridge.Layer { return layer("tds", tds) }

func tds(ctx context.Context, s *session) error {
	if _, err := ask(ctx, s, tdsPrelogin(false)); err != nil {
		return err
	}
	encrypts := func(p detect.TDSPrelogin) bool { return p.Encryption&tdsMode != detect.TDSEncryptNotSup }
	server, err := answer(ctx, s, tdsPrelogin(true), encrypts,
		bridge.Class(func(p detect.TDSPrelogin) any { return p.Encryption }))
	if err != nil {
		return err
	}
	switch server.Encryption & tdsMode {
	case detect.TDSEncryptNotSup:
		return errPlain
	case detect.TDSEncryptOff:
		s.frame.Note = "only the login is encrypted"
		return errPlain
	}
	s.unwrap()
	return nil
}

// tdsMode are the bits of ENCRYPTION that say what is encrypted. Those above them are about client certificates.
const tdsMode = 0x03

// tdsPrelogin reads the PRELOGIN of one of the peers.
func tdsPrelogin(response bool) bridge.Parser[detect.TDSPrelogin] {
	return func(buf []byte) (detect.TDSPrelogin, int, error) {
		p, n, err := detect.ParseTDSPrelogin(buf)
		if err == nil && p.Response != response {
			return detect.TDSPrelogin{}, 0, malformed("tds", "Type", 0)
		}
		return p, n, err
	}
}

// unwrap puts conns in the place of both sides which take the handshake out of its packets, and put it into them.
func (s *session) unwrap() {
	over := new(handshakeOver)
	s.b.Replace(bridge.Client, newTDSConn(s.b.Client, over, true), nil)
	s.b.Replace(bridge.Server, newTDSConn(s.b.Server, over, false), func(_ context.Context, c net.Conn) (net.Conn, error) {
		return newTDSConn(c, over, false), nil
	})
}

package starttls

import (
	"context"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// MySQL returns the layer for the protocol of MySQL and MariaDB, in which the client's first packet may be an SSLRequest
// (MySQL Internals, "Protocol::SSLRequest").
//
// The server does not answer that. So here, and here alone, the client may send its ClientHello in one segment with it.
//
// MariaDB's clients from 11.4 on, where they have no root to trust, take a certificate that the server proves to know by
// the user's password. They notice that the one they are shown is not the server's.
func MySQL() bridge.Layer { return layer("mysql", mysql) }

func mysql(ctx context.Context, s *session) error {
	greeting, n, err := expect(ctx, s, bridge.Server, parseMySQLGreeting)
	if err != nil || n == 0 {
		return orPlain(err)
	}
	s.plain.Greeting = clean(greeting.Version)
	if _, err := turn(ctx, s, bridge.Server, parseMySQLGreeting, bridge.Class(offersSSL)); err != nil {
		return err
	}
	request, _, err := expect(ctx, s, bridge.Client, detect.ParseMySQLResponse)
	if err != nil || !request.SSLRequest || offersSSL(greeting) != true {
		return orPlain(err)
	}
	if _, err := turn(ctx, s, bridge.Client, detect.ParseMySQLResponse); err != nil {
		return err
	}
	if len(s.b.Server.Buffered()) > 0 {
		return errResponseInjection()
	}
	return nil
}

// orPlain is err, or errPlain without one.
func orPlain(err error) error {
	if err == nil {
		return errPlain
	}
	return err
}

// offersSSL reports whether the server has the capability to change to TLS.
func offersSSL(g detect.MySQLGreeting) any { return g.Capabilities&detect.MySQLClientSSL != 0 }

// parseMySQLGreeting reads the server's first packet. An ERR packet, of a server that wants nobody, has the length 0.
func parseMySQLGreeting(buf []byte) (detect.MySQLGreeting, int, error) {
	const header, err = 4, 0xff
	if len(buf) > header && buf[header] == err {
		return detect.MySQLGreeting{}, 0, nil
	}
	return detect.ParseMySQLGreeting(buf)
}

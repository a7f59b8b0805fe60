package starttls

import (
	"context"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/detect"
)

// PostgreSQL returns the layer for PostgreSQL's SSLRequest (Frontend/Backend Protocol, "SSL Session Encryption"). With
// sslnegotiation=direct a client begins with TLS, and needs no layer but that of TLS.
func PostgreSQL() bridge.Layer { return layer("postgres", postgresql) }

// postgresql relays requests for encryption, each with its answer of a single byte, until one for TLS is granted or the
// client goes on without.
func postgresql(ctx context.Context, s *session) error {
	for {
		request, _, err := expect(ctx, s, bridge.Client, detect.ParsePostgresRequest)
		if err != nil {
			return err
		}
		if request.Code != detect.PostgresSSLRequest && request.Code != detect.PostgresGSSENCRequest {
			s.frame.User = clean(request.User)
			return errPlain
		}
		if _, err := ask(ctx, s, detect.ParsePostgresRequest); err != nil {
			return err
		}
		a, err := answer(ctx, s, parsePostgresAnswer(request.Code), postgresGranted, bridge.Class(itself[byte]))
		switch {
		case err != nil:
			return err
		case a == 'S':
			s.plain.Refusal = ""
			return nil
		case a == 'G':
			s.frame.Note = "encrypted by GSSAPI"
			return errPlain
		}
		s.plain.Refusal = string(a)
		if a == 'E' {
			return errPlain // the rest of it follows, and then another connection
		}
	}
}

// itself is the class of a message that is its own.
func itself[M any](m M) any { return m }

func postgresGranted(answer byte) bool { return answer == 'S' || answer == 'G' }

// parsePostgresAnswer reads the answer to a request: S or G, which grants it, N, or the first byte of an ErrorResponse,
// of a server that does not know such requests, or can't serve any.
func parsePostgresAnswer(to uint32) bridge.Parser[byte] {
	granted := byte('S')
	if to == detect.PostgresGSSENCRequest {
		granted = 'G'
	}
	return func(buf []byte) (byte, int, error) {
		switch {
		case len(buf) == 0:
			return 0, 0, bridge.ErrShort
		case buf[0] == granted, buf[0] == 'N', buf[0] == 'E':
			return buf[0], 1, nil
		}
		return 0, 0, malformed("postgres", "answer", 0)
	}
}

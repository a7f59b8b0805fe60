package mirror

import (
	utls "github.com/refraction-networking/utls"

	"github.com/bridgeio/bridgeio/layers/tlsbridge/internal/flight"
)

// Session is a connection to a server after its handshake.
type Session struct {
	*utls.UConn
	most int // bytes of a record that the server takes; 0: as many as TLS allows
}

// newSession obeys what limit the server has agreed to.
func newSession(c *utls.UConn, s *spec, f *flight.Flight) *Session {
	session := &Session{UConn: c}
	if f.FragmentLength >= 1 && f.FragmentLength <= 4 {
		session.most = 1 << (8 + f.FragmentLength) // RFC 6066 §4: 2^9 to 2^12
	}
	return session
}

// Write writes p in records that the server takes.
func (s *Session) Write(p []byte) (n int, err error) {
	for s.most > 0 && len(p)-n > s.most {
		k, err := s.UConn.Write(p[n : n+s.most])
		if n += k; err != nil {
			return n, err
		}
	}
	k, err := s.UConn.Write(p[n:])
	return n + k, err
}

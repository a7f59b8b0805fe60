package mirror

import utls "github.com/refraction-networking/utls"

// Session is a connection to a server after its handshake.
type Session struct {
	*utls.UConn
	most int // bytes of application data in a record; 0: as many as TLS allows
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

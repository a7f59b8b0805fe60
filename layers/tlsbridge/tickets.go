package tlsbridge

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"sync"
	"time"
)

// Tickets are the keys of the session tickets that clients get (RFC 8446 §4.6.1, RFC 5077).
// There is one for each day (UTC), and the one of the day before is still taken. It is safe
// for concurrent use, and shared by all layers whose tickets the others are to take.
//
// A ticket is taken only where a full handshake would show the very same certificate, and the
// server's has not become another in the eyes of the Minter: it may have expired since, which
// a client that resumes does not look at.
type Tickets struct {
	secret []byte

	mu   sync.Mutex
	day  int64      // since 1970
	keys [][32]byte // of the day and the one before
}

// NewTickets derives the keys from a secret, so that whoever has it takes the tickets of the
// others. An empty one, which everybody has, means a secret of its own.
func NewTickets(secret []byte) *Tickets {
	if secret = bytes.Clone(secret); len(secret) == 0 {
		secret = make([]byte, 32)
		rand.Read(secret)
	}
	return &Tickets{secret: secret}
}

// today returns the keys to seal with, the first, and to open with.
func (t *Tickets) today() [][32]byte {
	const seconds = 24 * 60 * 60
	day := time.Now().Unix() / seconds
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.keys == nil || day != t.day {
		t.day, t.keys = day, [][32]byte{t.key(day), t.key(day - 1)}
	}
	return t.keys
}

func (t *Tickets) key(day int64) [32]byte {
	info := string(binary.BigEndian.AppendUint64([]byte("mitm session tickets v1 "), uint64(day)))
	key, err := hkdf.Key(sha256.New, t.secret, nil, info, 32)
	if err != nil {
		panic(err) // 32 bytes are never too many
	}
	return [32]byte(key)
}

// bind has the handshakes of config give and take tickets that are bound to bond.
func (t *Tickets) bind(config *tls.Config, bond []byte) {
	config.SessionTicketsDisabled = false
	config.SetSessionTicketKeys(t.today())
	config.WrapSession = func(state tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
		session.Extra = append(session.Extra, bond)
		return config.EncryptTicket(state, session)
	}
	config.UnwrapSession = func(ticket []byte, state tls.ConnectionState) (*tls.SessionState, error) {
		session, err := config.DecryptTicket(ticket, state)
		if err != nil || session == nil || len(session.Extra) == 0 || !bytes.Equal(session.Extra[len(session.Extra)-1], bond) {
			return nil, nil // a full handshake
		}
		return session, nil
	}
}

// bondOf is what a ticket is bound to: the server's certificate, what verifying it came to, what
// the client was shown in its place, for which name, and what was agreed on with the server.
//
// RFC 6066 §3: a server "MUST NOT accept the request to resume the session if the
// server_name extension contains a different name". crypto/tls does not look at that.
func bondOf(server *Snapshot, verdict string, leaf *tls.Certificate) []byte {
	h := sha256.New()
	h.Write([]byte("mitm session v2"))
	for _, part := range [][]byte{server.Chain[0].Raw, []byte(verdict), leaf.Certificate[0], []byte(server.Name), []byte(server.ALPN)} {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
		h.Write(part)
	}
	h.Write(binary.BigEndian.AppendUint16(nil, server.Version))
	return h.Sum(nil)
}
